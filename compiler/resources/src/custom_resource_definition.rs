//! CustomResourceDefinition: which kinds a cluster has.

use taut_source::Text;

use crate::message::message;
use crate::read::At;

message! {
    /// A kind of a cluster.
    pub struct CustomResourceDefinition open {
        /// What it is.
        spec: Option<CrdSpec> = "spec";
    }
}

message! {
    /// A kind's group and names.
    pub struct CrdSpec open {
        /// Its group.
        group: Option<At<Text>> = "group";
        /// Its names.
        names: Option<CrdNames> = "names";
    }
}

message! {
    /// A kind's names.
    pub struct CrdNames open {
        /// As `kind:` has it.
        kind: Option<At<Text>> = "kind";
    }
}

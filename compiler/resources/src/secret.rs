//! Secret (semantics.md §5.7): the certificates of gateways.

use taut_source::Text;

use crate::message::message;
use crate::read::{At, Labels};

message! {
    /// A secret with a certificate and its key.
    pub struct Secret open {
        /// `kubernetes.io/tls`; not checked, as Istio does not check it.
        kind: Option<At<Text>> = "type";
        /// Base64 values: `tls.crt` and `tls.key`, or `cert` and `key`.
        data: Labels = "data";
        /// The same as plain text; it goes before `data`.
        string_data: Labels = "stringData";
    }
}

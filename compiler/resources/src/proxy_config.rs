//! ProxyConfig (semantics.md §13): how the proxies of some workloads run.

use taut_source::Text;

use crate::message::message;
use crate::read::{At, Labels};
use crate::selector::Selector;

message! {
    /// How the proxies of some workloads run.
    pub struct ProxyConfig {
        /// The workloads; all of the namespace if missing, all of the mesh in the root namespace.
        selector: Option<Selector> = "selector";
        /// How many threads; 0 means one for each core.
        concurrency: Option<At<i32>> = "concurrency", range(0..);
        /// Their environment.
        environment_variables: Labels = "environmentVariables", chars(..=2048);
        /// Their image.
        image: Option<ProxyImage> = "image";
    }
}

message! {
    /// The image of a proxy.
    pub struct ProxyImage {
        /// `default`, `debug` or `distroless`.
        image_type: Option<At<Text>> = "imageType";
    }
}

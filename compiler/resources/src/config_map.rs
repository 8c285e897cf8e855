//! ConfigMap (semantics.md §15): the mesh's own settings, and roots of certificates.

use crate::message::message;
use crate::read::Labels;

message! {
    /// Texts by name. `istio` in the root namespace holds MeshConfig under `mesh` and MeshNetworks under `meshNetworks`.
    pub struct ConfigMap open {
        /// The texts.
        data: Labels = "data";
    }
}

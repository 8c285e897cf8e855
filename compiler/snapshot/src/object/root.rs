//! The root: its digest is the snapshot's id.

use super::{Authority, Layer, Links, Map, Mesh};
use crate::Digest;
use crate::format::codec::{Link, record};

record! {
    /// Everything that the fleet runs, by digest.
    pub struct Root {
        /// What holds for the whole mesh.
        pub mesh: Link<Mesh> = 1,
        /// The views of the workloads, by `namespace/name`.
        pub views: Map = 2,
        /// What the certificate authority runs.
        pub authority: Link<Authority> = 3,
        /// The services that every client sees alike, if any view has them. Views do not name it themselves: else every
        /// edit of a service would be an edit of all views.
        pub base: Option<Link<Layer>> = 4,
    }
}

impl Links for Root {
    fn links(&self) -> Vec<Digest> {
        let mut links = vec![self.mesh.digest, self.authority.digest];
        links.extend(super::digests(self.base));
        links.extend(self.views.buckets.iter().map(|(_, bucket)| bucket.digest));
        links
    }
}

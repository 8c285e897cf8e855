//! Who a member of the mesh is, and how it proves that to others.
//!
//! Owns: SPIFFE ids, trust bundles, a member's credentials in memory and on disk, when to renew them, and every TLS
//! configuration of the mesh. To read in the order of the `mod` lines.
//! May not: issue certificates (that is the `ca`), open sockets, read a clock other than the one TLS reads.
//! Invariant: no handshake succeeds without the peer's chain ending in a root that is trusted now, and its SPIFFE id
//! being one that is accepted there. There is no switch that turns this off.

mod bundle;
mod credentials;
mod leaf;
mod live;
mod pem;
mod spiffe;

mod peer;
mod presented;
mod tls;

pub mod disk;
pub mod rotation;
pub mod store;

#[cfg(test)]
mod fixture;
#[cfg(test)]
mod handshakes;

pub use bundle::{BadFingerprint, Fingerprint, TrustBundle};
pub use credentials::{BadCredentials, Credentials};
pub use leaf::{BadLeaf, Validity};
pub use live::LiveIdentity;
pub use peer::{Accepted, PeerRefused, VerifiedPeer, explain_handshake, peer_refused, verified_peer};
pub use presented::Presented;
pub use spiffe::{BadSpiffeId, SpiffeId};
pub use tls::{Clients, FirstContact, client_config, first_contact_config, server_config};

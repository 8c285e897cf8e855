//! How a snapshot reaches a member of the fleet.
//!
//! Owns: the protocol between a publisher and its members, what a member keeps on disk, and the gRPC that carries it all.
//! May not: decide when the fleet moves (that is control's), look into TLS (streams come authenticated).
//! Invariant: a member activates nothing that it has not decoded and persisted, and never goes back to an older
//! generation.
//!
//! Reading order: `message` is the vocabulary, `subscriber` and `publisher` are the two ends as state machines that
//! know neither socket nor clock, `store` is the member's disk, `worker` does what blocks, and `follow` and `serve` are
//! the shells.

mod limits;
mod message;
mod part;
pub mod publisher;
pub mod subscriber;

pub mod folder;
mod store;
mod worker;

mod follow;
mod serve;
mod wire;

#[cfg(any(test, feature = "any-bytes"))]
pub mod any_bytes;

#[cfg(any(test, feature = "simulation"))]
pub mod simulation;

pub use folder::FolderError;
pub use follow::{Connect, DeliveryError, MemberConfig, Runner, follow};
pub use limits::check_limits;
pub use message::{
    Boots, CertificateReport, EndpointsPart, FromMember, Join, MemberKind, Refusal, Refused, Report, Running, ToMember,
};
pub use part::{Assembled, NoPart, Part, assemble, contents};
pub use serve::{Arrival, ConnectionId, Outbox, serve};
pub use subscriber::Told;
pub use worker::stand_back;

//! Documents become typed resources: one file per kind.
//!
//! Owns: which fields each kind has, what type each is, which of them Taut carries to the data plane, and the rules
//! that one resource alone can break (stages `schema`, `type` and `support`).
//! May not: look at another resource; that is `model`.
//! Invariant: a field that is read is carried to the data plane, or reported. There is no third case (see `message`).

mod message;

mod kind;
mod meta;
mod read;
mod rules;
mod scalar;

mod authorization_policy;
mod destination_rule;
mod endpoint_slice;
mod gateway;
mod namespace;
mod peer_authentication;
mod secret;
mod service;
mod service_account;
mod service_entry;
mod virtual_service;
mod workload;
mod workload_entry;

pub use authorization_policy::*;
pub use destination_rule::*;
pub use endpoint_slice::*;
pub use gateway::*;
pub use kind::{Api, KINDS, Kind, Outcome, Resource, Spec, read_resource};
pub use message::{FieldInfo, Status};
pub use meta::{Meta, Selector};
pub use namespace::*;
pub use peer_authentication::*;
pub use read::{At, Labels, Named, Read, Reader};
pub use rules::all as rules;
pub use scalar::{Duration, DurationOrZero, IntOrText, MatchBy, Percent, Port, PortRef, StringMatch, Unread};
pub use secret::*;
pub use service::*;
pub use service_account::*;
pub use service_entry::*;
pub use virtual_service::*;
pub use workload::*;
pub use workload_entry::*;

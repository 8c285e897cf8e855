//! The mesh with every name resolved.
//!
//! Owns: which service a host means, which rule governs a client, which workloads a selector picks, in what order
//! things count when several claim one place; and every check that takes more than one resource (`check`).
//! May not: know how a snapshot is written.
//! Invariant: everything here is a pure function of the resources. Where Istio lets creation time decide, the time
//! that a file carries decides, and then name and namespace (semantics.md §1.6).

pub mod check;

mod attachment;
mod authorization;
mod delegate;
mod destination_rule;
mod gateway;
mod gateway_api;
mod host;
mod inventory;
mod labels;
mod mesh;
mod peer_authentication;
mod pod;
mod pool;
mod protocol;
mod secret;
mod selection;
mod service;
mod settings;
mod sidecar;
mod target;
mod telemetry;
mod ties;
mod virtual_service;
mod visibility;
mod workload;

pub use authorization::{policies_of, request_authentications_of};
pub use delegate::{Beyond, RuleOf};
pub use destination_rule::{Governing, PortTraffic, governing};
pub use gateway::{BoundServer, Entrance, ListenPort, gateway_hosts, listen_ports, ports_at, server_admits};
pub use gateway_api::{
    Broken, Condition, Converted, ListenerStatus, MadeGateway, MadeRouting, MadeTraffic, ParentStatus, RunBy, Status,
    convert, convert_among,
};
pub use host::{Host, covers, expand, is_wildcard, overlap, specificity};
pub use inventory::Inventory;
pub use labels::{LabelSet, selects};
pub use mesh::{Mesh, MeshWide, Of, Routing, Traffic, Whole, gateway_name, resolve, resolve_part};
pub use peer_authentication::{Mode, ModeOf, deciding_policy, mode_of, namespace_mode};
pub use pod::{NamespaceMode, Pod, Pods};
pub use protocol::Protocol;
pub use secret::{KeyPair, client_roots, key_pair, roots_beside, secret_name, secret_of};
pub use service::{EndpointKind, Service, ServiceId, ServicePort, Target};
pub use settings::{LogLines, Settings};
pub use sidecar::{Imports, sidecar_of};
pub use target::{Leading, Who, leading_to};
pub use taut_source::Text;
pub use telemetry::{Logged, Measured, Side, Traced, logs_of, metrics_of, provider_named, telemetries_of, tracing_of};
pub use ties::{Reach, Role, Tie, Ties};
pub use virtual_service::{BoundRules, Candidate, Client, candidates, candidates_among, in_order, rules_for};
pub use visibility::Visibility;
pub use workload::{Workload, WorkloadId};

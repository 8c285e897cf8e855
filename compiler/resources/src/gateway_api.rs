//! The Gateway API of Kubernetes (semantics.md §18), with what its API server checks: the standard channel, what the
//! experimental one adds, and the pools of its extension for inference. Where the two differ, what either of them takes is taken.
//!
//! Owns: the fields of its kinds and the rules of each kind alone. Its names stay in this module: `Gateway` and
//! `HttpRoute` are other things in `networking.istio.io`.

mod backend_tls_policy;
mod backend_traffic_policy;
mod connection_route;
mod filter;
mod gateway;
mod gateway_class;
mod grpc_route;
mod http_route;
mod inference_pool;
mod listener;
mod reference;
mod reference_grant;
mod session;

pub use backend_tls_policy::*;
pub use backend_traffic_policy::*;
pub use connection_route::*;
pub use filter::*;
pub use gateway::*;
pub use gateway_class::*;
pub use grpc_route::*;
pub use http_route::*;
pub use inference_pool::*;
pub use listener::*;
pub use reference::*;
pub use reference_grant::*;
pub use session::*;

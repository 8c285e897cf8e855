//! What happens to a request: pure functions over one view.
//!
//! Owns: which host, which rule, which destination, whether it is allowed, whether to try again, what the path becomes.
//! May not: send anything, keep anything, allocate where a request waits.
//! Invariant: the proxy, `taut explain` and the verifier all ask here. There is no second implementation.

mod authorize;
mod connection;
mod cors;
mod fault;
mod hash;
mod hosts;
mod listen;
mod locality;
mod path;
mod paths;
mod pattern;
mod request;
mod retry;
mod rewrite;
mod route;
mod split;
mod tables;

pub use authorize::{Noted, Peer, Policies, Verdict, Watched};
pub use connection::{Arriving, Connection, Hello, Incoming, MESH_BYTES, MESH_HTTP, Outgoing, Refusal, Requests};
pub use cors::{CorsPolicy, Sharing};
pub use fault::{Faults, drawn, faults};
pub use hash::{hash, hash_of, needs_cookie};
pub use hosts::{HostIndex, host_without_port};
pub use listen::{Chains, ConnectionTarget};
pub use locality::{Nearness, Whereabouts};
pub use path::{BadPath, normalize};
pub use pattern::{BadPattern, Pattern};
pub use request::{Headers, Request};
pub use retry::{Attempt, DEFAULT_RETRY_ATTEMPTS, default_retry, retries};
pub use rewrite::{location, rewritten_path};
pub use route::{Alternative, ClusterId, Destination, Forwarding, Hit, Router, ToDo};
pub use split::split;
pub use tables::{GatewayHost, GatewayListener, GatewayServer, ServiceEntry, Tables, VirtualHost};

//! The loop: what git says and what members report become a plan; the plan is carried out, and written down.
//!
//! Owns: where the fleet is to go, when it goes there, what is known of its members, and the ledger of all that.
//! May not: compile (snapshots come ready), look into TLS (streams come authenticated), render (it answers in values).
//! Invariant: nobody is moved before all who count can follow; every activation has a number that was on disk before
//! anybody heard of it; what is said to be so was reported, not sent.
//!
//! Reading order: `desired` is where to go, `observed` is what is known of the fleet, `plan` is what follows from the
//! two, `control` is the state machine around it, `act` and `run` are the shells.

mod desired;
mod observed;
mod plan;

mod book;
mod endpoints;
mod offer;
mod record;
mod snapshots;
mod status;

mod command;
mod control;
mod member;

mod act;
mod ledger;
mod run;

#[cfg(any(test, feature = "any-bytes"))]
pub mod any_bytes;

mod api;
mod wire;

pub use api::{ApiError, Client};
pub use command::{Order, Target};
pub use desired::{Commit, Desired, Head, Hold, Rejection, Release};
pub use ledger::{Ledger, LedgerError};
pub use observed::{Observed, Presence, Seen};
pub use offer::{Broken, Compiled, Offer};
pub use plan::{Plan, Step, Wait, plan};
pub use record::{Record, What};
pub use run::{ControlConfig, ControlError, run};
pub use status::{Done, Drift, DriftKind, MemberState, MemberStatus, Outcome, Status, Waited};

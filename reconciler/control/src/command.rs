//! What an operator can ask and order.

use std::time::Duration;

/// Who gives an order, and why. Both are written into the ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    /// Who.
    pub who: String,
    /// Why; may be empty.
    pub why: String,
}

/// What is waited for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// Whatever the fleet is to run now.
    Current,
    /// An activation, by its number.
    Generation(u64),
    /// A commit, by its id or the beginning of it.
    Commit(String),
    /// A snapshot, by its id or the beginning of it.
    Snapshot(String),
}

/// A question or an order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Command {
    /// How is the fleet?
    Status,
    /// What differs?
    Drift,
    /// What comes next?
    Plan,
    /// What happened?
    History {
        /// The most records.
        limit: usize,
    },
    /// Answer when every live member runs this.
    Wait {
        /// What.
        target: Target,
        /// The longest time.
        timeout: Duration,
    },
    /// Go back to an older release, and stay there.
    Rollback {
        /// A generation, or the beginning of a snapshot's id or a commit's; without it, what was active before.
        to: Option<String>,
        /// Who and why.
        order: Order,
    },
    /// Stay here, whatever git says.
    Hold {
        /// Who and why.
        order: Order,
    },
    /// Follow git again.
    Resume {
        /// Who and why.
        order: Order,
    },
}

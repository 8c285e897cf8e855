//! What a controller would report of an object: conditions, each with its reason (semantics.md §18.2, §18.3).

use taut_source::Span;

use crate::Text;

/// One condition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condition {
    /// `Accepted`, `Programmed`, `ResolvedRefs` or `Conflicted`.
    pub kind: &'static str,
    /// Whether it holds.
    pub holds: bool,
    /// One word that says why.
    pub reason: &'static str,
    /// A sentence that says why; empty where all is well.
    pub message: String,
    /// What it is about.
    pub at: Span,
}

impl Condition {
    /// Whether all is well. Of conflicts it is well to have none.
    #[must_use]
    pub fn is_good(&self) -> bool {
        self.holds != (self.kind == "Conflicted")
    }
}

/// What is reported of one listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenerStatus {
    /// Its name.
    pub name: Text,
    /// Its conditions.
    pub conditions: Vec<Condition>,
    /// How many routes are attached to it.
    pub attached: usize,
    /// The kinds of routes that may be.
    pub kinds: Vec<&'static str>,
}

/// What is reported of one parent of a route, or of one target of a policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParentStatus {
    /// Its number in the list of parents or targets.
    pub number: usize,
    /// The conditions.
    pub conditions: Vec<Condition>,
}

/// What is reported of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// The object, by its number among the resources.
    pub resource: usize,
    /// Conditions of the object as a whole.
    pub conditions: Vec<Condition>,
    /// Its listeners.
    pub listeners: Vec<ListenerStatus>,
    /// Its parents or targets, as far as they are the mesh's.
    pub parents: Vec<ParentStatus>,
}

impl Status {
    /// Every condition, of the object and of its parts.
    pub fn all(&self) -> impl Iterator<Item = &Condition> {
        let listeners = self.listeners.iter().flat_map(|it| &it.conditions);
        let parents = self.parents.iter().flat_map(|it| &it.conditions);
        self.conditions.iter().chain(listeners).chain(parents)
    }
}

/// Why something is not as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) reason: &'static str,
    pub(crate) message: String,
    pub(crate) at: Span,
}

impl Fault {
    pub(crate) fn new(reason: &'static str, at: Span, message: impl Into<String>) -> Fault {
        Fault { reason, message: message.into(), at }
    }
}

/// A condition that holds unless something is wrong.
pub(crate) fn condition(kind: &'static str, reason: &'static str, at: Span, fault: Option<&Fault>) -> Condition {
    match fault {
        Some(fault) => {
            Condition { kind, holds: false, reason: fault.reason, message: fault.message.clone(), at: fault.at }
        }
        None => Condition { kind, holds: true, reason, message: String::new(), at },
    }
}

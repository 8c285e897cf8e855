//! The credentials that a process runs with now.
//!
//! Owns: the one pointer that a renewal swaps. Every TLS configuration of the mesh reads it at every handshake, so that
//! new credentials, and new roots, take effect without a configuration or a connection being made anew.

use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwap;

use crate::{Credentials, SpiffeId};

/// A member's identity as it is now. Clones are the same identity.
#[derive(Clone)]
pub struct LiveIdentity {
    credentials: Arc<ArcSwap<Credentials>>,
    aliases: Arc<ArcSwap<Vec<String>>>,
}

impl LiveIdentity {
    /// Begins with these credentials and no aliases.
    #[must_use]
    pub fn new(credentials: Credentials) -> LiveIdentity {
        LiveIdentity { credentials: Arc::new(ArcSwap::from_pointee(credentials)), aliases: Arc::default() }
    }

    /// The credentials as they are now.
    #[must_use]
    pub fn current(&self) -> Arc<Credentials> {
        self.credentials.load_full()
    }

    /// Replaces the credentials. Handshakes that begin from now on use the new ones; connections that are open stay.
    pub fn swap(&self, credentials: Credentials) {
        self.credentials.store(Arc::new(credentials));
    }

    /// Replaces the other names of the own trust domain (semantics.md §15, `trustDomainAliases`): whoever belongs to
    /// one of them belongs to it.
    pub fn set_aliases(&self, aliases: Vec<String>) {
        self.aliases.store(Arc::new(aliases));
    }

    /// Whether an id is of the own trust domain, or of an alias of it.
    #[must_use]
    pub fn is_of_trust_domain(&self, id: &SpiffeId) -> bool {
        let domain = id.trust_domain();
        self.credentials.load().id().trust_domain() == domain || self.aliases.load().iter().any(|it| it == domain)
    }
}

impl fmt::Debug for LiveIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.current().fmt(f)
    }
}

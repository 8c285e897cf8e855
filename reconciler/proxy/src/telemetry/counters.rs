//! What the proxy counts of itself.

use std::sync::atomic::{AtomicU64, Ordering};

/// A number that only grows. Each worker's threads touch it once per connection or failure, not once per request.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn add_one(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn add(&self, count: u64) {
        self.0.fetch_add(count, Ordering::Relaxed);
    }

    pub(crate) fn value(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

macro_rules! counters {
    ($($(#[doc = $help:literal])* $name:ident,)*) => {
        /// The proxy's own counters.
        #[derive(Debug, Default)]
        pub(crate) struct Counters {
            $($(#[doc = $help])* pub(crate) $name: Counter,)*
        }

        impl Counters {
            /// Name, help and value of each.
            pub(crate) fn all(&self) -> Vec<(&'static str, &'static str, u64)> {
                vec![$((concat!("taut_", stringify!($name), "_total"), concat!($($help),*), self.$name.value()),)*]
            }
        }
    };
}

counters! {
    #[doc = "Snapshots activated"]
    activations,
    #[doc = "Snapshots refused"]
    refusals,
    #[doc = "Connections accepted"]
    connections_accepted,
    #[doc = "Connections closed at once because there were too many"]
    connections_over_limit,
    #[doc = "Times that the system gave no connection to a listener"]
    accept_failures,
    #[doc = "Connections closed because a handshake failed"]
    handshake_failures,
    #[doc = "Connections closed because a port takes nothing but mTLS"]
    plaintext_refused,
    #[doc = "Connections closed because nothing is there for them"]
    connections_for_nobody,
    #[doc = "Connections closed because the client was too slow"]
    slow_clients,
    #[doc = "Connections closed because the client sent more than anybody could use: resets, headers without an end"]
    flooding_clients,
    #[doc = "Times that what a client sent was no HTTP, or too long: its connection is closed, or the request refused"]
    broken_clients,
    #[doc = "Connections made to upstreams"]
    upstream_connections,
    #[doc = "Connections to upstreams that failed"]
    upstream_connect_failures,
    #[doc = "Tries after the first"]
    upstream_retries,
    #[doc = "Requests refused because a limit of a cluster was reached"]
    upstream_overflows,
    #[doc = "Endpoints taken out because they failed"]
    ejections,
    #[doc = "Requests that another service was asked about"]
    consultations,
    #[doc = "Times that it gave no answer"]
    consultation_failures,
    #[doc = "Requests denied by a policy"]
    denials,
    #[doc = "Requests that a policy would deny which is tried out"]
    dry_run_denials,
    #[doc = "Requests that an AUDIT policy matches"]
    audited,
    #[doc = "Lines of the access log dropped because the writer was behind"]
    log_drops,
    #[doc = "Entries of access logs that services have taken"]
    logs_told,
    #[doc = "Entries of access logs dropped because too many waited, or because a service did not take them"]
    logs_told_drops,
    #[doc = "Spans that collectors have taken"]
    spans,
    #[doc = "Spans dropped because too many waited, or because a collector did not take them"]
    span_drops,
}

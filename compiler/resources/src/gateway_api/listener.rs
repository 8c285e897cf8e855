//! Listeners, of a Gateway or of a ListenerSet (semantics.md §18.2).

use taut_source::{Node, Text};

use super::{ParentRef, SecretRef};
use crate::grammar::{API_GROUP, API_KIND, HOSTNAME, PROTOCOL, SUBDOMAIN};
use crate::message::{keyword, message};
use crate::read::{At, Labels, List, Reader};
use crate::rules;
use crate::scalar::Port;
use crate::selector::LabelSelector;
use crate::server_tls::check_spoken;

/// What becomes of TLS beyond what the API has words for.
const TERMINATE_MODE: &str = "gateway.istio.io/tls-terminate-mode";
const CIPHERS: &str = "gateway.istio.io/tls-cipher-suites";
/// That the mesh's own TLS is passed on.
const PROTOCOL_OPTION: &str = "gateway.istio.io/listener-protocol";

message! {
    /// Further listeners for a Gateway.
    pub struct ListenerSet {
        /// The Gateway.
        parent_ref: ParentRef = "parentRef";
        /// The listeners.
        listeners: List<Listener> = "listeners", required, items(1..=64), unique("name");
    }
    where check(ListenerSet::check);
}

message! {
    /// One port and host that a gateway listens to.
    pub struct Listener {
        /// Its name.
        name: At<Text> = "name", chars(1..=253), is(SUBDOMAIN);
        /// The host; every host if missing.
        hostname: Option<At<Text>> = "hostname", chars(1..=253), is(HOSTNAME);
        /// The port.
        port: At<Port> = "port";
        /// HTTP, HTTPS, TLS or TCP.
        protocol: At<Text> = "protocol", chars(1..=255), is(PROTOCOL);
        /// TLS for clients.
        tls: Option<ListenerTls> = "tls";
        /// The routes that may be attached; those of the same namespace if missing.
        allowed_routes: Option<AllowedRoutes> = "allowedRoutes";
    }
    where check(Listener::check);
}

keyword! {
    /// What a listener does with TLS.
    pub enum ListenerTlsMode {
        /// Ends it.
        Terminate = "Terminate";
        /// Passes it on.
        Passthrough = "Passthrough";
    }
}

message! {
    /// TLS for clients.
    pub struct ListenerTls {
        /// What to do with it; Terminate if missing.
        mode: Option<At<ListenerTlsMode>> = "mode";
        /// The certificates.
        certificate_refs: List<SecretRef> = "certificateRefs", items(..=64);
        /// What the implementation alone knows.
        options: Labels = "options", items(..=16), chars(..=4096);
    }
    where check(ListenerTls::check);
}

message! {
    /// The routes that may be attached.
    pub struct AllowedRoutes {
        /// From which namespaces.
        namespaces: Option<RouteNamespaces> = "namespaces";
        /// Of which kinds.
        kinds: List<RouteKind> = "kinds", items(..=8);
    }
}

keyword! {
    /// Which namespaces.
    pub enum FromNamespaces {
        /// Every one.
        All = "All";
        /// Those with some labels.
        Selector = "Selector";
        /// The same.
        Same = "Same";
    }
}

message! {
    /// The namespaces whose routes may be attached.
    pub struct RouteNamespaces {
        /// Which; Same if missing.
        from: Option<At<FromNamespaces>> = "from";
        /// Those with these labels.
        selector: Option<LabelSelector> = "selector";
    }
}

message! {
    /// A kind of routes.
    pub struct RouteKind {
        /// Its group.
        group: At<Text> = "group", chars(..=253), is(API_GROUP), default(Text::new("gateway.networking.k8s.io"));
        /// Its name.
        kind: At<Text> = "kind", chars(1..=63), is(API_KIND);
    }
}

impl ListenerSet {
    fn check(&self, _: Node<'_>, cx: &mut Reader<'_>) {
        check_distinct(&self.listeners, cx);
    }
}

/// Port, protocol and host differ between any two listeners.
pub(super) fn check_distinct(listeners: &[Listener], cx: &mut Reader<'_>) {
    let host = |listener: &Listener| listener.hostname.as_ref().map(|host| host.value.clone());
    let key = |listener: &Listener| (listener.port.value, listener.protocol.value.clone(), host(listener));
    for (index, listener) in listeners.iter().enumerate() {
        if listeners[..index].iter().any(|other| key(other) == key(listener)) {
            let message =
                format!("the listener `{}` has the port, protocol and hostname of another one", listener.name.value);
            cx.say(&rules::DUPLICATE, listener.span, message, "give each listener a port or hostname of its own");
        }
    }
}

impl Listener {
    fn check(&self, _: Node<'_>, cx: &mut Reader<'_>) {
        let protocol = self.protocol.as_str();
        let mode = self.tls.as_ref().and_then(|tls| tls.mode);
        match (protocol, &self.tls) {
            ("HTTP" | "TCP" | "UDP", Some(tls)) => {
                let message = format!("a listener of protocol {protocol} has no `tls`");
                cx.say(&rules::EXCLUSIVE, tls.span, message, "use protocol HTTPS or TLS, or take it away");
            }
            ("HTTPS", Some(tls)) if mode.is_some_and(|mode| mode.value == ListenerTlsMode::Passthrough) => {
                let message = "a listener of protocol HTTPS ends TLS";
                cx.say(&rules::EXCLUSIVE, tls.span, message, "use protocol TLS, or `mode: Terminate`");
            }
            // The API server fills in the mode where there is a `tls`.
            ("TLS", None) => {
                cx.say(&rules::NEEDED, self.span, "a listener of protocol TLS needs `tls`", "add `tls: {mode: ...}`");
            }
            _ => {}
        }
        if let Some(host) = self.hostname.as_ref().filter(|_| matches!(protocol, "TCP" | "UDP")) {
            let message = format!("a listener of protocol {protocol} never sees a host");
            cx.say(&rules::EXCLUSIVE, host.span, message, "take `hostname` away");
        }
    }
}

impl ListenerTls {
    fn check(&self, _: Node<'_>, cx: &mut Reader<'_>) {
        let ends = self.mode.is_none_or(|mode| mode.value == ListenerTlsMode::Terminate);
        if ends && self.certificate_refs.is_empty() && self.options.is_empty() {
            let message = "to end TLS a listener needs a certificate";
            cx.say(&rules::NEEDED, self.span, message, "add `certificateRefs:`");
        }
        for (key, value) in &self.options.0 {
            match key.as_str() {
                TERMINATE_MODE => {
                    if !matches!(value.as_str(), "MUTUAL" | "OPTIONAL_MUTUAL" | "ISTIO_MUTUAL") {
                        let message = format!("`{}: {}` is not carried to the data plane", key.value, value.value);
                        let help = "write MUTUAL, OPTIONAL_MUTUAL or ISTIO_MUTUAL; for any other client, take it away and add `certificateRefs:`";
                        cx.say(&rules::UNSUPPORTED_VALUE, value.span, message, help);
                    }
                }
                CIPHERS => value.split(',').for_each(|cipher| check_spoken(cipher.trim(), value.span, cx)),
                PROTOCOL_OPTION => {}
                _ => {
                    let message = format!("the option `{}` is not carried to the data plane", key.value);
                    let help =
                        format!("take it away: `{TERMINATE_MODE}`, `{CIPHERS}` and `{PROTOCOL_OPTION}` are known");
                    cx.say(&rules::UNSUPPORTED_FIELD, key.span, message, help);
                }
            }
        }
    }
}

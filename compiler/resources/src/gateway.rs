//! Gateway (semantics.md §5): what a gateway workload listens to.

use taut_source::{Node, Text};

use crate::grammar::{BIND, GATEWAY_HOST, LABEL_KEY, LABEL_VALUE, is_label};
use crate::message::message;
use crate::read::{At, Labels, List, Reader};
use crate::rules;
use crate::scalar::PortOrZero;
use crate::server_tls::{ServerTls, ServerTlsMode};

message! {
    /// Servers of the gateway workloads that a selector picks.
    pub struct Gateway {
        /// Labels of the workloads, in any namespace; all gateways if empty.
        selector: Labels = "selector", keys(LABEL_KEY), is(LABEL_VALUE);
        /// What they listen to.
        servers: List<Server> = "servers";
    }
    where check(Gateway::check);
}

message! {
    /// One port with its hosts.
    pub struct Server {
        /// The port.
        port: ServerPort = "port";
        /// The address to listen on.
        bind: Option<At<Text>> = "bind", if_set(BIND), refused("the gateway listens on the addresses that its command line names");
        /// The hosts, each `[namespace/]name`.
        hosts: List<At<Text>> = "hosts", required, items(1..), is(GATEWAY_HOST);
        /// TLS for clients.
        tls: Option<Box<ServerTls>> = "tls";
        /// Unused in Istio as well.
        default_endpoint: Option<At<Text>> = "defaultEndpoint", inert("Istio does not use it either");
        /// A name for statistics.
        name: Option<At<Text>> = "name", inert("it only names statistics");
    }
    where check(Server::check);
}

message! {
    /// The port of a server.
    pub struct ServerPort {
        /// The number, as the gateway's Service has it; 0 only for a socket in the file system.
        number: At<PortOrZero> = "number";
        /// HTTP, HTTPS, GRPC, HTTP2, TLS or TCP.
        protocol: At<Text> = "protocol";
        /// Its name, unique in the gateway.
        name: At<Text> = "name", chars(1..);
        /// An old field.
        target_port: Option<At<u32>> = "targetPort", range(..=0), refused("the Service of the gateway translates ports");
    }
}

/// The protocols of a server (semantics.md §5.1), and whether Taut's gateway speaks them.
const PROTOCOLS: &[(&str, bool)] = &[
    ("HTTP", true),
    ("HTTPS", true),
    ("GRPC", true),
    ("GRPC-WEB", false),
    ("HTTP2", true),
    ("MONGO", true),
    ("REDIS", true),
    ("MYSQL", true),
    ("TCP", true),
    ("TLS", true),
];

impl Gateway {
    fn check(&self, _: Node<'_>, cx: &mut Reader<'_>) {
        let name = cx.subject.as_ref().map(|subject| subject.name.clone()).unwrap_or_default();
        if !name.is_empty() && !is_label(&name) {
            let message = format!("the name of a Gateway has no dots: `{name}`");
            cx.say(&rules::BAD_VALUE, self.span, message, "write a name of letters, digits and `-`");
        }
        if self.servers.is_empty() {
            cx.say(&rules::NEEDED, self.span, "a gateway needs a server", "add `servers:`");
        }
        for (index, server) in self.servers.iter().enumerate() {
            let name = &server.port.name;
            if self.servers[..index].iter().any(|other| other.port.name.value == name.value) {
                let message = format!("the port name `{}` stands twice", name.value);
                cx.say(&rules::DUPLICATE, name.span, message, "give each server's port a name of its own");
            }
        }
    }
}

impl Server {
    fn check(&self, _: Node<'_>, cx: &mut Reader<'_>) {
        self.check_port(cx);
        let protocol = self.port.protocol.to_ascii_uppercase();
        let ends_tls = matches!(protocol.as_str(), "HTTPS" | "TLS");
        let is_http = matches!(protocol.as_str(), "HTTP" | "HTTP2" | "GRPC" | "GRPC-WEB" | "HTTP_PROXY");
        let Some(tls) = &self.tls else {
            if ends_tls {
                let help = "add `tls: {mode: SIMPLE, credentialName: ...}`";
                cx.say(&rules::NEEDED, self.span, format!("a server of protocol {protocol} needs `tls`"), help);
            }
            return;
        };
        let passes = matches!(tls.effective_mode(), ServerTlsMode::Passthrough | ServerTlsMode::AutoPassthrough);
        if !ends_tls && (!is_http || !passes || tls.file().is_some()) {
            let message = format!("a server of protocol {protocol} takes no `tls` but `httpsRedirect`");
            cx.say(&rules::EXCLUSIVE, tls.span, message, "use protocol HTTPS, or leave `tls` out");
        }
        if let Some(redirect) = tls.https_redirect.filter(|redirect| redirect.value && !is_http) {
            let message = format!("`httpsRedirect` does nothing on a server of protocol {protocol}");
            cx.say(&rules::DOUBTFUL, redirect.span, message, "write it on the server of protocol HTTP");
        }
        if ends_tls && tls.mode.is_none() {
            // The trap of semantics.md §5.1: it validates, and never ends TLS.
            let message = "without a `mode`, TLS is passed through and never ended";
            cx.say(&rules::DOUBTFUL, tls.span, message, "write `mode: SIMPLE` to end it, or `mode: PASSTHROUGH`");
        }
    }

    fn check_port(&self, cx: &mut Reader<'_>) {
        let (number, protocol) = (&self.port.number, &self.port.protocol);
        let socket = self.bind.as_ref().is_some_and(|bind| bind.starts_with("unix://"));
        if number.value.0 == 0 && !socket {
            cx.say(&rules::OUT_OF_RANGE, number.span, "0 is no port", "write a number from 1 to 65535");
        }
        match PROTOCOLS.iter().find(|(name, _)| protocol.eq_ignore_ascii_case(name)) {
            None => {
                let known: Vec<&str> = PROTOCOLS.iter().map(|(name, _)| *name).collect();
                let message = format!("`{}` is no protocol of a server", protocol.value);
                cx.say(&rules::BAD_VALUE, protocol.span, message, format!("write one of: {}", known.join(", ")));
            }
            Some((_, false)) => {
                let message = format!("the protocol `{}` is not carried to the data plane", protocol.value);
                cx.say(&rules::UNSUPPORTED_VALUE, protocol.span, message, "use HTTP2 or GRPC");
            }
            Some((_, true)) => {}
        }
    }
}

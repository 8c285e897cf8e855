//! Sidecar (semantics.md §7): what one workload's proxy listens to and knows.

use taut_source::{Node, Text};

use crate::grammar::{BIND, DEFAULT_ENDPOINT, EGRESS_HOST, IP, is_fqdn};
use crate::message::{keyword, message};
use crate::read::{At, List, Reader};
use crate::rules;
use crate::scalar::PortOrZero;
use crate::selector::WorkloadSelector;
use crate::server_tls::{ServerTls, ServerTlsMode};
use crate::{ConnectionPool, Destination};

message! {
    /// What the proxies of some workloads listen to and know.
    pub struct Sidecar {
        /// The workloads; all of the namespace if missing, all of the mesh in the root namespace.
        workload_selector: Option<WorkloadSelector> = "workloadSelector";
        /// What they accept; as their services say if missing.
        ingress: List<IngressListener> = "ingress";
        /// What they know of other services; everything if missing.
        egress: List<EgressListener> = "egress";
        /// Limits of what they accept.
        inbound_connection_pool: Option<ConnectionPool> = "inboundConnectionPool", refused("limit connections where they come from: write a DestinationRule");
        /// What happens to traffic for hosts that they do not know.
        outbound_traffic_policy: Option<OutboundTrafficPolicy> = "outboundTrafficPolicy";
    }
    where at_least_one("ingress", "egress", "outboundTrafficPolicy", "inboundConnectionPool"), check(Sidecar::check);
}

keyword! {
    /// How connections get to the proxy.
    pub enum CaptureMode {
        /// As the workload is set up.
        Default = "DEFAULT";
        /// The kernel redirects them.
        Iptables = "IPTABLES";
        /// The application connects to the proxy.
        None = "NONE";
    }
}

message! {
    /// A port of the workload.
    pub struct SidecarPort {
        /// Its number.
        number: Option<At<PortOrZero>> = "number";
        /// Its protocol; found out from the bytes if missing.
        protocol: Option<At<Text>> = "protocol";
        /// Its name.
        name: Option<At<Text>> = "name";
        /// An old field.
        target_port: Option<At<u32>> = "targetPort", range(..=0);
    }
}

message! {
    /// One port that the workload accepts connections on.
    pub struct IngressListener {
        /// The port.
        port: SidecarPort = "port";
        /// The address to listen on.
        bind: Option<At<Text>> = "bind", if_set(IP), refused("the proxy listens on the addresses of its command line");
        /// How connections get there.
        capture_mode: Option<At<CaptureMode>> = "captureMode", inert("the command line of the proxy says how connections get to it");
        /// Where they go: an address of the workload itself.
        default_endpoint: Option<At<Text>> = "defaultEndpoint", if_set(DEFAULT_ENDPOINT);
        /// TLS for clients outside the mesh.
        tls: Option<ServerTls> = "tls", refused("end TLS for clients outside the mesh at a gateway");
        /// Limits.
        connection_pool: Option<ConnectionPool> = "connectionPool", refused("limit connections where they come from: write a DestinationRule");
    }
    where check(IngressListener::check);
}

message! {
    /// Hosts that the workload knows, on one port or on all others.
    pub struct EgressListener {
        /// The port; all that no other listener has if missing.
        port: Option<SidecarPort> = "port";
        /// The address to listen on.
        bind: Option<At<Text>> = "bind", if_set(BIND);
        /// How connections get there.
        capture_mode: Option<At<CaptureMode>> = "captureMode", inert("the command line of the proxy says how connections get to it");
        /// The hosts, each `namespace/name`.
        hosts: List<At<Text>> = "hosts", required, items(1..), is(EGRESS_HOST);
    }
    where check(EgressListener::check);
}

keyword! {
    /// What happens to traffic for unknown hosts.
    pub enum OutboundMode {
        /// It is stopped.
        RegistryOnly = "REGISTRY_ONLY";
        /// It passes.
        AllowAny = "ALLOW_ANY";
    }
}

message! {
    /// What happens to traffic for unknown hosts. An empty one means REGISTRY_ONLY.
    pub struct OutboundTrafficPolicy {
        /// What happens.
        mode: Option<At<OutboundMode>> = "mode";
        /// Through which service it passes.
        egress_proxy: Option<Destination> = "egressProxy";
    }
    where check(OutboundTrafficPolicy::check);
}

impl SidecarPort {
    fn number(&self) -> u16 {
        self.number.map_or(0, |number| number.value.0)
    }

    fn protocol(&self) -> String {
        self.protocol.as_ref().map(|protocol| protocol.to_ascii_uppercase()).unwrap_or_default()
    }
}

impl Sidecar {
    fn check(&self, _: Node<'_>, cx: &mut Reader<'_>) {
        for (index, ingress) in self.ingress.iter().enumerate() {
            let twin = |other: &IngressListener| other.port.number() == ingress.port.number();
            if self.ingress[..index].iter().any(twin) {
                let message = format!("port {} stands twice", ingress.port.number());
                cx.say(&rules::DUPLICATE, ingress.port.span, message, "keep one listener of each port");
            }
        }
        for (index, egress) in self.egress.iter().enumerate() {
            let Some(port) = &egress.port else {
                if index + 1 < self.egress.len() {
                    let message = "the listener without a port is for all that is left, so it comes last";
                    cx.say(&rules::EXCLUSIVE, egress.span, message, "put it at the end, and keep one of them");
                }
                continue;
            };
            let twin = |other: &&EgressListener| match (port.number(), &other.port) {
                (_, None) => false,
                (0, Some(_)) => text(&other.bind) == text(&egress.bind),
                (number, Some(other)) => other.number() == number,
            };
            if self.egress[..index].iter().find(twin).is_some() {
                cx.say(
                    &rules::DUPLICATE,
                    port.span,
                    "another listener has this port",
                    "keep one listener of each port",
                );
            }
        }
    }
}

fn text(field: &Option<At<Text>>) -> &str {
    field.as_ref().map_or("", |text| text.as_str())
}

impl IngressListener {
    fn check(&self, _: Node<'_>, cx: &mut Reader<'_>) {
        let protocol = self.port.protocol();
        if self.port.number() == 0 {
            cx.say(&rules::NEEDED, self.port.span, "a listener needs a port", "add `number:` with the port");
        }
        if let Some(endpoint) = self.default_endpoint.as_ref().filter(|it| it.starts_with("unix://")) {
            let message = "a socket in the file system is not carried to the data plane";
            cx.say(&rules::UNSUPPORTED_VALUE, endpoint.span, message, "write `127.0.0.1:` with the application's port");
        }
        let http = ["HTTP", "HTTP2", "GRPC", "GRPC-WEB", "HTTP_PROXY", ""].contains(&protocol.as_str());
        if let Some(limits) = self.connection_pool.as_ref().and_then(|pool| pool.http.as_ref()).filter(|_| !http) {
            let message = format!("limits of requests do nothing on a port of protocol {protocol}");
            cx.say(&rules::DOUBTFUL, limits.span, message, "use `tcp:`, or another protocol");
        }
        let Some(tls) = &self.tls else { return };
        if !matches!(protocol.as_str(), "HTTPS" | "TLS") {
            let message = "`tls` is for ports of protocol HTTPS or TLS";
            cx.say(&rules::EXCLUSIVE, tls.span, message, "change the protocol, or take `tls` away");
        }
        if matches!(tls.effective_mode(), ServerTlsMode::IstioMutual | ServerTlsMode::AutoPassthrough) {
            let message = format!("`mode: {}` is not for sidecars", tls.effective_mode().word());
            cx.say(&rules::BAD_VALUE, tls.span, message, "use SIMPLE or MUTUAL");
        }
        let misplaced = [
            ("subjectAltNames", tls.subject_alt_names.first().map(|it| it.span)),
            ("httpsRedirect", tls.https_redirect.filter(|it| it.value).map(|it| it.span)),
            ("credentialName", tls.credential_name.as_ref().filter(|it| !it.is_empty()).map(|it| it.span)),
            ("credentialNames", tls.credential_names.first().map(|it| it.span)),
            ("tlsCertificates", tls.tls_certificates.first().map(|it| it.span)),
        ];
        for (name, span) in misplaced {
            if let Some(span) = span {
                cx.say(
                    &rules::EXCLUSIVE,
                    span,
                    format!("`{name}` is not for sidecars"),
                    "use `serverCertificate` and `privateKey`",
                );
            }
        }
    }
}

impl EgressListener {
    fn check(&self, _: Node<'_>, cx: &mut Reader<'_>) {
        for (index, host) in self.hosts.iter().enumerate() {
            if self.hosts[..index].iter().any(|other| other.value == host.value) {
                cx.say(&rules::DOUBTFUL, host.span, format!("`{}` stands here twice", host.value), "write each once");
            }
        }
        let socket = text(&self.bind).starts_with("unix://");
        if let Some(bind) = self.bind.as_ref().filter(|_| socket) {
            let message = "a socket in the file system is not carried to the data plane";
            cx.say(&rules::UNSUPPORTED_VALUE, bind.span, message, "write an IP address and a port");
        }
        let captured = self.capture_mode.is_some_and(|mode| mode.value == CaptureMode::Iptables);
        let Some(port) = &self.port else {
            if socket {
                let message = "a socket in the file system needs a port to say the protocol";
                cx.say(&rules::NEEDED, self.span, message, "add `port: {number: 0, protocol: ..., name: ...}`");
            }
            return;
        };
        if port.number() == 0 && !socket {
            let message = "0 is no port, but for a socket in the file system";
            cx.say(
                &rules::OUT_OF_RANGE,
                port.span,
                message,
                "write a number from 1 to 65535, or a `bind:` of `unix://`",
            );
        }
        if socket && captured {
            let message = "connections to a socket in the file system are never captured";
            cx.say(&rules::EXCLUSIVE, port.span, message, "write `captureMode: NONE`");
        }
        if socket && port.number() != 0 {
            let message = "a socket in the file system has no port";
            cx.say(&rules::EXCLUSIVE, port.span, message, "write `number: 0`");
        }
    }
}

impl OutboundTrafficPolicy {
    fn check(&self, _: Node<'_>, cx: &mut Reader<'_>) {
        let Some(proxy) = &self.egress_proxy else { return };
        if self.mode.is_none_or(|mode| mode.value != OutboundMode::AllowAny) {
            cx.say(&rules::EXCLUSIVE, proxy.span, "`egressProxy` is for `mode: ALLOW_ANY`", "add `mode: ALLOW_ANY`");
        }
        if !is_fqdn(&proxy.host) {
            let message = format!("`{}` is no single host to send everything to", proxy.host.value);
            cx.say(&rules::BAD_VALUE, proxy.host.span, message, "write a host without a star");
        }
        if proxy.port.is_none() {
            cx.say(&rules::NEEDED, proxy.span, "`egressProxy` needs a port", "add `port: {number: ...}`");
        }
    }
}

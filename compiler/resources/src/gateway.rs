//! Gateway (semantics.md §5): what a gateway workload listens to.

use taut_source::Text;

use crate::kind::CheckedRead;
use crate::message::{keyword, message};
use crate::read::{At, Labels, Reader};
use crate::rules;
use crate::scalar::{Port, Unread};

message! {
    /// Servers of the gateway workloads that a selector picks.
    pub struct Gateway {
        /// Labels of the workloads, in any namespace; all gateways if empty.
        selector: Labels = "selector";
        /// What they listen to.
        servers: Vec<Server> = "servers";
    }
}

message! {
    /// One port with its hosts.
    pub struct Server {
        /// The port.
        port: ServerPort = "port";
        /// The address to listen on.
        bind: Option<At<Unread>> = "bind", refused("the gateway listens on the addresses that its command line names");
        /// The hosts, each `[namespace/]name`.
        hosts: Vec<At<Text>> = "hosts";
        /// TLS for clients.
        tls: Option<ServerTls> = "tls";
        /// Unused in Istio as well.
        default_endpoint: Option<At<Text>> = "defaultEndpoint", inert("Istio does not use it either");
        /// A name for statistics.
        name: Option<At<Text>> = "name", inert("it only names statistics");
    }
}

message! {
    /// The port of a server.
    pub struct ServerPort {
        /// The number, as the gateway's Service has it.
        number: At<Port> = "number";
        /// HTTP, HTTPS, GRPC, HTTP2, TLS or TCP.
        protocol: At<Text> = "protocol";
        /// Its name, unique in the gateway.
        name: At<Text> = "name";
        /// An old field.
        target_port: Option<At<u32>> = "targetPort", refused("the Service of the gateway translates ports");
    }
}

keyword! {
    /// What the gateway does with TLS.
    pub enum ServerTlsMode {
        /// Passes it on by server name.
        Passthrough = "PASSTHROUGH", refused("use `mode: SIMPLE` with `credentialName`");
        /// Ends it.
        Simple = "SIMPLE";
        /// Ends it, and asks for a certificate.
        Mutual = "MUTUAL", refused("use `mode: SIMPLE`, and authenticate clients in the service");
        /// Passes it on to the service that the server name encodes.
        AutoPassthrough = "AUTO_PASSTHROUGH", refused("use `mode: SIMPLE` with `credentialName`");
        /// Ends the mesh's own mTLS.
        IstioMutual = "ISTIO_MUTUAL", refused("use `mode: SIMPLE` with `credentialName`");
        /// Ends it, and checks a certificate if there is one.
        OptionalMutual = "OPTIONAL_MUTUAL", refused("use `mode: SIMPLE`, and authenticate clients in the service");
    }
}

message! {
    /// TLS for clients. A missing mode means PASSTHROUGH.
    pub struct ServerTls {
        /// What to do with TLS.
        mode: Option<At<ServerTlsMode>> = "mode";
        /// Redirects plain HTTP to HTTPS.
        https_redirect: Option<At<bool>> = "httpsRedirect";
        /// A file with the certificate.
        server_certificate: Option<At<Unread>> = "serverCertificate", refused("use `credentialName` with a Secret");
        /// A file with its key.
        private_key: Option<At<Unread>> = "privateKey", refused("use `credentialName` with a Secret");
        /// A file with the roots for clients.
        ca_certificates: Option<At<Unread>> = "caCertificates", refused("use `mode: SIMPLE`");
        /// A file with revoked certificates.
        ca_crl: Option<At<Unread>> = "caCrl", refused("use `mode: SIMPLE`");
        /// A Secret with the certificate, in the namespace of the gateway's workload.
        credential_name: Option<At<Text>> = "credentialName";
        /// Two Secrets.
        credential_names: Option<At<Unread>> = "credentialNames", refused("use `credentialName` with one Secret");
        /// Two pairs of files.
        tls_certificates: Option<At<Unread>> = "tlsCertificates", refused("use `credentialName` with one Secret");
        /// A Secret with the roots for clients.
        ca_cert_credential_name: Option<At<Unread>> = "caCertCredentialName", refused("use `mode: SIMPLE`");
        /// Names that a client's certificate may have.
        subject_alt_names: Option<At<Unread>> = "subjectAltNames", refused("use `mode: SIMPLE`");
        /// Keys that a client's certificate may have.
        verify_certificate_spki: Option<At<Unread>> = "verifyCertificateSpki", refused("use `mode: SIMPLE`");
        /// Digests that a client's certificate may have.
        verify_certificate_hash: Option<At<Unread>> = "verifyCertificateHash", refused("use `mode: SIMPLE`");
        /// The oldest version of TLS.
        min_protocol_version: Option<At<Unread>> = "minProtocolVersion", refused("TLS 1.2 and 1.3 are spoken");
        /// The newest version of TLS.
        max_protocol_version: Option<At<Unread>> = "maxProtocolVersion", refused("TLS 1.2 and 1.3 are spoken");
        /// The ciphers.
        cipher_suites: Option<At<Unread>> = "cipherSuites", refused("the ciphers of TLS 1.2 with forward secrecy, and those of 1.3, are spoken");
        /// Takes any certificate.
        insecure_skip_verify: Option<At<Unread>> = "insecureSkipVerify", refused("use `mode: SIMPLE`");
    }
}

/// The protocols of a server (semantics.md §5.1), and whether Taut's gateway speaks them.
const PROTOCOLS: &[(&str, bool)] = &[
    ("HTTP", true),
    ("HTTPS", true),
    ("GRPC", true),
    ("GRPC-WEB", false),
    ("HTTP2", true),
    ("MONGO", false),
    ("REDIS", false),
    ("MYSQL", false),
    ("TCP", false),
    ("TLS", false),
];

impl CheckedRead for Gateway {
    fn check(&self, cx: &mut Reader<'_>) {
        if self.servers.is_empty() {
            cx.report(&rules::MISSING_FIELD, self.span, "a gateway needs a server".into(), "add `servers:`".into());
        }
        for (index, server) in self.servers.iter().enumerate() {
            check_server(server, cx);
            let name = &server.port.name;
            if self.servers[..index].iter().any(|other| other.port.name.value == name.value) {
                let message = format!("the port name `{}` stands twice", name.value);
                cx.report(&rules::EXCLUSIVE, name.span, message, "give each server's port a name of its own".into());
            }
        }
    }
}

fn check_server(server: &Server, cx: &mut Reader<'_>) {
    let protocol = &server.port.protocol;
    let upper = protocol.to_ascii_uppercase();
    let known: Vec<&str> = PROTOCOLS.iter().map(|(name, _)| *name).collect();
    match PROTOCOLS.iter().find(|(name, _)| *name == upper) {
        None => {
            let message = format!("`{}` is no protocol of a server", protocol.value);
            cx.report(&rules::BAD_VALUE, protocol.span, message, format!("write one of: {}", known.join(", ")));
        }
        Some((_, false)) => {
            let message = format!("the protocol `{}` is not carried to the data plane", protocol.value);
            cx.report(&rules::UNSUPPORTED_VALUE, protocol.span, message, "use HTTP, HTTPS, HTTP2 or GRPC".into());
        }
        Some((_, true)) => {}
    }
    if server.hosts.is_empty() {
        cx.report(
            &rules::MISSING_FIELD,
            server.span,
            "a server needs a host".into(),
            "add `hosts: [\"*\"]` or a name".into(),
        );
    }
    let ends_tls = matches!(upper.as_str(), "HTTPS" | "TLS");
    let Some(tls) = &server.tls else {
        if ends_tls {
            let help = "add `tls: {mode: SIMPLE, credentialName: ...}`".into();
            cx.report(&rules::MISSING_FIELD, server.span, format!("a server of protocol {upper} needs `tls`"), help);
        }
        return;
    };
    let mode = tls.mode.as_ref().map_or(ServerTlsMode::Passthrough, |mode| mode.value);
    if !ends_tls && (mode != ServerTlsMode::Passthrough || tls.credential_name.is_some()) {
        let message = format!("a server of protocol {upper} takes no `tls` but `httpsRedirect`");
        cx.report(&rules::EXCLUSIVE, tls.span, message, "use protocol HTTPS, or leave `tls` out".into());
    }
    if ends_tls && tls.mode.is_none() {
        // The trap of semantics.md §5.1: it validates, and never ends TLS.
        let message =
            "without a `mode`, TLS is passed through and never ended, which is not carried to the data plane".into();
        cx.report(&rules::UNSUPPORTED_VALUE, tls.span, message, "add `mode: SIMPLE`".into());
    }
    if mode == ServerTlsMode::Simple
        && tls.credential_name.is_none()
        && tls.server_certificate.is_none()
        && tls.credential_names.is_none()
        && tls.tls_certificates.is_none()
    {
        let help = "add `credentialName:` with the name of a Secret".into();
        cx.report(&rules::MISSING_FIELD, tls.span, "`mode: SIMPLE` needs a certificate".into(), help);
    }
}

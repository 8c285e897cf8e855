//! TLS at a gateway or sidecar, towards clients (semantics.md §5.1, §5.6).

use taut_source::{Node, Span, Text};

use crate::message::{keyword, message};
use crate::read::{At, List, Reader};
use crate::rules;

keyword! {
    /// What is done with TLS.
    pub enum ServerTlsMode {
        /// Passes it on by server name.
        Passthrough = "PASSTHROUGH";
        /// Ends it.
        Simple = "SIMPLE";
        /// Ends it, and asks for a certificate.
        Mutual = "MUTUAL";
        /// Passes it on to the service that the server name encodes.
        AutoPassthrough = "AUTO_PASSTHROUGH";
        /// Ends the mesh's own mTLS.
        IstioMutual = "ISTIO_MUTUAL";
        /// Ends it, and checks a certificate if there is one.
        OptionalMutual = "OPTIONAL_MUTUAL";
    }
}

keyword! {
    /// A version of TLS.
    pub enum TlsVersion {
        /// As the proxy has it: 1.2 and 1.3.
        Auto = "TLS_AUTO";
        /// 1.0.
        V1_0 = "TLSV1_0", refused("TLS 1.2 and 1.3 are spoken: write TLSV1_2");
        /// 1.1.
        V1_1 = "TLSV1_1", refused("TLS 1.2 and 1.3 are spoken: write TLSV1_2");
        /// 1.2.
        V1_2 = "TLSV1_2";
        /// 1.3.
        V1_3 = "TLSV1_3";
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
        server_certificate: Option<At<Text>> = "serverCertificate", refused("use `credentialName` with a Secret");
        /// A file with its key.
        private_key: Option<At<Text>> = "privateKey", refused("use `credentialName` with a Secret");
        /// A file with the roots for clients.
        ca_certificates: Option<At<Text>> = "caCertificates", refused("put them into the Secret, as `ca.crt`");
        /// A file with revoked certificates.
        ca_crl: Option<At<Text>> = "caCrl", refused("let certificates live for hours: revoked ones are not looked for");
        /// A Secret with the certificate, in the namespace of the gateway's workload.
        credential_name: Option<At<Text>> = "credentialName";
        /// Two Secrets.
        credential_names: List<At<Text>> = "credentialNames", items(1..=2);
        /// Two pairs of files.
        tls_certificates: List<CertificateFiles> = "tlsCertificates", items(1..=2), refused("use `credentialNames` with two Secrets");
        /// A Secret with the roots for clients.
        ca_cert_credential_name: Option<At<Text>> = "caCertCredentialName";
        /// Names that a client's certificate may have.
        subject_alt_names: List<At<Text>> = "subjectAltNames";
        /// Keys that a client's certificate may have.
        verify_certificate_spki: List<At<Text>> = "verifyCertificateSpki", refused("use `subjectAltNames`");
        /// Digests that a client's certificate may have.
        verify_certificate_hash: List<At<Text>> = "verifyCertificateHash", refused("use `subjectAltNames`");
        /// The oldest version of TLS.
        min_protocol_version: Option<At<TlsVersion>> = "minProtocolVersion";
        /// The newest version of TLS.
        max_protocol_version: Option<At<TlsVersion>> = "maxProtocolVersion";
        /// The ciphers.
        cipher_suites: List<At<Text>> = "cipherSuites";
        /// The curves of the key exchange.
        ecdh_curves: List<At<Text>> = "ecdhCurves", refused("X25519, P-256 and P-384 are spoken");
        /// Takes any certificate.
        insecure_skip_verify: Option<At<bool>> = "insecureSkipVerify";
    }
    where check(ServerTls::check);
}

message! {
    /// A certificate in files.
    pub struct CertificateFiles {
        /// The certificate.
        server_certificate: Option<At<Text>> = "serverCertificate";
        /// Its key.
        private_key: Option<At<Text>> = "privateKey";
        /// The roots for clients.
        ca_certificates: Option<At<Text>> = "caCertificates";
    }
}

/// The ciphers that Envoy knows (its BoringSSL's own and OpenSSL's names).
const CIPHERS: &[&str] = &[
    "ECDHE-ECDSA-AES128-GCM-SHA256",
    "ECDHE-RSA-AES128-GCM-SHA256",
    "ECDHE-ECDSA-AES256-GCM-SHA384",
    "ECDHE-RSA-AES256-GCM-SHA384",
    "ECDHE-ECDSA-CHACHA20-POLY1305",
    "ECDHE-RSA-CHACHA20-POLY1305",
    "ECDHE-PSK-CHACHA20-POLY1305",
    "ECDHE-ECDSA-AES128-SHA",
    "ECDHE-RSA-AES128-SHA",
    "ECDHE-PSK-AES128-CBC-SHA",
    "ECDHE-ECDSA-AES256-SHA",
    "ECDHE-RSA-AES256-SHA",
    "ECDHE-PSK-AES256-CBC-SHA",
    "AES128-GCM-SHA256",
    "AES256-GCM-SHA384",
    "AES128-SHA",
    "AES256-SHA",
    "PSK-AES128-CBC-SHA",
    "PSK-AES256-CBC-SHA",
    "DES-CBC3-SHA",
];

/// Those of them that are spoken: with forward secrecy, and authenticated.
const SPOKEN: &[&str] = &[
    "ECDHE-ECDSA-AES128-GCM-SHA256",
    "ECDHE-RSA-AES128-GCM-SHA256",
    "ECDHE-ECDSA-AES256-GCM-SHA384",
    "ECDHE-RSA-AES256-GCM-SHA384",
    "ECDHE-ECDSA-CHACHA20-POLY1305",
    "ECDHE-RSA-CHACHA20-POLY1305",
];

/// Says that a cipher is not spoken, if Envoy knows it and we do not.
pub(crate) fn check_spoken(cipher: &str, span: Span, cx: &mut Reader<'_>) {
    if is_cipher(cipher) && !SPOKEN.contains(&cipher) {
        let message = format!("the cipher `{cipher}` is not carried to the data plane");
        cx.say(&rules::UNSUPPORTED_VALUE, span, message, format!("write some of: {}", SPOKEN.join(", ")));
    }
}

/// Whether a cipher is one that Envoy knows.
#[must_use]
pub fn is_cipher(name: &str) -> bool {
    CIPHERS.contains(&name)
}

impl ServerTls {
    /// The mode that counts: a missing one is PASSTHROUGH (the trap of semantics.md §5.1).
    #[must_use]
    pub fn effective_mode(&self) -> ServerTlsMode {
        self.mode.map_or(ServerTlsMode::Passthrough, |mode| mode.value)
    }

    /// The first field that names a certificate or roots in a file.
    pub(crate) fn file(&self) -> Option<Span> {
        [&self.server_certificate, &self.private_key, &self.ca_certificates].into_iter().find_map(written)
    }

    /// The places of the certificates that it names, in Secrets or files.
    fn sources(&self) -> impl Iterator<Item = (&'static str, Span)> {
        let files = written(&self.server_certificate).or_else(|| written(&self.private_key));
        let all = [
            ("serverCertificate", files),
            ("credentialName", written(&self.credential_name)),
            ("credentialNames", self.credential_names.first().map(|name| name.span)),
            ("tlsCertificates", self.tls_certificates.first().map(|files| files.span)),
        ];
        all.into_iter().filter_map(|(name, span)| Some((name, span?)))
    }

    fn check(&self, _: Node<'_>, cx: &mut Reader<'_>) {
        let mode = self.effective_mode();
        let word = mode.word();
        self.check_versions(cx);
        let mut sources = self.sources();
        let first = sources.next();
        match mode {
            ServerTlsMode::IstioMutual => {
                if let Some(span) = first.map(|(_, span)| span).or(written(&self.ca_certificates)) {
                    let message = "`mode: ISTIO_MUTUAL` uses the workload's own certificate";
                    cx.say(&rules::EXCLUSIVE, span, message, "take it away, or use `mode: MUTUAL`");
                }
                return;
            }
            ServerTlsMode::Passthrough | ServerTlsMode::AutoPassthrough => {
                if let Some((name, span)) = first {
                    let message = format!("`{name}` does nothing with `mode: {word}`, which does not end TLS");
                    cx.say(&rules::DOUBTFUL, span, message, "add `mode: SIMPLE`, or take it away");
                }
                return;
            }
            _ => {}
        }
        if let (Some((first, _)), Some((second, span))) = (first, sources.next()) {
            let message = format!("`{second}` and `{first}` both name a certificate");
            cx.say(&rules::EXCLUSIVE, span, message, format!("keep `{first}` or `{second}`"));
        }
        let by_name = written(&self.credential_name);
        if let Some(span) = written(&self.ca_crl).filter(|_| by_name.is_some() || mode == ServerTlsMode::Simple) {
            let message = "`caCrl` is for modes that ask clients for a certificate, with roots in a file";
            cx.say(&rules::EXCLUSIVE, span, message, "take it away");
        }
        match first {
            None => {
                let help = "add `credentialName:` with the name of a Secret";
                cx.say(&rules::NEEDED, self.span, format!("`mode: {word}` needs a certificate"), help);
            }
            Some(("serverCertificate", span)) => self.check_files(mode, span, cx),
            Some(("tlsCertificates", _)) => {
                for files in &self.tls_certificates {
                    let whole = files.server_certificate.is_some() && files.private_key.is_some();
                    if !whole {
                        let help = "add `serverCertificate:` and `privateKey:`";
                        cx.say(
                            &rules::NEEDED,
                            files.span,
                            "a certificate needs its key, and a key its certificate",
                            help,
                        );
                    }
                }
            }
            Some(_) => {}
        }
    }

    fn check_files(&self, mode: ServerTlsMode, span: Span, cx: &mut Reader<'_>) {
        let mut needed = vec![("serverCertificate", &self.server_certificate), ("privateKey", &self.private_key)];
        if mode != ServerTlsMode::Simple {
            needed.push(("caCertificates", &self.ca_certificates));
        }
        for (name, field) in needed {
            if written(field).is_none() {
                let message = format!("with certificates in files, `mode: {}` needs `{name}`", mode.word());
                cx.say(&rules::NEEDED, span, message, format!("add `{name}:`, or use `credentialName`"));
            }
        }
    }

    fn check_versions(&self, cx: &mut Reader<'_>) {
        let old = |version: &&At<TlsVersion>| matches!(version.value, TlsVersion::V1_0 | TlsVersion::V1_1);
        if let Some(version) = self.min_protocol_version.as_ref().filter(old)
            && self.cipher_suites.is_empty()
        {
            let message = format!("`{}` alone takes no client of that age: the ciphers are too new", version.word());
            cx.say(&rules::DOUBTFUL, version.span, message, "add `cipherSuites:`, or write TLSV1_2");
        }
        for (index, cipher) in self.cipher_suites.iter().enumerate() {
            check_spoken(cipher, cipher.span, cx);
            if !CIPHERS.contains(&cipher.as_str()) {
                let message = format!("`{}` is no cipher that a proxy knows, and is left out", cipher.value);
                cx.say(&rules::DOUBTFUL, cipher.span, message, format!("the ciphers are: {}", CIPHERS.join(", ")));
            } else if self.cipher_suites[..index].iter().any(|other| other.value == cipher.value) {
                let message = format!("`{}` stands here twice", cipher.value);
                cx.say(&rules::DOUBTFUL, cipher.span, message, "write each once");
            }
        }
    }
}

/// Where a text stands that is not empty.
fn written(field: &Option<At<Text>>) -> Option<Span> {
    field.as_ref().filter(|text| !text.is_empty()).map(|text| text.span)
}

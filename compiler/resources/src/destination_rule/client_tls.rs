//! How connections to endpoints are secured (semantics.md §4.1).

use taut_source::{Node, Text};

use crate::message::{keyword, message};
use crate::read::{At, List, Reader};
use crate::rules;

keyword! {
    /// How connections to endpoints are secured.
    pub enum ClientTlsMode {
        /// They are not.
        Disable = "DISABLE";
        /// TLS with the server's certificate checked.
        Simple = "SIMPLE";
        /// TLS with a certificate of one's own.
        Mutual = "MUTUAL";
        /// The mesh's own mTLS.
        IstioMutual = "ISTIO_MUTUAL";
    }
}

message! {
    /// How connections to endpoints are secured. An empty one means DISABLE.
    pub struct ClientTls {
        /// The way; DISABLE if missing.
        mode: Option<At<ClientTlsMode>> = "mode";
        /// A file with one's own certificate.
        client_certificate: Option<At<Text>> = "clientCertificate";
        /// A file with its key.
        private_key: Option<At<Text>> = "privateKey";
        /// A file with the roots.
        ca_certificates: Option<At<Text>> = "caCertificates";
        /// A secret with all three.
        credential_name: Option<At<Text>> = "credentialName";
        /// The names that the server's certificate may have.
        subject_alt_names: List<At<Text>> = "subjectAltNames";
        /// The server name.
        sni: Option<At<Text>> = "sni";
        /// Whether the server's certificate goes unchecked.
        insecure_skip_verify: Option<At<bool>> = "insecureSkipVerify";
        /// A file with revoked certificates.
        ca_crl: Option<At<Text>> = "caCrl";
    }
    where check(ClientTls::check);
}

impl ClientTls {
    fn check(&self, _: Node<'_>, cx: &mut Reader<'_>) {
        let set = |field: &Option<At<Text>>| field.as_ref().filter(|text| !text.is_empty()).map(|text| text.span);
        let mode = self.mode.map_or(ClientTlsMode::Disable, |mode| mode.value);
        let (own, key, roots) = (set(&self.client_certificate), set(&self.private_key), set(&self.ca_certificates));
        let (secret, revoked) = (set(&self.credential_name), set(&self.ca_crl));
        let names = self.subject_alt_names.first().map(|name| name.span);
        let simple_or_mutual = matches!(mode, ClientTlsMode::Simple | ClientTlsMode::Mutual);
        if self.insecure_skip_verify.is_some_and(|skip| skip.value) && simple_or_mutual {
            let useless = roots.or(names).or(secret.filter(|_| mode == ClientTlsMode::Simple));
            if let Some(span) = useless {
                let message = "`insecureSkipVerify` takes any certificate, and this says which one to take";
                cx.say(&rules::EXCLUSIVE, span, message, "keep one of them");
            }
        }
        if secret.is_some() && simple_or_mutual {
            if let Some(span) = own.or(key).or(roots).or(revoked) {
                let message = "`credentialName` names a Secret with everything, so no file can stand beside it";
                cx.say(&rules::EXCLUSIVE, span, message, "keep `credentialName`, or the files");
            }
        } else if mode == ClientTlsMode::Mutual {
            let missing = [("clientCertificate", own), ("privateKey", key)];
            for (name, _) in missing.iter().filter(|(_, there)| there.is_none()) {
                let message = format!("`mode: MUTUAL` needs `{name}`");
                cx.say(&rules::NEEDED, self.span, message, format!("add `{name}:`, or `credentialName:`"));
            }
        } else if let Some(span) = own.or(key).filter(|_| mode == ClientTlsMode::IstioMutual) {
            let message = "`mode: ISTIO_MUTUAL` uses the workload's own certificate";
            cx.say(&rules::EXCLUSIVE, span, message, "take the files away, or use `mode: MUTUAL`");
        }
    }
}

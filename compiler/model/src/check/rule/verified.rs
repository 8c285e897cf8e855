//! Whether a client of a DestinationRule checks who answers it.

use taut_resources::{ClientTls, ClientTlsMode, DestinationRule};

/// Whether the server's certificate is checked, or no TLS is spoken at all. `credentialName` brings a root with it only
/// where proxies read it, which sidecars do under a `workloadSelector` alone (semantics.md §4.1).
pub(super) fn is_verified(tls: &ClientTls, rule: &DestinationRule) -> bool {
    let mode = tls.mode.map_or(ClientTlsMode::Disable, |mode| mode.value);
    if !matches!(mode, ClientTlsMode::Simple | ClientTlsMode::Mutual) {
        return true;
    }
    let said = |field: &Option<taut_resources::At<taut_source::Text>>| field.as_ref().is_some_and(|it| !it.is_empty());
    said(&tls.ca_certificates) || (said(&tls.credential_name) && rule.workload_selector.is_some())
}

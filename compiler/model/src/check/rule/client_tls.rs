//! The TLS settings of a destination rule that name a Secret.

use taut_resources::{At, ClientTls, ClientTlsMode, DestinationRule, TrafficPolicy};

use crate::Text;

/// Each setting with the Secret that it names: for all ports and for some, of the service and of its subsets.
pub(super) fn credentials(rule: &DestinationRule) -> impl Iterator<Item = (&ClientTls, &At<Text>)> {
    let own = rule.traffic_policy.iter().map(|policy| &**policy);
    let of_subsets = rule.subsets.iter().filter_map(|subset| subset.traffic_policy.as_deref());
    own.chain(of_subsets).flat_map(settings).filter_map(|tls| {
        let does_tls = matches!(tls.mode.map(|mode| mode.value), Some(ClientTlsMode::Simple | ClientTlsMode::Mutual));
        let named = tls.credential_name.as_ref().filter(|name| does_tls && !name.is_empty())?;
        Some((tls, named))
    })
}

fn settings(policy: &TrafficPolicy) -> impl Iterator<Item = &ClientTls> {
    let of_ports = policy.port_level_settings.iter().filter_map(|port| port.tls.as_deref());
    policy.tls.as_deref().into_iter().chain(of_ports)
}

//! The annotations that Istio knows, on which kinds, and how settled each is.
//!
//! A table of the API's own list of annotations: one row each. What may stand in one is at the end.

use taut_resources::{At, Resource};

use crate::Text;
use crate::mesh::Mesh;

/// One annotation that Istio knows.
#[derive(Debug)]
pub(super) struct Known {
    /// Its name.
    pub(super) name: &'static str,
    /// Whether its meaning may still change.
    pub(super) alpha: bool,
    /// Whether it will go away.
    pub(super) deprecated: bool,
    /// The kinds that it belongs on.
    pub(super) kinds: &'static [&'static str],
}

#[derive(Clone, Copy)]
enum Maturity {
    Alpha,
    Beta,
    Stable,
}

use Maturity::{Alpha, Beta, Stable};

const fn row(name: &'static str, maturity: Maturity, deprecated: bool, kinds: &'static [&'static str]) -> Known {
    Known { name, alpha: matches!(maturity, Alpha), deprecated, kinds }
}

#[rustfmt::skip] // a table is read by its columns
static KNOWN: &[Known] = &[
    row("prometheus.istio.io/merge-metrics", Alpha, false, &["Pod"]),
    row("alpha.istio.io/kubernetes-serviceaccounts", Alpha, true, &["Service"]),
    row("alpha.istio.io/canonical-serviceaccounts", Alpha, true, &["Service"]),
    row("networking.istio.io/exportTo", Alpha, false, &["Service"]),
    row("sidecar.istio.io/inject", Beta, true, &["Pod"]),
    row("sidecar.istio.io/status", Alpha, false, &["Pod"]),
    row("sidecar.istio.io/rewriteAppHTTPProbers", Alpha, false, &["Pod"]),
    row("sidecar.istio.io/discoveryAddress", Alpha, true, &["Pod"]),
    row("sidecar.istio.io/proxyImage", Alpha, false, &["Pod"]),
    row("sidecar.istio.io/proxyImageType", Alpha, false, &["Pod"]),
    row("sidecar.istio.io/proxyCPU", Alpha, false, &["Pod"]),
    row("sidecar.istio.io/proxyCPULimit", Alpha, false, &["Pod"]),
    row("sidecar.istio.io/proxyMemory", Alpha, false, &["Pod"]),
    row("sidecar.istio.io/proxyMemoryLimit", Alpha, false, &["Pod"]),
    row("sidecar.istio.io/interceptionMode", Alpha, false, &["Pod"]),
    row("sidecar.istio.io/bootstrapOverride", Alpha, false, &["Pod"]),
    row("sidecar.istio.io/statsInclusionPrefixes", Alpha, true, &["Pod"]),
    row("sidecar.istio.io/statsInclusionSuffixes", Alpha, true, &["Pod"]),
    row("sidecar.istio.io/statsInclusionRegexps", Alpha, true, &["Pod"]),
    row("sidecar.istio.io/statsHistogramBuckets", Alpha, false, &["Pod"]),
    row("sidecar.istio.io/statsFlushInterval", Alpha, false, &["Pod"]),
    row("sidecar.istio.io/statsEvictionInterval", Alpha, false, &["Pod"]),
    row("sidecar.istio.io/statsHistogramBins", Alpha, false, &["Pod"]),
    row("sidecar.istio.io/userVolume", Alpha, false, &["Pod"]),
    row("sidecar.istio.io/userVolumeMount", Alpha, false, &["Pod"]),
    row("status.sidecar.istio.io/port", Alpha, false, &["Pod"]),
    row("sidecar.istio.io/logLevel", Alpha, false, &["Pod"]),
    row("sidecar.istio.io/componentLogLevel", Alpha, false, &["Pod"]),
    row("sidecar.istio.io/agentLogLevel", Alpha, false, &["Pod"]),
    row("sidecar.istio.io/nativeSidecar", Alpha, false, &["Pod"]),
    row("readiness.status.sidecar.istio.io/initialDelaySeconds", Alpha, false, &["Pod"]),
    row("readiness.status.sidecar.istio.io/periodSeconds", Alpha, false, &["Pod"]),
    row("readiness.status.sidecar.istio.io/failureThreshold", Alpha, false, &["Pod"]),
    row("readiness.status.sidecar.istio.io/applicationPorts", Alpha, false, &["Pod"]),
    row("traffic.istio.io/nodeSelector", Stable, false, &["Service"]),
    row("traffic.sidecar.istio.io/includeOutboundIPRanges", Alpha, false, &["Pod"]),
    row("traffic.sidecar.istio.io/excludeOutboundIPRanges", Alpha, false, &["Pod"]),
    row("traffic.sidecar.istio.io/includeInboundPorts", Alpha, false, &["Pod"]),
    row("traffic.sidecar.istio.io/excludeInboundPorts", Alpha, false, &["Pod"]),
    row("traffic.sidecar.istio.io/excludeInterfaces", Alpha, false, &["Pod"]),
    row("traffic.sidecar.istio.io/includeOutboundPorts", Alpha, false, &["Pod"]),
    row("traffic.sidecar.istio.io/excludeOutboundPorts", Alpha, false, &["Pod"]),
    row("traffic.sidecar.istio.io/kubevirtInterfaces", Alpha, true, &["Pod"]),
    row("kubernetes.io/ingress.class", Stable, false, &["Ingress"]),
    row("galley.istio.io/analyze-suppress", Alpha, false, &["Any"]),
    row("proxy.istio.io/config", Beta, false, &["Pod"]),
    row("istio.io/dry-run", Alpha, false, &["AuthorizationPolicy"]),
    row("istio.io/rev", Alpha, false, &["Pod"]),
    row("proxy.istio.io/overrides", Alpha, false, &["Pod"]),
    row("inject.istio.io/templates", Alpha, false, &["Pod"]),
    row("sidecar.istio.io/extraStatTags", Alpha, true, &["Pod"]),
    row("istio.io/autoRegistrationGroup", Alpha, false, &["WorkloadEntry"]),
    row("istio.io/workloadController", Alpha, false, &["WorkloadEntry"]),
    row("istio.io/connectedAt", Alpha, false, &["WorkloadEntry"]),
    row("istio.io/disconnectedAt", Alpha, false, &["WorkloadEntry"]),
    row("topology.istio.io/controlPlaneClusters", Alpha, false, &["Namespace"]),
    row("gateway.istio.io/controller-version", Alpha, false, &["Any"]),
    row("ambient.istio.io/redirection", Beta, false, &["Pod"]),
    row("ambient.istio.io/waypoint-inbound-binding", Alpha, false, &["GatewayClass", "Gateway"]),
    row("gateway.istio.io/service-account", Alpha, false, &["Gateway"]),
    row("gateway.istio.io/name-override", Alpha, false, &["Gateway"]),
    row("networking.istio.io/service-type", Alpha, false, &["Gateway"]),
    row("networking.istio.io/traffic-distribution", Alpha, false, &["Namespace", "Service", "ServiceEntry"]),
    row("istio.io/use-waypoint-canary-weight", Alpha, false, &["Service", "ServiceEntry", "Namespace"]),
    row("ambient.istio.io/bypass-inbound-capture", Alpha, false, &["Pod"]),
    row("istio.io/reroute-virtual-interfaces", Alpha, false, &["Pod"]),
    row("ambient.istio.io/dns-capture", Alpha, false, &["Pod"]),
    row("sidecar.istio.io/statsCompression", Alpha, true, &["Pod"]),
];

/// The kinds whose annotations are looked at: others are Istio's own, or nobody writes annotations on them by hand.
const KINDS: &[&str] = &["Namespace", "Service", "Pod", "Deployment"];

/// One annotation of an object, under a name of Istio's.
pub(super) struct Annotation<'r> {
    pub(super) resource: &'r Resource,
    pub(super) name: &'r At<Text>,
    pub(super) value: &'r At<Text>,
    /// None if Istio has no such annotation.
    pub(super) known: Option<&'static Known>,
}

impl Annotation<'_> {
    /// Whether it is one of Istio's, on a kind that it belongs on.
    pub(super) fn is_at_home(&self) -> bool {
        self.known.is_some_and(|known| known.kinds.contains(&self.resource.subject.kind().as_str()))
    }
}

/// Every annotation with a name of Istio's, of the kinds that are looked at.
pub(super) fn annotations<'m>(mesh: &'m Mesh<'_>) -> impl Iterator<Item = Annotation<'m>> {
    let looked_at = mesh.inventory.all.iter().filter(|it| KINDS.contains(&it.subject.kind().as_str()));
    let annotations = looked_at.flat_map(|it| it.meta.annotations.0.iter().map(|(name, value)| (*it, name, value)));
    annotations.filter(|(_, name, _)| is_istios(name)).map(|(resource, name, value)| {
        let known = KNOWN.iter().find(|known| known.name == name.as_str());
        Annotation { resource, name, value, known }
    })
}

/// The names of annotations that belong on a kind.
pub(super) fn names_for(kind: &str) -> impl Iterator<Item = &'static str> {
    KNOWN.iter().filter(move |known| known.kinds.contains(&kind)).map(|known| known.name)
}

fn is_istios(name: &str) -> bool {
    name == "kubernetes.io/ingress.class" || name.split('/').next().is_some_and(|domain| domain.ends_with("istio.io"))
}

/// Why a value cannot stand in an annotation, if it cannot (semantics.md §17.2).
pub(super) fn refusal(name: &str, value: &str) -> Option<String> {
    match name {
        "prometheus.istio.io/merge-metrics" | "sidecar.istio.io/nativeSidecar" | "sidecar.istio.io/enableCoreDump" => {
            let boolean = matches!(
                value,
                "1" | "t" | "T" | "TRUE" | "true" | "True" | "0" | "f" | "F" | "FALSE" | "false" | "False"
            );
            (!boolean).then(|| "it must be `true` or `false`".into())
        }
        "sidecar.istio.io/interceptionMode" => (!matches!(value, "REDIRECT" | "TPROXY" | "NONE"))
            .then(|| "it must be `REDIRECT`, `TPROXY` or `NONE`".into()),
        "status.sidecar.istio.io/port" => value.parse::<u16>().is_err().then(|| "it must be a port, or 0".into()),
        "readiness.status.sidecar.istio.io/initialDelaySeconds"
        | "readiness.status.sidecar.istio.io/periodSeconds"
        | "readiness.status.sidecar.istio.io/failureThreshold" => {
            value.parse::<u32>().is_err().then(|| "it must be a whole number".into())
        }
        "traffic.sidecar.istio.io/includeOutboundIPRanges" => {
            if value == "*" {
                None
            } else {
                bad_block(value)
            }
        }
        "traffic.sidecar.istio.io/excludeOutboundIPRanges" => bad_block(value),
        "traffic.sidecar.istio.io/includeInboundPorts" => {
            if value == "*" {
                None
            } else {
                bad_port(value)
            }
        }
        "traffic.sidecar.istio.io/excludeInboundPorts"
        | "traffic.sidecar.istio.io/includeOutboundPorts"
        | "traffic.sidecar.istio.io/excludeOutboundPorts"
        | "readiness.status.sidecar.istio.io/applicationPorts" => bad_port(value),
        _ => None,
    }
}

fn entries(list: &str) -> impl Iterator<Item = &str> {
    list.split(',').map(str::trim).filter(|entry| !entry.is_empty())
}

fn bad_port(list: &str) -> Option<String> {
    let bad = |entry: &&str| !entry.parse::<u16>().is_ok_and(|port| port != 0);
    entries(list).find(bad).map(|entry| format!("`{entry}` is no port"))
}

fn bad_block(list: &str) -> Option<String> {
    let good = |entry: &str| {
        let Some((address, length)) = entry.split_once('/') else { return false };
        let most = match address.parse::<std::net::IpAddr>() {
            Ok(std::net::IpAddr::V4(_)) => 32,
            Ok(std::net::IpAddr::V6(_)) => 128,
            Err(_) => return false,
        };
        length.parse::<u8>().is_ok_and(|length| length <= most)
    };
    entries(list)
        .find(|entry| !good(entry))
        .map(|entry| format!("`{entry}` is no block of addresses, such as 10.0.0.0/8"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[rustfmt::skip] // a table is read by its columns
    fn values_are_checked_as_the_injector_does() {
        let table = [
            ("traffic.sidecar.istio.io/includeInboundPorts", "*", true),
            ("traffic.sidecar.istio.io/excludeInboundPorts", "*", false),
            ("traffic.sidecar.istio.io/excludeInboundPorts", "80, 443", true),
            ("traffic.sidecar.istio.io/excludeInboundPorts", "", true),
            ("traffic.sidecar.istio.io/excludeInboundPorts", "0", false),
            ("traffic.sidecar.istio.io/includeOutboundIPRanges", "10.0.0.0/8,192.168.0.0/33", false),
            ("traffic.sidecar.istio.io/includeOutboundIPRanges", "10.0.0.1", false),
            ("status.sidecar.istio.io/port", "0", true),
            ("readiness.status.sidecar.istio.io/periodSeconds", "10s", false),
            ("sidecar.istio.io/interceptionMode", "redirect", false),
            ("sidecar.istio.io/proxyCPU", "anything", true),
        ];
        for (name, value, good) in table {
            assert_eq!(refusal(name, value).is_none(), good, "{name}: {value}");
        }
    }
}

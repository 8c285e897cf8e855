//! Which destination rule governs a service for a client, and what it says of a port and a subset (semantics.md §4.3-4.5).

use taut_resources::{
    At, ClientTls, ClientTlsMode, ConnectionPool, DestinationRule, LoadBalancer, OutlierDetection, RetryBudget, Subset,
    TrafficPolicy,
};

use crate::mesh::{Mesh, Traffic};
use crate::{Host, Service, Text, Visibility, covers, specificity};

/// The rule that governs a service for a client: one, or several of one host and namespace merged.
#[derive(Clone, Debug, Default)]
pub struct Governing<'r> {
    /// The policy for everything: the first that there is.
    pub policy: Option<&'r TrafficPolicy>,
    /// All subsets; of one name, the first.
    pub subsets: Vec<&'r Subset>,
    /// The numbers of the rules that were merged.
    pub rules: Vec<usize>,
    /// What policies of the Gateway API say of TLS and of retries, where no rule does (semantics.md §18.5).
    pub otherwise: Vec<&'r TrafficPolicy>,
}

/// What is said of one port, of the service or of a subset.
#[derive(Clone, Copy, Debug, Default)]
pub struct PortTraffic<'r> {
    /// Which endpoint gets the next request.
    pub load_balancer: Option<&'r LoadBalancer>,
    /// Limits.
    pub connection_pool: Option<&'r ConnectionPool>,
    /// When to leave an endpoint out.
    pub outlier_detection: Option<&'r OutlierDetection>,
    /// TLS towards the endpoints.
    pub tls: Option<&'r ClientTls>,
    /// Limits retries in proportion to requests. A port's own settings lose it (§4.5).
    pub retry_budget: Option<&'r RetryBudget>,
    /// Whether the TLS is what a policy of the Gateway API says.
    pub tls_of_policy: bool,
}

/// The rule that governs a service for clients of a namespace (§4.3): the client's own namespace before the service's
/// before the root namespace, whatever is more specific; and within one namespace the most specific host, chosen before
/// it is known whether the client may use it. Both are traps, and both are Istio's.
#[must_use]
pub fn governing<'r>(mesh: &Mesh<'r>, service: &Service<'_>, namespace: &str) -> Governing<'r> {
    let root = mesh.settings.root_namespace.as_str();
    let own = |traffic: &Traffic<'_>| {
        if namespace == root { traffic.visibility.private_to(root) } else { traffic.visibility.admits(namespace) }
    };
    let exported = |traffic: &Traffic<'_>| traffic.visibility.admits(namespace);
    if !namespace.is_empty() {
        let found = most_specific(mesh, &service.host, namespace, own);
        if !found.is_empty() {
            return merge(mesh, &found);
        }
    }
    for place in [service.namespace.as_str(), root] {
        let found = most_specific(mesh, &service.host, place, |_| true);
        let found: Vec<usize> = found.into_iter().filter(|number| exported(&mesh.traffic[*number])).collect();
        if !found.is_empty() {
            return merge(mesh, &found);
        }
    }
    Governing::default()
}

/// The rules of a namespace with the most specific host that covers this one, by seniority.
fn most_specific(mesh: &Mesh<'_>, host: &Host, namespace: &str, admits: impl Fn(&Traffic<'_>) -> bool) -> Vec<usize> {
    let here = |number: &usize| {
        let traffic = &mesh.traffic[*number];
        *traffic.of.namespace() == namespace && admits(traffic)
    };
    let exact: Vec<usize> = mesh.traffic_of(host).iter().copied().filter(here).collect();
    if !exact.is_empty() {
        return exact;
    }
    let wild = mesh.wildcard_traffic().iter().filter(|(wildcard, number)| covers(wildcard, host) && here(number));
    let best = wild.clone().map(|(wildcard, _)| wildcard).min_by_key(|wildcard| specificity(wildcard));
    wild.filter(|(wildcard, _)| Some(wildcard) == best).map(|(_, number)| *number).collect()
}

/// Several rules for one host (§4.4). Rules with equal `exportTo`, and those whose own is a strict superset, are
/// merged; of what is left apart, the newest counts.
fn merge<'r>(mesh: &Mesh<'r>, numbers: &[usize]) -> Governing<'r> {
    let mut apart: Vec<(&Visibility, Governing<'r>)> = Vec::new();
    for number in numbers {
        let traffic = &mesh.traffic[*number];
        let mut alone = true;
        for (visibility, governing) in &mut apart {
            if **visibility == traffic.visibility {
                governing.absorb(mesh, *number);
                alone = false;
            } else if wider(&traffic.visibility, visibility) {
                governing.absorb(mesh, *number);
            }
        }
        if alone {
            let mut governing = Governing::default();
            governing.absorb(mesh, *number);
            apart.push((&traffic.visibility, governing));
        }
    }
    apart.pop().map(|(_, governing)| governing).unwrap_or_default()
}

/// Whether one visibility has every namespace of the other and more. `*` is a name of its own here, as in Istio.
fn wider(wide: &Visibility, narrow: &Visibility) -> bool {
    match (wide, narrow) {
        (Visibility::Only(wide), Visibility::Only(narrow)) => narrow.is_subset(wide) && narrow.len() < wide.len(),
        _ => false,
    }
}

impl<'r> Governing<'r> {
    fn absorb(&mut self, mesh: &Mesh<'r>, number: usize) {
        let rule = mesh.traffic[number].of.spec;
        if mesh.traffic[number].made {
            self.otherwise.extend(rule.traffic_policy.as_deref());
            self.rules.push(number);
            return;
        }
        if self.policy.is_none() {
            self.policy = rule.traffic_policy.as_deref();
        }
        for subset in &rule.subsets {
            if !self.subsets.iter().any(|known| known.name.value == subset.name.value) {
                self.subsets.push(subset);
            }
        }
        self.rules.push(number);
    }

    /// The subset of a name.
    #[must_use]
    pub fn subset(&self, name: &str) -> Option<&'r Subset> {
        self.subsets.iter().copied().find(|subset| subset.name.value == name)
    }

    /// What holds for a port, of the service or of a subset (§4.5). A port's own settings replace the rest, they do not
    /// add to it.
    #[must_use]
    pub fn port(&self, port: u16, subset: Option<&'r Subset>) -> PortTraffic<'r> {
        let mut traffic = self.said_of(port, subset);
        if traffic.tls.is_none() {
            let mut named = self.otherwise.iter().filter_map(|policy| at_port(policy, port)?.tls);
            let all = self.otherwise.iter().find_map(|policy| policy.tls.as_deref());
            traffic.tls = named.next().or(all);
            traffic.tls_of_policy = traffic.tls.is_some();
        }
        if traffic.retry_budget.is_none() {
            traffic.retry_budget = self.otherwise.iter().find_map(|policy| policy.retry_budget.as_deref());
        }
        traffic
    }

    fn said_of(&self, port: u16, subset: Option<&'r Subset>) -> PortTraffic<'r> {
        let mut base =
            self.policy.map(|policy| at_port(policy, port).unwrap_or_else(|| whole(policy))).unwrap_or_default();
        let Some(policy) = subset.and_then(|subset| subset.traffic_policy.as_ref()) else { return base };
        if let Some(own) = at_port(policy, port) {
            return own;
        }
        let own = whole(policy);
        base.load_balancer = own.load_balancer.or(base.load_balancer);
        base.connection_pool = own.connection_pool.or(base.connection_pool);
        base.outlier_detection = own.outlier_detection.or(base.outlier_detection);
        base.tls = own.tls.or(base.tls);
        base.retry_budget = own.retry_budget.or(base.retry_budget);
        base
    }
}

fn whole(policy: &TrafficPolicy) -> PortTraffic<'_> {
    PortTraffic {
        load_balancer: policy.load_balancer.as_deref(),
        connection_pool: policy.connection_pool.as_deref(),
        outlier_detection: policy.outlier_detection.as_deref(),
        tls: policy.tls.as_deref(),
        retry_budget: policy.retry_budget.as_deref(),
        tls_of_policy: false,
    }
}

fn at_port(policy: &TrafficPolicy, port: u16) -> Option<PortTraffic<'_>> {
    let settings = policy.port_level_settings.iter().find(|settings| settings.port.number.0 == port)?;
    Some(PortTraffic {
        load_balancer: settings.load_balancer.as_deref(),
        connection_pool: settings.connection_pool.as_deref(),
        outlier_detection: settings.outlier_detection.as_deref(),
        tls: settings.tls.as_deref(),
        retry_budget: None,
        tls_of_policy: false,
    })
}

/// Each setting with the Secret that it names: for all ports and for some, of the service and of its subsets.
pub(crate) fn credentials(rule: &DestinationRule) -> impl Iterator<Item = (&ClientTls, &At<Text>)> {
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

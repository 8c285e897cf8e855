//! Which virtual service governs a host for a client, and which of its rules are for it (semantics.md §3.3, §3.4).

use taut_resources::{HttpMatch, HttpRoute, Resource};

use crate::delegate::Beyond;
use crate::labels::LabelSet;
use crate::mesh::{Mesh, Routing, gateway_name};
use crate::{Text, covers, selects};

/// Who sends requests.
#[derive(Clone, Debug)]
pub struct Client<'c> {
    /// Its namespace; empty for one of which nothing is known.
    pub namespace: &'c str,
    /// Its labels.
    pub labels: &'c LabelSet,
    /// The Gateway it acts for, as `namespace/name`; a sidecar acts for `mesh`.
    pub gateway: &'c str,
}

/// A virtual service that may govern a host.
#[derive(Clone, Copy, Debug)]
pub struct Candidate<'m, 'r> {
    /// The virtual service.
    pub routing: &'m Routing<'r>,
    /// Its number among all.
    pub number: usize,
}

/// One rule, with the alternatives of it that can apply to a client.
#[derive(Clone, Debug)]
pub struct BoundRules<'r> {
    /// The rule.
    pub rule: &'r HttpRoute,
    /// The resource that it stands in: the virtual service, or its delegate.
    pub resource: &'r Resource,
    /// The namespace of that: what its short names are of.
    pub namespace: &'r Text,
    /// Its number in the virtual service.
    pub number: usize,
    /// What the words of a virtual service cannot say of it.
    pub beyond: Beyond<'r>,
    /// What is left of its alternatives; none if the rule takes every request.
    pub alternatives: Vec<&'r HttpMatch>,
}

/// The virtual services for a host that a client sees, best first: those that name it exactly; if there are none,
/// those with the longest wildcard.
///
/// Among equals: private to the client's namespace, exported to it by name, public; then by seniority.
#[must_use]
pub fn candidates<'m, 'r>(mesh: &'m Mesh<'r>, host: &str, client: &Client<'_>) -> Vec<Candidate<'m, 'r>> {
    candidates_among(mesh, host, client, &|_| true)
}

/// The same, among those that the client knows of.
#[must_use]
pub fn candidates_among<'m, 'r>(
    mesh: &'m Mesh<'r>,
    host: &str,
    client: &Client<'_>,
    knows: &dyn Fn(&Routing<'r>) -> bool,
) -> Vec<Candidate<'m, 'r>> {
    let usable = |number: &usize| {
        let routing = &mesh.routings[*number];
        routing.visibility.admits(client.namespace) && routing.is_used_by(client.gateway) && knows(routing)
    };
    let mut numbers: Vec<usize> = mesh.routings_of(host).iter().copied().filter(usable).collect();
    if numbers.is_empty() {
        let wild =
            mesh.wildcard_routings().iter().filter(|(wildcard, number)| covers(wildcard, host) && usable(number));
        let longest = wild.clone().map(|(wildcard, _)| wildcard.len()).max();
        numbers = wild.filter(|(wildcard, _)| Some(wildcard.len()) == longest).map(|(_, number)| *number).collect();
    }
    let wild = numbers.first().is_some_and(|number| !mesh.routings[*number].hosts.iter().any(|it| it == host));
    let mut found = in_order(mesh, numbers, client);
    if wild {
        found.truncate(1); // a wildcard belongs to one virtual service, which nothing stands in for
    }
    found
}

/// Virtual services in the order in which they count for a client.
#[must_use]
pub fn in_order<'m, 'r>(mesh: &'m Mesh<'r>, mut numbers: Vec<usize>, client: &Client<'_>) -> Vec<Candidate<'m, 'r>> {
    let privacy = |number: &usize| {
        let routing = &mesh.routings[*number];
        match &routing.visibility {
            visibility if visibility.private_to(client.namespace) && *routing.of.namespace() == client.namespace => 0,
            crate::Visibility::Only(_) => 1,
            crate::Visibility::Public => 2,
        }
    };
    numbers.sort_by_key(privacy); // stable: seniority decides among equals
    numbers.dedup();
    numbers.into_iter().map(|number| Candidate { routing: &mesh.routings[number], number }).collect()
}

/// The rules of a virtual service that are for a client, on a port that it asked for. Alternatives that cannot apply
/// are taken out, and a rule that loses all of them goes; so does everything after a rule that takes every request.
#[must_use]
pub fn rules_for<'m>(routing: &'m Routing<'_>, client: &Client<'_>, port: u16) -> Vec<BoundRules<'m>> {
    let mut bound = Vec::new();
    for (number, of) in routing.http.iter().enumerate() {
        let rule: &'m HttpRoute = &of.rule;
        let mut alternatives: Vec<&HttpMatch> = rule.matches.iter().collect();
        alternatives.retain(|alternative| applies(alternative, routing.of.namespace(), client, port));
        if alternatives.is_empty() && !rule.matches.is_empty() {
            continue;
        }
        // Nothing after an alternative that takes every request is ever reached.
        let catch_all = alternatives.iter().position(|alternative| takes_everything(alternative));
        if let Some(at) = catch_all {
            alternatives.truncate(at + 1);
        }
        let ends = rule.matches.is_empty() || catch_all.is_some();
        bound.push(BoundRules {
            rule,
            resource: of.resource(),
            namespace: of.of.namespace(),
            number,
            beyond: of.beyond,
            alternatives,
        });
        if ends {
            break;
        }
    }
    bound
}

/// The part of a match that is decided before any request (§3.4).
fn applies(alternative: &HttpMatch, namespace: &str, client: &Client<'_>, port: u16) -> bool {
    if alternative.port.as_ref().is_some_and(|wanted| wanted.value != u32::from(port)) {
        return false;
    }
    if !alternative.gateways.is_empty() {
        // With `gateways`, labels and namespace are not looked at: the trap of §3.4.
        return alternative.gateways.iter().any(|name| gateway_name(name, namespace) == client.gateway);
    }
    let source = alternative
        .source_namespace
        .as_ref()
        .is_none_or(|wanted| wanted.value.is_empty() || wanted.value == client.namespace);
    source && selects(&alternative.source_labels, client.labels)
}

/// Whether a match takes every request: no condition at all, or a path condition that every path meets. Conditions on
/// method, scheme and host count, so they are never the end (§3.5).
fn takes_everything(alternative: &HttpMatch) -> bool {
    use taut_resources::MatchBy;
    let path = match alternative.uri.as_ref().map(|uri| &uri.by) {
        None => true,
        Some(MatchBy::Prefix(prefix) | MatchBy::Below(prefix)) => prefix == "/" || prefix.is_empty(),
        Some(MatchBy::Regex(pattern)) => pattern == ".*" || pattern == "*",
        Some(MatchBy::Exact(_) | MatchBy::Present) => false,
    };
    path && alternative.headers.0.is_empty()
        && alternative.without_headers.0.is_empty()
        && alternative.query_params.0.is_empty()
        && alternative.method.is_none()
        && alternative.scheme.is_none()
        && alternative.authority.is_none()
}

impl BoundRules<'_> {
    /// Whether the rule takes every request.
    #[must_use]
    pub fn takes_everything(&self) -> bool {
        self.rule.matches.is_empty() || self.alternatives.last().is_some_and(|last| takes_everything(last))
    }
}

/// The namespaces and labels that the rules of a virtual service look at: for other clients they are all alike.
impl Routing<'_> {
    /// Namespaces that some match names as the client's.
    pub fn source_namespaces(&self) -> impl Iterator<Item = &Text> {
        let spec = self.of.spec;
        let http = self.http.iter().flat_map(|of| &of.rule.matches).map(|it| it.source_namespace.as_deref());
        let tls = spec.tls.iter().flat_map(|rule| &rule.matches).map(|it| it.source_namespace.as_ref());
        let tcp = spec.tcp.iter().flat_map(|rule| &rule.matches).map(|it| it.source_namespace.as_ref());
        http.chain(tls).chain(tcp).flatten().map(|namespace| &namespace.value)
    }

    /// Whether some match looks at the client's labels.
    #[must_use]
    pub fn looks_at_labels(&self) -> bool {
        let spec = self.of.spec;
        self.http.iter().flat_map(|of| &of.rule.matches).any(|it| !it.source_labels.is_empty())
            || spec.tls.iter().flat_map(|rule| &rule.matches).any(|it| !it.source_labels.is_empty())
            || spec.tcp.iter().flat_map(|rule| &rule.matches).any(|it| !it.source_labels.is_empty())
    }
}

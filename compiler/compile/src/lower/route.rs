//! Rules become routes (semantics.md §3.5-3.10).

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use taut_model::{BoundRules, Client, Host, expand, governing};
use taut_resources::{
    Destination, HeaderSide, HttpDestination, HttpMatch, HttpRedirect, HttpRetry, HttpRoute, MatchBy, Named,
    StringMatch,
};
use taut_snapshot::Text;
use taut_snapshot::decide::{DEFAULT_RETRY_ATTEMPTS, default_retry};
use taut_snapshot::format::codec::{Blob, Link};
use taut_snapshot::object::{
    Action, Alternative, ClusterRef, ClusterSet, DirectResponse, Forward, Matcher, Mirror, NamedMatcher, PathRewrite,
    Redirect, RedirectPath, RedirectPort, RegexRewrite, Retry, RetryOn, RouteTable, Rule, Target, Weighted,
    cluster_name,
};

use super::pattern::pattern;
use super::{Lowering, Meant, fault, headers};
use crate::origins::Source;

/// The port of a destination that names none (§3.6).
#[derive(Clone, Copy)]
pub(super) enum Portless {
    /// The one that the client asked for: sidecars look for services by it.
    Asked(u16),
    /// The only one that the service has; else the one that the client asked for.
    Only(u16),
}

/// A rule, and what it came from.
pub(super) struct Sourced {
    /// Its destinations are numbers of its own list.
    pub(super) rule: Rule,
    pub(super) clusters: Vec<Link<ClusterSet>>,
    pub(super) source: Source,
    pub(super) takes_everything: bool,
}

impl<'r> Lowering<'_, 'r> {
    /// The table of some rules.
    pub(super) fn table(&mut self, rules: Vec<Sourced>) -> Link<RouteTable> {
        let mut table = RouteTable { rules: Vec::with_capacity(rules.len()), clusters: Vec::new() };
        let mut sources = Vec::with_capacity(rules.len());
        for mut sourced in rules {
            // One list for all rules: most of them lead to the same few services.
            let places: Vec<u32> = sourced.clusters.iter().map(|set| place(&mut table.clusters, *set)).collect();
            for to in targets(&mut sourced.rule) {
                to.set = places[to.set as usize];
            }
            table.rules.push(sourced.rule);
            sources.push(sourced.source);
        }
        let link = self.objects.insert(&table);
        self.origins.add(link.digest, sources);
        link
    }

    /// The rules of a virtual service that are for a client and port. `first` is the number of the first in its table.
    pub(super) fn rules(
        &mut self,
        bound: &[BoundRules<'_>],
        client: &Client<'_>,
        port: u16,
        first: usize,
    ) -> Vec<Sourced> {
        let rule = |(at, bound): (usize, &BoundRules<'_>)| {
            let mut clusters = Vec::new();
            Sourced {
                rule: self.rule(bound, client, port, &mut clusters),
                clusters,
                source: Source::new(first + at + 1, bound.resource, bound.rule.span),
                takes_everything: bound.takes_everything(),
            }
        };
        bound.iter().enumerate().map(rule).collect()
    }

    fn rule(
        &mut self,
        bound: &BoundRules<'_>,
        client: &Client<'_>,
        port: u16,
        clusters: &mut Vec<Link<ClusterSet>>,
    ) -> Rule {
        let rule = bound.rule;
        let (mut request_headers, rule_host) =
            headers::operations(rule.headers.as_ref().and_then(|it| it.request.as_ref()), HeaderSide::Request);
        let (mut response_headers, _) =
            headers::operations(rule.headers.as_ref().and_then(|it| it.response.as_ref()), HeaderSide::Response);
        let action = if let Some(redirect) = &rule.redirect {
            Action::Redirect(self::redirect(redirect, by_segments(bound)))
        } else if let Some(direct) = &rule.direct_response {
            let body = match direct.body.as_ref().map(|body| (&body.string, &body.bytes)) {
                Some((Some(text), _)) => text.as_bytes().to_vec(),
                Some((None, Some(bytes))) => STANDARD.decode(bytes.value.0.as_bytes()).unwrap_or_default(),
                _ => Vec::new(),
            };
            Action::Respond(DirectResponse {
                status: u16::try_from(direct.status.value).unwrap_or(500),
                body: Blob(body.into()),
            })
        } else {
            let mut destinations = self.destinations(bound.namespace, rule, client, port, clusters);
            if let [only] = destinations.as_mut_slice() {
                // With one destination its header changes come after the rule's, in one list (§3.7).
                request_headers = headers::then(request_headers, only.request_headers.take());
                response_headers = headers::then(response_headers, only.response_headers.take());
            }
            let rewrite = rule.rewrite.as_ref();
            Action::Forward(Forward {
                destinations,
                missing_status: if bound.beyond.gateway_api { 500 } else { 0 },
                timeout_ms: rule.timeout.as_ref().map_or(0, |timeout| timeout.as_millis()),
                retry: retry(rule.retries.as_deref().or(self.mesh.settings.retry.as_ref())),
                path: full_path(bound).or_else(|| match (&rewrite?.uri, &rewrite?.uri_regex_rewrite) {
                    (Some(uri), _) if by_segments(bound) => Some(PathRewrite::Segments(uri.value.clone())),
                    (Some(uri), _) => Some(PathRewrite::Matched(uri.value.clone())),
                    (None, Some(regex)) => Some(PathRewrite::Regex(RegexRewrite {
                        pattern: pattern(&regex.pattern.value),
                        rewrite: regex.rewrite.value.clone(),
                    })),
                    (None, None) => None,
                }),
                host: rewrite.and_then(|it| it.authority.as_ref()).map_or(rule_host, |host| host.value.clone()),
                mirrors: self.mirrors(bound.namespace, rule, client, port, clusters),
            })
        };
        Rule {
            name: rule.name.as_ref().map(|name| name.value.clone()).unwrap_or_default(),
            alternatives: bound.alternatives.iter().map(|it| alternative(it)).collect(),
            action,
            request_headers,
            response_headers,
            fault: fault::fault(rule.fault.as_deref()),
            cors: rule.cors_policy.as_deref().map(fault::cors),
        }
    }

    /// §3.12: a copy to a cluster that does not exist is none.
    fn mirrors(
        &mut self,
        namespace: &Text,
        rule: &HttpRoute,
        client: &Client<'_>,
        port: u16,
        clusters: &mut Vec<Link<ClusterSet>>,
    ) -> Vec<Mirror> {
        let one = rule.mirror.as_deref().into_iter().map(|to| (to, fault::mirrored(rule)));
        let several = rule.mirrors.iter().map(|it| (&it.destination, fault::share_or_all(it.percentage.as_ref())));
        let mut mirrors = Vec::new();
        for (to, share) in one.chain(several).filter(|(_, share)| 0 < *share) {
            let target = self.target(namespace, to, client, portless(client, port), clusters);
            if let Target::Cluster(to) = target {
                mirrors.push(Mirror { to, share });
            }
        }
        mirrors
    }

    fn destinations(
        &mut self,
        namespace: &Text,
        rule: &HttpRoute,
        client: &Client<'_>,
        port: u16,
        clusters: &mut Vec<Link<ClusterSet>>,
    ) -> Vec<Weighted> {
        let weight =
            |to: &HttpDestination| to.weight.as_ref().map_or(0, |weight| u32::try_from(weight.value).unwrap_or(0));
        let one = rule.route.len() == 1;
        let kept = rule.route.iter().filter(|to| one || 0 < weight(to));
        let mut destinations: Vec<Weighted> = kept
            .map(|to| {
                let (request_headers, host) =
                    headers::operations(to.headers.as_ref().and_then(|it| it.request.as_ref()), HeaderSide::Request);
                let (response_headers, _) =
                    headers::operations(to.headers.as_ref().and_then(|it| it.response.as_ref()), HeaderSide::Response);
                Weighted {
                    target: self.target(namespace, &to.destination, client, portless(client, port), clusters),
                    weight: weight(to),
                    request_headers,
                    response_headers,
                    host,
                }
            })
            .collect();
        if let [only] = destinations.as_mut_slice() {
            only.weight = 1; // a lone destination takes everything, whatever its weight
        }
        destinations
    }

    /// What the host of a destination means to a client.
    fn meant(&mut self, namespace: &Text, written: &Text, client: &str) -> Meant<'r> {
        let asked =
            |last: &&Meant<'r>| last.written == *written && last.namespace == *namespace && last.client == client;
        if let Some(last) = self.last.as_ref().filter(asked) {
            return last.clone();
        }
        let mut host: Host = expand(written, namespace, &self.mesh.settings);
        if let Some(concrete) = self.stands_for(&host, client) {
            host = concrete;
        }
        let service = self.mesh.service_for(&host, client);
        let service = service.map(|id| (id, Arc::new(governing(self.mesh, self.mesh.service(id), client))));
        let meant =
            Meant { written: written.clone(), namespace: namespace.clone(), client: client.into(), host, service };
        self.last.insert(meant).clone()
    }

    /// The cluster of a destination (§3.6).
    pub(super) fn target(
        &mut self,
        namespace: &Text,
        to: &Destination,
        client: &Client<'_>,
        portless: Portless,
        clusters: &mut Vec<Link<ClusterSet>>,
    ) -> Target {
        if to.host.is_empty() {
            // A reference of the Gateway API that is broken: nobody can send there.
            return Target::Missing(cluster_name(to.port.as_ref().map_or(0, |port| port.number.0), "", "").into());
        }
        let Meant { host, service: known, .. } = self.meant(namespace, &to.host, client.namespace);
        let service = known.as_ref().map(|(id, _)| self.mesh.service(*id));
        let written = to.port.as_ref().map(|port| port.number.0);
        let only = service.and_then(|service| match service.ports.as_slice() {
            [only] => Some(only.number),
            _ => None,
        });
        let port = match (written, portless) {
            (Some(written), _) => written,
            (None, Portless::Asked(asked)) => asked,
            (None, Portless::Only(asked)) => only.unwrap_or(asked),
        };
        let subset_name = to.subset.as_ref().map(|subset| subset.value.as_str()).unwrap_or_default();
        let missing = || {
            // A short name that is no service is no name of the cluster's domain either.
            let short = !to.host.contains('.') && service.is_none();
            let host =
                if short { format!("{}.{namespace}", to.host.to_ascii_lowercase()).into() } else { host.clone() };
            Target::Missing(cluster_name(port, subset_name, &host).into())
        };
        let (Some((id, governing)), Some(service)) = (known, service) else { return missing() };
        let Some(service_port) = service.port(port) else { return missing() };
        if !subset_name.is_empty() && governing.subset(subset_name).is_none() {
            return missing();
        }
        let set = self.clusters(id, service_port, &governing, client);
        self.whole(set, subset_name.into(), clusters)
    }

    /// A subset of clusters that are known.
    #[expect(clippy::unused_self, reason = "it stands beside `target`, which asks the mesh")]
    pub(super) fn whole(&self, set: Link<ClusterSet>, subset: Text, clusters: &mut Vec<Link<ClusterSet>>) -> Target {
        Target::Cluster(ClusterRef { set: place(clusters, set), subset })
    }
}

/// What all of the path becomes, where a rule says so.
fn full_path(bound: &BoundRules<'_>) -> Option<PathRewrite> {
    bound.beyond.full_path.map(|path| PathRewrite::Full(path.clone()))
}

/// Whether the prefix that a rule replaces is one of whole segments.
fn by_segments(bound: &BoundRules<'_>) -> bool {
    let below = |it: &HttpMatch| matches!(it.uri.as_ref().map(|uri| &uri.by), Some(MatchBy::Below(_)));
    !bound.rule.matches.is_empty() && bound.rule.matches.iter().all(below)
}

fn portless(client: &Client<'_>, port: u16) -> Portless {
    if client.gateway == "mesh" { Portless::Asked(port) } else { Portless::Only(port) }
}

/// The place of a set in a list, which gets it if it lacks it.
fn place(list: &mut Vec<Link<ClusterSet>>, set: Link<ClusterSet>) -> u32 {
    let at = list.iter().position(|known| known.digest == set.digest).unwrap_or_else(|| {
        list.push(set);
        list.len() - 1
    });
    u32::try_from(at).expect("a table has fewer than 2^32 rules")
}

fn targets(rule: &mut Rule) -> impl Iterator<Item = &mut ClusterRef> {
    let (destinations, mirrors) = match &mut rule.action {
        Action::Forward(forward) => (forward.destinations.as_mut_slice(), forward.mirrors.as_mut_slice()),
        Action::Redirect(_) | Action::Respond(_) => (&mut [][..], &mut [][..]),
    };
    fn cluster(to: &mut Weighted) -> Option<&mut ClusterRef> {
        match &mut to.target {
            Target::Cluster(to) => Some(to),
            Target::Missing(_) => None,
        }
    }
    destinations.iter_mut().filter_map(cluster).chain(mirrors.iter_mut().map(|mirror| &mut mirror.to))
}

fn alternative(from: &HttpMatch) -> Alternative {
    let one = |by: &Option<Box<StringMatch>>| by.as_deref().map(matcher);
    let named = |list: &Named<StringMatch>, lower: bool| {
        let mut list: Vec<NamedMatcher> = list
            .0
            .iter()
            .map(|(name, value)| NamedMatcher {
                name: if lower {
                    claim(name).unwrap_or_else(|| name.to_ascii_lowercase().into())
                } else {
                    name.value.clone()
                },
                value: matcher(value),
            })
            .collect();
        list.sort();
        list
    };
    Alternative {
        name: from.name.as_ref().map(|name| name.value.clone()).unwrap_or_default(),
        path: one(&from.uri),
        ignore_case: from.ignore_uri_case.as_ref().is_some_and(|ignore| ignore.value),
        method: one(&from.method),
        scheme: one(&from.scheme),
        authority: one(&from.authority),
        headers: named(&from.headers, true),
        without_headers: named(&from.without_headers, true),
        query: named(&from.query_params, false),
    }
}

/// The name of a claim as tokens have it, `@request.auth.claims[a][b]`, however it is written (§3.5).
fn claim(name: &str) -> Option<Text> {
    const PREFIX: &str = "@request.auth.claims";
    let start = name.get(..PREFIX.len()).filter(|start| start.eq_ignore_ascii_case(PREFIX))?;
    let rest = &name[start.len()..];
    let path = match rest.strip_prefix('.') {
        Some(dotted) => dotted.split('.').map(|part| format!("[{part}]")).collect(),
        None => rest.to_owned(),
    };
    Some(format!("{PREFIX}{path}").into())
}

pub(super) fn matcher(by: &StringMatch) -> Matcher {
    match &by.by {
        MatchBy::Present => Matcher::Present,
        MatchBy::Exact(text) => Matcher::Exact(text.clone()),
        MatchBy::Prefix(text) => Matcher::Prefix(text.clone()),
        // `*` is how people write: present.
        MatchBy::Regex(text) if text == "*" => Matcher::Present,
        MatchBy::Regex(text) => Matcher::Regex(pattern(text)),
        MatchBy::Below(text) => Matcher::Below(text.clone()),
    }
}

fn redirect(redirect: &HttpRedirect, by_segments: bool) -> Redirect {
    use taut_resources::RedirectPort as From;
    let text =
        |field: &Option<taut_resources::At<Text>>| field.as_ref().map(|text| text.value.clone()).unwrap_or_default();
    Redirect {
        status: redirect.redirect_code.as_ref().and_then(|code| u16::try_from(code.value).ok()).unwrap_or(301),
        scheme: text(&redirect.scheme),
        host: text(&redirect.authority),
        port: match (&redirect.port, redirect.derive_port.as_ref().map(|from| from.value)) {
            (Some(port), _) => RedirectPort::Number(port.0),
            (None, Some(From::RequestPort)) => RedirectPort::Request,
            (None, Some(From::ProtocolDefault)) => RedirectPort::SchemeDefault,
            (None, None) => RedirectPort::Keep,
        },
        path: match (&redirect.uri, &redirect.prefix_rewrite) {
            (Some(uri), _) => RedirectPath::Full(uri.value.clone()),
            (None, Some(prefix)) if by_segments => RedirectPath::Segments(prefix.value.clone()),
            (None, Some(prefix)) => RedirectPath::Prefix(prefix.value.clone()),
            (None, None) => RedirectPath::Keep,
        },
    }
}

/// What holds where no rule says anything; without attempts, nothing is tried again.
pub(super) fn mesh_retry(retries: &HttpRetry) -> Retry {
    retry(Some(retries)).unwrap_or(Retry { attempts: 0, ..default_retry() })
}

/// §3.10: a rule's own retries replace the default whole; without conditions of its own it has the default's.
fn retry(retries: Option<&HttpRetry>) -> Option<Retry> {
    let Some(retries) = retries else { return Some(default_retry()) };
    let attempts = retries.attempts.as_ref().map_or(0, |attempts| attempts.value);
    let attempts = u32::try_from(attempts).ok().filter(|attempts| 0 < *attempts)?;
    let mut policy = Retry { attempts, ..default_retry() };
    if let Some(words) = retries.retry_on.as_ref().filter(|words| !words.is_empty()) {
        (policy.on, policy.statuses) = conditions(words);
    }
    policy.per_try_timeout_ms = retries.per_try_timeout.as_ref().map_or(0, |timeout| timeout.as_millis());
    policy.backoff_ms = retries.backoff.as_ref().map_or(0, |backoff| backoff.as_millis());
    policy.any_host = retries.retry_ignore_previous_hosts.as_ref().is_some_and(|avoid| !avoid.value);
    Some(policy)
}

/// The words of `retryOn`; numbers are statuses, and bring `retriable-status-codes` with them.
fn conditions(words: &str) -> (Vec<RetryOn>, Vec<u16>) {
    let mut on = Vec::new();
    let mut statuses: Vec<u16> = Vec::new();
    for word in words.split(',') {
        match word.parse() {
            Ok(status) => {
                statuses.push(status);
                on.push(RetryOn::StatusCodes);
            }
            Err(_) => on.extend(condition(word)),
        }
    }
    on.sort();
    on.dedup();
    statuses.sort_unstable();
    statuses.dedup();
    (on, statuses)
}

fn condition(word: &str) -> Option<RetryOn> {
    Some(match word {
        "5xx" => RetryOn::ServerError,
        "gateway-error" => RetryOn::GatewayError,
        "reset" => RetryOn::Reset,
        "reset-before-request" => RetryOn::ResetBeforeRequest,
        "connect-failure" => RetryOn::ConnectFailure,
        "retriable-4xx" => RetryOn::Retriable4xx,
        "refused-stream" => RetryOn::RefusedStream,
        "retriable-status-codes" => RetryOn::StatusCodes,
        "retriable-headers" => RetryOn::Headers,
        "envoy-ratelimited" => RetryOn::RateLimited,
        "http3-post-connect-failure" => RetryOn::Http3PostConnectFailure,
        "cancelled" => RetryOn::Cancelled,
        "deadline-exceeded" => RetryOn::DeadlineExceeded,
        "internal" => RetryOn::Internal,
        "resource-exhausted" => RetryOn::ResourceExhausted,
        "unavailable" => RetryOn::Unavailable,
        _ => return None,
    })
}

const _: () = assert!(DEFAULT_RETRY_ATTEMPTS == 2, "semantics.md §3.10");

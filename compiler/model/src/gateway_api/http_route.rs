//! HTTPRoute and GRPCRoute: their rules as rules of a virtual service, one for each match (semantics.md §18.4, §18.5).

use std::cmp::Reverse;

use taut_resources::gateway_api::{
    GrpcRoute, GrpcRule, HeaderMatch, HttpRoute, HttpRouteMatch, HttpRouteRetry, HttpRule, MethodMatch, PathMatchType,
    ValueMatchType,
};
use taut_resources::{
    At, HttpDestination, HttpDirectResponse, HttpMatch, HttpRetry, List, MatchBy, Named, StringMatch,
};
use taut_source::Span;

use super::backend::{Backend, From_, Resolved, resolve};
use super::filter::{self, Filtered};
use super::made::{alternative, at, destination, headers, matching, rule, whole};
use super::status::Fault;
use super::world::{Numbered, World};
use crate::Text;

/// A rule, and what the words of a virtual service cannot say of it.
#[derive(Clone, Debug)]
pub(crate) struct Rule {
    pub(crate) rule: taut_resources::HttpRoute,
    /// What all of the path becomes.
    pub(crate) full_path: Option<Text>,
    /// The route that it is of, by its number among the resources.
    pub(crate) owner: usize,
}

/// The rules of a route, and what is wrong with what it refers to.
pub(crate) struct Rules {
    pub(crate) rules: Vec<Rule>,
    /// Each reference that is broken.
    pub(crate) faults: Vec<Fault>,
}

/// The rules of one rule, one for each match; and what is wrong with its references.
type Made = (Vec<Rule>, Vec<Fault>);

impl Rules {
    fn collect(made: impl Iterator<Item = Result<Made, Fault>>) -> Rules {
        let mut all = Rules { rules: Vec::new(), faults: Vec::new() };
        for one in made {
            match one {
                Ok((rules, faults)) => {
                    all.rules.extend(rules);
                    all.faults.extend(faults);
                }
                // Nothing of such a route is used.
                Err(fault) => return Rules { rules: Vec::new(), faults: vec![fault] },
            }
        }
        all
    }
}

/// The order in which rules of one host are tried: the narrower before the wider, and else as they come.
pub(crate) fn precedence(rule: &Rule) -> impl Ord + use<> {
    let Some(first) = rule.rule.matches.first() else { return (4, Reverse(0), true, Reverse(0), Reverse(0)) };
    let (rank, length) = match first.uri.as_ref().map(|uri| &uri.by) {
        Some(MatchBy::Exact(text)) => (0, text.len()),
        Some(MatchBy::Below(text) | MatchBy::Prefix(text)) => (1, text.len()),
        Some(MatchBy::Regex(text)) => (2, text.len()),
        Some(MatchBy::Present) | None => (3, 0),
    };
    let (headers, query) = (first.headers.0.len(), first.query_params.0.len());
    (rank, Reverse(length), first.method.is_none(), Reverse(headers), Reverse(query))
}

/// The rules of an HTTPRoute.
pub(crate) fn http_rules(world: &World<'_>, route: &Numbered<'_, HttpRoute>) -> Rules {
    let (of, spec) = (route.of, route.of.spec);
    if spec.rules.is_empty() {
        // The API server fills in a rule for every request, which then has nobody to ask.
        let who = From_ { kind: "HTTPRoute", namespace: of.namespace() };
        let made = rule(named(of.name(), of.namespace(), 0, None), spec.span);
        let matches = vec![alternative(MatchBy::Below("/".into()), spec.span)];
        return Rules::collect([finish(world, route.number, who, made, Filtered::default(), &[], matches)].into_iter());
    }
    Rules::collect(spec.rules.iter().enumerate().map(|(index, rule)| http_rule(world, route, index, rule)))
}

fn named(route: &str, namespace: &str, index: usize, own: Option<&At<Text>>) -> Text {
    own.map_or_else(|| format!("{namespace}.{route}.{index}").into(), |name| name.value.clone())
}

fn http_rule(world: &World<'_>, route: &Numbered<'_, HttpRoute>, index: usize, from: &HttpRule) -> Result<Made, Fault> {
    let (of, span) = (route.of, from.span);
    let who = From_ { kind: "HTTPRoute", namespace: of.namespace() };
    let mut made = rule(named(of.name(), of.namespace(), index, from.name.as_ref()), span);
    let filtered = filter::apply(world, &from.filters, who, &mut made)?;
    made.retries = from.retry.as_ref().map(|retry| Box::new(retries(retry)));
    if let Some(timeouts) = &from.timeouts {
        let of = |field: &Option<At<taut_resources::ShortDuration>>| {
            let field = field.filter(|field| !field.value.0.0.is_zero())?;
            Some(at(field.value.0, field.span))
        };
        made.timeout = of(&timeouts.request);
        if let Some(each) = of(&timeouts.backend_request) {
            match &mut made.retries {
                Some(retries) => retries.per_try_timeout = Some(each),
                // Without tries of its own there is one, as long as each may take.
                None => made.timeout = Some(each),
            }
        }
    }
    let mut backends = Vec::with_capacity(from.backend_refs.len());
    for backend in &from.backend_refs {
        backends.push((Backend::from(backend), filter::of_backend(&backend.filters)?));
    }
    let matches = if from.matches.is_empty() {
        vec![alternative(MatchBy::Below("/".into()), span)]
    } else {
        from.matches.iter().map(http_match).collect()
    };
    finish(world, route.number, who, made, filtered, &backends, matches)
}

type Changes = (Option<taut_resources::HeaderOperations>, Option<taut_resources::HeaderOperations>);

fn finish(
    world: &World<'_>,
    owner: usize,
    who: From_<'_>,
    mut made: taut_resources::HttpRoute,
    filtered: Filtered,
    backends: &[(Backend<'_>, Changes)],
    matches: Vec<HttpMatch>,
) -> Result<Made, Fault> {
    let span = made.span;
    let mut faults = Vec::new();
    for (backend, (request, response)) in backends {
        if backend.weight == 0 {
            continue;
        }
        let destination = match resolve(world, *backend, who) {
            Resolved::Good(destination) => destination,
            Resolved::Broken(destination, why) => {
                faults.push(why);
                destination
            }
            Resolved::Wrong(why) => return Err(why),
        };
        made.route.push(HttpDestination {
            span: backend.span,
            destination,
            weight: Some(at(whole(backend.weight), backend.span)),
            headers: headers(request.clone(), response.clone(), backend.span),
        });
    }
    if made.route.is_empty() && made.redirect.is_none() {
        // There is nobody to ask: the answer is that.
        made.direct_response = Some(Box::new(HttpDirectResponse { span, status: at(500, span), body: None }));
        made.rewrite = None;
    }
    if made.redirect.is_some() {
        made.rewrite = None;
    }
    made.headers = headers(filtered.request, filtered.response, span);
    faults.extend(filtered.broken);
    let rules = matches.into_iter().map(|only| {
        let mut rule = made.clone();
        rule.matches = [only].into();
        Rule { rule, full_path: filtered.full_path.clone(), owner }
    });
    Ok((rules.collect(), faults))
}

fn http_match(from: &HttpRouteMatch) -> HttpMatch {
    let span = from.span;
    let path = from.path.as_ref().map_or(MatchBy::Below("/".into()), |path| {
        let value = path.value.value.clone();
        match path.kind.value {
            PathMatchType::Exact => MatchBy::Exact(value),
            PathMatchType::PathPrefix => MatchBy::Below(value),
            PathMatchType::RegularExpression => MatchBy::Regex(value),
        }
    });
    let mut made = alternative(path, from.path.as_ref().map_or(span, |path| path.span));
    made.span = span;
    let method = from.method.map(|method| matching(MatchBy::Exact(method.value.word().into()), method.span));
    made.method = method.map(Box::new);
    made.headers = header_matches(&from.headers);
    let query = from.query_params.iter().map(|it| (&it.name, it.kind.value, &it.value));
    made.query_params = by_name(query, false);
    made
}

fn header_matches(from: &[HeaderMatch]) -> Named<StringMatch> {
    by_name(from.iter().map(|it| (&it.name, it.kind.value, &it.value)), true)
}

/// Conditions by name; of one name the first counts.
fn by_name<'m>(
    list: impl Iterator<Item = (&'m At<Text>, ValueMatchType, &'m At<Text>)>,
    ignore_case: bool,
) -> Named<StringMatch> {
    let mut kept: List<(At<Text>, StringMatch)> = List::new();
    for (name, kind, value) in list {
        let same = |known: &At<Text>| {
            if ignore_case { known.eq_ignore_ascii_case(name) } else { known.value == name.value }
        };
        if kept.iter().any(|(known, _)| same(known)) {
            continue;
        }
        let by = match kind {
            ValueMatchType::Exact => MatchBy::Exact(value.value.clone()),
            ValueMatchType::RegularExpression => MatchBy::Regex(value.value.clone()),
        };
        kept.push((name.clone(), matching(by, value.span)));
    }
    Named(kept)
}

/// Always where no answer came; besides, at the statuses that are listed.
fn retries(from: &HttpRouteRetry) -> HttpRetry {
    const ALWAYS: &str = "connect-failure,refused-stream,unavailable,cancelled";
    const ATTEMPTS: u32 = 2;
    let span = from.span;
    let attempts = from.attempts.map_or(ATTEMPTS, |attempts| attempts.value);
    let codes: String = from.codes.iter().map(|code| format!(",{}", code.value)).collect();
    HttpRetry {
        span,
        attempts: Some(at(whole(attempts), span)),
        per_try_timeout: None,
        retry_on: (0 < attempts).then(|| at(format!("{ALWAYS}{codes}").into(), span)),
        retry_remote_localities: None,
        retry_ignore_previous_hosts: None,
        backoff: from.backoff.filter(|it| !it.value.0.0.is_zero()).map(|it| at(it.value.0, it.span)),
    }
}

/// The rules of a GRPCRoute.
pub(crate) fn grpc_rules(world: &World<'_>, route: &Numbered<'_, GrpcRoute>) -> Rules {
    Rules::collect(route.of.spec.rules.iter().enumerate().map(|(index, rule)| grpc_rule(world, route, index, rule)))
}

fn grpc_rule(world: &World<'_>, route: &Numbered<'_, GrpcRoute>, index: usize, from: &GrpcRule) -> Result<Made, Fault> {
    let (of, span) = (route.of, from.span);
    let who = From_ { kind: "GRPCRoute", namespace: of.namespace() };
    let mut made = rule(named(of.name(), of.namespace(), index, from.name.as_ref()), span);
    let filtered = filter::apply_grpc(world, &from.filters, who, &mut made)?;
    let mut backends = Vec::with_capacity(from.backend_refs.len());
    for backend in &from.backend_refs {
        backends.push((Backend::from(backend), filter::of_grpc_backend(&backend.filters)?));
    }
    let one = |method: Option<&MethodMatch>, named: &[HeaderMatch], span: Span| {
        let mut made = alternative(grpc_path(method), span);
        // Without a method the path says nothing at all, and is the last that counts.
        made.uri = made.uri.filter(|_| method.is_some());
        made.headers = header_matches(named);
        made
    };
    let matches = if from.matches.is_empty() {
        vec![one(None, &[], span)]
    } else {
        from.matches.iter().map(|it| one(it.method.as_ref(), &it.headers, it.span)).collect()
    };
    finish(world, route.number, who, made, filtered, &backends, matches)
}

/// gRPC asks for `/service/method`.
fn grpc_path(method: Option<&MethodMatch>) -> MatchBy {
    let Some(from) = method else { return MatchBy::Below("/".into()) };
    let text = |field: &Option<At<Text>>| field.as_ref().map(|it| it.value.clone()).filter(|it| !it.is_empty());
    let exact = from.kind.value == ValueMatchType::Exact;
    match (text(&from.service), text(&from.method)) {
        (None, None) => MatchBy::Below("/".into()),
        (Some(service), None) if exact => MatchBy::Below(format!("/{service}/").into()),
        (Some(service), None) => MatchBy::Regex(format!("/{service}/.+").into()),
        (None, Some(method)) => MatchBy::Regex(format!("/[^/]+/{method}").into()),
        (Some(service), Some(method)) if exact => MatchBy::Exact(format!("/{service}/{method}").into()),
        (Some(service), Some(method)) => MatchBy::Regex(format!("/{service}/{method}").into()),
    }
}

/// A destination that no request reaches.
pub(crate) fn nowhere(span: Span) -> taut_resources::Destination {
    destination(Text::default(), None, span)
}

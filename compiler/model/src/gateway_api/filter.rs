//! Filters: what happens to a request on its way (semantics.md §18.4).

use taut_resources::gateway_api::{
    Cors, FilterType, Fraction, GrpcFilter, GrpcFilterType, HeaderModifier, HttpFilter, Mirror, PathModifier,
    PathModifierType, Redirect,
};
use taut_resources::{
    CorsPolicy, Duration, HeaderOperations, HttpMirror, HttpRedirect, HttpRewrite, HttpRoute, Labels, List, MatchBy,
    Percent, RedirectPort, UnmatchedPreflights,
};
use taut_source::Span;

use super::backend::{Backend, From_, Resolved, resolve};
use super::made::{at, matching};
use super::status::Fault;
use super::world::World;
use crate::Text;

/// What filters make of a rule, besides what a rule of a virtual service has words for.
#[derive(Default)]
pub(crate) struct Filtered {
    pub(crate) request: Option<HeaderOperations>,
    pub(crate) response: Option<HeaderOperations>,
    /// What all of the path becomes.
    pub(crate) full_path: Option<Text>,
    /// A copy that goes nowhere.
    pub(crate) broken: Option<Fault>,
}

/// Applies the filters of a rule of HTTPRoute to it.
pub(crate) fn apply(
    world: &World<'_>,
    filters: &[HttpFilter],
    from: From_<'_>,
    rule: &mut HttpRoute,
) -> Result<Filtered, Fault> {
    let mut filtered = Filtered::default();
    for filter in filters {
        match filter.kind.value {
            FilterType::RequestHeaderModifier => {
                filtered.request = filter.request_header_modifier.as_ref().map(operations);
            }
            FilterType::ResponseHeaderModifier => {
                filtered.response = filter.response_header_modifier.as_ref().map(operations);
            }
            FilterType::RequestMirror => {
                let Some(mirror) = &filter.request_mirror else { continue };
                copy(world, mirror, from, rule, &mut filtered)?;
            }
            FilterType::RequestRedirect => {
                rule.redirect = filter.request_redirect.as_ref().map(|it| Box::new(redirect(it)));
            }
            FilterType::UrlRewrite => {
                let Some(written) = &filter.url_rewrite else { continue };
                let authority = written.hostname.clone();
                let uri = prefix(written.path.as_ref());
                if authority.is_some() || uri.is_some() {
                    let rewrite = HttpRewrite { span: written.span, uri, authority, uri_regex_rewrite: None };
                    rule.rewrite = Some(Box::new(rewrite));
                }
                filtered.full_path = full(written.path.as_ref());
            }
            FilterType::Cors => rule.cors_policy = filter.cors.as_ref().map(|it| Box::new(cors(it))),
            FilterType::ExtensionRef | FilterType::ExternalAuth => {
                let message = format!("a filter of type {} is none that is known", filter.kind.value.word());
                return Err(Fault::new("InvalidFilter", filter.kind.span, message));
            }
        }
    }
    Ok(filtered)
}

/// Applies the filters of a rule of GRPCRoute to it.
pub(crate) fn apply_grpc(
    world: &World<'_>,
    filters: &[GrpcFilter],
    from: From_<'_>,
    rule: &mut HttpRoute,
) -> Result<Filtered, Fault> {
    let mut filtered = Filtered::default();
    for filter in filters {
        match filter.kind.value {
            GrpcFilterType::RequestHeaderModifier => {
                filtered.request = filter.request_header_modifier.as_ref().map(operations);
            }
            GrpcFilterType::ResponseHeaderModifier => {
                filtered.response = filter.response_header_modifier.as_ref().map(operations);
            }
            GrpcFilterType::RequestMirror => {
                let Some(mirror) = &filter.request_mirror else { continue };
                copy(world, mirror, from, rule, &mut filtered)?;
            }
            GrpcFilterType::ExtensionRef => {
                let message = "a filter of type ExtensionRef is none that is known";
                return Err(Fault::new("InvalidFilter", filter.kind.span, message));
            }
        }
    }
    Ok(filtered)
}

/// Header changes of one destination: the only filters that it can have.
pub(crate) fn of_backend(
    filters: &[HttpFilter],
) -> Result<(Option<HeaderOperations>, Option<HeaderOperations>), Fault> {
    let mut changes = (None, None);
    for filter in filters {
        match filter.kind.value {
            FilterType::RequestHeaderModifier => {
                changes.0 = filter.request_header_modifier.as_ref().map(operations);
            }
            FilterType::ResponseHeaderModifier => {
                changes.1 = filter.response_header_modifier.as_ref().map(operations);
            }
            other => return Err(not_for_one(other.word(), filter.kind.span)),
        }
    }
    Ok(changes)
}

/// The same of GRPCRoute.
pub(crate) fn of_grpc_backend(
    filters: &[GrpcFilter],
) -> Result<(Option<HeaderOperations>, Option<HeaderOperations>), Fault> {
    let mut changes = (None, None);
    for filter in filters {
        match filter.kind.value {
            GrpcFilterType::RequestHeaderModifier => {
                changes.0 = filter.request_header_modifier.as_ref().map(operations);
            }
            GrpcFilterType::ResponseHeaderModifier => {
                changes.1 = filter.response_header_modifier.as_ref().map(operations);
            }
            other => return Err(not_for_one(other.word(), filter.kind.span)),
        }
    }
    Ok(changes)
}

fn not_for_one(word: &str, span: Span) -> Fault {
    Fault::new("InvalidFilter", span, format!("a filter of type {word} cannot be for one destination alone"))
}

/// Of names that differ in case alone the first counts.
fn operations(modifier: &HeaderModifier) -> HeaderOperations {
    let pairs = |list: &[taut_resources::gateway_api::HeaderValue]| {
        let mut kept: List<(taut_resources::At<Text>, taut_resources::At<Text>)> = List::new();
        for header in list {
            if !kept.iter().any(|(name, _)| name.eq_ignore_ascii_case(&header.name)) {
                kept.push((header.name.clone(), header.value.clone()));
            }
        }
        Labels(kept)
    };
    HeaderOperations {
        span: modifier.span,
        set: pairs(&modifier.set),
        add: pairs(&modifier.add),
        remove: modifier.remove.clone(),
    }
}

fn copy(
    world: &World<'_>,
    mirror: &Mirror,
    from: From_<'_>,
    rule: &mut HttpRoute,
    filtered: &mut Filtered,
) -> Result<(), Fault> {
    let percent = match (&mirror.percent, &mirror.fraction) {
        (Some(percent), _) => f64::from(percent.value),
        (None, Some(Fraction { numerator, denominator, .. })) => {
            f64::from(numerator.value) * 100.0 / f64::from(denominator.value)
        }
        (None, None) => 100.0,
    };
    match resolve(world, Backend::from(&mirror.backend_ref), from) {
        Resolved::Good(destination) => rule.mirrors.push(HttpMirror {
            span: mirror.span,
            destination,
            percentage: Some(Percent { span: mirror.span, value: Some(at(percent, mirror.span)) }),
        }),
        // There is no copy, and nothing else is changed by that.
        Resolved::Broken(_, fault) => filtered.broken = Some(fault),
        Resolved::Wrong(fault) => return Err(fault),
    }
    Ok(())
}

fn prefix(path: Option<&PathModifier>) -> Option<taut_resources::At<Text>> {
    let path = path.filter(|path| path.kind.value == PathModifierType::ReplacePrefixMatch)?;
    let mut to = path.replace_prefix_match.clone()?;
    if to.is_empty() {
        to.value = "/".into();
    }
    Some(to)
}

fn full(path: Option<&PathModifier>) -> Option<Text> {
    let path = path.filter(|path| path.kind.value == PathModifierType::ReplaceFullPath)?;
    path.replace_full_path.as_ref().map(|to| to.value.clone())
}

/// Without a port of its own it has the new scheme's, or the one that the request came to.
fn redirect(from: &Redirect) -> HttpRedirect {
    let span = from.span;
    let derive = if from.scheme.is_some() { RedirectPort::ProtocolDefault } else { RedirectPort::RequestPort };
    HttpRedirect {
        span,
        uri: full(from.path.as_ref()).map(|path| at(path, span)),
        prefix_rewrite: prefix(from.path.as_ref()),
        authority: from.hostname.clone(),
        port: from.port,
        derive_port: from.port.is_none().then(|| at(derive, span)),
        scheme: from.scheme.map(|scheme| at(scheme.value.word().into(), scheme.span)),
        redirect_code: Some(from.status_code),
    }
}

/// What an origin is, where every one is taken: a scheme and a host.
const EVERY_ORIGIN: &str = r"[a-zA-Z][a-zA-Z0-9+.-]*://[^/\s?#]+";

/// How long a browser may remember an answer where nothing is said, in seconds.
const MAX_AGE_S: u64 = 5;

fn cors(from: &Cors) -> CorsPolicy {
    let span = from.span;
    let origin = |origin: &taut_resources::At<Text>| {
        let by = match origin.as_str() {
            "*" => MatchBy::Regex(EVERY_ORIGIN.into()),
            some if some.contains('*') => {
                let parts: Vec<String> = some.split('*').map(literally).collect();
                MatchBy::Regex(parts.join(".*").into())
            }
            _ => MatchBy::Exact(origin.value.clone()),
        };
        matching(by, origin.span)
    };
    let age = from.max_age.map_or(MAX_AGE_S, |age| u64::from(age.value));
    CorsPolicy {
        span,
        allow_origin: List::new(),
        allow_origins: from.allow_origins.iter().map(origin).collect(),
        allow_methods: from.allow_methods.iter().map(|it| at(it.value.word().into(), it.span)).collect(),
        allow_headers: from.allow_headers.clone(),
        expose_headers: from.expose_headers.clone(),
        max_age: Some(at(Duration(std::time::Duration::from_secs(age)), span)),
        allow_credentials: from.allow_credentials,
        unmatched_preflights: Some(at(UnmatchedPreflights::Ignore, span)),
    }
}

/// A text as a pattern that matches it alone.
fn literally(text: &str) -> String {
    let escaped = |letter: char| match letter {
        letter if letter.is_ascii_alphanumeric() || matches!(letter, '/' | ':' | '-' | '_') => letter.to_string(),
        letter => format!("\\{letter}"),
    };
    text.chars().map(escaped).collect()
}

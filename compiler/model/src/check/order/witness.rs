//! A request whose fate depends on which of two virtual services comes first.
//!
//! Owns: which requests are tried, and which rule of one virtual service takes one.
//! Only requests that the rules themselves speak of are tried: each match gives the plainest request that meets it. A
//! regular expression gives none, and where one decides nothing is claimed.

use taut_resources::{HttpMatch, HttpRoute, MatchBy, StringMatch, VirtualService};

/// A request, as far as routing looks at it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::check) struct Witness {
    method: String,
    host: String,
    path: String,
    headers: Vec<(String, String)>,
}

impl std::fmt::Display for Witness {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} http://{}{}", self.method, self.host, self.path)?;
        self.headers.iter().try_for_each(|(name, value)| write!(f, " -H \'{name}: {value}\'"))
    }
}

/// How two virtual services for one host come together.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(in crate::check) enum Together {
    /// The older counts whole, the other not at all: sidecars.
    OneCounts,
    /// Their rules are put one behind the other, those that take everything last: gateways.
    Joined,
}

/// A request for a host whose fate depends on which of two virtual services is older, if one is found.
pub(in crate::check) fn witness(
    host: &str,
    one: &VirtualService,
    other: &VirtualService,
    together: Together,
) -> Option<Witness> {
    /// Virtual services have a few rules; one with thousands is generated, and its first rules say enough.
    const TRIED_MAX: usize = 64;
    let host = host.strip_prefix('*').map_or_else(|| host.to_owned(), |rest| format!("any{rest}"));
    let matches = one.http.iter().chain(&other.http).flat_map(|rule| &rule.matches);
    let plain = Witness { method: "GET".into(), host: host.clone(), path: "/".into(), headers: Vec::new() };
    let tried = matches.take(TRIED_MAX).filter_map(|it| request_for(it, &plain)).chain([plain.clone()]);
    for request in tried {
        let (Ok(here), Ok(there)) = (taker(one, &request), taker(other, &request)) else { continue };
        let differs = match (here, there, together) {
            (Some(here), Some(there), Together::OneCounts) => fate(here) != fate(there),
            (Some(here), Some(there), Together::Joined) => {
                takes_all(here) == takes_all(there) && fate(here) != fate(there)
            }
            (None, None, _) | (_, _, Together::Joined) => false,
            (_, _, Together::OneCounts) => true,
        };
        if differs {
            return Some(request);
        }
    }
    None
}

/// A part of a match cannot be decided here.
struct Unknown;

/// The first rule that takes a request.
fn taker<'r>(spec: &'r VirtualService, request: &Witness) -> Result<Option<&'r HttpRoute>, Unknown> {
    for rule in &spec.http {
        if rule.matches.is_empty() {
            return Ok(Some(rule));
        }
        for it in &rule.matches {
            if is_met(it, request)? {
                return Ok(Some(rule));
            }
        }
    }
    Ok(None)
}

fn is_met(it: &HttpMatch, request: &Witness) -> Result<bool, Unknown> {
    // These look at the client or the query, of which nothing is known here.
    if !it.query_params.0.is_empty() || it.scheme.is_some() || it.port.is_some() {
        return Err(Unknown);
    }
    if !it.source_labels.is_empty() || it.source_namespace.is_some() || !it.gateways.is_empty() {
        return Err(Unknown);
    }
    let header = |name: &str| {
        request.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    };
    let mut met = text_is(it.uri.as_deref(), &request.path)?
        && text_is(it.method.as_deref(), &request.method)?
        && text_is(it.authority.as_deref(), &request.host)?;
    for (name, wanted) in &it.headers.0 {
        met &= match header(&name.value) {
            None => false,
            Some(value) => text_is(Some(wanted), value)?,
        };
    }
    for (name, unwanted) in &it.without_headers.0 {
        met &= match header(&name.value) {
            None => true,
            Some(value) => !text_is(Some(unwanted), value)?,
        };
    }
    Ok(met)
}

fn text_is(wanted: Option<&StringMatch>, text: &str) -> Result<bool, Unknown> {
    match wanted.map(|wanted| &wanted.by) {
        None | Some(MatchBy::Present) => Ok(true),
        Some(MatchBy::Exact(exact)) => Ok(exact.as_str() == text),
        Some(MatchBy::Prefix(prefix)) => Ok(text.starts_with(prefix.as_str())),
        Some(MatchBy::Regex(_) | MatchBy::Below(_)) => Err(Unknown),
    }
}

/// The plainest request that meets a match; none if it takes a regular expression to say.
fn request_for(it: &HttpMatch, plain: &Witness) -> Option<Witness> {
    let text = |wanted: Option<&StringMatch>, otherwise: &str| match wanted.map(|wanted| &wanted.by) {
        None => Some(otherwise.to_owned()),
        Some(MatchBy::Exact(text) | MatchBy::Prefix(text)) => Some(text.to_string()),
        Some(MatchBy::Present) => Some("any".to_owned()),
        Some(MatchBy::Regex(_) | MatchBy::Below(_)) => None,
    };
    let headers = it.headers.0.iter();
    let headers = headers.map(|(name, wanted)| Some((name.value.to_string(), text(Some(wanted), "")?)));
    Some(Witness {
        method: text(it.method.as_deref(), &plain.method)?,
        host: text(it.authority.as_deref(), &plain.host)?,
        path: text(it.uri.as_deref(), &plain.path)?,
        headers: headers.collect::<Option<_>>()?,
    })
}

fn takes_all(rule: &HttpRoute) -> bool {
    let everything = |it: &HttpMatch| {
        let path = it.uri.as_deref().is_none_or(|uri| matches!(&uri.by, MatchBy::Prefix(prefix) if prefix == "/"));
        path && it.headers.0.is_empty()
            && it.without_headers.0.is_empty()
            && it.query_params.0.is_empty()
            && it.method.is_none()
            && it.authority.is_none()
            && it.scheme.is_none()
    };
    rule.matches.is_empty() || rule.matches.iter().any(everything)
}

/// What becomes of a request that a rule takes: equal texts are equal fates.
fn fate(rule: &HttpRoute) -> String {
    let to = rule.route.iter().map(|to| {
        let subset = to.destination.subset.as_ref().map_or("", |subset| subset.as_str());
        let port = to.destination.port.as_ref().map_or(0, |port| port.number.0);
        let weight = to.weight.map_or(0, |weight| weight.value);
        format!("{} {subset} {port} {weight}", to.destination.host.value)
    });
    let redirect = rule.redirect.as_ref().map(|it| {
        let text =
            |field: &Option<taut_resources::At<taut_source::Text>>| field.as_ref().map(|it| it.value.to_string());
        (text(&it.uri), text(&it.authority), text(&it.scheme), it.redirect_code.map(|code| code.value))
    });
    let rewrite = rule.rewrite.as_ref().map(|it| {
        let text =
            |field: &Option<taut_resources::At<taut_source::Text>>| field.as_ref().map(|it| it.value.to_string());
        (text(&it.uri), text(&it.authority))
    });
    let answer = rule.direct_response.as_ref().map(|it| it.status.value);
    let limits = (rule.timeout.map(|it| it.value), rule.retries.is_some(), rule.fault.is_some());
    format!("{:?} {redirect:?} {rewrite:?} {answer:?} {limits:?}", to.collect::<Vec<_>>())
}

//! Rules of one virtual service that an earlier rule leaves nothing to do (semantics.md §3.15).
//!
//! Owns: when two matches are the same, and when one prefix takes all that another would.
//! The comparison is Istio's: matches are equal if they say the same, and prefixes are compared as text.

use crate::labels::HashMap;

use taut_resources::{At, HttpMatch, Labels, MatchBy, Named, StringMatch, TcpMatch, TlsMatch, VirtualService};
use taut_source::{Span, Text};

/// What is wrong with one rule or match.
pub(super) struct Repeated {
    /// The rule or match.
    pub(super) at: Span,
    /// The earlier one that takes its requests.
    pub(super) earlier: Span,
    /// Why nothing is left.
    pub(super) why: &'static str,
}

/// What was found in one virtual service.
#[derive(Default)]
pub(super) struct Findings {
    /// Rules that no request reaches.
    pub(super) unreachable: Vec<Repeated>,
    /// Matches that no request reaches, of rules that others may.
    pub(super) ineffective: Vec<Repeated>,
}

/// A rule of any protocol: its place, and its matches, each with what it says.
struct Rule<'r> {
    at: Span,
    matches: Vec<(Span, String, Option<&'r HttpMatch>)>,
}

/// Looks through all rules of a virtual service.
pub(super) fn repeated(spec: &VirtualService) -> Findings {
    let mut findings = Findings::default();
    // A lone match repeats nothing: what it says need not be written down.
    let lone = spec.http.iter().map(|rule| rule.matches.len()).sum::<usize>() < 2;
    let key = |it| if lone { String::new() } else { http_key(it) };
    let http = spec.http.iter().map(|rule| Rule {
        at: rule.span,
        matches: rule.matches.iter().map(|it| (it.span, key(it), Some(it))).collect(),
    });
    let tls = spec.tls.iter().map(|rule| Rule {
        at: rule.span,
        matches: rule.matches.iter().map(|it| (it.span, tls_key(it), None)).collect(),
    });
    let tcp = spec.tcp.iter().map(|rule| Rule {
        at: rule.span,
        matches: rule.matches.iter().map(|it| (it.span, tcp_key(it), None)).collect(),
    });
    look_through(&http.collect::<Vec<_>>(), &mut findings);
    look_through(&tls.collect::<Vec<_>>(), &mut findings);
    look_through(&tcp.collect::<Vec<_>>(), &mut findings);
    findings
}

fn look_through(rules: &[Rule<'_>], findings: &mut Findings) {
    let mut seen: HashMap<&str, Span> = HashMap::default();
    let mut prefixes: Vec<(&HttpMatch, &str)> = Vec::new();
    let mut everything: Option<Span> = None;
    for rule in rules {
        if let Some(earlier) = everything {
            let why = match rule.matches.is_empty() {
                true => "an earlier rule takes every request as well",
                false => "an earlier rule takes every request",
            };
            findings.unreachable.push(Repeated { at: rule.at, earlier, why });
            continue;
        }
        if rule.matches.is_empty() {
            everything = Some(rule.at);
            continue;
        }
        let mut duplicates = Vec::new();
        for (at, key, http) in &rule.matches {
            if let Some(earlier) = seen.get(key.as_str()) {
                duplicates.push(*earlier);
                let why = "an earlier match says the same";
                findings.ineffective.push(Repeated { at: *at, earlier: *earlier, why });
                continue;
            }
            seen.insert(key, *at);
            let Some((it, prefix)) = http.and_then(|it| Some((it, prefix_of(it)?))) else { continue };
            if let Some((earlier, _)) = prefixes.iter().find(|(other, wide)| takes(other, wide, it, prefix)) {
                let why = "an earlier match has a prefix of its path";
                findings.ineffective.push(Repeated { at: *at, earlier: earlier.span, why });
            }
            prefixes.push((it, prefix));
        }
        if duplicates.len() == rule.matches.len() {
            let why = "earlier rules have all of its matches";
            findings.unreachable.push(Repeated { at: rule.at, earlier: duplicates[0], why });
        }
    }
}

fn prefix_of(it: &HttpMatch) -> Option<&str> {
    match &it.uri.as_deref()?.by {
        MatchBy::Prefix(prefix) => Some(prefix.as_str()),
        _ => None,
    }
}

/// Whether the earlier match takes all that the later one would.
fn takes(wide: &HttpMatch, wide_prefix: &str, narrow: &HttpMatch, narrow_prefix: &str) -> bool {
    let port = |it: &HttpMatch| it.port.as_ref().map_or(0, |port| port.value);
    let names = |map: &Named<StringMatch>| {
        let mut names: Vec<Text> = map.0.iter().map(|(name, _)| name.value.clone()).collect();
        names.sort();
        names
    };
    wide_prefix != narrow_prefix
        && narrow_prefix.starts_with(wide_prefix)
        && port(wide) == port(narrow)
        // A match without a method is for GET here: Istio compares what people mostly send.
        && text_of(wide.method.as_deref(), "GET") == text_of(narrow.method.as_deref(), "GET")
        && covers_text(text_of(wide.authority.as_deref(), ""), text_of(narrow.authority.as_deref(), ""))
        && names(&wide.headers) == names(&narrow.headers)
        && names(&wide.query_params) == names(&narrow.query_params)
        && names(&wide.without_headers) == names(&narrow.without_headers)
        && labels_key(&wide.source_labels) == labels_key(&narrow.source_labels)
        && wide.source_namespace.as_ref().map(|it| &it.value) == narrow.source_namespace.as_ref().map(|it| &it.value)
        && list_key(&wide.gateways) == list_key(&narrow.gateways)
}

/// The word of a match, with how it is compared.
fn text_of<'t>(it: Option<&'t StringMatch>, missing: &'t str) -> (char, &'t str) {
    match it.map(|it| &it.by) {
        None => ('=', missing),
        Some(MatchBy::Exact(text)) => ('=', text.as_str()),
        Some(MatchBy::Prefix(text)) => ('^', text.as_str()),
        Some(MatchBy::Regex(text)) => ('~', text.as_str()),
        Some(MatchBy::Below(text)) => ('/', text.as_str()),
        Some(MatchBy::Present) => ('?', ""),
    }
}

fn covers_text((how, wide): (char, &str), (how_narrow, narrow): (char, &str)) -> bool {
    (how, wide) == (how_narrow, narrow) || (how == '^' && matches!(how_narrow, '=' | '^') && narrow.starts_with(wide))
}

/// What a match says, as text: equal texts are equal matches. Its name says nothing.
fn http_key(it: &HttpMatch) -> String {
    let word = |it: Option<&StringMatch>| format!("{:?}", it.map(|it| &it.by));
    let map = |map: &Named<StringMatch>| {
        let mut all: Vec<String> = map.0.iter().map(|(name, it)| format!("{:?}{:?}", name.value, it.by)).collect();
        all.sort();
        all
    };
    format!(
        "{} {} {} {} {:?} {:?} {:?} {:?} {:?} {:?} {:?} {:?}",
        word(it.uri.as_deref()),
        word(it.scheme.as_deref()),
        word(it.method.as_deref()),
        word(it.authority.as_deref()),
        map(&it.headers),
        map(&it.query_params),
        map(&it.without_headers),
        it.port.as_ref().map(|it| it.value),
        labels_key(&it.source_labels),
        it.source_namespace.as_ref().map(|it| &it.value),
        list_key(&it.gateways),
        it.ignore_uri_case.is_some_and(|it| it.value),
    )
}

fn tls_key(it: &TlsMatch) -> String {
    format!(
        "{:?} {:?} {:?} {:?} {:?} {:?}",
        list_key(&it.sni_hosts),
        list_key(&it.destination_subnets),
        it.port.as_ref().map(|it| it.value),
        labels_key(&it.source_labels),
        list_key(&it.gateways),
        it.source_namespace.as_ref().map(|it| &it.value),
    )
}

fn tcp_key(it: &TcpMatch) -> String {
    format!(
        "{:?} {:?} {:?} {:?} {:?} {:?}",
        list_key(&it.destination_subnets),
        it.port.as_ref().map(|it| it.value),
        it.source_subnet.as_ref().map(|it| &it.value),
        labels_key(&it.source_labels),
        list_key(&it.gateways),
        it.source_namespace.as_ref().map(|it| &it.value),
    )
}

fn list_key(list: &[At<Text>]) -> Vec<&Text> {
    list.iter().map(|it| &it.value).collect()
}

fn labels_key(labels: &Labels) -> Vec<(&Text, &Text)> {
    let mut all: Vec<_> = labels.iter().collect();
    all.sort();
    all
}

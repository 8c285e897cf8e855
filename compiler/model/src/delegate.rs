//! Rules that another virtual service continues with (semantics.md §3.14).

use std::collections::BTreeMap;
use std::ops::Deref;

use taut_resources::{At, HttpMatch, HttpRoute, Labels, List, MatchBy, Named, Resource, StringMatch, VirtualService};

use crate::mesh::{Of, Routing};
use crate::{Text, Visibility};

/// A rule of a virtual service, and where it stands.
#[derive(Clone, Debug)]
pub struct RuleOf<'r> {
    /// The rule.
    pub rule: Rule<'r>,
    /// The resource that it stands in: short names are of its namespace.
    pub of: Of<'r, VirtualService>,
    /// What the words of a virtual service cannot say of it.
    pub beyond: Beyond<'r>,
}

/// The words of a rule.
#[derive(Clone, Debug)]
pub enum Rule<'r> {
    /// As they stand in a resource.
    Written(&'r HttpRoute),
    /// Put together from a root's and a delegate's: nobody's own.
    Merged(Box<HttpRoute>),
}

impl Deref for Rule<'_> {
    type Target = HttpRoute;

    fn deref(&self) -> &HttpRoute {
        match self {
            Rule::Written(rule) => rule,
            Rule::Merged(rule) => rule,
        }
    }
}

/// What the words of a virtual service cannot say of a rule.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Beyond<'r> {
    /// Whether it is of the Gateway API, where a destination that does not exist answers 500 (semantics.md §18.4).
    pub gateway_api: bool,
    /// What all of the path becomes.
    pub full_path: Option<&'r Text>,
}

/// Replaces the rules that delegate by the delegate's, each combined with every match of the root's. One whose delegate
/// is missing, or is not for the root to see, goes.
pub(crate) fn continue_rules(routings: &mut [Routing<'_>]) {
    if !routings.iter().any(|routing| routing.of.spec.http.iter().any(|rule| rule.delegate.is_some())) {
        return;
    }
    let delegates: BTreeMap<(Text, Text), (Of<'_, VirtualService>, Visibility)> = routings
        .iter()
        .filter(|routing| routing.of.spec.hosts.is_empty())
        .map(|it| ((it.of.namespace().clone(), it.of.name().clone()), (it.of, it.visibility.clone())))
        .collect();
    for routing in routings.iter_mut().filter(|routing| !routing.of.spec.hosts.is_empty()) {
        let mut rules = Vec::with_capacity(routing.http.len());
        for root in std::mem::take(&mut routing.http) {
            let Some(to) = &root.rule.delegate else {
                rules.push(root);
                continue;
            };
            let text = |field: &Option<At<Text>>| field.as_ref().map(|text| text.value.clone()).unwrap_or_default();
            let namespace = Some(text(&to.namespace)).filter(|namespace| !namespace.is_empty());
            let namespace = namespace.unwrap_or_else(|| routing.of.namespace().clone());
            let Some((delegate, visibility)) = delegates.get(&(namespace, text(&to.name))) else { continue };
            if !visibility.admits(routing.of.namespace()) {
                continue;
            }
            let merged = delegate.spec.http.iter().filter_map(|rule| merge(&root.rule, rule));
            rules.extend(merged.map(|rule| RuleOf {
                rule: Rule::Merged(Box::new(rule)),
                of: *delegate,
                beyond: Beyond::default(),
            }));
        }
        routing.http = rules;
    }
}

/// One rule of a delegate as the root goes on with it; none if some match of it contradicts every one of the root's.
fn merge(root: &HttpRoute, delegate: &HttpRoute) -> Option<HttpRoute> {
    let mut rule = delegate.clone();
    rule.matches = matches(&root.matches, &delegate.matches)?;
    rule.name = match (&root.name, &delegate.name) {
        (Some(root), Some(own)) => Some(At { value: format!("{}-{}", root.value, own.value).into(), span: own.span }),
        (root, own) => own.clone().or_else(|| root.clone()),
    };
    macro_rules! inherit {
        ($($field:ident),*) => {$(
            if rule.$field.is_none() {
                rule.$field.clone_from(&root.$field);
            }
        )*};
    }
    inherit!(rewrite, direct_response, timeout, retries, fault, cors_policy, headers);
    inherit!(mirror, mirror_percent, mirror_percentage);
    if rule.mirrors.is_empty() {
        rule.mirrors.clone_from(&root.mirrors);
    }
    Some(rule)
}

fn matches(root: &[HttpMatch], delegate: &[HttpMatch]) -> Option<List<HttpMatch>> {
    if root.is_empty() || delegate.is_empty() {
        return Some(if root.is_empty() { delegate } else { root }.into());
    }
    let mut merged = List::new();
    for own in delegate {
        let before = merged.len();
        merged.extend(root.iter().filter_map(|root| both(root, own)));
        if merged.len() == before {
            return None;
        }
    }
    Some(merged)
}

/// A match that holds where both do; none where they contradict each other, or nobody can tell.
fn both(root: &HttpMatch, own: &HttpMatch) -> Option<HttpMatch> {
    let mut merged = own.clone();
    let case = |it: &HttpMatch| it.ignore_uri_case.as_ref().is_some_and(|ignore| ignore.value);
    if case(root) != case(own) {
        return None;
    }
    merged.uri = narrower(root.uri.as_deref(), own.uri.as_deref())?.map(Box::new);
    merged.scheme = narrower(root.scheme.as_deref(), own.scheme.as_deref())?.map(Box::new);
    merged.method = narrower(root.method.as_deref(), own.method.as_deref())?.map(Box::new);
    merged.authority = narrower(root.authority.as_deref(), own.authority.as_deref())?.map(Box::new);
    merged.headers = named(&root.headers, &own.headers)?;
    merged.without_headers = named(&root.without_headers, &own.without_headers)?;
    merged.query_params = named(&root.query_params, &own.query_params)?;
    let number = |it: &HttpMatch| it.port.as_ref().map_or(0, |port| port.value);
    match (number(root), number(own)) {
        (root_port, 0) if root_port != 0 => merged.port.clone_from(&root.port),
        (a, b) if a != 0 && a != b => return None,
        _ => {}
    }
    let space = |it: &HttpMatch| it.source_namespace.as_ref().map(|it| it.value.clone()).unwrap_or_default();
    if !space(root).is_empty() && space(root) != space(own) {
        return None; // the trap: even one that says nothing contradicts
    }
    merged.source_labels = labels(&root.source_labels, &own.source_labels)?;
    if own.gateways.is_empty() {
        merged.gateways.clone_from(&root.gateways);
    } else if !root.gateways.is_empty()
        && !own.gateways.iter().all(|gateway| root.gateways.iter().any(|it| it.value == gateway.value))
    {
        return None;
    }
    let name = |it: &HttpMatch| it.name.as_ref().map(|name| name.value.clone()).filter(|name| !name.is_empty());
    if let (Some(root), Some(own_name)) = (name(root), &mut merged.name) {
        own_name.value = format!("{root}-{}", own_name.value).into();
    } else if merged.name.is_none() {
        merged.name.clone_from(&root.name);
    }
    Some(merged)
}

fn named(root: &Named<StringMatch>, own: &Named<StringMatch>) -> Option<Named<StringMatch>> {
    let mut merged = own.clone();
    for (name, matcher) in &root.0 {
        match merged.0.iter_mut().find(|(known, _)| known.value == name.value) {
            Some((_, known)) => *known = narrower(Some(matcher), Some(known))??,
            None => merged.0.push((name.clone(), matcher.clone())),
        }
    }
    Some(merged)
}

fn labels(root: &Labels, own: &Labels) -> Option<Labels> {
    let contradicts = |(name, value): (&Text, &Text)| own.get(name).is_some_and(|known| known != value);
    if root.iter().any(contradicts) {
        return None;
    }
    let more = root.0.iter().filter(|(name, _)| own.get(name).is_none());
    Some(Labels(own.0.iter().chain(more).cloned().collect()))
}

/// Of two conditions the narrower; none if they contradict each other. Patterns are never compared.
#[expect(clippy::option_option, reason = "no condition at all is one of the answers")]
fn narrower(root: Option<&StringMatch>, own: Option<&StringMatch>) -> Option<Option<StringMatch>> {
    let (Some(root), Some(own)) = (root, own) else { return Some(own.or(root).cloned()) };
    let fits = match (&root.by, &own.by) {
        (MatchBy::Present, MatchBy::Present) => true,
        (MatchBy::Prefix(prefix), MatchBy::Prefix(own) | MatchBy::Exact(own)) => own.starts_with(prefix.as_str()),
        (MatchBy::Exact(root), MatchBy::Exact(own)) => root == own,
        _ => false,
    };
    fits.then(|| Some(own.clone()))
}

impl<'r> RuleOf<'r> {
    /// The resource that the rule stands in.
    #[must_use]
    pub fn resource(&self) -> &'r Resource {
        self.of.resource
    }
}

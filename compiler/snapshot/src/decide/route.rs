//! Which rule a request is for (semantics.md §3.5): the rules in order, in each its alternatives in order; the first hit counts.

use regex::bytes::Regex;

use super::cors::CorsPolicy;
use super::paths::Paths;
use super::pattern::{self, BadPattern, Pattern};
use super::request::Request;
use crate::Text;
use crate::object::{
    self, Action, ClusterRef, DirectResponse, Fault, HeaderOps, PathRewrite, Redirect, Retry, RouteTable, Rule, Target,
};

/// A cluster, by its number in the tables that made the router.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClusterId(pub u32);

/// What is answered where a destination does not exist, if the rule does not say (semantics.md §3.6).
const NO_CLUSTER: u16 = 503;

/// What a rule does with a request.
#[derive(Clone, Debug)]
pub enum ToDo {
    /// Sends it on.
    Forward(Forwarding),
    /// Sends its sender elsewhere.
    Redirect(Redirect),
    /// Answers it.
    Respond(DirectResponse),
}

/// Where a request goes, and how.
#[derive(Clone, Debug)]
pub struct Forwarding {
    /// One is drawn by weight.
    pub destinations: Vec<Destination>,
    /// The most that the whole exchange may take, in milliseconds; 0 means no limit.
    pub timeout_ms: u64,
    /// When to try again.
    pub retry: Option<Retry>,
    /// How the path changes.
    pub path: Option<PathRewrite>,
    /// The pattern of a change by pattern.
    pub path_pattern: Option<Regex>,
    /// The Host that the service sees; the client's own if empty.
    pub host: Text,
    /// Where copies go: the cluster, and how many of a million requests.
    pub mirrors: Vec<(ClusterId, u32)>,
    /// The status of the answer where the destination does not exist.
    pub missing_status: u16,
}

/// One destination.
#[derive(Clone, Debug)]
pub struct Destination {
    /// The cluster, or the name of one that does not exist.
    pub cluster: Result<ClusterId, Text>,
    /// Its share.
    pub weight: u32,
    /// Header changes of the request.
    pub request_headers: Option<Box<HeaderOps>>,
    /// Header changes of the response.
    pub response_headers: Option<Box<HeaderOps>>,
    /// The Host that the service sees, if the rule does not say.
    pub host: Text,
}

/// A route table, ready to be asked.
#[derive(Clone, Debug)]
pub struct Router {
    rules: Vec<ReadyRule>,
    /// Where to look in a long table.
    index: Option<Index>,
}

/// The alternatives of all rules in their order, a rule without any as one that takes every request.
#[derive(Clone, Debug)]
struct Index {
    paths: Paths,
    /// The rule of each, and the alternative in it.
    entries: Vec<(u32, u32)>,
}

#[derive(Clone, Debug)]
struct ReadyRule {
    name: Text,
    alternatives: Vec<Alternative>,
    todo: ToDo,
    /// None in most rules: a large mesh has many.
    more: Option<Box<More>>,
}

/// What a rule does beside sending requests on.
#[derive(Clone, Debug)]
struct More {
    request_headers: Option<HeaderOps>,
    response_headers: Option<HeaderOps>,
    makes_headers: bool,
    fault: Option<Fault>,
    cors: Option<CorsPolicy>,
}

/// The rule and the alternative that a request hit.
#[derive(Clone, Copy, Debug)]
pub struct Hit<'t> {
    /// The rule's number in the table.
    pub rule: usize,
    /// The alternative; none if the rule takes every request.
    pub alternative: Option<&'t Alternative>,
    /// What logs and metrics call the rule.
    pub name: &'t Text,
    /// What to do.
    pub todo: &'t ToDo,
    /// Header changes of the request.
    pub request_headers: Option<&'t HeaderOps>,
    /// Header changes of the response.
    pub response_headers: Option<&'t HeaderOps>,
    /// Whether any header is made of what is known of the request, by the rule or by one of its destinations.
    pub makes_headers: bool,
    /// How much of the path the rule matched: what a rewrite or redirect replaces.
    pub matched: usize,
    /// Faults put into its requests.
    pub fault: Option<&'t Fault>,
    /// Which other origins may read its answers.
    pub cors: Option<&'t CorsPolicy>,
}

/// Conditions that all hold.
#[derive(Clone, Debug)]
pub struct Alternative {
    /// Added to the rule's name.
    pub name: Text,
    path: Option<Matcher>,
    ignore_case: bool,
    /// None in most alternatives.
    beside: Option<Box<Beside>>,
}

/// Conditions on something else than the path.
#[derive(Clone, Debug)]
struct Beside {
    method: Option<Matcher>,
    scheme: Option<Matcher>,
    authority: Option<Matcher>,
    headers: Vec<(Text, Matcher)>,
    without_headers: Vec<(Text, Matcher)>,
    query: Vec<(Text, Matcher)>,
}

#[derive(Clone, Debug)]
pub(super) enum Matcher {
    Present,
    Exact(Text),
    Prefix(Text),
    Regex(Pattern),
    Below(Text),
}

/// The first condition of an alternative that a request does not meet, in words; for `explain`.
pub(crate) type Unmet = String;

impl Matcher {
    pub(super) fn new(matcher: &object::Matcher) -> Result<Matcher, BadPattern> {
        Ok(match matcher {
            object::Matcher::Present => Matcher::Present,
            object::Matcher::Exact(text) => Matcher::Exact(text.clone()),
            object::Matcher::Prefix(text) => Matcher::Prefix(text.clone()),
            object::Matcher::Regex(text) => Matcher::Regex(Pattern::whole(text)?),
            object::Matcher::Below(text) => Matcher::Below(text.clone()),
        })
    }

    pub(super) fn matches(&self, value: &[u8], ignore_case: bool) -> bool {
        let starts = |prefix: &str| {
            value.get(..prefix.len()).is_some_and(|start| {
                if ignore_case { start.eq_ignore_ascii_case(prefix.as_bytes()) } else { start == prefix.as_bytes() }
            })
        };
        match self {
            Matcher::Present => true,
            Matcher::Exact(text) => text.len() == value.len() && starts(text),
            Matcher::Prefix(text) => starts(text),
            Matcher::Regex(pattern) => pattern.matches(value),
            Matcher::Below(text) => {
                let text = text.trim_end_matches('/');
                starts(text) && matches!(value.get(text.len()), None | Some(b'/'))
            }
        }
    }

    fn matches_text(&self, value: &str) -> bool {
        self.matches(value.as_bytes(), false)
    }
}

impl Alternative {
    fn new(from: &object::Alternative) -> Result<Alternative, BadPattern> {
        let one = |matcher: &Option<object::Matcher>| matcher.as_ref().map(Matcher::new).transpose();
        let named = |list: &[object::NamedMatcher]| -> Result<Vec<_>, BadPattern> {
            list.iter().map(|it| Ok((it.name.clone(), Matcher::new(&it.value)?))).collect()
        };
        let beside = Beside {
            method: one(&from.method)?,
            scheme: one(&from.scheme)?,
            authority: one(&from.authority)?,
            headers: named(&from.headers)?,
            without_headers: named(&from.without_headers)?,
            query: named(&from.query)?,
        };
        Ok(Alternative {
            name: from.name.clone(),
            path: one(&from.path)?,
            ignore_case: from.ignore_case,
            beside: Some(beside).filter(|it| !it.is_empty()).map(Box::new),
        })
    }

    fn path_matches(&self, path: &str) -> bool {
        self.path.as_ref().is_none_or(|matcher| matcher.matches(path.as_bytes(), self.ignore_case))
    }

    fn matches(&self, request: &Request<'_>) -> bool {
        self.path_matches(request.path) && self.beside.as_ref().is_none_or(|beside| beside.matches(request))
    }

    /// The first condition that a request does not meet.
    #[must_use]
    pub fn unmet(&self, request: &Request<'_>) -> Option<Unmet> {
        if let (Some(matcher), false) = (&self.path, self.path_matches(request.path)) {
            return Some(format!("the path `{}` {}", request.path, matcher.unmet()));
        }
        self.beside.as_ref()?.unmet(request)
    }

    /// What every path that matches begins with, if that is known.
    fn beginning(&self) -> Option<&Text> {
        match &self.path {
            Some(Matcher::Exact(text) | Matcher::Prefix(text)) if !self.ignore_case => Some(text),
            // Below `/a/` is `/a` as well.
            Some(Matcher::Below(text)) if !self.ignore_case && !text.ends_with('/') => Some(text),
            _ => None,
        }
    }

    /// How much of a path that matches is what a rewrite replaces.
    fn matched(&self, path: &str) -> usize {
        match &self.path {
            Some(Matcher::Prefix(prefix)) => prefix.len(),
            Some(Matcher::Below(prefix)) => prefix.trim_end_matches('/').len(),
            Some(Matcher::Exact(_) | Matcher::Regex(_)) => path.len(),
            // Without a condition on the path, the prefix `/` is replaced.
            Some(Matcher::Present) | None => 1,
        }
    }
}

impl Beside {
    fn is_empty(&self) -> bool {
        let texts = [&self.method, &self.scheme, &self.authority];
        let lists = [&self.headers, &self.without_headers, &self.query];
        texts.iter().all(|text| text.is_none()) && lists.iter().all(|list| list.is_empty())
    }

    fn matches(&self, request: &Request<'_>) -> bool {
        let text =
            |matcher: &Option<Matcher>, value: &str| matcher.as_ref().is_none_or(|matcher| matcher.matches_text(value));
        text(&self.method, request.method)
            && text(&self.scheme, request.scheme)
            && text(&self.authority, request.authority)
            && self.headers.iter().all(|(name, matcher)| header_matches(request, name, matcher))
            && self.without_headers.iter().all(|(name, matcher)| header_differs(request, name, matcher))
            && self.query.iter().all(|(name, matcher)| parameter_matches(request, name, matcher))
    }

    fn unmet(&self, request: &Request<'_>) -> Option<Unmet> {
        let text = |what: &str, matcher: &Option<Matcher>, value: &str| {
            let matcher = matcher.as_ref().filter(|matcher| !matcher.matches_text(value))?;
            Some(format!("the {what} `{value}` {}", matcher.unmet()))
        };
        text("method", &self.method, request.method)
            .or_else(|| text("scheme", &self.scheme, request.scheme))
            .or_else(|| text("host", &self.authority, request.authority))
            .or_else(|| {
                let (name, matcher) =
                    self.headers.iter().find(|(name, matcher)| !header_matches(request, name, matcher))?;
                Some(format!("the header `{name}` {}", matcher.unmet()))
            })
            .or_else(|| {
                let (name, _) =
                    self.without_headers.iter().find(|(name, matcher)| !header_differs(request, name, matcher))?;
                Some(format!("the header `{name}` is one that the rule excludes"))
            })
            .or_else(|| {
                let (name, matcher) =
                    self.query.iter().find(|(name, matcher)| !parameter_matches(request, name, matcher))?;
                Some(format!("the query parameter `{name}` {}", matcher.unmet()))
            })
    }
}

impl Matcher {
    fn unmet(&self) -> String {
        match self {
            Matcher::Present => "is missing".to_owned(),
            Matcher::Exact(text) => format!("is not `{text}`"),
            Matcher::Prefix(text) => format!("does not start with `{text}`"),
            Matcher::Regex(_) => "does not match the pattern".to_owned(),
            Matcher::Below(text) => format!("is not below `{text}`"),
        }
    }
}

/// A header that is repeated matches if any of its values does (verification.md §4).
fn header_matches(request: &Request<'_>, name: &str, matcher: &Matcher) -> bool {
    request.headers.any(name, &mut |value| matcher.matches(value, false)) == Some(true)
}

fn header_differs(request: &Request<'_>, name: &str, matcher: &Matcher) -> bool {
    match request.headers.any(name, &mut |value| matcher.matches(value, false)) {
        Some(matched) => !matched,
        // A missing header counts as empty, but for a rule about its presence.
        None => matches!(matcher, Matcher::Present) || !matcher.matches(b"", false),
    }
}

fn parameter_matches(request: &Request<'_>, name: &str, matcher: &Matcher) -> bool {
    request.query_parameter(name).is_some_and(|value| matcher.matches_text(value))
}

impl Router {
    /// A router of a table. `number` gives the cluster that a destination names.
    ///
    /// # Errors
    /// If a pattern cannot be compiled.
    pub fn new(table: &RouteTable, number: &mut dyn FnMut(&ClusterRef) -> ClusterId) -> Result<Router, BadPattern> {
        let rules = table.rules.iter().map(|rule| ReadyRule::new(rule, number)).collect::<Result<Vec<_>, _>>()?;
        let index = Index::new(&rules);
        Ok(Router { rules, index })
    }

    /// The rule for a request.
    #[must_use]
    pub fn route(&self, request: &Request<'_>) -> Option<Hit<'_>> {
        match &self.index {
            Some(index) => index.route(&self.rules, request),
            None => self.look_through(request),
        }
    }

    fn look_through(&self, request: &Request<'_>) -> Option<Hit<'_>> {
        self.rules.iter().enumerate().find_map(|(number, rule)| {
            let alternative = match rule.alternatives.as_slice() {
                [] => None,
                some => Some(some.iter().find(|alternative| alternative.matches(request))?),
            };
            Some(rule.hit(number, alternative, request))
        })
    }

    /// How many rules there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.rules.len()
    }

    /// Whether there is no rule.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// What all rules do.
    pub fn todos(&self) -> impl Iterator<Item = &ToDo> {
        self.rules.iter().map(|rule| &rule.todo)
    }

    /// For each rule before `until`, the condition that each alternative's first failed one.
    pub fn unmet<'r>(
        &'r self,
        request: &'r Request<'r>,
        until: usize,
    ) -> impl Iterator<Item = (usize, Vec<Unmet>)> + 'r {
        self.rules.iter().take(until).enumerate().map(|(number, rule)| {
            (number, rule.alternatives.iter().filter_map(|alternative| alternative.unmet(request)).collect())
        })
    }
}

impl Index {
    /// None if there is little to look through.
    fn new(rules: &[ReadyRule]) -> Option<Index> {
        let of_rule = |rule: &ReadyRule| rule.alternatives.len().max(1);
        let numbers =
            rules.iter().enumerate().flat_map(|(number, rule)| (0..of_rule(rule)).map(move |at| (number, at)));
        let beginnings = numbers.clone().map(|(number, at)| rules[number].alternatives.get(at)?.beginning());
        let paths = Paths::new(beginnings)?;
        let entries = numbers.map(|(number, at)| (number as u32, at as u32)).collect();
        Some(Index { paths, entries })
    }

    fn route<'t>(&self, rules: &'t [ReadyRule], request: &Request<'_>) -> Option<Hit<'t>> {
        let entry = |number: u32| {
            let (rule, alternative) = self.entries[number as usize];
            (rule as usize, rules[rule as usize].alternatives.get(alternative as usize))
        };
        let matches = |number: u32| entry(number).1.is_none_or(|alternative| alternative.matches(request));
        let (rule, alternative) = entry(self.paths.first(request.path, matches)?);
        Some(rules[rule].hit(rule, alternative, request))
    }
}

impl ReadyRule {
    fn new(rule: &Rule, number: &mut dyn FnMut(&ClusterRef) -> ClusterId) -> Result<ReadyRule, BadPattern> {
        Ok(ReadyRule {
            name: rule.name.clone(),
            alternatives: rule.alternatives.iter().map(Alternative::new).collect::<Result<_, _>>()?,
            todo: match &rule.action {
                Action::Forward(forward) => ToDo::Forward(Forwarding::new(forward, number)?),
                Action::Redirect(redirect) => ToDo::Redirect(redirect.clone()),
                Action::Respond(respond) => ToDo::Respond(respond.clone()),
            },
            more: More::new(rule)?.map(Box::new),
        })
    }

    fn hit<'t>(&'t self, rule: usize, alternative: Option<&'t Alternative>, request: &Request<'_>) -> Hit<'t> {
        let more = self.more.as_ref();
        Hit {
            rule,
            alternative,
            name: &self.name,
            todo: &self.todo,
            request_headers: more.and_then(|more| more.request_headers.as_ref()),
            response_headers: more.and_then(|more| more.response_headers.as_ref()),
            makes_headers: more.is_some_and(|more| more.makes_headers),
            matched: alternative.map_or(1, |alternative| alternative.matched(request.path)),
            fault: more.and_then(|more| more.fault.as_ref()),
            cors: more.and_then(|more| more.cors.as_ref()),
        }
    }
}

impl More {
    /// None if there is nothing.
    fn new(rule: &Rule) -> Result<Option<More>, BadPattern> {
        let Rule { request_headers, response_headers, fault, cors, .. } = rule;
        let makes_headers = makes_headers(rule);
        let plain = request_headers.is_none() && response_headers.is_none() && !makes_headers;
        if plain && fault.is_none() && cors.is_none() {
            return Ok(None);
        }
        Ok(Some(More {
            request_headers: request_headers.clone(),
            response_headers: response_headers.clone(),
            makes_headers,
            fault: fault.clone(),
            cors: cors.as_ref().map(CorsPolicy::new).transpose()?,
        }))
    }
}

fn makes_headers(rule: &Rule) -> bool {
    let of_destinations = match &rule.action {
        Action::Forward(forward) => forward.destinations.as_slice(),
        Action::Redirect(_) | Action::Respond(_) => &[],
    };
    let of_destinations = of_destinations.iter().flat_map(|it| [&it.request_headers, &it.response_headers]);
    let all = [&rule.request_headers, &rule.response_headers].into_iter().chain(of_destinations);
    all.flatten().any(|ops| !ops.made.is_empty())
}

impl Forwarding {
    fn new(
        forward: &object::Forward,
        number: &mut dyn FnMut(&ClusterRef) -> ClusterId,
    ) -> Result<Forwarding, BadPattern> {
        let path_pattern = match &forward.path {
            Some(PathRewrite::Regex(regex)) => Some(pattern::compile(&regex.pattern)?),
            _ => None,
        };
        let mut destination = |to: &object::Weighted| Destination {
            cluster: match &to.target {
                Target::Cluster(to) => Ok(number(to)),
                Target::Missing(name) => Err(name.clone()),
            },
            weight: to.weight,
            request_headers: to.request_headers.clone().map(Box::new),
            response_headers: to.response_headers.clone().map(Box::new),
            host: to.host.clone(),
        };
        let destinations = forward.destinations.iter().map(&mut destination).collect();
        Ok(Forwarding {
            destinations,
            timeout_ms: forward.timeout_ms,
            retry: forward.retry.clone(),
            path: forward.path.clone(),
            path_pattern,
            host: forward.host.clone(),
            mirrors: forward.mirrors.iter().map(|mirror| (number(&mirror.to), mirror.share)).collect(),
            missing_status: if forward.missing_status == 0 { NO_CLUSTER } else { forward.missing_status },
        })
    }

    /// All of it to one cluster, tried again as by default: what happens without a rule.
    #[must_use]
    pub fn to(cluster: ClusterId, retry: Option<&Retry>) -> Forwarding {
        let destination = Destination {
            cluster: Ok(cluster),
            weight: 1,
            request_headers: None,
            response_headers: None,
            host: Text::default(),
        };
        Forwarding {
            destinations: vec![destination],
            timeout_ms: 0,
            retry: Some(retry.cloned().unwrap_or_else(super::default_retry)).filter(|retry| 0 < retry.attempts),
            path: None,
            path_pattern: None,
            host: Text::default(),
            mirrors: Vec::new(),
            missing_status: NO_CLUSTER,
        }
    }
}

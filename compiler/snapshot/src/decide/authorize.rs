//! Whether a request is allowed (semantics.md §11.3): any DENY that matches rejects; if there is any ALLOW policy, one must match.

use std::net::IpAddr;

use super::pattern::{BadPattern, Pattern};
use super::request::Request;
use crate::Text;
use crate::object::{self, PolicySet, Test, TextTest};

/// Who asks, and over which connection.
#[derive(Clone, Copy, Debug)]
pub struct Peer<'a> {
    /// The SPIFFE id that the peer proved; none over plaintext.
    pub identity: Option<&'a str>,
    /// The address at the other end.
    pub source: IpAddr,
    /// The address of the client, as far as those between are believed; the same if nobody is.
    pub remote: IpAddr,
    /// The address that the connection came to.
    pub destination: IpAddr,
    /// The workload's port.
    pub port: u16,
    /// The server name of the connection.
    pub server_name: Option<&'a str>,
}

/// The answer, and the policy that gave it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict<'p> {
    /// There is no policy for this workload.
    NotApplicable,
    /// Allowed by this policy; by none in particular if there is no ALLOW policy.
    Allow(Option<&'p Text>),
    /// Denied by this policy; if by none, because no ALLOW policy matches.
    Deny(Option<&'p Text>),
}

impl Verdict<'_> {
    /// Whether the request may pass.
    #[must_use]
    pub fn allowed(&self) -> bool {
        !matches!(self, Verdict::Deny(_))
    }
}

/// The policies of a workload, ready to be asked.
#[derive(Clone, Debug, Default)]
pub struct Policies {
    /// Policies by which somebody is asked: whom, unless the mesh has nobody of that name.
    custom: Vec<(Policy, Option<Text>)>,
    deny: Vec<Policy>,
    allow: Vec<Policy>,
    /// Whether there is an ALLOW policy that is enforced.
    guarded: bool,
    audit: Vec<Policy>,
    /// Whether any policy is only counted.
    watched: bool,
    /// Whether any policy looks at the client's address beyond the connection.
    looks_at_remote: bool,
}

/// What policies that are only counted would say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Watched {
    /// An AUDIT policy matches.
    pub audited: bool,
    /// With those that are tried out enforced, the request would be denied.
    pub would_deny: bool,
}

#[derive(Clone, Debug)]
struct Policy {
    name: Text,
    dry_run: bool,
    rules: Vec<Rule>,
}

#[derive(Clone, Debug)]
struct Rule {
    from: Vec<Vec<Clause>>,
    to: Vec<Vec<Clause>>,
    when: Vec<Clause>,
}

#[derive(Clone, Debug)]
struct Clause {
    negated: bool,
    http_only: bool,
    any: Vec<Ready>,
}

/// Whose address it is.
#[derive(Clone, Copy, Debug)]
enum Whose {
    Source,
    Remote,
    Destination,
}

/// A test with what it takes to run it.
#[derive(Clone, Debug)]
enum Ready {
    Plain(Test),
    /// Over the whole SPIFFE id.
    Identity(Pattern),
    /// Addresses: of the source, or of the destination.
    Block {
        of: Whose,
        address: IpAddr,
        bits: u8,
    },
}

impl Policies {
    /// Makes policies ready.
    ///
    /// # Errors
    /// If a test has no meaning: an address that is none, a pattern that cannot be compiled.
    pub fn new(set: &PolicySet) -> Result<Policies, BadPattern> {
        let ready = |list: &[object::Policy]| list.iter().map(Policy::new).collect::<Result<Vec<_>, _>>();
        let allow = ready(&set.allow)?;
        let guarded = allow.iter().any(|policy| !policy.dry_run);
        let mut custom = Vec::with_capacity(set.custom.len());
        // Two of them at one workload is one too many: Istio then rejects what either is about (semantics.md §11.6).
        let several = set.custom.iter().any(|it| set.custom.iter().any(|other| other.provider != it.provider));
        for it in &set.custom {
            let asked = Some(it.provider.clone()).filter(|_| !it.unknown && !several);
            custom.push((Policy::new(&it.policy)?, asked));
        }
        let custom_policies = || set.custom.iter().map(|it| &it.policy);
        let all = || set.deny.iter().chain(&set.allow).chain(&set.audit).chain(custom_policies());
        let tests = || all().flat_map(|policy| &policy.rules).flat_map(object::AuthzRule::tests);
        Ok(Policies {
            custom,
            deny: ready(&set.deny)?,
            guarded,
            allow,
            audit: ready(&set.audit)?,
            watched: !set.audit.is_empty() || all().any(|policy| policy.dry_run),
            looks_at_remote: tests().any(|test| matches!(test, Test::RemoteIp(_))),
        })
    }

    /// Whether any policy looks at the client's address beyond the connection.
    #[must_use]
    pub fn looks_at_remote(&self) -> bool {
        self.looks_at_remote
    }

    /// What policies that are only counted would say: nothing in most meshes, which have none (semantics.md §11.7).
    #[must_use]
    pub fn watch(&self, peer: &Peer<'_>, request: Option<&Request<'_>>) -> Watched {
        if !self.watched {
            return Watched::default();
        }
        let matches = |policies: &[Policy], rejects| policies.iter().any(|it| it.matches(peer, request, rejects));
        let denied = matches(&self.deny, true) || (!self.allow.is_empty() && !matches(&self.allow, false));
        let tried_out = self.deny.iter().chain(&self.allow).any(|policy| policy.dry_run);
        Watched { audited: matches(&self.audit, true), would_deny: tried_out && denied }
    }

    /// Decides. Without a `request` the connection carries bytes that are not HTTP (semantics.md §11.5).
    #[must_use]
    pub fn authorize(&self, peer: &Peer<'_>, request: Option<&Request<'_>>) -> Verdict<'_> {
        if self.deny.is_empty() && self.allow.is_empty() && self.custom.is_empty() {
            return Verdict::NotApplicable;
        }
        let mut nobody = self.custom.iter().filter(|(_, asked)| asked.is_none()).map(|(policy, _)| policy);
        if let Some(policy) = nobody.find(|policy| policy.matches(peer, request, true)) {
            return Verdict::Deny(Some(&policy.name));
        }
        let enforced = |policy: &&Policy| !policy.dry_run;
        if let Some(policy) = self.deny.iter().filter(enforced).find(|policy| policy.matches(peer, request, true)) {
            return Verdict::Deny(Some(&policy.name));
        }
        if !self.guarded {
            return Verdict::Allow(None);
        }
        match self.allow.iter().filter(enforced).find(|policy| policy.matches(peer, request, false)) {
            Some(policy) => Verdict::Allow(Some(&policy.name)),
            None => Verdict::Deny(None),
        }
    }
}

impl Policies {
    /// Whether anybody is ever to be asked.
    #[must_use]
    pub fn asks(&self) -> bool {
        self.custom.iter().any(|(_, asked)| asked.is_some())
    }

    /// Whom a request is to be asked about before anything else counts, and the policy that says so.
    pub fn asked<'p>(
        &'p self,
        peer: &'p Peer<'_>,
        request: Option<&'p Request<'_>>,
    ) -> impl Iterator<Item = (&'p Text, &'p Text)> {
        let known = self.custom.iter().filter_map(|(policy, asked)| Some((policy, asked.as_ref()?)));
        let about = known.filter(move |(policy, _)| policy.matches(peer, request, true));
        about.map(|(policy, asked)| (&policy.name, asked))
    }

    /// The policies that only note a request, or are only tried out on it, and whether they would reject it.
    pub fn noted<'p>(
        &'p self,
        peer: &'p Peer<'_>,
        request: Option<&'p Request<'_>>,
    ) -> impl Iterator<Item = (&'p Text, Noted)> {
        let audit = self.audit.iter().map(|policy| (policy, Noted::Audit, true));
        let deny = self.deny.iter().filter(|policy| policy.dry_run).map(|policy| (policy, Noted::WouldDeny, true));
        let allow = self.allow.iter().filter(|policy| policy.dry_run).map(|policy| (policy, Noted::WouldAllow, false));
        let all = audit.chain(deny).chain(allow);
        let about = all.filter(move |(policy, _, rejects)| policy.matches(peer, request, *rejects));
        about.map(|(policy, noted, _)| (&policy.name, noted))
    }
}

/// What a policy that does not count says of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Noted {
    /// It is one to note.
    Audit,
    /// It would be rejected.
    WouldDeny,
    /// It would be allowed.
    WouldAllow,
}

impl Policy {
    fn new(policy: &object::Policy) -> Result<Policy, BadPattern> {
        let rules = policy.rules.iter().map(Rule::new).collect::<Result<_, _>>()?;
        Ok(Policy { name: policy.name.clone(), dry_run: policy.dry_run, rules })
    }

    fn matches(&self, peer: &Peer<'_>, request: Option<&Request<'_>>, rejects: bool) -> bool {
        self.rules.iter().any(|rule| rule.matches(peer, request, rejects))
    }
}

impl Rule {
    fn new(rule: &object::AuthzRule) -> Result<Rule, BadPattern> {
        let clauses = |list: &[object::Clause]| list.iter().map(Clause::new).collect::<Result<Vec<_>, _>>();
        let any =
            |list: &[object::Conjunction]| list.iter().map(|it| clauses(&it.clauses)).collect::<Result<Vec<_>, _>>();
        Ok(Rule { from: any(&rule.from)?, to: any(&rule.to)?, when: clauses(&rule.when)? })
    }

    fn matches(&self, peer: &Peer<'_>, request: Option<&Request<'_>>, rejects: bool) -> bool {
        // Where there is no HTTP, a rule that allows by HTTP never matches, and one that rejects loses those clauses.
        let clause = |clause: &Clause| match request {
            None if clause.http_only => rejects,
            _ => clause.matches(peer, request),
        };
        let any = |list: &[Vec<Clause>]| list.is_empty() || list.iter().any(|all| all.iter().all(clause));
        if request.is_none() && !rejects && self.uses_http() {
            return false;
        }
        any(&self.from) && any(&self.to) && self.when.iter().all(clause)
    }

    fn uses_http(&self) -> bool {
        self.from.iter().chain(&self.to).flatten().chain(&self.when).any(|clause| clause.http_only)
    }
}

impl Clause {
    fn new(clause: &object::Clause) -> Result<Clause, BadPattern> {
        let any = clause.any.iter().map(Ready::new).collect::<Result<_, _>>()?;
        Ok(Clause { negated: clause.negated, http_only: clause.any.iter().any(Test::http_only), any })
    }

    fn matches(&self, peer: &Peer<'_>, request: Option<&Request<'_>>) -> bool {
        self.any.iter().any(|test| test.matches(peer, request)) != self.negated
    }
}

impl Ready {
    fn new(test: &Test) -> Result<Ready, BadPattern> {
        Ok(match test {
            // Istio's own pattern (semantics.md §11.4, verification.md §5.2).
            Test::Namespace(namespace) => {
                let parts: Vec<String> = namespace.split('*').map(regex::escape).collect();
                Ready::Identity(Pattern::whole(&format!(".*/ns/{}/.*", parts.join(".*")))?)
            }
            Test::ServiceAccount(account) => {
                let (namespace, name) = (regex::escape(&account.namespace), regex::escape(&account.name));
                Ready::Identity(Pattern::whole(&format!("spiffe://.+/ns/{namespace}/(.+/|)sa/{name}(/.+)?"))?)
            }
            Test::SourceIp(block) | Test::RemoteIp(block) | Test::DestinationIp(block) => Ready::Block {
                of: match test {
                    Test::SourceIp(_) => Whose::Source,
                    Test::RemoteIp(_) => Whose::Remote,
                    _ => Whose::Destination,
                },
                address: address_of(block)?,
                bits: block.bits,
            },
            _ => Ready::Plain(test.clone()),
        })
    }

    fn matches(&self, peer: &Peer<'_>, request: Option<&Request<'_>>) -> bool {
        match self {
            Ready::Identity(pattern) => peer.identity.is_some_and(|identity| pattern.matches(identity.as_bytes())),
            Ready::Block { of, address, bits } => {
                let own = match of {
                    Whose::Source => peer.source,
                    Whose::Remote => peer.remote,
                    Whose::Destination => peer.destination,
                };
                in_block(own, *address, *bits)
            }
            Ready::Plain(test) => plain(test, peer, request),
        }
    }
}

fn plain(test: &Test, peer: &Peer<'_>, request: Option<&Request<'_>>) -> bool {
    let identity = peer.identity.and_then(|identity| identity.strip_prefix("spiffe://"));
    match test {
        Test::Principal(text) => identity.is_some_and(|principal| compare(text, principal)),
        Test::TrustDomain(text) => {
            identity.and_then(|identity| identity.split('/').next()).is_some_and(|domain| compare(text, domain))
        }
        Test::Host(text) => request.is_some_and(|request| compare_host(text, request.authority)),
        Test::Method(text) => request.is_some_and(|request| compare(text, request.method)),
        Test::Path(text) => request.is_some_and(|request| compare(text, request.path)),
        Test::Port(port) => peer.port == *port,
        Test::Header(header) => request.is_some_and(|request| {
            let mut test = |value: &[u8]| std::str::from_utf8(value).is_ok_and(|value| compare(&header.value, value));
            request.headers.any(&header.name, &mut test) == Some(true)
        }),
        Test::ServerName(text) => peer.server_name.is_some_and(|name| compare(text, name)),
        // Made ready as patterns and blocks.
        Test::Namespace(_)
        | Test::ServiceAccount(_)
        | Test::SourceIp(_)
        | Test::RemoteIp(_)
        | Test::DestinationIp(_) => false,
    }
}

fn compare(test: &TextTest, value: &str) -> bool {
    match test {
        TextTest::Exact(text) => value == text,
        TextTest::Prefix(text) => value.starts_with(text.as_str()),
        TextTest::Suffix(text) => value.ends_with(text.as_str()),
        TextTest::Present => !value.is_empty(),
        TextTest::Template(template) => fits(template, value),
    }
}

/// Hosts are compared without regard to case, and with their port (semantics.md §11.4).
fn compare_host(test: &TextTest, authority: &str) -> bool {
    let start = |text: &str| authority.get(..text.len()).is_some_and(|start| start.eq_ignore_ascii_case(text));
    let end = |text: &str| {
        let at = authority.len().checked_sub(text.len());
        at.and_then(|at| authority.get(at..)).is_some_and(|end| end.eq_ignore_ascii_case(text))
    };
    match test {
        TextTest::Exact(text) => authority.eq_ignore_ascii_case(text),
        TextTest::Prefix(text) => start(text),
        TextTest::Suffix(text) => end(text),
        TextTest::Present => !authority.is_empty(),
        TextTest::Template(_) => false,
    }
}

/// A path template: `{*}` is one segment that is not empty, `{**}` any number of them.
fn fits(template: &str, path: &str) -> bool {
    let (mut templates, mut segments) = (template.split('/'), path.split('/'));
    loop {
        match (templates.next(), segments.next()) {
            (Some("{**}"), Some(_)) => {
                // What follows it, if anything, must be the end of the path.
                let rest: Vec<&str> = templates.collect();
                return rest.is_empty() || path.ends_with(&format!("/{}", rest.join("/")));
            }
            (Some("{*}"), Some(segment)) if !segment.is_empty() => {}
            (Some(template), Some(segment)) if template == segment && template != "{*}" => {}
            (None, None) => return true,
            _ => return false,
        }
    }
}

/// The address of a block.
pub(super) fn address_of(block: &object::IpBlock) -> Result<IpAddr, BadPattern> {
    match &*block.address.0 {
        [a, b, c, d] => Ok(IpAddr::from([*a, *b, *c, *d])),
        other => match <[u8; 16]>::try_from(other) {
            Ok(sixteen) => Ok(IpAddr::from(sixteen)),
            Err(_) => Err(BadPattern::new("an address of neither 4 nor 16 bytes")),
        },
    }
}

/// Whether an address is in a block.
pub(super) fn in_block(address: IpAddr, block: IpAddr, bits: u8) -> bool {
    let same = |a: u128, b: u128, width: u32| {
        let shift = width.saturating_sub(u32::from(bits));
        a.checked_shr(shift).unwrap_or(0) == b.checked_shr(shift).unwrap_or(0)
    };
    match (address.to_canonical(), block.to_canonical()) {
        (IpAddr::V4(a), IpAddr::V4(b)) => same(u128::from(a.to_bits()), u128::from(b.to_bits()), 32),
        (IpAddr::V6(a), IpAddr::V6(b)) => same(a.to_bits(), b.to_bits(), 128),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object::{AuthzRule, Conjunction, HeaderTest, IpBlock, ServiceAccountTest};

    const SHOP: &str = "spiffe://cluster.local/ns/shop/sa/orders";

    fn set(deny: Vec<object::Policy>, allow: Vec<object::Policy>) -> Policies {
        Policies::new(&PolicySet { deny, allow, custom: vec![], audit: vec![], authorizers: vec![] }).unwrap()
    }

    fn policy(name: &str, rules: Vec<AuthzRule>) -> object::Policy {
        object::Policy { name: name.into(), rules, dry_run: false }
    }

    fn clause(negated: bool, any: Vec<Test>) -> object::Clause {
        object::Clause { negated, any }
    }

    fn from(tests: Vec<Test>) -> AuthzRule {
        AuthzRule { from: vec![Conjunction { clauses: vec![clause(false, tests)] }], to: vec![], when: vec![] }
    }

    fn when(clauses: Vec<object::Clause>) -> AuthzRule {
        AuthzRule { from: vec![], to: vec![], when: clauses }
    }

    fn ask(policies: &Policies, identity: Option<&str>, path: &str, headers: &[(&str, &str)]) -> bool {
        let headers: Vec<(String, String)> = headers.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        let request = Request {
            method: "GET",
            scheme: "http",
            authority: "Orders.shop:80",
            path,
            query: None,
            headers: &headers,
        };
        policies.authorize(&peer(identity), Some(&request)).allowed()
    }

    fn peer(identity: Option<&str>) -> Peer<'_> {
        Peer {
            identity,
            source: [10, 0, 0, 7].into(),
            remote: [192, 0, 2, 7].into(),
            destination: [10, 0, 0, 8].into(),
            port: 8080,
            server_name: None,
        }
    }

    #[test]
    fn no_policy_allows_and_an_allow_policy_without_rules_denies() {
        assert!(ask(&set(vec![], vec![]), None, "/", &[]));
        assert!(!ask(&set(vec![], vec![policy("a", vec![])]), None, "/", &[]));
        assert!(ask(&set(vec![], vec![policy("a", vec![when(vec![])])]), None, "/", &[]), "an empty rule allows all");
    }

    #[test]
    fn what_is_tried_out_is_counted_and_not_enforced() {
        let everything = || vec![when(vec![])];
        let tried_out = |name: &str| object::Policy { dry_run: true, ..policy(name, everything()) };
        let policies = set(vec![tried_out("d")], vec![]);
        assert!(ask(&policies, None, "/", &[]));
        assert_eq!(policies.watch(&peer(None), None), Watched { audited: false, would_deny: true });
        let nothing = object::Policy { dry_run: true, ..policy("a", vec![]) };
        assert!(set(vec![], vec![nothing]).watch(&peer(None), None).would_deny, "an ALLOW policy that nothing matches");
        let audit = PolicySet {
            deny: vec![],
            allow: vec![],
            custom: vec![],
            audit: vec![policy("it", everything())],
            authorizers: vec![],
        };
        let audited = Policies::new(&audit).unwrap().watch(&peer(None), None);
        assert_eq!(audited, Watched { audited: true, would_deny: false });
        assert_eq!(set(vec![policy("d", everything())], vec![]).watch(&peer(None), None), Watched::default());
    }

    #[test]
    fn the_clients_address_is_not_the_connections() {
        let block = |last| IpBlock { address: crate::format::codec::Blob(Box::new([192, 0, 2, last])), bits: 32 };
        for (test, want) in [(Test::RemoteIp(block(7)), true), (Test::SourceIp(block(7)), false)] {
            let policies = set(vec![], vec![policy("a", vec![from(vec![test.clone()])])]);
            assert_eq!(ask(&policies, None, "/", &[]), want, "{test:?}");
            assert_eq!(policies.looks_at_remote(), want);
        }
    }

    #[test]
    fn deny_goes_before_allow() {
        let everything = || vec![when(vec![])];
        let both = set(vec![policy("d", everything())], vec![policy("a", everything())]);
        assert!(!ask(&both, Some(SHOP), "/", &[]));
    }

    #[test]
    fn sources_are_compared_as_istio_does() {
        let exact = |text: &str| TextTest::Exact(text.into());
        let account =
            |ns: &str, name: &str| Test::ServiceAccount(ServiceAccountTest { namespace: ns.into(), name: name.into() });
        #[rustfmt::skip]
        let table = [
            (Test::Principal(exact("cluster.local/ns/shop/sa/orders")), true),
            (Test::Principal(exact("cluster.local/ns/shop/sa/other")), false),
            (Test::Principal(TextTest::Suffix("/sa/orders".into())), true),
            (Test::Principal(TextTest::Present), true),
            (Test::Namespace("shop".into()), true),
            (Test::Namespace("sh*".into()), true),
            (Test::Namespace("*op".into()), true),
            (Test::Namespace("hop".into()), false),
            (account("shop", "orders"), true),
            (account("shop", "order"), false),
            (Test::TrustDomain(exact("cluster.local")), true),
            (Test::TrustDomain(TextTest::Prefix("clu".into())), true),
            (Test::TrustDomain(TextTest::Suffix("orders".into())), false),
            (Test::SourceIp(IpBlock { address: crate::format::codec::Blob(Box::new([10, 0, 0, 0])), bits: 24 }), true),
            (Test::SourceIp(IpBlock { address: crate::format::codec::Blob(Box::new([10, 0, 1, 0])), bits: 24 }), false),
            (Test::DestinationIp(IpBlock { address: crate::format::codec::Blob(Box::new([10, 0, 0, 8])), bits: 32 }), true),
        ];
        for (test, want) in table {
            let policies = set(vec![], vec![policy("a", vec![from(vec![test.clone()])])]);
            assert_eq!(ask(&policies, Some(SHOP), "/", &[]), want, "{test:?}");
        }
    }

    #[test]
    fn a_plaintext_peer_matches_only_what_is_negated() {
        let rule = |negated| when(vec![clause(negated, vec![Test::Namespace("shop".into())])]);
        assert!(!ask(&set(vec![], vec![policy("a", vec![rule(false)])]), None, "/", &[]));
        assert!(
            ask(&set(vec![], vec![policy("a", vec![rule(true)])]), None, "/", &[]),
            "the trap of semantics.md §11.4"
        );
    }

    #[test]
    fn one_good_header_value_hides_a_bad_one() {
        let test = Test::Header(HeaderTest { name: "x-env".into(), value: TextTest::Exact("prod".into()) });
        let policies = set(vec![policy("d", vec![when(vec![clause(true, vec![test])])])], vec![]);
        #[rustfmt::skip]
        let table = [
            (vec![], false), (vec![("x-env", "prod")], true), (vec![("x-env", "dev")], false),
            (vec![("x-env", "prod"), ("X-Env", "dev")], true),
        ];
        for (headers, want) in table {
            assert_eq!(ask(&policies, None, "/", &headers), want, "{headers:?}");
        }
    }

    #[test]
    fn hosts_are_compared_with_their_port_and_without_case() {
        let allow = |text| set(vec![], vec![policy("a", vec![when(vec![clause(false, vec![Test::Host(text)])])])]);
        assert!(ask(&allow(TextTest::Exact("orders.shop:80".into())), None, "/", &[]));
        assert!(!ask(&allow(TextTest::Exact("orders.shop".into())), None, "/", &[]));
        assert!(ask(&allow(TextTest::Prefix("ORDERS.".into())), None, "/", &[]));
    }

    #[test]
    fn path_templates_match_by_segment() {
        #[rustfmt::skip]
        let table = [
            ("/a/{*}/c", "/a/b/c", true), ("/a/{*}/c", "/a//c", false), ("/a/{*}/c", "/a/b/b/c", false),
            ("/a/{**}", "/a", false), ("/a/{**}", "/a/", true), ("/a/{**}", "/a/b/c", true), ("/{**}/z", "/a/b/z", true),
            ("/{*}", "/{*}", true), ("/{*}", "/", false),
        ];
        for (template, path, want) in table {
            assert_eq!(fits(template, path), want, "{template} on {path}");
        }
    }

    #[test]
    fn without_http_allow_rules_vanish_and_deny_rules_widen() {
        let get = || when(vec![clause(false, vec![Test::Method(TextTest::Exact("GET".into()))])]);
        assert!(!set(vec![], vec![policy("a", vec![get()])]).authorize(&peer(None), None).allowed());
        assert!(
            !set(vec![policy("d", vec![get()])], vec![]).authorize(&peer(None), None).allowed(),
            "the trap of §11.5"
        );
    }
}

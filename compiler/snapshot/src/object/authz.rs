//! Who may ask a workload for what (semantics.md §11).
//!
//! Every attribute is one `Test`, so that a rule is plain logic: any of `from`, any of `to`, all of `when`; each of
//! them clauses that all hold; a clause holds if any of its tests does, or, negated, if none does.

use super::{ClusterSet, Links};
use crate::format::codec::{Blob, Link, choice, record};
use crate::{Digest, Text};

record! {
    /// The policies of a workload.
    pub struct PolicySet {
        /// Any match rejects.
        pub deny: Vec<Policy> = 1,
        /// If there is any, one must match.
        pub allow: Vec<Policy> = 2,
        /// Requests that another service is asked about, before all else.
        pub custom: Vec<CustomPolicy> = 8,
        /// Requests that are noted.
        pub audit: Vec<Policy> = 9,
        /// Those who are asked, by name.
        pub authorizers: Vec<Authorizer> = 10,
    }
}

record! {
    /// A service that is asked whether requests may pass (semantics.md §11.6).
    pub struct Authorizer {
        /// The name that the mesh gives it.
        pub name: Text = 1,
        /// Where it is.
        pub clusters: Link<ClusterSet> = 2,
        /// How it is asked.
        pub how: Asks = 3,
        /// The most that its answer may take, in milliseconds; 0 means no limit.
        pub timeout_ms: u64 = 4,
        /// Whether requests pass when it does not answer.
        pub fail_open: bool = 5,
        /// The status of those that do not.
        pub status_on_error: u16 = 6,
        /// Whether the route is chosen by the headers that it has changed.
        pub clear_route: bool = 7,
    }
}

choice! {
    /// How somebody is asked.
    pub enum Asks {
        /// By gRPC: `envoy.service.auth.v3.Authorization`.
        Grpc = 0,
        /// By a request like the one that it is asked about.
        Http(HttpAsk) = 1,
    }
}

record! {
    /// Asking in HTTP. Names of headers are in lower case; `x-*` and `*-x` stand for many.
    pub struct HttpAsk {
        /// What stands before the path.
        pub path_prefix: Text = 1,
        /// The request's headers that are shown.
        pub request_headers: Vec<Text> = 2,
        /// Headers beside them.
        pub added: Vec<(Text, Text)> = 3,
        /// Headers of a yes that the upstream sees.
        pub upstream_headers: Vec<Text> = 4,
        /// Headers of a no that the client sees; all if there are none.
        pub deny_headers: Vec<Text> = 5,
        /// Headers of a yes that the client sees.
        pub allow_headers: Vec<Text> = 6,
    }
}

record! {
    /// A policy by which another service is asked.
    pub struct CustomPolicy {
        /// About which requests.
        pub policy: Policy = 1,
        /// Whom, by the name that the mesh gives it.
        pub provider: Text = 2,
        /// Whether the mesh has nobody of that name: what matches is rejected.
        pub unknown: bool = 3,
    }
}

record! {
    /// One policy.
    pub struct Policy {
        /// `namespace/name`.
        pub name: Text = 1,
        /// Any of these matches; with none, nothing does.
        pub rules: Vec<AuthzRule> = 2,
        /// Whether it is only counted.
        pub dry_run: bool = 3,
    }
}

record! {
    /// One rule. A part that is empty matches everything.
    pub struct AuthzRule {
        /// Any of these sources.
        pub from: Vec<Conjunction> = 1,
        /// Any of these operations.
        pub to: Vec<Conjunction> = 2,
        /// All of these conditions.
        pub when: Vec<Clause> = 3,
    }
}

record! {
    /// Clauses that all hold.
    pub struct Conjunction {
        /// The clauses.
        pub clauses: Vec<Clause> = 1,
    }
}

record! {
    /// Tests of which one holds.
    pub struct Clause {
        /// Whether it is that none of them holds.
        pub negated: bool = 1,
        /// The tests.
        pub any: Vec<Test> = 2,
    }
}

choice! {
    /// One test of one attribute.
    pub enum Test {
        /// The peer's identity without `spiffe://`.
        Principal(TextTest) = 0,
        /// The namespace in the peer's identity; `*` stands for anything, anywhere.
        Namespace(Text) = 1,
        /// The service account in the peer's identity.
        ServiceAccount(ServiceAccountTest) = 2,
        /// The trust domain in the peer's identity.
        TrustDomain(TextTest) = 3,
        /// The address at the other end of the connection.
        SourceIp(IpBlock) = 4,
        /// The Host header, compared without regard to case.
        Host(TextTest) = 5,
        /// The method.
        Method(TextTest) = 6,
        /// The path without the query.
        Path(TextTest) = 7,
        /// The workload's port.
        Port(u16) = 8,
        /// A header.
        Header(HeaderTest) = 9,
        /// The address that the connection came to.
        DestinationIp(IpBlock) = 10,
        /// The server name of the connection.
        ServerName(TextTest) = 11,
        /// The address of the client as the proxies before this one know it.
        RemoteIp(IpBlock) = 12,
    }
}

choice! {
    /// How a text is compared.
    pub enum TextTest {
        /// It equals this.
        Exact(Text) = 0,
        /// It starts with this.
        Prefix(Text) = 1,
        /// It ends with this.
        Suffix(Text) = 2,
        /// It is there and not empty.
        Present = 3,
        /// It fits this path template: `{*}` is one segment, `{**}` any number.
        Template(Text) = 4,
    }
}

record! {
    /// A header and its value.
    pub struct HeaderTest {
        /// The name in lower case.
        pub name: Text = 1,
        /// The value.
        pub value: TextTest = 2,
    }
}

record! {
    /// A service account in any trust domain.
    pub struct ServiceAccountTest {
        /// Its namespace.
        pub namespace: Text = 1,
        /// Its name.
        pub name: Text = 2,
    }
}

record! {
    /// Addresses with a common prefix.
    pub struct IpBlock {
        /// 4 or 16 bytes.
        pub address: Blob = 1,
        /// How many of its bits count.
        pub bits: u8 = 2,
    }
}

impl Test {
    /// Whether the attribute exists for HTTP alone (semantics.md §11.5).
    #[must_use]
    pub fn http_only(&self) -> bool {
        matches!(self, Test::Host(_) | Test::Method(_) | Test::Path(_) | Test::Header(_))
    }
}

impl AuthzRule {
    /// Every test in it.
    pub fn tests(&self) -> impl Iterator<Item = &Test> {
        let conjunctions = self.from.iter().chain(&self.to).flat_map(|it| &it.clauses);
        conjunctions.chain(&self.when).flat_map(|clause| &clause.any)
    }
}

impl Links for PolicySet {
    fn links(&self) -> Vec<Digest> {
        super::digests(self.authorizers.iter().map(|it| it.clusters))
    }
}

//! Rules for requests (semantics.md §3).

use super::{ClusterSet, Cors, Fault, Links, LogPiece};
use crate::format::codec::{Blob, Link, choice, record};
use crate::{Digest, Text};

record! {
    /// Rules, of which the first that matches counts.
    pub struct RouteTable {
        /// In order.
        pub rules: Vec<Rule> = 1,
        /// What the rules' destinations are numbers of.
        pub clusters: Vec<Link<ClusterSet>> = 2,
    }
}

record! {
    /// One rule.
    pub struct Rule {
        /// What logs and metrics call it.
        pub name: Text = 1,
        /// Any of these matches; with none, every request does.
        pub alternatives: Vec<Alternative> = 2,
        /// What is done.
        pub action: Action = 3,
        /// Header changes of the request.
        pub request_headers: Option<HeaderOps> = 4,
        /// Header changes of the response.
        pub response_headers: Option<HeaderOps> = 5,
        /// Faults put into its requests.
        pub fault: Option<Fault> = 6,
        /// Which other origins may read its answers.
        pub cors: Option<Cors> = 7,
    }
}

record! {
    /// Conditions that all hold.
    pub struct Alternative {
        /// Added to the rule's name.
        pub name: Text = 1,
        /// The path without its query.
        pub path: Option<Matcher> = 2,
        /// Whether the path is compared without regard to case; patterns are not.
        pub ignore_case: bool = 3,
        /// The method.
        pub method: Option<Matcher> = 4,
        /// The scheme.
        pub scheme: Option<Matcher> = 5,
        /// The host as it was sent, port included.
        pub authority: Option<Matcher> = 6,
        /// Headers that are there and match; names in lower case.
        pub headers: Vec<NamedMatcher> = 7,
        /// Headers that do not match; a missing header counts as empty.
        pub without_headers: Vec<NamedMatcher> = 8,
        /// Query parameters that are there and match.
        pub query: Vec<NamedMatcher> = 9,
    }
}

record! {
    /// A condition on a named value.
    pub struct NamedMatcher {
        /// The name.
        pub name: Text = 1,
        /// The condition.
        pub value: Matcher = 2,
    }
}

choice! {
    /// A condition on a value.
    pub enum Matcher {
        /// It is there.
        Present = 0,
        /// It equals this.
        Exact(Text) = 1,
        /// It starts with this.
        Prefix(Text) = 2,
        /// All of it matches this RE2 pattern.
        Regex(Text) = 3,
        /// It is this path, or below it.
        Below(Text) = 4,
    }
}

choice! {
    /// What is done with a request.
    pub enum Action {
        /// It goes to a service.
        Forward(Forward) = 0,
        /// Its sender is told to go elsewhere.
        Redirect(Redirect) = 1,
        /// It is answered here.
        Respond(DirectResponse) = 2,
    }
}

record! {
    /// Where a request goes, and how.
    pub struct Forward {
        /// One is drawn by weight.
        pub destinations: Vec<Weighted> = 1,
        /// The most that the whole exchange may take, in milliseconds; 0 means no limit.
        pub timeout_ms: u64 = 2,
        /// When to try again; never if missing.
        pub retry: Option<Retry> = 3,
        /// How the path changes.
        pub path: Option<PathRewrite> = 4,
        /// The Host that the service sees; the client's own if empty.
        pub host: Text = 5,
        /// Where copies go.
        pub mirrors: Vec<Mirror> = 6,
        /// The status of the answer where the destination does not exist; 503 if 0.
        pub missing_status: u16 = 7,
    }
}

record! {
    /// A cluster that copies of some requests go to. Nobody waits for its answers.
    pub struct Mirror {
        /// Where.
        pub to: ClusterRef = 1,
        /// How many of a million requests are copied.
        pub share: u32 = 2,
    }
}

record! {
    /// One destination.
    pub struct Weighted {
        /// Where.
        pub target: Target = 1,
        /// Its share in proportion to the others'. Never 0 beside others.
        pub weight: u32 = 2,
        /// Header changes of the request, for this destination alone.
        pub request_headers: Option<HeaderOps> = 3,
        /// Header changes of the response.
        pub response_headers: Option<HeaderOps> = 4,
        /// The Host that the service sees, if the rule does not say.
        pub host: Text = 5,
    }
}

choice! {
    /// A cluster, or the name of one that does not exist: requests for it get a 503 with the flag NC.
    pub enum Target {
        /// It exists.
        Cluster(ClusterRef) = 0,
        /// It does not.
        Missing(Text) = 1,
    }
}

record! {
    /// All of a table's cluster set, or a subset of it.
    pub struct ClusterRef {
        /// Its place in the table's list, from 0.
        pub set: u32 = 1,
        /// The subset; empty for all.
        pub subset: Text = 2,
    }
}

record! {
    /// When and how often to try again (semantics.md §3.10).
    pub struct Retry {
        /// How many tries may follow the first.
        pub attempts: u32 = 1,
        /// Conditions.
        pub on: Vec<RetryOn> = 2,
        /// Statuses that count for `StatusCodes`.
        pub statuses: Vec<u16> = 3,
        /// The most that one try may take, in milliseconds; 0 means that only the whole exchange is limited.
        pub per_try_timeout_ms: u64 = 4,
        /// The base of the pauses between tries, in milliseconds; 0 means 25.
        pub backoff_ms: u64 = 5,
        /// Whether endpoints that failed may be tried again at once.
        pub any_host: bool = 6,
    }
}

choice! {
    /// A condition to try again on, by its word in `retryOn`.
    pub enum RetryOn {
        /// `5xx`: any 5xx answer, or none at all.
        ServerError = 0,
        /// `gateway-error`: 502, 503 or 504.
        GatewayError = 1,
        /// `reset`: no answer at all.
        Reset = 2,
        /// `reset-before-request`: no answer, and the request was not sent.
        ResetBeforeRequest = 3,
        /// `connect-failure`: no connection.
        ConnectFailure = 4,
        /// `retriable-4xx`: 409.
        Retriable4xx = 5,
        /// `refused-stream`: HTTP/2 REFUSED_STREAM.
        RefusedStream = 6,
        /// `retriable-status-codes`: the listed ones.
        StatusCodes = 7,
        /// `retriable-headers`.
        Headers = 8,
        /// `envoy-ratelimited`.
        RateLimited = 9,
        /// `http3-post-connect-failure`.
        Http3PostConnectFailure = 10,
        /// `cancelled`: gRPC status 1.
        Cancelled = 11,
        /// `deadline-exceeded`: gRPC status 4.
        DeadlineExceeded = 12,
        /// `internal`: gRPC status 13.
        Internal = 13,
        /// `resource-exhausted`: gRPC status 8.
        ResourceExhausted = 14,
        /// `unavailable`: gRPC status 14.
        Unavailable = 15,
    }
}

choice! {
    /// How the path changes on the way.
    pub enum PathRewrite {
        /// The matched prefix becomes this; after an exact or pattern match, all of the path does.
        Matched(Text) = 0,
        /// Every match of the pattern is replaced.
        Regex(RegexRewrite) = 1,
        /// All of the path becomes this.
        Full(Text) = 2,
        /// The matched path becomes this, by segments.
        Segments(Text) = 3,
    }
}

record! {
    /// A pattern and what its matches become.
    pub struct RegexRewrite {
        /// RE2.
        pub pattern: Text = 1,
        /// `\1` stands for the first group.
        pub rewrite: Text = 2,
    }
}

record! {
    /// A redirect. What is empty stays as in the request.
    pub struct Redirect {
        /// The status.
        pub status: u16 = 1,
        /// The scheme.
        pub scheme: Text = 2,
        /// The host.
        pub host: Text = 3,
        /// The port.
        pub port: RedirectPort = 4,
        /// The path.
        pub path: RedirectPath = 5,
    }
}

choice! {
    /// The port of a redirect.
    pub enum RedirectPort {
        /// That of the host, as it was sent.
        Keep = 0,
        /// This one, unless it is the scheme's own.
        Number(u16) = 1,
        /// The one that the request came to.
        Request = 2,
        /// None: the scheme's own.
        SchemeDefault = 3,
    }
}

choice! {
    /// The path of a redirect.
    pub enum RedirectPath {
        /// As it was.
        Keep = 0,
        /// This one.
        Full(Text) = 1,
        /// The matched prefix becomes this.
        Prefix(Text) = 2,
        /// The matched path becomes this, by segments.
        Segments(Text) = 3,
    }
}

record! {
    /// An answer that no service gives.
    pub struct DirectResponse {
        /// The status.
        pub status: u16 = 1,
        /// The body.
        pub body: Blob = 2,
    }
}

record! {
    /// Header changes, done in the order of the fields; names in lower case and sorted.
    pub struct HeaderOps {
        /// These are taken away.
        pub remove: Vec<Text> = 1,
        /// These replace what is there.
        pub set: Vec<(Text, Text)> = 2,
        /// These are added to what is there.
        pub add: Vec<(Text, Text)> = 3,
        /// These are made of what is known of a request, before any of the above but the first is done. One that comes to
        /// nothing is left out.
        pub made: Vec<MadeHeader> = 4,
    }
}

record! {
    /// A header whose value is made for each request.
    pub struct MadeHeader {
        /// Its name, in lower case.
        pub name: Text = 1,
        /// Its value.
        pub value: Vec<LogPiece> = 2,
        /// Whether it is added to what is there, rather than put in its place.
        pub adds: bool = 3,
    }
}

impl Links for RouteTable {
    fn links(&self) -> Vec<Digest> {
        super::digests(self.clusters.iter().copied())
    }
}

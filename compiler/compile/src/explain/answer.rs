//! One answer: what becomes of it, and because of what.

use taut_snapshot::Text;

/// Why a request goes nowhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Nothing listens there.
    NoListener,
    /// Nothing that listens there takes such a connection.
    NoFilterChain,
    /// No host of the port is the one that is asked for.
    NoVirtualHost,
    /// The host is known, and no rule of it is for the request.
    NoRoute,
    /// It is told to come back with TLS.
    TlsRedirect,
    /// It comes without TLS where there must be some.
    Tls,
    /// It comes with the mesh's TLS where it must not, or without where it must.
    Mtls,
    /// Its bytes are not what the port speaks.
    Protocol,
    /// A policy rejects it.
    Denied,
}

impl Fault {
    /// The word that programs see.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Fault::NoListener => "NoListener",
            Fault::NoFilterChain => "NoFilterChain",
            Fault::NoVirtualHost => "NoVirtualHost",
            Fault::NoRoute => "NoRoute",
            Fault::TlsRedirect => "TLSRedirect",
            Fault::Tls => "TLSError",
            Fault::Mtls => "MTLSError",
            Fault::Protocol => "ProtocolError",
            Fault::Denied => "Denied",
        }
    }
}

/// How the connection that goes on is secured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Security {
    /// By the mesh's mTLS.
    Mtls,
    /// It is not.
    Plaintext,
    /// As the application did.
    Passthrough,
}

impl Security {
    /// The word that programs see.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Security::Mtls => "mtls",
            Security::Plaintext => "plaintext",
            Security::Passthrough => "passthrough",
        }
    }
}

/// What policies say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Authz {
    /// `allow`, `deny` or `not_applicable`.
    pub verdict: &'static str,
    /// The policy that decided, `namespace/name`.
    pub policy: Option<Text>,
    /// What policies that are only tried out would say, and whom a CUSTOM policy asks.
    pub notes: Vec<String>,
}

/// A destination and its share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Share {
    /// Istio's name of the cluster.
    pub cluster: String,
    /// Its share in proportion to the others'.
    pub weight: u32,
}

/// A place that took part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Because {
    /// The kind of the resource.
    pub kind: Text,
    /// Its namespace.
    pub namespace: Text,
    /// Its name.
    pub name: Text,
    /// Its file.
    pub file: Text,
    /// The line, from 1.
    pub line: u32,
}

/// A rule that did not match.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Passed {
    /// Where it stands.
    pub rule: Option<Because>,
    /// The first condition of each of its alternatives that was not met.
    pub unmet: Vec<String>,
}

/// A header whose value is made for the request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Made {
    /// Its name.
    pub name: Text,
    /// Its value: what the question decides of it, and commands in their operator's words where only a live connection
    /// would.
    pub value: String,
    /// Whether it is added to what is there, rather than put in its place.
    pub adds: bool,
    /// Whether it is the answer's, rather than the request's.
    pub of_answer: bool,
    /// Istio's name of the only cluster that it is for, if there are several.
    pub only_for: Option<String>,
}

/// An answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// Why the request goes nowhere; none if it goes somewhere, or is answered.
    pub fault: Option<Fault>,
    /// Why there is no answer at all.
    pub impossible: Option<String>,
    /// Istio's name of the host that decides.
    pub virtual_host: Option<String>,
    /// The name of the rule; empty if it has none.
    pub route: Option<String>,
    /// Istio's name of the first destination.
    pub cluster: Option<String>,
    /// All destinations.
    pub clusters: Vec<String>,
    /// Their shares, if there are several.
    pub split: Vec<Share>,
    /// What policies say.
    pub authz: Authz,
    /// How the connection that goes on is secured.
    pub tls: Option<Security>,
    /// The most that the whole exchange may take.
    pub timeout_ms: Option<u64>,
    /// How many tries may follow the first.
    pub retries: Option<u32>,
    /// The status of an answer that no service gives.
    pub status: Option<u16>,
    /// Headers whose values are made for the request.
    pub made: Vec<Made>,
    /// Every place that took part.
    pub because: Vec<Because>,
    /// Rules that came first and did not match.
    pub passed: Vec<Passed>,
}

impl Answer {
    pub(super) fn impossible(why: String) -> Answer {
        Answer { impossible: Some(why), ..Answer::new() }
    }

    pub(super) fn new() -> Answer {
        Answer { authz: Authz { verdict: "not_applicable", ..Authz::default() }, ..Answer::default() }
    }

    pub(super) fn fault(fault: impl Into<Fault>) -> Answer {
        Answer { fault: Some(fault.into()), ..Answer::new() }
    }

    /// To one of Istio's clusters that stand for no service.
    pub(super) fn to(cluster: &str) -> Answer {
        Answer {
            cluster: Some(cluster.to_owned()),
            clusters: vec![cluster.to_owned()],
            tls: Some(Security::Passthrough),
            ..Answer::new()
        }
    }
}

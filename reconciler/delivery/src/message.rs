//! What members and publishers say to each other.
//!
//! Owns: the vocabulary of both state machines. `wire` is how it is written.
//! Invariant: messages say what is so, never what changed. Any of them may be lost, late, doubled or out of order, and
//! the next one mends it.

use std::fmt;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use taut_snapshot::{Digest, Endpoint};

/// What a member runs: which snapshot, and the number of the activation that brought it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Running {
    /// The snapshot.
    pub snapshot: Digest,
    /// The generation.
    pub generation: u64,
}

/// What a member is, and so which part of a snapshot it may have.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum MemberKind {
    /// A sidecar or gateway, which runs the view of its workload.
    Proxy {
        /// `namespace/name`.
        workload: String,
    },
    /// The certificate authority, which runs the list of identities.
    Authority,
}

/// Why a member cannot run a snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// The object that it stumbled over, if it was one.
    pub object: Option<Digest>,
    /// What is wrong, in a sentence.
    pub why: String,
}

/// A snapshot that a member cannot run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The snapshot.
    pub snapshot: Digest,
    /// The generation that it was offered as: offered again, it would be another one.
    pub generation: u64,
    /// Why.
    pub refused: Refused,
}

/// The certificate that a member shows to others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateReport {
    /// Its SPIFFE id.
    pub id: String,
    /// Its serial number in hexadecimal.
    pub serial: String,
    /// When it expires.
    pub not_after: SystemTime,
}

/// What a member would run if it started now with nobody to ask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Boots {
    /// Nothing: nothing was ever activated.
    Nothing,
    /// What its disk holds.
    From {
        /// The snapshot and generation.
        running: Running,
        /// The digest of the part's contents, worked out from its bytes ([`contents`](crate::contents)).
        contents: Digest,
    },
    /// Nothing, or not what was activated last: the disk is damaged, in this way.
    Damaged(String),
}

/// How things are with a member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Counts the reports of one connection.
    pub number: u64,
    /// What decides its requests.
    pub running: Option<Running>,
    /// What it could activate at once: persisted and prepared.
    pub staged: Option<Digest>,
    /// The objects that the newest offer needs and that it lacks, at least the first of them.
    pub lacking: Vec<Digest>,
    /// What it cannot run.
    pub refused: Option<Refusal>,
    /// What would boot.
    pub boots: Boots,
    /// The newest set of endpoints that it has.
    pub endpoints: u64,
    /// Where it answers itself.
    pub endpoint: Option<Endpoint>,
    /// Its certificate.
    pub certificate: Option<CertificateReport>,
    /// Something that its operator should know; empty if there is nothing.
    pub note: String,
}

/// Who a member is, and how things are with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Join {
    /// Its name: one name is one member, over all its restarts.
    pub name: String,
    /// What it is.
    pub kind: MemberKind,
    /// The version of its program.
    pub version: String,
    /// Objects that need not be sent to it.
    pub holds: Vec<Digest>,
    /// How things are.
    pub report: Report,
}

/// What a member says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FromMember {
    /// The first thing it says on a connection.
    Join(Box<Join>),
    /// Everything after that.
    Report(Box<Report>),
    /// It stops on purpose.
    Leave,
}

/// Some of the endpoints that concern a member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointsPart {
    /// Counts the sets of one connection.
    pub version: u64,
    /// Which part of the set this is, from 0.
    pub part: u32,
    /// How many parts it has.
    pub parts: u32,
    /// The endpoints of the part.
    pub endpoints: Vec<Endpoint>,
}

/// What a publisher says.
#[derive(Clone, PartialEq, Eq)]
pub enum ToMember {
    /// It may follow.
    Welcome {
        /// How often to report if nothing changes.
        heartbeat: Duration,
    },
    /// It may not, and this is why.
    Rejected {
        /// A sentence for its operator.
        why: String,
    },
    /// Objects of an offer. They have no names here: whoever gets them works those out.
    Objects {
        /// The offer's generation.
        generation: u64,
        /// Their bytes.
        objects: Vec<Bytes>,
    },
    /// Make ready to run this, and change nothing.
    Stage(Running),
    /// Run this.
    Activate(Running),
    /// Forget what was offered with this generation or an older one, and is not active.
    Retire {
        /// The generation.
        generation: u64,
    },
    /// Where others are to be found.
    Endpoints(EndpointsPart),
    /// It is leaving, and everybody who may send it requests has taken note.
    Deregistered,
}

/// In a log, objects are a number and endpoints are names: their bytes would drown everything else.
impl fmt::Debug for ToMember {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ToMember::Welcome { heartbeat } => write!(f, "Welcome({heartbeat:?})"),
            ToMember::Rejected { why } => write!(f, "Rejected({why})"),
            ToMember::Objects { generation, objects } => write!(f, "Objects({} for {generation})", objects.len()),
            ToMember::Stage(running) => write!(f, "Stage({running:?})"),
            ToMember::Activate(running) => write!(f, "Activate({running:?})"),
            ToMember::Retire { generation } => write!(f, "Retire({generation})"),
            ToMember::Endpoints(EndpointsPart { version, part, parts, endpoints }) => {
                let names: Vec<&str> = endpoints.iter().map(|endpoint| endpoint.id.as_str()).collect();
                write!(f, "Endpoints({version}, {part} of {parts}: {})", names.join(" "))
            }
            ToMember::Deregistered => write!(f, "Deregistered"),
        }
    }
}

/// As `snapshot@generation`.
impl fmt::Debug for Running {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}@{}", self.snapshot, self.generation)
    }
}

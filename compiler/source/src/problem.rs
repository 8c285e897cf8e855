//! What can be wrong with the user's mesh: data that every stage produces and the command line renders.
//!
//! A problem is a value, never an `Err`: whoever finds one goes on and finds the next.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::hash::{Hash, Hasher};

use crate::{Place, Text};

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// Worth knowing.
    Info,
    /// Probably not what was meant; the mesh still works.
    Warning,
    /// The commit stays out.
    Error,
}

/// The step that found it. Written into the machine-readable output in lower case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Stage {
    /// Not YAML.
    Yaml,
    /// The structure: an unknown field, a wrong type, a missing field.
    Schema,
    /// A value that the API refuses: a range, a format, fields that exclude each other.
    Type,
    /// Valid, and not carried to the data plane.
    Support,
    /// A name that names nothing.
    Reference,
    /// Something that the whole mesh shows.
    Analysis,
    /// A rule of the user's own.
    Policy,
    /// A statement over all requests that does not hold.
    Invariant,
}

impl Stage {
    /// The word for it in the output of `taut check --format json`.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Stage::Yaml => "yaml",
            Stage::Schema => "schema",
            Stage::Type => "type",
            Stage::Support => "support",
            Stage::Reference => "reference",
            Stage::Analysis => "analysis",
            Stage::Policy => "policy",
            Stage::Invariant => "invariant",
        }
    }
}

impl Severity {
    /// The word for it in the output of `taut check --format json`.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Severity::Info => "info",
            Severity::Warning => "warning",
            Severity::Error => "error",
        }
    }
}

/// One thing that Taut looks for. `taut explain CODE` prints it.
#[derive(Debug)]
pub struct Rule {
    /// The stable name, such as `taut::route::unknown_subset`. A code is forever.
    pub code: &'static str,
    /// Istio's code for the same thing, where there is one (semantics.md §21).
    pub istio: Option<&'static str>,
    /// How bad it is.
    pub severity: Severity,
    /// The step that finds it.
    pub stage: Stage,
    /// What it finds, in one line.
    pub finds: &'static str,
    /// Why it matters.
    pub why: &'static str,
    /// The smallest mesh that has the problem.
    pub bad: &'static str,
    /// The same mesh without it.
    pub good: &'static str,
}

impl Rule {
    /// A problem of this kind, with nothing but its place and message: the rest is filled in by struct update.
    #[must_use]
    pub fn at(&self, at: Place, message: String) -> Problem {
        Problem {
            code: Cow::Borrowed(self.code),
            istio: self.istio,
            reftype: None,
            severity: self.severity,
            stage: self.stage,
            subject: None,
            at,
            message,
            label: "here".into(),
            help: String::new(),
            related: Vec::new(),
        }
    }
}

/// What an object says it is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TypeMeta {
    /// As written, `networking.istio.io/v1`.
    pub api_version: Text,
    /// `VirtualService`.
    pub kind: Text,
}

/// The type of an object. Nearly all are of types that are known by name: a repository has thousands of a few.
#[derive(Clone, Debug)]
enum TypeOf {
    Known(&'static TypeMeta),
    Other(Box<TypeMeta>),
}

/// The resource that a problem is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Subject {
    of: TypeOf,
    /// None for objects that have none: cluster-scoped ones, and those that were written without.
    pub namespace: Option<Text>,
    /// `metadata.name`; empty where it is missing.
    pub name: Text,
}

impl Subject {
    /// An object of any type.
    #[must_use]
    pub fn new(of: TypeMeta, namespace: Option<Text>, name: Text) -> Subject {
        Subject { of: TypeOf::Other(Box::new(of)), namespace, name }
    }

    /// An object of a type that is known by name.
    #[must_use]
    pub fn known(of: &'static TypeMeta, namespace: Option<Text>, name: Text) -> Subject {
        Subject { of: TypeOf::Known(of), namespace, name }
    }

    /// The version of its API as written, `networking.istio.io/v1`.
    #[must_use]
    pub fn api_version(&self) -> &Text {
        &self.of.meta().api_version
    }

    /// `VirtualService`.
    #[must_use]
    pub fn kind(&self) -> &Text {
        &self.of.meta().kind
    }
}

impl TypeOf {
    fn meta(&self) -> &TypeMeta {
        match self {
            TypeOf::Known(meta) => meta,
            TypeOf::Other(meta) => meta,
        }
    }
}

impl PartialEq for TypeOf {
    fn eq(&self, other: &TypeOf) -> bool {
        self.meta() == other.meta()
    }
}

impl Eq for TypeOf {}

impl PartialOrd for TypeOf {
    fn partial_cmp(&self, other: &TypeOf) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for TypeOf {
    fn cmp(&self, other: &TypeOf) -> Ordering {
        self.meta().cmp(other.meta())
    }
}

impl Hash for TypeOf {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.meta().hash(state);
    }
}

/// A second place that has to do with a problem.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Related {
    /// Where.
    pub at: Place,
    /// What is there.
    pub message: String,
}

/// One thing that is wrong, and what to do about it. Data only: no source text, no colour, no path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The rule's code.
    pub code: Cow<'static, str>,
    /// Istio's code for it.
    pub istio: Option<&'static str>,
    /// For IST0101, what kind of reference it is, in Istio's words.
    pub reftype: Option<&'static str>,
    /// How bad it is.
    pub severity: Severity,
    /// The step that found it.
    pub stage: Stage,
    /// The resource it is about; none where a document could not be read as one.
    pub subject: Option<Subject>,
    /// The exact value.
    pub at: Place,
    /// What is wrong: lower case, no full stop, the user's own words in backticks.
    pub message: String,
    /// What the value at `at` is, in a few words.
    pub label: Cow<'static, str>,
    /// What to type.
    pub help: String,
    /// The other places that matter, such as the DestinationRule that lacks the subset.
    pub related: Vec<Related>,
}

impl Problem {
    /// The order in which problems are shown: by place, and at one place the worst first.
    #[must_use]
    pub fn by_place(&self, other: &Problem) -> Ordering {
        let key = |problem: &Problem| (problem.at, std::cmp::Reverse(problem.severity));
        key(self).cmp(&key(other)).then_with(|| {
            (&self.code, &self.message, &self.related).cmp(&(&other.code, &other.message, &other.related))
        })
    }
}

/// All problems of one run.
#[derive(Clone, Debug, Default)]
pub struct Problems {
    found: Vec<Problem>,
}

impl FromIterator<Problem> for Problems {
    fn from_iter<T: IntoIterator<Item = Problem>>(problems: T) -> Problems {
        Problems { found: problems.into_iter().collect() }
    }
}

impl Problems {
    /// Adds one.
    pub fn push(&mut self, problem: Problem) {
        self.found.push(problem);
    }

    /// Adds many.
    pub fn extend(&mut self, problems: impl IntoIterator<Item = Problem>) {
        self.found.extend(problems);
    }

    /// Whether a snapshot may not be made of this mesh.
    #[must_use]
    pub fn fatal(&self) -> bool {
        self.found.iter().any(|problem| problem.severity == Severity::Error)
    }

    /// All problems by place; equal ones once.
    #[must_use]
    pub fn into_sorted(mut self) -> Vec<Problem> {
        self.found.sort_by(Problem::by_place);
        self.found.dedup();
        self.found
    }

    /// The problems as they were found, to be looked through once more.
    #[must_use]
    pub fn into_all(self) -> Vec<Problem> {
        self.found
    }

    /// The problems as they were found.
    #[must_use]
    pub fn as_slice(&self) -> &[Problem] {
        &self.found
    }
}

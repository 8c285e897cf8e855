//! How a value of the document becomes a value of a type, and what is reported when it cannot.

use std::ops::Deref;

use serde_json::{Value, json};
use taut_source::{Data, FileId, Node, Place, Problem, Rule, Severity, Span, Stage, Subject, Text};

use crate::message::{Field, FieldInfo, Status};
use crate::otherwise;
use crate::rules;

/// A value and where it stands.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct At<T> {
    /// The value.
    pub value: T,
    /// Its place in the file that the resource is in.
    pub span: Span,
}

impl<T> Deref for At<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

/// A list of a document. Most fields of a resource are lists that it does not have: one that is empty takes 8 bytes.
pub type List<T> = thin_vec::ThinVec<T>;

/// A map from names to strings: labels, selectors, annotations. In the order of the file.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Labels(pub List<(At<Text>, At<Text>)>);

impl Labels {
    /// The value of a name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Text> {
        self.0.iter().find(|(key, _)| key.value == name).map(|(_, value)| &value.value)
    }

    /// Whether nothing is in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All names and values.
    pub fn iter(&self) -> impl Iterator<Item = (&Text, &Text)> {
        self.0.iter().map(|(key, value)| (&key.value, &value.value))
    }
}

/// A type that can be read from a document.
pub trait Read: Sized {
    /// The value, or none after a problem was reported.
    fn read(node: Node<'_>, cx: &mut Reader<'_>) -> Option<Self>;

    /// What a missing field means; none if the field is required.
    fn absent() -> Option<Self> {
        None
    }

    /// The JSON Schema of the type.
    fn schema() -> Value;

    /// The fields of a message; nothing for any other type.
    fn fields() -> &'static [FieldInfo] {
        &[]
    }
}

/// What is known while one document is read.
pub struct Reader<'p> {
    /// The file that the document is in.
    pub file: FileId,
    /// Who the problems are about.
    pub subject: Option<Subject>,
    /// Where they go.
    pub problems: &'p mut Vec<Problem>,
    /// Whose checks stand behind the rules of stage `type`.
    pub(crate) authority: Authority,
    /// Whether the whole kind is refused, which is said once and not again for each field.
    pub(crate) refused: bool,
    /// Whether this is MeshConfig, where Istio reads past fields that it does not know, and `snake_case` is a key too.
    pub(crate) lenient: bool,
}

/// Who refuses a value in the cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Authority {
    /// Istio's webhook too: its analyzers have codes for it.
    Istio,
    /// The API server alone.
    Kubernetes,
}

impl Reader<'_> {
    /// A place in the file of this document.
    #[must_use]
    pub fn place(&self, span: Span) -> Place {
        Place { file: self.file, span }
    }

    /// Whether enough problems of this file are known. What is found after that is not said, so nothing need be read.
    pub(crate) fn is_full(&self) -> bool {
        PROBLEMS_MAX < self.problems.len()
    }

    /// Reports a problem about the resource being read.
    pub fn report(&mut self, rule: &Rule, span: Span, message: String, help: String) {
        if PROBLEMS_MAX <= self.problems.len() {
            if PROBLEMS_MAX == self.problems.len() {
                let message = format!("this file has more than {PROBLEMS_MAX} problems: the rest is not shown");
                let help = "mend some of those above first".into();
                self.problems.push(Problem { help, ..rules::TOO_MANY.at(self.place(span), message) });
            }
            return;
        }
        let subject = self.subject.clone();
        let mut problem = Problem { help, subject, ..rule.at(self.place(span), message) };
        if self.authority == Authority::Kubernetes && rule.stage == Stage::Type {
            problem.istio = None;
        }
        self.problems.push(problem);
    }

    /// The same, for texts that are still parts of literals.
    pub(crate) fn say(&mut self, rule: &Rule, span: Span, message: impl Into<String>, help: impl Into<String>) {
        self.report(rule, span, message.into(), help.into());
    }

    /// Whether the resource being read is of one of some versions of its API.
    pub(crate) fn is_version(&self, versions: &[&str]) -> bool {
        let api = self.subject.as_ref().map_or("", |subject| subject.api_version().as_str());
        versions.contains(&api.rsplit('/').next().unwrap_or_default())
    }

    /// A key of MeshConfig that was written as protobuf names it: `trust_domain` for `trustDomain`. None for any other.
    pub(crate) fn camel_case(&self, key: Node<'_>) -> Option<String> {
        if !self.lenient {
            return None;
        }
        let text = key.text().filter(|text| text.contains('_'))?;
        let mut camel = String::with_capacity(text.len());
        let mut parts = text.split('_');
        camel.push_str(parts.next().unwrap_or_default());
        for part in parts {
            let mut letters = part.chars();
            camel.extend(letters.next().map(|first| first.to_ascii_uppercase()));
            camel.push_str(letters.as_str());
        }
        Some(camel)
    }

    /// The namespace of the resource being read; empty if it has none.
    pub(crate) fn namespace(&self) -> Text {
        self.subject.as_ref().and_then(|subject| subject.namespace.clone()).unwrap_or_default()
    }

    /// Reads the value of a field: what becomes of the field, its type, its limits. None for a null, which is a field
    /// that was left out; none in it after a problem.
    pub(crate) fn field<T: Read>(&mut self, key: Node<'_>, value: Node<'_>, field: &Field) -> Option<Option<T>> {
        if value.is_null() {
            return None;
        }
        let refused = self.status(key, value, field.status);
        let Some(read) = T::read(value, self) else { return Some(None) };
        // That a field is old need not be said of one that is refused.
        let limits = match field.limits {
            [crate::limit::Limit::Deprecated(_), limits @ ..] if refused => limits,
            limits => limits,
        };
        if !limits.is_empty() {
            self.limits(value, limits);
        }
        Some(Some(read))
    }

    /// Reports a word without quotes that is a string here, and something else to the API server.
    pub(crate) fn unambiguous(&mut self, node: Node<'_>, text: &str) {
        if let Some(other) = otherwise::reads(text).filter(|_| otherwise::is_plain(node.written())) {
            let message = format!("`{}` is `{text}` without quotes, which Kubernetes reads as {other}", node.path());
            self.report(&rules::AMBIGUOUS, node.span(), message, format!("quote it: \"{text}\""));
        }
    }

    /// Reports all but the first of some keys that exclude each other.
    pub(crate) fn at_most_one(&mut self, node: Node<'_>, keys: &[&str]) {
        let mut first: Option<Node<'_>> = None;
        for (key, value) in node.pairs() {
            let Some(name) = key.text().filter(|name| keys.contains(name) && !value.is_null()) else { continue };
            match first {
                None => first = Some(key),
                Some(first) => {
                    let first = first.text().unwrap_or_default();
                    let message = format!("`{}` excludes `{first}`, which stands beside it", key.path());
                    self.report(&rules::EXCLUSIVE, key.span(), message, format!("keep `{first}` or `{name}`"));
                }
            }
        }
    }

    /// Reports a map that has none of some keys.
    pub(crate) fn at_least_one(&mut self, node: Node<'_>, keys: &[&str]) {
        let there = |(key, value): (Node<'_>, Node<'_>)| {
            key.text().is_some_and(|name| keys.contains(&name)) && !value.is_null()
        };
        if !node.pairs().any(there) {
            let listed = keys.join("`, `");
            let message = format!("`{}` says nothing", node.path());
            self.report(&rules::NEEDED, node.span(), message, format!("add one of: `{listed}`"));
        }
    }

    pub(crate) fn wrong_type<T>(&mut self, node: Node<'_>, want: &str) -> Option<T> {
        self.say_wrong_type(node, want);
        None
    }

    // Apart from the function above, of which there is one for every type: hundreds of these would be a tenth of the
    // program.
    #[cold]
    fn say_wrong_type(&mut self, node: Node<'_>, want: &str) {
        let got = match node.data() {
            Data::Null => "nothing".to_owned(),
            Data::Bool(_) => format!("the boolean `{}`", node.written()),
            Data::Int(_) | Data::UInt(_) | Data::Float(_) => format!("the number `{}`", node.written()),
            Data::Text(text) => format!("the string `{}`", shortened(text)),
            Data::List => "a list".to_owned(),
            Data::Map => "a map".to_owned(),
        };
        let help = match (want, node.data()) {
            ("a string", Data::Bool(_) | Data::Int(_) | Data::UInt(_) | Data::Float(_)) => {
                format!("quote it: \"{}\"", node.written())
            }
            ("true or false", Data::Text(text)) => match text.to_ascii_lowercase().as_str() {
                "yes" | "on" | "y" => "write `true`: in YAML 1.2 this word is a string".into(),
                "no" | "off" | "n" => "write `false`: in YAML 1.2 this word is a string".into(),
                "true" | "false" => format!("take the quotes away: {}", text.to_ascii_lowercase()),
                _ => "write `true` or `false`".into(),
            },
            ("a whole number", Data::Text(text)) if text.parse::<i64>().is_ok() && !text.starts_with('0') => {
                format!("take the quotes away: {text}")
            }
            ("a whole number", Data::Text(text)) if text.replace('_', "").parse::<i64>().is_ok() => {
                "write it in decimal, without underscores or leading zeros".into()
            }
            _ => format!("write {want}"),
        };
        self.report(&rules::WRONG_TYPE, node.span(), format!("`{}` is {got}, not {want}", node.path()), help);
    }

    pub(crate) fn missing<T>(&mut self, node: Node<'_>, key: &str) -> Option<T> {
        self.say_missing(node, key);
        None
    }

    #[cold]
    fn say_missing(&mut self, node: Node<'_>, key: &str) {
        let path = node.path();
        let dot = if path.is_empty() { "" } else { "." };
        let message = format!("`{path}{dot}{key}` is required");
        self.report(&rules::MISSING_FIELD, node.span(), message, format!("add `{key}:` here"));
        let routing = self.subject.as_ref().is_some_and(|subject| subject.kind() == "VirtualService");
        if let Some(problem) = self.problems.last_mut().filter(|_| routing && key == "destination") {
            // Istio sees a destination without a host there, and says that there is no such host.
            (problem.istio, problem.reftype) = (Some("IST0101"), Some("host"));
        }
    }

    #[cold]
    pub(crate) fn unknown_field(&mut self, key: Node<'_>, known: &[&str]) {
        let written = key.text().unwrap_or_default();
        // A merge key is reported as YAML.
        if written == "<<" || self.is_full() {
            return;
        }
        let help = match closest(written, known) {
            Some(like) => format!("did you mean `{like}`?"),
            None if known.is_empty() => "no field may stand here".into(),
            None => format!("the fields here are: {}", known.join(", ")),
        };
        let before = self.problems.len();
        self.report(&rules::UNKNOWN_FIELD, key.span(), format!("unknown field `{}`", key.path()), help);
        if self.lenient {
            self.problems[before].severity = Severity::Warning;
        }
    }

    pub(crate) fn unknown_word<T>(&mut self, node: Node<'_>, known: &[&str]) -> Option<T> {
        self.say_unknown_word(node, known);
        None
    }

    #[cold]
    fn say_unknown_word(&mut self, node: Node<'_>, known: &[&str]) {
        let Some(written) = node.text() else { return self.say_wrong_type(node, "a string") };
        let help = match closest(written, known) {
            Some(like) => format!("did you mean `{like}`?"),
            None => format!("write one of: {}", known.join(", ")),
        };
        let message = format!("`{}` cannot be `{}`", node.path(), shortened(written));
        self.report(&rules::UNKNOWN_WORD, node.span(), message, help);
    }

    /// Reports a field that is not carried to the data plane. True if the field is one.
    fn status(&mut self, key: Node<'_>, value: Node<'_>, status: Status) -> bool {
        let Status::Refused(instead) = status else { return false };
        // An empty list asks for nothing, and every boolean that is refused is false by default.
        let asks = match value.data() {
            Data::List => value.items().next().is_some(),
            Data::Bool(value) => value,
            _ => true,
        };
        if asks && !self.refused {
            let message = format!("`{}` is not carried to the data plane", key.path());
            self.report(&rules::UNSUPPORTED_FIELD, key.span(), message, instead.to_owned());
        }
        true
    }

    pub(crate) fn refused_word(&mut self, node: Node<'_>, word: &str, instead: &str) {
        if !self.refused {
            let message = format!("`{}: {word}` is not carried to the data plane", node.path());
            self.report(&rules::UNSUPPORTED_VALUE, node.span(), message, instead.to_owned());
        }
    }
}

/// The most problems that are shown of one file. Each names its way from the top of the document, which takes longer
/// the longer the document is: this is what bounds the time of a large file in which everything is wrong.
pub(crate) const PROBLEMS_MAX: usize = 10_000;

/// The longest list of a resource. The API server takes objects of 3 MiB at most, which is about as many items; rules
/// that compare each with each stay below a second.
const LIST_MAX: usize = 20_000;

/// A text that fits in a message.
pub(crate) fn shortened(text: &str) -> String {
    const SHOWN: usize = 80;
    match text.char_indices().nth(SHOWN) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_owned(),
    }
}

/// The known name that a misspelt one was probably meant to be.
pub(crate) fn closest<'k>(written: &str, known: &[&'k str]) -> Option<&'k str> {
    let limit = (written.chars().count() / 3).max(1);
    let distances = known.iter().map(|name| (distance(&written.to_lowercase(), &name.to_lowercase()), *name));
    distances.filter(|(distance, _)| *distance <= limit).min().map(|(_, name)| name)
}

/// How many letters must be put in, taken out, replaced or swapped with their neighbour.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut rows = vec![(0..=b.len()).collect::<Vec<_>>()];
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let replaced = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut best = replaced.min(rows[i - 1][j] + 1).min(row[j - 1] + 1);
            if 1 < i && 1 < j && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(rows[i - 2][j - 2] + 1);
            }
            row.push(best);
        }
        rows.push(row);
    }
    rows[a.len()][b.len()]
}

impl<T: Read> Read for Option<T> {
    fn read(node: Node<'_>, cx: &mut Reader<'_>) -> Option<Self> {
        T::read(node, cx).map(Some)
    }

    fn absent() -> Option<Self> {
        Some(None)
    }

    fn schema() -> Value {
        T::schema()
    }

    fn fields() -> &'static [FieldInfo] {
        T::fields()
    }
}

impl<T: Read> Read for Box<T> {
    fn read(node: Node<'_>, cx: &mut Reader<'_>) -> Option<Self> {
        T::read(node, cx).map(Box::new)
    }

    fn schema() -> Value {
        T::schema()
    }

    fn fields() -> &'static [FieldInfo] {
        T::fields()
    }
}

impl<T: Read> Read for List<T> {
    fn read(node: Node<'_>, cx: &mut Reader<'_>) -> Option<Self> {
        if !matches!(node.data(), Data::List) {
            return cx.wrong_type(node, "a list");
        }
        // An item that cannot be read is reported and left out: the rest is still checked.
        // Counted first: a list that grows takes room for four at once, and most have one.
        let mut items = List::with_capacity(node.items().take(LIST_MAX).count());
        for item in node.items() {
            if LIST_MAX == items.len() {
                let message = format!("`{}` has more than {LIST_MAX} items", node.path());
                cx.report(&rules::SIZE, item.span(), message, "split it into several resources".into());
                break;
            }
            if cx.is_full() {
                break;
            }
            items.extend(T::read(item, cx));
        }
        Some(items)
    }

    fn absent() -> Option<Self> {
        Some(List::new())
    }

    fn schema() -> Value {
        json!({"type": "array", "items": T::schema()})
    }

    fn fields() -> &'static [FieldInfo] {
        T::fields()
    }
}

impl<T: Read> Read for At<T> {
    fn read(node: Node<'_>, cx: &mut Reader<'_>) -> Option<Self> {
        T::read(node, cx).map(|value| At { value, span: node.span() })
    }

    fn schema() -> Value {
        T::schema()
    }

    fn fields() -> &'static [FieldInfo] {
        T::fields()
    }
}

/// A string of which only the place is kept: the [`Subject`] knows what it says, or it does nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TextAt {
    /// Where it stands.
    pub span: Span,
}

impl Read for TextAt {
    fn read(node: Node<'_>, cx: &mut Reader<'_>) -> Option<Self> {
        Text::read(node, cx).map(|_| TextAt { span: node.span() })
    }

    fn schema() -> Value {
        Text::schema()
    }
}

impl Read for Labels {
    fn read(node: Node<'_>, cx: &mut Reader<'_>) -> Option<Self> {
        <List<(At<Text>, At<Text>)>>::read_pairs(node, cx).map(Labels)
    }

    fn absent() -> Option<Self> {
        Some(Labels::default())
    }

    fn schema() -> Value {
        json!({"type": "object", "additionalProperties": {"type": "string"}})
    }
}

/// Maps whose keys the user chooses, in the order of the file.
pub(crate) trait ReadPairs: Sized {
    fn read_pairs(node: Node<'_>, cx: &mut Reader<'_>) -> Option<Self>;
}

impl<T: Read> ReadPairs for List<(At<Text>, T)> {
    fn read_pairs(node: Node<'_>, cx: &mut Reader<'_>) -> Option<Self> {
        if !matches!(node.data(), Data::Map) {
            return cx.wrong_type(node, "a map");
        }
        let mut pairs: Self = List::with_capacity(node.pairs().count());
        for (key, value) in node.pairs() {
            if cx.is_full() {
                break;
            }
            let text = key.text().unwrap_or_default();
            cx.unambiguous(key, text);
            let name = At { value: Text::new(text), span: key.span() };
            let Some(value) = T::read(value, cx) else { continue };
            pairs.push((name, value)); // one that stands twice is reported as YAML
        }
        Some(pairs)
    }
}

/// A map from names that the user chooses to messages.
#[derive(Clone, Debug, PartialEq)]
pub struct Named<T>(pub List<(At<Text>, T)>);

impl<T> Default for Named<T> {
    fn default() -> Self {
        Named(List::new())
    }
}

impl<T: Read> Read for Named<T> {
    fn read(node: Node<'_>, cx: &mut Reader<'_>) -> Option<Self> {
        <List<(At<Text>, T)>>::read_pairs(node, cx).map(Named)
    }

    fn absent() -> Option<Self> {
        Some(Named::default())
    }

    fn schema() -> Value {
        json!({"type": "object", "additionalProperties": T::schema()})
    }

    fn fields() -> &'static [FieldInfo] {
        T::fields()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelt_name_finds_its_neighbour_and_nothing_else() {
        let known = ["hosts", "http", "gateways", "exportTo"];
        assert_eq!(closest("host", &known), Some("hosts"));
        assert_eq!(closest("htpt", &known), Some("http"));
        assert_eq!(closest("gateway", &known), Some("gateways"));
        assert_eq!(closest("export_to", &known), Some("exportTo"));
        assert_eq!(closest("servers", &known), None);
    }
}

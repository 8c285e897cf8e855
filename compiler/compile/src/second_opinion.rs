//! A second opinion on each resource: its JSON Schema, run by another implementation.
//!
//! The reader of a kind and its JSON Schema come from one declaration, and are run by two programs that share nothing.
//! With the reference reader both run, and where the schema refuses what the reader took, that is a problem: of the
//! resource, or of Taut.
//! May not: run with the fast reader. It costs as much again as everything else.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use jsonschema::Validator;
use serde_json::{Map, Value};
use taut_resources::{KINDS, Kind};
use taut_source::{Data, FileId, Node, Place, Problem, Rule, Severity, Stage};

pub(crate) static SECOND_OPINION: Rule = Rule {
    code: "taut::schema::second_opinion",
    istio: None,
    severity: Severity::Error,
    stage: Stage::Schema,
    finds: "a resource that the JSON Schema of its kind refuses, and nothing else does",
    why: "The two are made from one declaration: where they differ one of them is wrong, and until that is found the resource stays out.",
    bad: "a resource that one of two checks refuses",
    good: "a resource that both take",
};

/// The schemas that were needed so far.
#[derive(Debug, Default)]
pub(crate) struct SecondOpinion {
    validators: Mutex<BTreeMap<String, Option<Arc<Validator>>>>,
}

impl SecondOpinion {
    /// Reports what the schemas refuse in a document whose own problems are those of `found` after the first `before`.
    pub(crate) fn ask(&self, root: Node<'_>, file: FileId, before: usize, found: &mut Vec<Problem>) {
        let refused = |problem: &Problem| {
            problem.severity == Severity::Error && matches!(problem.stage, Stage::Yaml | Stage::Schema | Stage::Type)
        };
        if found[before..].iter().any(refused) {
            return;
        }
        if let Some(items) = root.get("items").filter(|_| root.get("kind").and_then(Node::text) == Some("List")) {
            items.items().for_each(|item| self.ask_about(item, file, found));
        } else {
            self.ask_about(root, file, found);
        }
    }

    fn ask_about(&self, node: Node<'_>, file: FileId, found: &mut Vec<Problem>) {
        let Some(kind) = kind_of(node) else { return };
        let compile = || jsonschema::validator_for(&kind.schema()).ok().map(Arc::new);
        let mut validators = self.validators.lock().unwrap_or_else(PoisonError::into_inner);
        let validator = validators.entry(kind.schema_file()).or_insert_with(compile).clone();
        drop(validators);
        let Some(validator) = validator else { return };
        if let Err(error) = validator.validate(&value(node)) {
            let place = Place { file, span: node.get("kind").map_or(node.span(), Node::span) };
            let message = format!("the schema of `{}` refuses `{}`: {error}", kind.name, error.instance_path());
            let help = "compare with the schema of the kind; if the resource is right, report this".into();
            found.push(Problem { help, ..SECOND_OPINION.at(place, message) });
        }
    }
}

/// The kind that an object says it is of.
fn kind_of(node: Node<'_>) -> Option<&'static Kind> {
    let text = |key: &str| node.get(key).and_then(Node::text).unwrap_or_default();
    let (group, version) = text("apiVersion").rsplit_once('/').unwrap_or(("", text("apiVersion")));
    let name = text("kind");
    KINDS.iter().find(|kind| kind.name == name && kind.group == group && kind.versions.contains(&version))
}

/// A value as JSON. A field that is null was left out.
fn value(node: Node<'_>) -> Value {
    match node.data() {
        Data::Null => Value::Null,
        Data::Bool(value) => value.into(),
        Data::Int(value) => value.into(),
        Data::UInt(value) => value.into(),
        Data::Float(value) => value.into(),
        Data::Text(text) => text.into(),
        Data::List => node.items().map(value).collect(),
        Data::Map => {
            let written = node.pairs().filter(|(_, below)| !below.is_null());
            let pairs = written.map(|(key, below)| (key.text().unwrap_or_default().to_owned(), value(below)));
            Value::Object(pairs.collect::<Map<_, _>>())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_schema_can_be_run() {
        for kind in KINDS {
            if let Err(error) = jsonschema::validator_for(&kind.schema()) {
                panic!("{}: {error}", kind.schema_file());
            }
        }
    }
}

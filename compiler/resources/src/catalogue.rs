//! What others read about the kinds: a JSON Schema for each, and the table of what becomes of each field.
//!
//! Owns: the names and texts of the files in `schemas/resources/` and of the table in `schemas/README.md`.
//! Invariant: both are made from the declarations that read resources, so they cannot say anything else.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde_json::{Value, json};

use crate::kind::{Api, KINDS, Kind, Support};
use crate::message::{FieldInfo, Status};
use crate::read::Read;
use crate::{MeshConfig, MeshNetworks};

/// The files of JSON Schema, by name.
#[must_use]
pub fn schema_files() -> BTreeMap<String, String> {
    let mut files: BTreeMap<String, Value> = KINDS.iter().map(|kind| (kind.schema_file(), kind.schema())).collect();
    files.insert("mesh_config.json".into(), whole("MeshConfig", MeshConfig::schema()));
    files.insert("mesh_networks.json".into(), whole("MeshNetworks", MeshNetworks::schema()));
    files.into_iter().map(|(name, schema)| (name, format!("{schema:#}\n"))).collect()
}

/// The schema of a file that is one message. Istio reads past fields that it does not know.
fn whole(title: &str, mut schema: Value) -> Value {
    schema["$schema"] = json!("https://json-schema.org/draft/2020-12/schema");
    schema["title"] = json!(title);
    schema
}

/// The table of kinds and fields, in Markdown.
#[must_use]
pub fn field_table() -> String {
    let mut text = String::new();
    for kind in KINDS {
        let versions: Vec<&str> = kind.api_versions().collect();
        let _ = writeln!(text, "\n### {} ({})\n", kind.name, versions.join(", "));
        let _ = writeln!(text, "{}", what_becomes_of(kind));
        if matches!(kind.support, Support::Carried | Support::Read) {
            let start = if matches!(kind.api, Api::CoreTop) { "" } else { "spec." };
            let core = matches!(kind.api, Api::CoreTop | Api::CoreSpec);
            rows(start, (kind.fields)(), if core { "read" } else { "carried" }, &mut text);
        }
    }
    for (name, fields) in [("MeshConfig", MeshConfig::fields()), ("MeshNetworks", MeshNetworks::fields())] {
        let _ = writeln!(text, "\n### {name}\n\nA file of its own, given with an option.");
        rows("", fields, "carried", &mut text);
    }
    text
}

fn what_becomes_of(kind: &Kind) -> String {
    match kind.support {
        Support::Carried if matches!(kind.api, Api::CoreTop | Api::CoreSpec) => {
            "Carried to the data plane by the fields below. The others are Kubernetes' own.".into()
        }
        Support::Carried => "Carried to the data plane, field by field.".into(),
        Support::Read => {
            "Read for what other resources say of it, by the fields below. The others are Kubernetes' own.".into()
        }
        Support::Refused(instead) => format!("Every field is checked; the resource is then refused: {instead}."),
    }
}

fn rows(start: &str, fields: &[FieldInfo], carried: &str, text: &mut String) {
    if fields.is_empty() {
        return;
    }
    text.push_str("\n| Field | What becomes of it |\n|---|---|\n");
    below(start, fields, carried, text);
}

fn below(start: &str, fields: &[FieldInfo], carried: &str, text: &mut String) {
    for field in fields {
        let path = format!("{start}{}", field.key);
        let children = (field.below)();
        let (what, ends) = match field.status {
            // A message is carried through its fields.
            Status::Carried if !children.is_empty() => (String::new(), false),
            Status::Carried => (carried.to_owned(), true),
            Status::Refused(instead) => (format!("refused: {instead}"), true),
            Status::Inert(why) => (format!("no effect: {why}"), true),
        };
        if ends {
            let _ = writeln!(text, "| `{path}` | {} |", what.replace('|', "\\|"));
        } else {
            below(&format!("{path}."), children, carried, text);
        }
    }
}

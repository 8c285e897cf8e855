//! JSON Schemas of messages, put together from the same declarations that read them.
//!
//! Owns: how a limit, a rule over a whole map and a doc comment read in JSON Schema (2020-12).
//! May not: say anything that the reader does not do. What a schema cannot say, the reader alone checks.

use serde_json::{Map, Value, json};

use crate::limit::Limit;
use crate::message::Field;

/// The schema of a map with named fields.
pub(crate) struct Object {
    properties: Map<String, Value>,
    required: Vec<Value>,
    /// Whether other fields are refused.
    closed: bool,
    /// Rules over the whole map.
    rules: Vec<Value>,
}

impl Object {
    pub(crate) fn new(closed: bool) -> Object {
        Object { properties: Map::new(), required: Vec::new(), closed, rules: Vec::new() }
    }

    /// Adds a field under one of its keys.
    pub(crate) fn field(&mut self, key: &str, field: &Field, optional: bool, mut schema: Value, doc: &[&str]) {
        for limit in field.limits {
            limited(&mut schema, limit);
        }
        let text: Vec<&str> = doc.iter().map(|line| line.trim()).collect();
        if let Value::Object(schema) = &mut schema {
            schema.insert("description".into(), text.join(" ").into());
        }
        self.properties.insert(key.into(), schema);
        if key == field.key && (field.required || !optional) {
            self.required.push(key.into());
        }
    }

    pub(crate) fn at_most_one(&mut self, keys: &[&str]) {
        for (index, first) in keys.iter().enumerate() {
            for second in &keys[index + 1..] {
                self.rules.push(json!({"not": {"required": [first, second]}}));
            }
        }
    }

    pub(crate) fn at_least_one(&mut self, keys: &[&str]) {
        let each: Vec<Value> = keys.iter().map(|key| json!({"required": [key]})).collect();
        self.rules.push(json!({"anyOf": each}));
    }

    pub(crate) fn finish(self) -> Value {
        let mut schema = Map::new();
        schema.insert("type".into(), "object".into());
        schema.insert("properties".into(), self.properties.into());
        if !self.required.is_empty() {
            schema.insert("required".into(), self.required.into());
        }
        if self.closed {
            schema.insert("additionalProperties".into(), false.into());
        }
        if !self.rules.is_empty() {
            schema.insert("allOf".into(), self.rules.into());
        }
        schema.into()
    }
}

/// Says a limit in a schema: of the value itself, of the items of a list, or of the values of a map.
fn limited(schema: &mut Value, limit: &Limit) {
    let kind = schema.get("type").and_then(Value::as_str).unwrap_or_default().to_owned();
    match limit {
        Limit::Items { least, most } => {
            let (low, high) =
                if kind == "array" { ("minItems", "maxItems") } else { ("minProperties", "maxProperties") };
            bounds(schema, low, high, *least, *most);
        }
        Limit::Keys(grammar) => {
            if let Some(pattern) = grammar.pattern {
                schema["propertyNames"] = json!({"pattern": pattern});
            }
        }
        Limit::Unique([]) => schema["uniqueItems"] = true.into(),
        // JSON Schema knows no uniqueness by a field; this is how Kubernetes writes it.
        Limit::Unique(keys) => {
            schema["x-kubernetes-list-type"] = "map".into();
            schema["x-kubernetes-list-map-keys"] = json!(keys);
        }
        Limit::Deprecated(_) => schema["deprecated"] = true.into(),
        Limit::Chars { .. } | Limit::Range { .. } | Limit::Is { .. } => {
            let below = match kind.as_str() {
                "array" => schema.get_mut("items"),
                "object" => schema.get_mut("additionalProperties"),
                _ => None,
            };
            match below {
                Some(below) => limited(below, limit),
                None => of_scalar(schema, limit),
            }
        }
    }
}

fn of_scalar(schema: &mut Value, limit: &Limit) {
    match limit {
        Limit::Chars { least, most } => bounds(schema, "minLength", "maxLength", *least, *most),
        Limit::Range { least, most } => {
            schema["minimum"] = number(*least);
            if most.is_finite() {
                schema["maximum"] = number(*most);
            }
        }
        Limit::Is { grammar, or_empty } => {
            if let Some(pattern) = grammar.pattern {
                schema["pattern"] = if *or_empty { format!("^$|(?:{pattern})").into() } else { pattern.into() };
            }
        }
        _ => {}
    }
}

fn bounds(schema: &mut Value, low: &str, high: &str, least: usize, most: usize) {
    if 0 < least {
        schema[low] = least.into();
    }
    if most < usize::MAX {
        schema[high] = most.into();
    }
}

/// Whole numbers are written as such, so that a schema reads as people write one.
fn number(value: f64) -> Value {
    if value.fract() == 0.0 && value.abs() < 9e15 { (value as i64).into() } else { value.into() }
}

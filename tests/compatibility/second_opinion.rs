//! The readers of the kinds and their JSON Schemas, run by another implementation, say the same; and no resource, however
//! wrong, stops the compiler.

use harness::{Draws, shaped, sources_of_text};
use serde_json::{Value, json};
use taut_compile::{Compiled, Options, compile};
use taut_source::{Severity, Stage, YamlReader};

fn compiled(text: &str) -> Compiled {
    let options = Options { reader: YamlReader::Reference, ..Options::default() };
    compile(&sources_of_text(text), &options)
}

fn codes(text: &str) -> Vec<String> {
    compiled(text).problems.into_iter().map(|problem| format!("{}: {}", problem.code, problem.message)).collect()
}

fn refused(compiled: &Compiled) -> bool {
    compiled.problems.iter().any(|problem| {
        problem.severity == Severity::Error && matches!(problem.stage, Stage::Yaml | Stage::Schema | Stage::Type)
    })
}

/// Schemas by file, without MeshConfig and MeshNetworks, which are no resources.
fn schemas() -> Vec<Value> {
    let files = taut_compile::schema_files();
    let of_kinds = files.iter().filter(|(name, _)| !name.starts_with("mesh_"));
    of_kinds.map(|(_, text)| serde_json::from_str(text).unwrap()).collect()
}

#[test]
fn the_schemas_never_refuse_what_the_readers_take() {
    let schemas = schemas();
    let mut taken = 0;
    for seed in 0..6_000 {
        let mut draws = Draws::new(seed);
        let schema = draws.pick(&schemas).clone();
        let mut resource = shaped(&schema, &mut draws);
        if let Some(map) = resource.as_object_mut() {
            map.insert("metadata".into(), json!({"name": "made-up"}));
            map.insert("kind".into(), schema["title"].clone());
            map.insert("apiVersion".into(), schema["properties"]["apiVersion"]["enum"][0].clone());
        }
        let text = resource.to_string();
        let compiled = compiled(&text);
        taken += usize::from(!refused(&compiled));
        let differs = compiled.problems.iter().find(|problem| problem.code == "taut::schema::second_opinion");
        assert!(differs.is_none(), "seed {seed}: {differs:?}\n{text}");
    }
    assert!(600 < taken, "only {taken} of the made-up resources are right: nothing is compared");
}

#[test]
fn rules_with_examples_are_seen_by_the_schemas_too() {
    for rule in taut_compile::rules() {
        for mesh in [rule.bad, rule.good] {
            let differs = codes(mesh).into_iter().find(|code| code.starts_with("taut::schema::second_opinion"));
            assert_eq!(differs, None, "{}", rule.code);
        }
    }
}

//! What is written about the kinds is what the compiler does: `schemas/resources/` and the table in `schemas/README.md`.

use std::fs;

use harness::root;

/// Set to write the files anew instead of comparing them.
const WRITE: &str = "TAUT_WRITE_SCHEMAS";

/// What the file has up to the generated table.
const TABLE: &str =
    "<!-- The rest is made from the declarations of the kinds. TAUT_WRITE_SCHEMAS=1 writes it anew. -->\n";

fn fresh(name: &str, want: &str) {
    let path = root().join("schemas").join(name);
    if std::env::var(WRITE).is_ok() {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, want).unwrap();
    }
    let got = fs::read_to_string(&path).unwrap_or_default();
    let help = format!("run `{WRITE}=1 cargo test -p taut-tests --test compatibility resource_schemas`");
    assert!(got == want, "schemas/{name} is not what the compiler does: {help}");
}

#[test]
fn every_kind_has_its_schema() {
    let files = taut_compile::schema_files();
    for (name, text) in &files {
        fresh(&format!("resources/{name}"), text);
    }
    for entry in fs::read_dir(root().join("schemas/resources")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(files.contains_key(&name), "schemas/resources/{name} is of no kind");
    }
}

#[test]
fn the_table_of_fields_is_what_the_compiler_does() {
    let path = root().join("schemas/README.md");
    let written = fs::read_to_string(&path).unwrap_or_default();
    let head = written.split(TABLE).next().unwrap_or_default();
    fresh("README.md", &format!("{head}{TABLE}{}", taut_compile::field_table()));
}

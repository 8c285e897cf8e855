//! Same tree, same bytes: order of files, names of files and layout of YAML change nothing.

use harness::{root, sources_of};
use taut_compile::{Options, compile};
use taut_source::{SourceFile, SourceSet};

fn id(sources: &SourceSet) -> String {
    let compiled = compile(sources, &Options::default());
    compiled.snapshot.unwrap_or_else(|| panic!("{:?}", compiled.problems)).id.to_string()
}

#[test]
fn order_names_and_layout_change_nothing() {
    let shop = sources_of(&root().join("golden/cases/demo/shop"));
    let want = id(&shop);
    assert_eq!(id(&shop), want, "twice the same");

    // One document a file, in another order, under other names.
    let text: Vec<String> = shop.files().iter().map(|file| String::from_utf8_lossy(&file.bytes).into_owned()).collect();
    let documents: Vec<String> = text.iter().flat_map(|text| text.split("\n---\n").map(str::to_owned)).collect();
    let mut files: Vec<SourceFile> = documents
        .iter()
        .enumerate()
        .map(|(at, text)| SourceFile::new(&format!("z{}.yaml", 1000 - at), text.as_bytes()))
        .collect();
    files.reverse();
    assert_eq!(id(&SourceSet::new(files)), want, "split, reordered, renamed");

    // The same values as JSON, in lines that end as Windows has them.
    let relaid = |text: &str| -> String {
        let value: serde_json::Value = serde_yaml::from_str(text).unwrap();
        serde_json::to_string_pretty(&value).unwrap().replace('\n', "\r\n")
    };
    let relaid = documents.iter().filter(|text| text.contains("apiVersion")).map(|text| relaid(text));
    let files = relaid.enumerate().map(|(at, text)| SourceFile::new(&format!("{at}.json"), text.as_bytes()));
    assert_eq!(id(&SourceSet::new(files.collect())), want, "as JSON");
}

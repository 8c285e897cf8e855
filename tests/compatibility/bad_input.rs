//! Whatever stands in a file: the time is bounded, what is wrong has a place, and the rest of the run goes on.

use std::time::{Duration, Instant};

use harness::{Draws, mutant, root, shaped, tracked_files};
use taut_compile::{Compiled, Options, compile};
use taut_source::{SourceFile, SourceSet, YamlReader};

/// The most that one bad file may take. Debug builds on a busy machine are slow: this is about hours, not milliseconds.
const PATIENCE: Duration = Duration::from_secs(60);

/// A resource with one mistake, which must be found whatever stands before it.
const NEXT: &str =
    "apiVersion: security.istio.io/v1\nkind: PeerAuthentication\nmetadata: {name: next}\nspec: {mtlss: {}}\n";

fn compiled(bytes: &[u8], reader: YamlReader) -> Compiled {
    let files = vec![SourceFile::new("a.yaml", bytes), SourceFile::new("b.yaml", NEXT.as_bytes())];
    let begun = Instant::now();
    let compiled = compile(&SourceSet::new(files), &Options { reader, ..Options::default() });
    assert!(begun.elapsed() < PATIENCE, "it took {:?}", begun.elapsed());
    compiled
}

/// Compiles a bad file, and says with which codes. The file after it is always read.
fn codes(name: &str, bytes: &[u8]) -> Vec<String> {
    let found = [YamlReader::Fast, YamlReader::Reference].map(|reader| {
        let compiled = compiled(bytes, reader);
        let (bad, next): (Vec<_>, Vec<_>) = compiled.problems.iter().partition(|problem| problem.at.file.0 == 0);
        assert_eq!(next.len(), 1, "{name}: the file after it is read");
        assert!(compiled.snapshot.is_none(), "{name}: nothing comes of it");
        for problem in &bad {
            let end = usize::try_from(problem.at.span.end).unwrap();
            assert!(end <= bytes.len() + 1, "{name}: {problem:?} is outside of the file");
            assert!(!problem.message.is_empty(), "{name}");
        }
        bad.into_iter().map(|problem| problem.code.to_string()).collect::<Vec<_>>()
    });
    assert_eq!(found[0], found[1], "{name}: the readers agree");
    found.into_iter().next().unwrap()
}

fn route(rule: &str) -> String {
    format!(
        "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {{name: a}}\nspec:\n  hosts: [orders]\n  http:\n  - {rule}\n"
    )
}

const HEAD: &str = "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: a}\n";

#[test]
fn bad_files_are_problems_with_a_place() {
    let mut bomb = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x]\n");
    for level in 1..30 {
        let before = level - 1;
        bomb += &format!(
            "a{level}: &a{level} [*a{before}, *a{before}, *a{before}, *a{before}, *a{before}, *a{before}, *a{before}]\n"
        );
    }
    let deep = format!("{}x{}", "[".repeat(100_000), "]".repeat(100_000));
    let deep_block: String = (0..2_000).map(|level| format!("{}a:\n", " ".repeat(level))).collect();
    let exploding =
        route("match: [{uri: {regex: '((a{100}){100}){100}'}}]\n    route: [{destination: {host: orders}}]");
    let refused = route("match: [{uri: {regex: '(?=a)\\1'}}]\n    route: [{destination: {host: orders}}]");
    let nested = route(&format!(
        "match: [{{uri: {{regex: '{}'}}}}]\n    route: [{{destination: {{host: orders}}}}]",
        "(".repeat(1_000)
    ));
    let large = route(
        "timeout: 99999999999999999999999999h\n    route: [{destination: {host: orders}, weight: 99999999999999999999}]",
    );
    let mut nul = HEAD.as_bytes().to_vec();
    nul.extend_from_slice(b"spec: {hosts: [\"a\0b\"]}\n");
    let mut latin = HEAD.as_bytes().to_vec();
    latin.extend_from_slice(b"# caf\xe9\nspec: {}\n");
    #[rustfmt::skip]
    let table: Vec<(&str, Vec<u8>, &[&str])> = vec![
        ("an alias bomb", bomb.into(), &["taut::yaml::too_large"]),
        ("a deep flow", deep.into(), &["taut::yaml::too_deep"]),
        ("a deep block", deep_block.into(), &["taut::yaml::too_deep"]),
        ("an alias of itself", "a: &a [*a]\n".into(), &["taut::yaml::too_deep"]),
        ("duplicate keys", format!("{HEAD}spec: {{}}\nspec: {{hosts: [a], http: [{{route: [{{destination: {{host: a}}}}]}}]}}\n").into(), &["taut::yaml::duplicate_key", "taut::route::unknown_host"]),
        ("a tab", "a:\n\tb: c\n".into(), &["taut::yaml::syntax"]),
        ("a NUL", nul, &["taut::yaml::syntax"]),
        ("Latin-1", latin, &["taut::yaml::not_utf8"]),
        ("a merge key", format!("{HEAD}x: &x {{}}\nspec: {{<<: *x}}\n").into(), &["taut::schema::unknown_field", "taut::yaml::merge_key", "taut::type::missing"]),
        ("a list as a key", format!("{HEAD}spec: {{[a]: b}}\n").into(), &["taut::yaml::key"]),
        ("a regex that explodes", exploding.into(), &["taut::type::pattern"]),
        ("a regex that RE2 refuses", refused.into(), &["taut::type::pattern"]),
        ("a regex that nests too deep", nested.into(), &["taut::type::pattern"]),
        ("numbers out of range", large.into(), &["taut::type::duration", "taut::type::range"]),
        ("a byte-order mark and line ends of DOS", format!("\u{feff}{}", NEXT.replace('\n', "\r\n")).into(), &["taut::schema::unknown_field"]),
        ("no resource", "just text".into(), &[]),
    ];
    for (name, bytes, want) in &table {
        let got = codes(name, bytes);
        for code in *want {
            assert!(got.iter().any(|it| it == code), "{name}: {got:?} has no {code}");
        }
        assert!(got.len() <= want.len() + 2, "{name}: one mistake gives {got:?}");
    }
}

#[test]
fn a_document_of_forty_megabytes_is_refused_before_it_is_read() {
    let mut text = String::from("a:\n");
    while text.len() < 40 << 20 {
        text.push_str("- some text that stands here many times\n");
    }
    assert_eq!(codes("a large document", text.as_bytes()), ["taut::yaml::too_large"]);
}

#[test]
fn ten_thousand_mistakes_are_all_said_and_a_hundred_thousand_are_not() {
    let head = "---\napiVersion: security.istio.io/v1\nkind: PeerAuthentication\n";
    let mistake = |number| format!("{head}metadata: {{name: a{number}}}\nspec: {{mtls: {{mode: strict}}}}\n");
    let text: String = (0..9_000).map(mistake).collect();
    let compiled = compiled(text.as_bytes(), YamlReader::Fast);
    let words = compiled.problems.iter().filter(|problem| problem.code == "taut::schema::unknown_word");
    assert_eq!(words.count(), 9_000);
    let many = format!("{HEAD}spec:\n  hosts:\n{}", "  - {}\n".repeat(19_000));
    let compiled = self::compiled(many.as_bytes(), YamlReader::Fast);
    assert!((10_000..10_020).contains(&compiled.problems.len()), "{}", compiled.problems.len());
    assert!(compiled.problems.iter().any(|problem| problem.code == "taut::schema::too_many"));
    let long = format!("{HEAD}spec:\n  hosts:\n{}", "  - a.b\n".repeat(200_000));
    let compiled = self::compiled(long.as_bytes(), YamlReader::Fast);
    assert!(compiled.problems.iter().any(|problem| problem.message.contains("more than 20000 items")));
}

/// Text and trees made up by seed, through every parser: nothing may panic, and all may be refused.
#[test]
fn no_input_stops_the_compiler() {
    let mut names = tracked_files();
    names.retain(|name| name.starts_with("golden/") && name.ends_with(".yaml"));
    let seeds: Vec<String> = names.iter().map(|name| std::fs::read_to_string(root().join(name)).unwrap()).collect();
    for seed in 0..3_000 {
        let mut draws = Draws::new(seed);
        let text = mutant(&seeds, &mut draws);
        let _ = compile(&harness::sources_of_text(&text), &Options::default());
    }
    let schemas: Vec<serde_json::Value> =
        taut_compile::schema_files().values().map(|text| serde_json::from_str(text).unwrap()).collect();
    for seed in 0..3_000 {
        let mut draws = Draws::new(seed);
        let schema = draws.pick(&schemas).clone();
        let text = shaped(&schema, &mut draws).to_string();
        let _ = compile(&harness::sources_of_text(&text), &Options::default());
    }
}

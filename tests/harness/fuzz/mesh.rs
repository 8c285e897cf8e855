//! Any bytes as a mesh.

use taut_compile::{Compiled, Options, compile};
use taut_resources::KINDS;
use taut_source::{SourceFile, SourceSet};

/// A sound service, so that references lead somewhere and a snapshot can be made.
const BESIDE: &str = "\
apiVersion: v1
kind: Service
metadata: {name: orders, namespace: default}
spec:
  selector: {app: orders}
  ports: [{name: http, port: 8080}]
";

/// Whatever stands in a file, the compiler ends, and everything it says has a place.
///
/// # Panics
/// If it does not.
pub fn mesh(bytes: &[u8]) {
    compiled(vec![SourceFile::new("mesh.yaml", bytes)]);
}

/// The same for what stands below the name of each kind: the first byte chooses it, the rest is `spec:` and so on.
///
/// # Panics
/// If it does not hold.
pub fn kinds(bytes: &[u8]) {
    let Some((which, rest)) = bytes.split_first() else { return };
    let kind = &KINDS[usize::from(*which) % KINDS.len()];
    let slash = if kind.group.is_empty() { "" } else { "/" };
    let api = [kind.group, slash, kind.versions[0]].concat();
    let mut text = format!("apiVersion: {api}\nkind: {}\nmetadata: {{name: orders}}\n", kind.name).into_bytes();
    text.extend_from_slice(rest);
    compiled(vec![SourceFile::new("mesh.yaml", &text), SourceFile::new("beside.yaml", BESIDE.as_bytes())]);
}

/// The same for the file of exceptions from rules.
///
/// # Panics
/// If it does not hold.
pub fn exceptions(bytes: &[u8]) {
    compiled(vec![SourceFile::new("taut.toml", bytes), SourceFile::new("beside.yaml", BESIDE.as_bytes())]);
}

fn compiled(files: Vec<SourceFile>) -> Compiled {
    let sources = SourceSet::new(files);
    let options = Options { now_s: Some(1_800_000_000), ..Options::default() };
    let compiled = compile(&sources, &options);
    for problem in &compiled.problems {
        let length = sources.file(problem.at.file).bytes.len();
        let span = problem.at.span;
        assert!(span.start <= span.end && span.end as usize <= length + 1, "{problem:?} is outside of its file");
        assert!(!problem.message.is_empty(), "{problem:?}");
    }
    if let Some(snapshot) = &compiled.snapshot {
        assert_eq!(snapshot.verify(), Ok(()), "what is written is believed");
    }
    compiled
}

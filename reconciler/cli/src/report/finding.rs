//! Problems with what every machine format needs of them: a path, lines and columns, and a name that stays.

use std::collections::HashMap;

use taut_snapshot::Digest;
use taut_source::{Position, Problem, SourceSet};

/// One problem, placed.
pub(crate) struct Finding<'p> {
    pub(crate) problem: &'p Problem,
    /// As a repository names it: without `./` before it.
    pub(crate) file: &'p str,
    pub(crate) start: Position,
    /// After its last character.
    pub(crate) end: Position,
    /// Names it from one run to the next, whatever lines come and go above it: a digest of its code, file, resource and
    /// message, and of which one it is among those that have these in common.
    pub(crate) fingerprint: String,
}

impl Finding<'_> {
    /// `VirtualService shop/orders`; empty where the document could not be read as a resource.
    pub(crate) fn resource(&self) -> String {
        let Some(subject) = &self.problem.subject else { return String::new() };
        match &subject.namespace {
            Some(namespace) => format!("{} {namespace}/{}", subject.kind(), subject.name),
            None => format!("{} {}", subject.kind(), subject.name),
        }
    }

    /// The message, and what to type.
    pub(crate) fn said(&self) -> String {
        match self.problem.help.as_str() {
            "" => self.problem.message.clone(),
            help => format!("{}\nhelp: {help}", self.problem.message),
        }
    }
}

/// All problems, in their order.
pub(crate) fn findings<'p>(problems: &'p [Problem], sources: &'p SourceSet) -> Vec<Finding<'p>> {
    let mut seen: HashMap<String, u32> = HashMap::new();
    let finding = |problem: &'p Problem| {
        let mut finding = Finding {
            problem,
            file: path(&sources.file(problem.at.file).name),
            start: sources.position(problem.at.file, problem.at.span.start),
            end: sources.position(problem.at.file, problem.at.span.end),
            fingerprint: String::new(),
        };
        let what = [&*problem.code, finding.file, &finding.resource(), &problem.message].join("\n");
        let before = seen.entry(what.clone()).or_default();
        *before += 1;
        // Half of a digest: 128 bits are enough for names, and what the formats' readers show stays short.
        finding.fingerprint = Digest::of(format!("{what}\n{before}").as_bytes()).to_string()[..32].to_owned();
        finding
    };
    problems.iter().map(finding).collect()
}

/// A file's name as a repository has it.
pub(crate) fn path(name: &str) -> &str {
    name.strip_prefix("./").unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use taut_compile::{Options, compile};
    use taut_source::SourceFile;

    use super::*;

    fn fingerprints(text: &str) -> Vec<String> {
        let sources = SourceSet::new(vec![SourceFile::new("./a.yaml", text.as_bytes())]);
        let compiled = compile(&sources, &Options::default());
        let found = findings(&compiled.problems, &sources);
        assert!(found.iter().all(|finding| finding.file == "a.yaml"));
        found.into_iter().map(|finding| finding.fingerprint).collect()
    }

    #[test]
    fn a_fingerprint_stays_when_lines_move_and_no_two_are_alike() {
        let mesh = "apiVersion: security.istio.io/v1\nkind: PeerAuthentication\nmetadata: {name: a}\nspec:\n  a: {}\n  mtls: {a: {}, a: {}}\n";
        let found = fingerprints(mesh);
        let mut distinct = found.clone();
        distinct.sort();
        distinct.dedup();
        assert!(2 < found.len() && distinct.len() == found.len(), "{found:?}");
        assert_eq!(fingerprints(&format!("# one more line\n\n{mesh}")), found);
        assert_ne!(fingerprints(&mesh.replace("name: a", "name: b"))[0], found[0]);
    }
}

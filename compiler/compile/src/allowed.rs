//! Kinds that the data plane does not carry, and that somebody goes on without: a migration has them in its tree still.
//!
//! Owns: what becomes of the finding. May not: hide it. It stays a warning for as long as the resource is there, and
//! says that nothing of it happens.

use std::collections::BTreeSet;

use taut_resources::{KINDS, Support, UNSUPPORTED_KIND_CODE};
use taut_source::{FileId, Problem, Severity, Subject};

/// Whether a kind may be gone on without: one that is carried is never refused as a whole, and what of its fields is
/// not carried is for its author to change.
#[must_use]
pub fn may_be_allowed(kind: &str) -> bool {
    let refused = |support| matches!(support, Support::Refused(_));
    let mut known = KINDS.iter().filter(|known| known.name == kind).peekable();
    known.peek().is_none() || known.any(|known| refused(known.support))
}

/// Makes warnings of the refusals of these kinds, and says which resources they are about: those are to be left out.
pub(crate) fn apply(problems: &mut [Problem], kinds: &BTreeSet<String>) -> BTreeSet<(FileId, Subject)> {
    let mut left_out = BTreeSet::new();
    for problem in problems.iter_mut().filter(|problem| problem.code == UNSUPPORTED_KIND_CODE) {
        let Some(subject) = problem.subject.as_ref().filter(|subject| kinds.contains(subject.kind().as_str())) else {
            continue;
        };
        problem.severity = Severity::Warning;
        problem.message = format!("{}: nothing of `{}` happens, and that is allowed", problem.message, subject.name);
        left_out.insert((problem.at.file, subject.clone()));
    }
    left_out
}

#[cfg(test)]
mod tests {
    use taut_source::{SourceFile, SourceSet};

    use super::*;
    use crate::{Compiled, Options, compile};

    const FILTER: &str =
        "apiVersion: networking.istio.io/v1alpha3\nkind: EnvoyFilter\nmetadata: {name: raw}\nspec: {}\n";

    fn compiled(text: &str, kinds: &[&str]) -> Compiled {
        let allow_unsupported = kinds.iter().map(|kind| (*kind).to_owned()).collect();
        let sources = SourceSet::new(vec![SourceFile::new("a.yaml", text.as_bytes())]);
        compile(&sources, &Options { allow_unsupported, ..Options::default() })
    }

    #[test]
    fn a_kind_that_is_gone_on_without_is_said_and_keeps_nothing_out() {
        assert!(compiled(FILTER, &[]).snapshot.is_none());
        assert!(compiled(FILTER, &["WasmPlugin"]).snapshot.is_none());
        let allowed = compiled(FILTER, &["WasmPlugin", "EnvoyFilter"]);
        let without = compiled("", &[]).snapshot.map(|snapshot| snapshot.id);
        assert_eq!(allowed.snapshot.map(|snapshot| snapshot.id), without);
        let found: Vec<_> = allowed.problems.iter().map(|it| (it.severity, it.message.as_str())).collect();
        let message = "`EnvoyFilter` is not carried to the data plane: nothing of `raw` happens, and that is allowed";
        assert_eq!(found, [(Severity::Warning, message)]);
    }

    #[test]
    fn nothing_of_it_happens() {
        let service = "apiVersion: v1\nkind: Service\nmetadata: {name: orders}\nspec: {selector: {app: a}, ports: [{name: http, port: 80}]}\n---\napiVersion: v1\nkind: Pod\nmetadata: {name: a, labels: {app: a}}\nspec: {containers: [{name: a}]}\n";
        let plugin = "---\napiVersion: extensions.istio.io/v1alpha1\nkind: WasmPlugin\nmetadata: {name: a}\nspec: {url: \"oci://registry.example/a\", selector: {matchLabels: {app: a}}}\n";
        let id = |text: &str| compiled(text, &["WasmPlugin"]).snapshot.map(|snapshot| snapshot.id);
        assert!(id(service).is_some());
        assert_eq!(id(&format!("{service}{plugin}")), id(service));
    }

    #[test]
    fn what_else_is_wrong_with_it_stays_wrong() {
        let broken = FILTER.replace("spec: {}", "spec: {configPatchs: []}");
        assert!(compiled(&broken, &["EnvoyFilter"]).snapshot.is_none());
    }

    #[test]
    fn only_what_is_refused_as_a_whole_can_be_gone_on_without() {
        assert!(may_be_allowed("EnvoyFilter") && may_be_allowed("TrafficExtension") && may_be_allowed("OfTomorrow"));
        assert!(!may_be_allowed("VirtualService") && !may_be_allowed("Sidecar") && !may_be_allowed("Ingress"));
    }
}

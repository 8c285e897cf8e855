//! Authorization as Istio's own tests have it: policies in, and the rules that Envoy is given out. Both sides are asked about
//! made-up requests, and must let the same ones in.
//!
//! The cases lie beside the repository (`../shared/conformance/authz`), since they are not ours; without them there is
//! nothing to ask. Where Taut means to differ stands in `exceptions.md`.

mod rbac;
mod requests;

use std::fs;
use std::path::{Path, PathBuf};

use harness::{Draws, root};
use serde_json::Value;
use taut_compile::explain::{Bytes, explain};
use taut_compile::{Options, Settings};
use taut_source::{SourceFile, SourceSet};

/// Requests for each case. Most conditions are met by one value in five or so, and a rule has few of them.
const ROUNDS: u64 = 1_500;

fn cases() -> Option<(PathBuf, Vec<Value>)> {
    let folder = root().parent()?.join("shared/conformance/authz");
    let text = fs::read_to_string(folder.join("pairs.jsonl")).ok()?;
    Some((folder, text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()))
}

/// What Envoy is given: its filters, in order. A file holds one document for each.
fn filters(folder: &Path, case: &Value) -> Vec<Value> {
    let mut filters = Vec::new();
    for name in case["expected"].as_array().unwrap() {
        let text = fs::read_to_string(folder.join("files").join(name.as_str().unwrap())).unwrap();
        for document in text.split("\n---").filter(|document| !document.trim().is_empty()) {
            filters.push(serde_yaml::from_str(document.trim_start_matches("---")).unwrap());
        }
    }
    filters
}

fn is_asked(case: &Value) -> bool {
    // CUSTOM policies ask a service, which no request alone decides; the others are what ambient proxies are given.
    case["kind"] == "envoy-rbac" && case["custom_builder"] == false
}

#[test]
fn policies_let_in_whom_istio_lets_in() {
    let Some((folder, cases)) = cases() else { return crate::skipped("../shared/conformance/authz") };
    let mut asked = 0;
    for case in cases.iter().filter(|case| is_asked(case)) {
        let name = case["name"].as_str().unwrap();
        let policies = fs::read_to_string(folder.join("files").join(case["input"].as_str().unwrap())).unwrap();
        let filters = filters(&folder, case);
        let tcp = case["mode"] == "tcp";
        let mut settings = Settings::default();
        if let Some(domain) = case["trust_domain"].as_str() {
            settings.trust_domain = domain.into();
            let aliases = case["trust_domain_aliases"].as_array().into_iter().flatten();
            settings.trust_domain_aliases = aliases.map(|alias| alias.as_str().unwrap().into()).collect();
        }
        let options = Options { settings, ..Options::default() };
        let sources = SourceSet::new(vec![SourceFile::new("policies.yaml", policies.as_bytes())]);
        let pools = requests::Pools::of(&policies);
        let questions: Vec<_> = (0..ROUNDS)
            .map(|seed| {
                let mut question = pools.question(&case["proxy"], &mut Draws::new(seed));
                if tcp {
                    question.bytes = Bytes::Tcp;
                }
                question
            })
            .collect();
        let answers = explain(&sources, &options, &questions);
        let mut wrong = Vec::new();
        for (question, answer) in questions.iter().zip(&answers) {
            let want = rbac::admits(&filters, question);
            let got = answer.authz.verdict != "deny";
            if got != want {
                wrong.push(format!("Istio: {want}, Taut: {got} by {:?}: {question:?}", answer.authz.policy));
            }
        }
        asked += 1;
        assert!(
            wrong.is_empty(),
            "{name}: {} of {ROUNDS} differ, such as\n{}",
            wrong.len(),
            wrong[..wrong.len().min(3)].join("\n")
        );
    }
    assert!(10 <= asked, "only {asked} cases were asked");
}

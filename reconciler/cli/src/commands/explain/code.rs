//! `taut explain CODE`: what a rule finds, why it matters, a mesh that breaks it and one that does not.

use std::process::ExitCode;

use serde_json::{Value, json};
use taut_source::Rule;

use crate::args::{Explain, Format};
use crate::failure::Failure;
use crate::output::Output;

/// The rules of a code; several may stand for one of Istio's.
pub(super) fn rules_of(code: &str) -> Vec<&'static Rule> {
    let mut rules = taut_compile::rules();
    rules.retain(|rule| rule.code == code || rule.istio.is_some_and(|istio| istio.eq_ignore_ascii_case(code)));
    rules
}

pub(super) fn run(args: &Explain, output: &mut Output) -> Result<ExitCode, Failure> {
    let code = args.path_or_code.as_str();
    let rules = rules_of(code);
    if rules.is_empty() {
        return Err(Failure(format!("`{code}` is not the code of a rule: `taut rules` lists them all")));
    }
    match args.format {
        Format::Json => {
            output.line(&Value::from(rules.iter().map(|rule| written(rule)).collect::<Vec<_>>()).to_string())
        }
        Format::Human => {
            let pages: Vec<String> = rules.iter().map(|rule| page(rule)).collect();
            output.print(&pages.join("\n"));
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn written(rule: &Rule) -> Value {
    json!({
        "code": rule.code, "istio": rule.istio, "severity": rule.severity.word(), "stage": rule.stage.word(),
        "finds": rule.finds, "why": rule.why, "bad": rule.bad, "good": rule.good,
    })
}

fn page(rule: &Rule) -> String {
    let istio = rule.istio.map(|code| format!(", {code} in Istio")).unwrap_or_default();
    let indented =
        |text: &str| text.lines().map(|line| format!("    {line}").trim_end().to_owned() + "\n").collect::<String>();
    format!(
        "{} ({}{istio})\n\nFinds {}.\n\n{}\n\nA mesh that breaks it:\n\n{}\nA mesh that does not:\n\n{}",
        rule.code,
        rule.severity.word(),
        rule.finds,
        rule.why,
        indented(rule.bad),
        indented(rule.good),
    )
}

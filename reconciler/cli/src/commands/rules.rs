//! `taut rules`: everything that `check` looks for.

use std::process::ExitCode;

use serde_json::{Value, json};

use crate::args::{Format, Rules};
use crate::failure::Failure;
use crate::output::Output;

pub(crate) fn run(args: &Rules, output: &mut Output) -> Result<ExitCode, Failure> {
    let rules = taut_compile::rules();
    match args.format {
        Format::Json => {
            let rule = |rule: &&taut_source::Rule| json!({"code": rule.code, "istio": rule.istio, "severity": rule.severity.word(), "stage": rule.stage.word(), "finds": rule.finds});
            output.line(&Value::from(rules.iter().map(rule).collect::<Vec<_>>()).to_string());
        }
        Format::Human => {
            for rule in rules {
                let istio = rule.istio.map(|code| format!(" ({code})")).unwrap_or_default();
                output.line(&format!("{:<36} {:<8} {}{istio}", rule.code, rule.severity.word(), rule.finds));
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

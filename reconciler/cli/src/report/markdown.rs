//! A summary for the description or a comment of a merge request.

use std::fmt::Write as _;

use taut_compile::Counts;
use taut_source::{Problem, Severity, SourceSet};

use super::Tally;
use super::finding::{Finding, findings};
use super::human::tally;

/// Rows of one report: hosts refuse comments above 64 KiB, and nobody reads as many.
const ROWS_MAX: usize = 100;

/// The whole summary, the worst first.
pub(crate) fn report(problems: &[Problem], sources: &SourceSet, counts: Counts) -> String {
    let mut found = findings(problems, sources);
    found.sort_by_key(|finding| std::cmp::Reverse(finding.problem.severity));
    let mut out = format!("### taut: {}\n\n", tally(Tally::of(problems)));
    let _ = writeln!(out, "{} documents, {} of them mesh resources.", counts.documents, counts.resources);
    if !found.is_empty() {
        out.push_str("\n| | where | what is wrong, and what to write | code |\n|---|---|---|---|\n");
    }
    for finding in found.iter().take(ROWS_MAX) {
        row(&mut out, finding);
    }
    if ROWS_MAX < found.len() {
        let _ = writeln!(out, "\nand {} more.", found.len() - ROWS_MAX);
    }
    out.truncate(out.trim_end().len());
    out
}

fn row(out: &mut String, finding: &Finding<'_>) {
    let problem = finding.problem;
    let mark = match problem.severity {
        Severity::Error => "❌ error",
        Severity::Warning => "⚠️ warning",
        Severity::Info => "ℹ️ info",
    };
    let place = format!("{}:{}", finding.file, finding.start.line);
    let resource = match finding.resource() {
        resource if resource.is_empty() => String::new(),
        resource => format!("<br>{}", cell(&resource)),
    };
    let help = match problem.help.as_str() {
        "" => String::new(),
        help => format!("<br>_{}_", cell(help)),
    };
    let code = problem.istio.map_or_else(|| problem.code.to_string(), |istio| format!("{} {istio}", problem.code));
    let _ = writeln!(
        out,
        "| {mark} | {}{resource} | {}{help} | {} |",
        cell(&format!("`{place}`")),
        cell(&problem.message),
        cell(&format!("`{code}`"))
    );
}

/// Text within a cell: nothing in it ends the cell, the row, or becomes markup of its own. Backticks stay, since messages
/// put the user's words between them; within those nothing else has a meaning.
fn cell(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut quoted = false;
    for c in text.chars() {
        match c {
            '`' => {
                quoted = !quoted;
                out.push(c);
            }
            '|' => out.push_str("\\|"),
            '\n' => out.push_str(if quoted { " " } else { "<br>" }),
            '\r' => {}
            '<' if !quoted => out.push_str("&lt;"),
            '*' | '_' | '[' | ']' | '\\' if !quoted => {
                out.push('\\');
                out.push(c);
            }
            c => out.push(c),
        }
    }
    if quoted {
        // An odd backtick would swallow the rest of the row.
        out = out.replace('`', "'");
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_leaves_its_cell() {
        assert_eq!(cell("a|b\nc <i> *d* `e_|_f`"), "a\\|b<br>c &lt;i> \\*d\\* `e_\\|_f`");
        assert_eq!(cell("one ` alone"), "one ' alone");
    }
}

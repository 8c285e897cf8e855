//! JUnit's XML, as continuous integration reads it: a suite for each file, a case for each finding.
//!
//! A finding below the severity that fails the run is a case that passed and has something to say; a file without
//! findings is a case that passed, so that a clean mesh is not a run without tests.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use taut_source::{Problem, Severity, SourceSet};

use super::finding::{Finding, findings, path};

/// The whole document.
pub(crate) fn report(problems: &[Problem], sources: &SourceSet, fails: Severity) -> String {
    let found = findings(problems, sources);
    let mut suites: BTreeMap<&str, Vec<&Finding<'_>>> =
        sources.files().iter().map(|file| (path(&file.name), Vec::new())).collect();
    for finding in &found {
        suites.entry(finding.file).or_default().push(finding);
    }
    let failed = |finding: &&Finding<'_>| fails <= finding.problem.severity;
    let tests: usize = suites.values().map(|cases| cases.len().max(1)).sum();
    let failures = found.iter().filter(failed).count();
    let mut out = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    let _ = writeln!(
        out,
        "<testsuites name=\"taut check\" tests=\"{tests}\" failures=\"{failures}\" errors=\"0\" time=\"0\">"
    );
    for (file, cases) in suites {
        let file = escaped(file);
        let failures = cases.iter().filter(|finding| failed(finding)).count();
        let tests = cases.len().max(1);
        let _ = writeln!(
            out,
            "  <testsuite name=\"{file}\" tests=\"{tests}\" failures=\"{failures}\" errors=\"0\" skipped=\"0\" time=\"0\">"
        );
        if cases.is_empty() {
            let _ =
                writeln!(out, "    <testcase classname=\"{file}\" name=\"no problems\" file=\"{file}\" time=\"0\"/>");
        }
        for finding in cases {
            case(&mut out, &file, finding, failed(&finding));
        }
        out.push_str("  </testsuite>\n");
    }
    out.push_str("</testsuites>");
    out
}

fn case(out: &mut String, file: &str, finding: &Finding<'_>, failed: bool) {
    let (problem, line) = (finding.problem, finding.start.line);
    let resource = finding.resource();
    let name = [&*problem.code, &resource, &format!("line {line}")].join(" ").replace("  ", " ");
    let _ = writeln!(
        out,
        "    <testcase classname=\"{file}\" name=\"{}\" file=\"{file}\" line=\"{line}\" time=\"0\">",
        escaped(&name)
    );
    let text = format!("{}:{line}:{}: {}", finding.file, finding.start.column, finding.said());
    if failed {
        let (code, message) = (escaped(&problem.code), escaped(&problem.message));
        let _ = writeln!(out, "      <failure type=\"{code}\" message=\"{message}\">{}</failure>", escaped(&text));
    } else {
        let said = format!("{}: {text}", problem.severity.word());
        let _ = writeln!(out, "      <system-out>{}</system-out>", escaped(&said));
    }
    out.push_str("    </testcase>\n");
}

/// Text within an element or attribute. What XML 1.0 has no way to write becomes U+FFFD.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\n' => out.push_str("&#10;"),
            '\t' => out.push_str("&#9;"),
            '\r' => out.push_str("&#13;"),
            '\u{0}'..='\u{1f}' | '\u{fffe}' | '\u{ffff}' => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_breaks_the_document() {
        assert_eq!(escaped("a<b>&\"c\"\n\u{1b}"), "a&lt;b&gt;&amp;&quot;c&quot;&#10;\u{fffd}");
    }
}

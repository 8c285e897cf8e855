//! Workflow commands: lines that GitHub's runner turns into annotations on the change.
//!
//! Source: GitHub's documentation of workflow commands; what must be escaped is in the runner's own toolkit.

use taut_source::{Problem, Severity, SourceSet};

use super::finding::{Finding, findings};

/// One line for each problem.
pub(crate) fn report(problems: &[Problem], sources: &SourceSet) -> Vec<String> {
    findings(problems, sources).iter().map(line).collect()
}

fn line(finding: &Finding<'_>) -> String {
    let command = match finding.problem.severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
        Severity::Info => "notice",
    };
    let (start, end) = (finding.start, finding.end);
    let mut properties = format!("file={},line={},endLine={}", property(finding.file), start.line, end.line);
    // Columns are columns of one line: the runner takes none for a place that spans several.
    if start.line == end.line {
        properties += &format!(",col={},endColumn={}", start.column, end.column);
    }
    format!("::{command} {properties},title={}::{}", property(&finding.problem.code), data(&finding.said()))
}

fn data(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_ends_a_command_or_begins_another() {
        assert_eq!(data("5%\n::error::x, y"), "5%25%0A::error::x, y");
        assert_eq!(property("a,b:c%\r"), "a%2Cb%3Ac%25%0D");
    }
}

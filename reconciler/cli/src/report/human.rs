//! Problems with the source line under them, through miette.

use std::collections::BTreeMap;
use std::fmt;

use miette::{Diagnostic, GraphicalReportHandler, GraphicalTheme, LabeledSpan, SourceCode};
use taut_source::{FileId, Place, Problem, Severity, SourceSet};

use super::Tally;
use super::text::IndexedText;

/// Renders problems one after the other.
pub(crate) struct Renderer<'s> {
    sources: &'s SourceSet,
    texts: BTreeMap<FileId, IndexedText<'s>>,
    handler: GraphicalReportHandler,
}

impl<'s> Renderer<'s> {
    /// A renderer; with colours if a person looks at it.
    pub(crate) fn new(sources: &'s SourceSet, colours: bool, width: usize) -> Renderer<'s> {
        let theme = if colours { GraphicalTheme::unicode() } else { GraphicalTheme::unicode_nocolor() };
        let handler =
            GraphicalReportHandler::new_themed(theme).with_width(width).with_links(false).with_context_lines(1);
        Renderer { sources, texts: BTreeMap::new(), handler }
    }

    /// One problem as text.
    pub(crate) fn render(&mut self, problem: &Problem) -> String {
        let places = std::iter::once(problem.at).chain(problem.related.iter().map(|related| related.at));
        for place in places {
            self.texts.entry(place.file).or_insert_with(|| {
                let file = self.sources.file(place.file);
                IndexedText::new(&file.name, &file.bytes)
            });
        }
        let rendered = Rendered::new(problem, &self.texts);
        let mut text = String::new();
        match self.handler.render_report(&mut text, &rendered) {
            Ok(()) => text,
            // A place that cannot be shown must not hide what is wrong.
            Err(_) => format!("{}: {}\n", problem.code, problem.message),
        }
    }
}

/// A problem with the text that it points into.
struct Rendered<'r> {
    code: &'r str,
    severity: miette::Severity,
    message: String,
    help: &'r str,
    text: Option<&'r IndexedText<'r>>,
    labels: Vec<LabeledSpan>,
    /// Labels in other files, each with its own text.
    elsewhere: Vec<Rendered<'r>>,
}

impl<'r> Rendered<'r> {
    fn new(problem: &'r Problem, texts: &'r BTreeMap<FileId, IndexedText<'r>>) -> Rendered<'r> {
        let label = |text: &str, at: Place, primary: bool| {
            let (start, length) = (at.span.start as usize, (at.span.end - at.span.start) as usize);
            let text = Some(text.to_owned());
            if primary {
                LabeledSpan::new_primary_with_span(text, (start, length))
            } else {
                LabeledSpan::new(text, start, length)
            }
        };
        let mut labels = vec![label(&problem.label, problem.at, true)];
        let mut elsewhere = Vec::new();
        for related in &problem.related {
            if related.at.file == problem.at.file {
                labels.push(label(&related.message, related.at, false));
            } else {
                elsewhere.push(Rendered {
                    code: "",
                    severity: miette::Severity::Advice,
                    message: related.message.clone(),
                    help: "",
                    text: texts.get(&related.at.file),
                    labels: vec![label("here", related.at, true)],
                    elsewhere: Vec::new(),
                });
            }
        }
        let severity = match problem.severity {
            Severity::Error => miette::Severity::Error,
            Severity::Warning => miette::Severity::Warning,
            Severity::Info => miette::Severity::Advice,
        };
        Rendered {
            code: &problem.code,
            severity,
            message: problem.message.clone(),
            help: &problem.help,
            text: texts.get(&problem.at.file),
            labels,
            elsewhere,
        }
    }
}

impl fmt::Debug for Rendered<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl fmt::Display for Rendered<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Rendered<'_> {}

impl Diagnostic for Rendered<'_> {
    fn code<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        if self.code.is_empty() { None } else { Some(Box::new(self.code)) }
    }

    fn severity(&self) -> Option<miette::Severity> {
        Some(self.severity)
    }

    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        if self.help.is_empty() { None } else { Some(Box::new(self.help)) }
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        self.text.map(|text| text as &dyn SourceCode)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        Some(Box::new(self.labels.iter().cloned()))
    }

    fn related<'a>(&'a self) -> Option<Box<dyn Iterator<Item = &'a dyn Diagnostic> + 'a>> {
        if self.elsewhere.is_empty() {
            return None;
        }
        Some(Box::new(self.elsewhere.iter().map(|it| it as &dyn Diagnostic)))
    }
}

/// `2 errors, 1 warning`, or that there is nothing.
pub(crate) fn tally(tally: Tally) -> String {
    let count = |number: usize, word: &str| match number {
        0 => None,
        1 => Some(format!("1 {word}")),
        _ => Some(format!("{number} {word}s")),
    };
    let words = [count(tally.errors, "error"), count(tally.warnings, "warning"), count(tally.infos, "note")];
    let words: Vec<String> = words.into_iter().flatten().collect();
    if words.is_empty() { "no problems".into() } else { words.join(", ") }
}

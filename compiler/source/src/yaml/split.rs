//! Where each document of a stream begins and ends.
//!
//! A line that starts with `---` or `...` and a blank is a document marker wherever it stands: YAML allows it inside
//! no scalar of a mapping (YAML 1.2.2, 9.1.1). So a stream can be cut there before it is parsed.

use std::ops::Range;

use memchr::memmem::Finder;

/// The byte ranges of the documents, markers included. Ranges that hold nothing but comments are left out.
pub(super) fn split(text: &str) -> Vec<Range<usize>> {
    let mut chunks = Vec::new();
    let mut start = 0;
    let mut at = 0;
    let mut content = Content::Nothing;
    let mut markers = Markers::new(text.as_bytes());
    while at < text.len() {
        // Within a document only a marker changes anything.
        if content == Content::Document {
            let Some(next) = markers.next_from(at) else { break };
            at = next;
        }
        let end = memchr::memchr(b'\n', &text.as_bytes()[at..]).map_or(text.len(), |length| at + length + 1);
        let line = &text[at..end];
        if is_marker(line, "---") {
            // Directives belong to the marker that follows them.
            if content == Content::Document {
                chunks.push(start..at);
            }
            if content != Content::Directive {
                start = at;
            }
            content = Content::Document;
        } else if is_marker(line, "...") {
            if content != Content::Nothing {
                chunks.push(start..end);
            }
            start = end;
            content = Content::Nothing;
        } else if content != Content::Document {
            content = content.max(kind_of(line, content));
        }
        at = end;
    }
    if content != Content::Nothing {
        chunks.push(start..text.len());
    }
    chunks
}

/// Where lines begin as a marker does.
struct Markers<'t> {
    bytes: &'t [u8],
    /// Each beginning, and the next line that has it, as far as it was looked for.
    next: [(Finder<'static>, Option<usize>); 3],
}

impl<'t> Markers<'t> {
    fn new(bytes: &'t [u8]) -> Markers<'t> {
        let found = |beginning| (Finder::new(beginning), Some(0));
        Markers { bytes, next: ["\n---", "\n...", "\n\u{feff}"].map(found) }
    }

    /// The first line from the one at `at` on that may be a marker; `at` never goes back.
    fn next_from(&mut self, at: usize) -> Option<usize> {
        let bytes = self.bytes;
        let line = &bytes[at..];
        if at == 0 || matches!(line.first(), Some(b'-' | b'.' | 0xef)) {
            return (at < bytes.len()).then_some(at);
        }
        let next = self.next.iter_mut().filter_map(|(finder, next)| {
            if next.is_some_and(|next| next < at) {
                *next = finder.find(&bytes[at..]).map(|feed| at + feed + 1);
            }
            *next
        });
        next.min()
    }
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Content {
    Nothing,
    Directive,
    Document,
}

fn is_marker(line: &str, marker: &str) -> bool {
    let line = line.strip_prefix('\u{feff}').unwrap_or(line);
    line.strip_prefix(marker).is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '\t', '\r', '\n']))
}

fn kind_of(line: &str, before: Content) -> Content {
    let line = line.trim_start_matches('\u{feff}');
    match line.trim_start().as_bytes().first() {
        None | Some(b'#') => Content::Nothing,
        Some(b'%') if before < Content::Document && line.starts_with('%') => Content::Directive,
        Some(_) => Content::Document,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Looks at every line.
    fn line_by_line(text: &str) -> Vec<Range<usize>> {
        let (mut chunks, mut start, mut at, mut content) = (Vec::new(), 0, 0, Content::Nothing);
        for line in text.split_inclusive('\n') {
            let end = at + line.len();
            match (is_marker(line, "---"), is_marker(line, "...")) {
                (true, _) => {
                    chunks.extend((content == Content::Document).then_some(start..at));
                    start = if content == Content::Directive { start } else { at };
                    content = Content::Document;
                }
                (_, true) => {
                    chunks.extend((content != Content::Nothing).then_some(start..end));
                    (start, content) = (end, Content::Nothing);
                }
                _ if content == Content::Document => {}
                _ => content = content.max(kind_of(line, content)),
            }
            at = end;
        }
        chunks.extend((content != Content::Nothing).then_some(start..text.len()));
        chunks
    }

    /// Every text of a few parts.
    #[test]
    fn markers_are_where_looking_at_every_line_finds_them() {
        let parts = ["---", "...", "\n", "a: 1", " ", "#c", "%d", "\u{feff}", "-"];
        for number in 0..parts.len().pow(5) {
            let picks = (0..5_u32).map(|at| number / parts.len().pow(at) % parts.len());
            let text: String = picks.map(|pick| parts[pick]).collect();
            assert_eq!(split(&text), line_by_line(&text), "{text:?}");
        }
    }
}

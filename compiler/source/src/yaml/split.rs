//! Where each document of a stream begins and ends.
//!
//! A line that starts with `---` or `...` and a blank is a document marker wherever it stands: YAML allows it inside
//! no scalar of a mapping (YAML 1.2.2, 9.1.1). So a stream can be cut there before it is parsed.

use std::ops::Range;

/// The byte ranges of the documents, markers included. Ranges that hold nothing but comments are left out.
pub(super) fn split(text: &str) -> Vec<Range<usize>> {
    let mut chunks = Vec::new();
    let mut start = 0;
    let mut at = 0;
    let mut content = Content::Nothing;
    for line in text.split_inclusive('\n') {
        let end = at + line.len();
        // Nearly all lines begin with a space, or with a letter: only three bytes begin a marker.
        let maybe = matches!(line.as_bytes().first(), Some(b'-' | b'.' | 0xef));
        if maybe && is_marker(line, "---") {
            // Directives belong to the marker that follows them.
            if content == Content::Document {
                chunks.push(start..at);
            }
            if content != Content::Directive {
                start = at;
            }
            content = Content::Document;
        } else if maybe && is_marker(line, "...") {
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

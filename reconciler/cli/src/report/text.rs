//! One source file as miette reads it, with an index of its lines: its own way scans a file from the start for every label.

use miette::{MietteError, MietteSpanContents, SourceCode, SourceSpan, SpanContents};

/// A named file with the offsets of its lines.
pub(crate) struct IndexedText<'t> {
    name: &'t str,
    bytes: &'t [u8],
    /// Offsets of the first byte of each line.
    starts: Vec<usize>,
}

impl<'t> IndexedText<'t> {
    pub(crate) fn new(name: &'t str, bytes: &'t [u8]) -> IndexedText<'t> {
        let mut starts = vec![0];
        starts.extend(bytes.iter().enumerate().filter(|(_, byte)| **byte == b'\n').map(|(at, _)| at + 1));
        IndexedText { name, bytes, starts }
    }

    /// The line of an offset, from 0.
    fn line(&self, offset: usize) -> usize {
        self.starts.partition_point(|start| *start <= offset) - 1
    }
}

impl SourceCode for IndexedText<'_> {
    fn read_span<'a>(
        &'a self,
        span: &SourceSpan,
        before: usize,
        after: usize,
    ) -> Result<Box<dyn SpanContents<'a> + 'a>, MietteError> {
        let (start, end) = (span.offset(), span.offset() + span.len());
        if self.bytes.len() < end {
            return Err(MietteError::OutOfBounds);
        }
        let first = self.line(start).saturating_sub(before);
        let last = self.line(end.max(start)) + after;
        let from = self.starts[first];
        let to = self.starts.get(last + 1).copied().unwrap_or(self.bytes.len());
        let column = if before == 0 { start - self.starts[self.line(start)] } else { 0 };
        let shown = SourceSpan::from((from, to - from));
        Ok(Box::new(MietteSpanContents::new_named(
            self.name.to_owned(),
            &self.bytes[from..to],
            shown,
            first,
            column,
            last - first + 1,
        )))
    }
}

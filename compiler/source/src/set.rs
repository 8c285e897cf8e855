//! The compiler's input: named files, each with the digest of its content.
//!
//! Invariant: files are sorted by name and names are unique, so that two trees with the same content are one value,
//! whatever order they were walked in.

use std::sync::Arc;

use crate::FileId;

/// The BLAKE3 digest of a file's bytes. Equal ids mean equal bytes; memoisation is keyed by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ContentId(pub [u8; 32]);

impl ContentId {
    /// The id of these bytes.
    #[must_use]
    pub fn of(bytes: &[u8]) -> ContentId {
        ContentId(*blake3::hash(bytes).as_bytes())
    }
}

/// One input file.
#[derive(Clone, Debug)]
pub struct SourceFile {
    /// The path as the user knows it, relative to the root that was given.
    pub name: Arc<str>,
    /// The content. Not known to be UTF-8 yet: what is not is a problem of that file alone.
    pub bytes: Arc<[u8]>,
    /// The digest of `bytes`.
    pub id: ContentId,
}

impl SourceFile {
    /// A file with its digest computed.
    #[must_use]
    pub fn new(name: &str, bytes: &[u8]) -> SourceFile {
        SourceFile { name: name.into(), bytes: bytes.into(), id: ContentId::of(bytes) }
    }
}

/// A line and a column, both counted from 1, as editors do. Columns count characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// The line, from 1.
    pub line: u32,
    /// The column in characters, from 1.
    pub column: u32,
}

/// How many lines come before some places of a file, for many positions in one file.
#[derive(Clone, Debug)]
pub struct LineIndex<'b> {
    bytes: &'b [u8],
    /// The line feeds before each block.
    before: Vec<u32>,
}

/// So few bytes that counting in them costs less than finding every line would.
const BLOCK: usize = 1024;

impl<'b> LineIndex<'b> {
    /// The lines of these bytes.
    #[must_use]
    pub fn new(bytes: &'b [u8]) -> LineIndex<'b> {
        let mut before = Vec::with_capacity(bytes.len().div_ceil(BLOCK));
        let mut count = 0;
        for block in bytes.chunks(BLOCK) {
            before.push(count);
            count += feeds(block);
        }
        LineIndex { bytes, before }
    }

    /// The line of an offset, from 1. An offset past the end is the end.
    #[must_use]
    pub fn line(&self, offset: u32) -> u32 {
        let offset = (offset as usize).min(self.bytes.len());
        let block = (offset / BLOCK).min(self.before.len().saturating_sub(1));
        self.before.get(block).map_or(1, |before| before + feeds(&self.bytes[block * BLOCK..offset]) + 1)
    }
}

/// The line feeds in some bytes.
fn feeds(bytes: &[u8]) -> u32 {
    u32::try_from(memchr::memchr_iter(b'\n', bytes).count()).unwrap_or(u32::MAX)
}

/// All files of one compilation.
#[derive(Clone, Debug, Default)]
pub struct SourceSet {
    files: Arc<[SourceFile]>,
}

impl SourceSet {
    /// A set of these files, in order of name. Of two files with one name the later is kept: a path names one content.
    #[must_use]
    pub fn new(mut files: Vec<SourceFile>) -> SourceSet {
        files.reverse();
        files.sort_by(|a, b| a.name.cmp(&b.name)); // stable: the last of the caller's order comes first
        files.dedup_by(|later, kept| later.name == kept.name);
        SourceSet { files: files.into() }
    }

    /// The files, in order of name.
    #[must_use]
    pub fn files(&self) -> &[SourceFile] {
        &self.files
    }

    /// All files with their ids.
    pub fn iter(&self) -> impl Iterator<Item = (FileId, &SourceFile)> {
        self.files.iter().enumerate().map(|(index, file)| (FileId(u32::try_from(index).unwrap_or(u32::MAX)), file))
    }

    /// The file of an id that this set gave out.
    #[must_use]
    pub fn file(&self, id: FileId) -> &SourceFile {
        &self.files[id.0 as usize]
    }

    /// The line and column of a byte offset in a file. An offset past the end is the end.
    #[must_use]
    pub fn position(&self, id: FileId, offset: u32) -> Position {
        let bytes = &self.file(id).bytes;
        let before = &bytes[..(offset as usize).min(bytes.len())];
        let line_start = before.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
        let column = String::from_utf8_lossy(&before[line_start..]).chars().filter(|c| *c != '\u{feff}').count() + 1;
        Position { line: u32::try_from(line).unwrap_or(u32::MAX), column: u32::try_from(column).unwrap_or(u32::MAX) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_of_files_does_not_matter_and_the_later_of_one_name_wins() {
        let one =
            SourceSet::new(vec![SourceFile::new("b", b"2"), SourceFile::new("a", b"1"), SourceFile::new("b", b"3")]);
        let names: Vec<_> = one.iter().map(|(_, file)| (file.name.to_string(), file.bytes.to_vec())).collect();
        assert_eq!(names, [("a".to_owned(), b"1".to_vec()), ("b".to_owned(), b"3".to_vec())]);
    }

    #[test]
    fn lines_are_the_same_however_they_are_found() {
        let text: String = (0..500).map(|line| format!("{}\n", "x".repeat(line % 40))).collect();
        let set = SourceSet::new(vec![SourceFile::new("a", text.as_bytes()), SourceFile::new("b", b"")]);
        let index = LineIndex::new(text.as_bytes());
        for offset in (0..=text.len() + 2).map(|offset| offset as u32) {
            assert_eq!(index.line(offset), set.position(FileId(0), offset).line, "{offset}");
        }
        assert_eq!(LineIndex::new(b"").line(7), set.position(FileId(1), 7).line);
    }

    #[test]
    fn positions_count_characters_from_one() {
        let set = SourceSet::new(vec![SourceFile::new("a", "x: 1\né: ü\n".as_bytes())]);
        assert_eq!(set.position(FileId(0), 0), Position { line: 1, column: 1 });
        assert_eq!(set.position(FileId(0), 9), Position { line: 2, column: 4 });
        assert_eq!(set.position(FileId(0), 99), Position { line: 3, column: 1 });
    }
}

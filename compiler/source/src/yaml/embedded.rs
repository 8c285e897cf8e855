//! YAML within a string of YAML: the files that a ConfigMap holds.
//!
//! Owns: the places of its values in the file around it. In a literal block (`|`) every value has its own; in any other
//! string, where escapes and folds lie between the two, all have the string's.

use std::ops::Range;

use super::{YamlReader, read_chunk, read_documents};
use crate::{Data, FileId, Node, Place, Problem, SourceFile, Span, Tree, TreeBuilder};

/// The first document that a string holds, and what is wrong with it.
#[must_use]
pub fn read_embedded(string: Node<'_>, file: FileId, reader: YamlReader) -> (Option<Tree>, Vec<Problem>) {
    let (value, source, span) = (string.text().unwrap_or_default(), string.source(), string.span());
    let (alone, problems) = read_documents(&SourceFile::new("", value.as_bytes()), file, reader);
    if let Some(lines) = lines_of_literal(string) {
        // The lines of a literal block are the same document, indented: read where they are, each value has its place.
        let mut in_place_problems = Vec::new();
        let in_place = read_chunk(source, lines, file, reader, &mut in_place_problems);
        match (in_place, alone.first()) {
            (Some(tree), Some(first)) if same(tree.root(), first.tree.root()) => {
                return (Some(tree), in_place_problems);
            }
            (None, None) => return (None, in_place_problems),
            _ => {}
        }
    }
    let at = Place { file, span };
    let problems = problems.into_iter().map(|problem| Problem { at, related: Vec::new(), ..problem });
    let tree = alone.first().map(|document| {
        let mut builder = TreeBuilder::new(source.clone());
        copy(document.tree.root(), span, &mut builder);
        builder.finish()
    });
    (tree, problems.collect())
}

/// The lines of a literal block, without its header.
fn lines_of_literal(string: Node<'_>) -> Option<Range<usize>> {
    let written = string.written().strip_prefix('|')?;
    let header = written.find('\n')? + 1;
    let span = string.span();
    Some(span.start as usize + 1 + header..span.end as usize)
}

/// Whether two values are equal, wherever they stand.
#[must_use]
pub fn same(a: Node<'_>, b: Node<'_>) -> bool {
    let pairs = |node: Node<'_>| node.pairs().count();
    let equal = |(a, b): (Node<'_>, Node<'_>)| same(a, b);
    a.data() == b.data()
        && a.items().count() == b.items().count()
        && a.items().zip(b.items()).all(equal)
        && pairs(a) == pairs(b)
        && a.pairs().zip(b.pairs()).all(|(a, b)| same(a.0, b.0) && same(a.1, b.1))
}

fn copy(from: Node<'_>, span: Span, builder: &mut TreeBuilder) {
    let index = builder.add(from.data(), span);
    from.items().for_each(|item| copy(item, span, builder));
    for (key, value) in from.pairs() {
        copy(key, span, builder);
        copy(value, span, builder);
    }
    if matches!(from.data(), Data::List | Data::Map) {
        builder.close(index);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn embedded(text: &str) -> (Option<Tree>, Vec<Problem>) {
        let file = SourceFile::new("a.yaml", text.as_bytes());
        let (documents, problems) = read_documents(&file, FileId(0), YamlReader::Fast);
        assert_eq!(problems, []);
        let tree = documents.into_iter().next().unwrap().tree;
        let read = |reader| read_embedded(tree.root().get("data").unwrap().get("mesh").unwrap(), FileId(0), reader);
        let (fast, reference) = (read(YamlReader::Fast), read(YamlReader::Reference));
        assert_eq!(fast, reference);
        fast
    }

    #[test]
    fn in_a_literal_block_every_value_has_its_own_place() {
        let text = "data:\n  mesh: |\n    # ours\n    trustDomain: shop.example\n    list:\n    - a: 'é'\n\n    last: |\n      two\n      lines\n  other: x\n";
        let (tree, problems) = embedded(text);
        assert_eq!(problems, []);
        let tree = tree.unwrap();
        let place = |key: &str| &text[tree.root().get(key).unwrap().span().start as usize..][..4];
        assert_eq!(tree.root().get("trustDomain").unwrap().written(), "shop.example");
        assert_eq!((place("trustDomain"), place("list")), ("shop", "- a:"));
        assert_eq!(tree.root().get("last").unwrap().text(), Some("two\nlines\n"));
        let item = tree.root().get("list").unwrap().items().next().unwrap();
        assert_eq!(item.get("a").unwrap().written(), "'é'");
    }

    #[test]
    fn in_any_other_string_all_have_the_place_of_the_string() {
        for mesh in
            ["\"a: 1\\nb: [x, {c: d}]\\n\"", ">\n    a: 1\n\n    b: [x, {c: d}]", "'a: 1\n\n    b: [x, {c: d}]'"]
        {
            let text = format!("data:\n  mesh: {mesh}\n  other: x\n");
            let (tree, problems) = embedded(&text);
            assert_eq!(problems, [], "{text}");
            let tree = tree.unwrap();
            assert_eq!(tree.root().get("a").unwrap().data(), Data::Int(1));
            let b = tree.root().get("b").unwrap();
            assert_eq!(b.items().nth(1).unwrap().get("c").unwrap().text(), Some("d"));
            assert_eq!(b.span().start as usize, text.find(mesh).unwrap(), "{text}");
        }
    }

    #[test]
    fn what_is_wrong_has_its_line() {
        let text = "data:\n  mesh: |\n    a: 1\n    a: 2\n    b: !t x\n";
        let (tree, problems) = embedded(text);
        assert!(tree.is_some());
        let places: Vec<_> = problems.iter().map(|it| &text[it.at.span.start as usize..][..1]).collect();
        assert_eq!(problems[0].code, "taut::yaml::duplicate_key");
        assert_eq!((places[0], problems.len()), ("a", 2));
        let (tree, problems) = embedded("data:\n  mesh: |\n    a: [\n");
        assert!(tree.is_none());
        assert_eq!((problems[0].code.as_ref(), problems.len()), ("taut::yaml::syntax", 1));
    }

    #[test]
    fn a_block_that_means_something_else_where_it_stands_is_read_by_itself() {
        let (tree, problems) = embedded("data:\n  mesh: |\n    a: 1\n    ---\n    b: 2\n");
        assert_eq!(problems, []);
        assert_eq!(tree.unwrap().root().pairs().count(), 1);
        let (tree, problems) = embedded("data:\n  mesh: plain\n");
        assert_eq!((tree.unwrap().root().text(), problems.len()), (Some("plain"), 0));
    }
}

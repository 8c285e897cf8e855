//! Any bytes as YAML.

use taut_source::{Document, FileId, Problem, SourceFile, YamlReader, read_documents};

/// The fast reader returns what the reference reader returns: values, places and problems.
///
/// # Panics
/// If it does not.
pub fn yaml_readers(bytes: &[u8]) {
    let file = SourceFile::new("mesh.yaml", bytes);
    let (fast, fast_problems) = read_documents(&file, FileId(0), YamlReader::Fast);
    let (reference, problems) = read_documents(&file, FileId(0), YamlReader::Reference);
    assert_eq!(fast_problems, problems);
    assert_eq!(fast.len(), reference.len(), "documents");
    for (fast, reference) in fast.iter().zip(&reference) {
        assert_eq!(fast.span, reference.span);
        // What is no number is not equal to itself, and is printed alike.
        let same = fast.tree == reference.tree || format!("{:?}", fast.tree) == format!("{:?}", reference.tree);
        assert!(same, "the fast reader:\n{:?}\nthe reference reader:\n{:?}", fast.tree, reference.tree);
    }
    every_place_is_in_the_file(bytes, &reference, &problems);
}

fn every_place_is_in_the_file(bytes: &[u8], documents: &[Document], problems: &[Problem]) {
    for span in documents.iter().map(|it| it.span).chain(problems.iter().map(|it| it.at.span)) {
        assert!(span.start <= span.end && span.end as usize <= bytes.len() + 1, "{span:?} of {}", bytes.len());
    }
}

//! YAML text to documents.
//!
//! Owns: where one document ends and the next begins, the limits, and what is refused as YAML.
//! May not: know any resource.
//!
//! A stream is split at its document markers before anything parses it, so that one broken document never hides the
//! next. What a document means is what `serde_yaml` reads in it; where its values stand comes from `libyaml-safer`,
//! which has the same grammar (`reference`).

mod embedded;
mod fast;
mod reference;
mod split;

use std::ops::Range;
use std::sync::Arc;

pub use embedded::{read_embedded, same};

use crate::{FileId, Place, Problem, Rule, Severity, SourceFile, Span, Stage, Tree};

/// The most values that one document may hold, aliases expanded: 64 times what the largest object that etcd takes
/// (1.5 MiB) could hold, and what keeps an alias bomb below 200 MB.
pub const NODES_MAX: usize = 4_000_000;

/// The deepest nesting of one document. Kubernetes resources reach 20; serde_yaml gives up at 128.
pub(crate) const DEPTH_MAX: usize = 100;

/// The largest document. A `List` of a whole cluster may be some MB; more is a mistake and would cost seconds.
const DOCUMENT_BYTES_MAX: usize = 32 << 20;

/// One YAML document of a file.
#[derive(Clone, Debug)]
pub struct Document {
    /// From its marker (or its first line) to the next one.
    pub span: Span,
    /// Its values.
    pub tree: Tree,
}

/// Which reader reads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum YamlReader {
    /// The fast one, and the reference where that is not sure.
    #[default]
    Fast,
    /// The reference alone.
    Reference,
}

/// All documents of a file that hold anything, and what was wrong with the others.
#[must_use]
pub fn read_documents(file: &SourceFile, id: FileId, reader: YamlReader) -> (Vec<Document>, Vec<Problem>) {
    let mut documents = Vec::new();
    let mut problems = Vec::new();
    let text: Arc<str> = match std::str::from_utf8(&file.bytes) {
        Ok(text) => text.into(),
        Err(error) => {
            let at = place(id, error.valid_up_to(), error.valid_up_to() + error.error_len().unwrap_or(1));
            let message = format!("not UTF-8: byte 0x{:02x} cannot stand here", file.bytes[error.valid_up_to()]);
            problems.push(Problem { help: "save the file as UTF-8".into(), ..NOT_UTF8.at(at, message) });
            return (documents, problems);
        }
    };
    for chunk in split::split(&text) {
        let span = place(id, chunk.start, chunk.end).span;
        if DOCUMENT_BYTES_MAX < chunk.len() {
            let message = format!("a document of {} MB", chunk.len() >> 20);
            let help = format!("split it: {} MB is the most that one document may have", DOCUMENT_BYTES_MAX >> 20);
            problems.push(Problem { help, ..TOO_LARGE.at(place(id, chunk.start, chunk.start + 1), message) });
            continue;
        }
        if let Some(tree) = read_chunk(&text, chunk, id, reader, &mut problems) {
            documents.push(Document { span, tree });
        }
    }
    (documents, problems)
}

/// The document at some bytes of a text, if it holds anything.
fn read_chunk(
    text: &Arc<str>,
    chunk: Range<usize>,
    id: FileId,
    reader: YamlReader,
    problems: &mut Vec<Problem>,
) -> Option<Tree> {
    let sure = match reader {
        YamlReader::Fast => fast::read(text, chunk.clone()),
        YamlReader::Reference => None,
    };
    sure.or_else(|| reference::read(text, chunk, id, problems)).filter(|tree| !tree.root().is_null())
}

/// A place from offsets that are known to lie in a file.
pub(crate) fn place(file: FileId, start: usize, end: usize) -> Place {
    let offset = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
    Place { file, span: Span { start: offset(start), end: offset(end.max(start)) } }
}

/// Every rule that this stage can report.
#[must_use]
pub fn rules() -> Vec<&'static Rule> {
    vec![&NOT_UTF8, &SYNTAX, &DUPLICATE_KEY, &TOO_DEEP, &TOO_LARGE, &TAGGED, &MERGE_KEY, &KEY_NOT_TEXT]
}

static NOT_UTF8: Rule = Rule {
    code: "taut::yaml::not_utf8",
    istio: None,
    severity: Severity::Error,
    stage: Stage::Yaml,
    finds: "a file that is not UTF-8",
    why: "YAML is Unicode text. Guessing another encoding could change a name without a trace.",
    bad: "a file saved as Latin-1 or UTF-16",
    good: "the same file saved as UTF-8",
};

pub(crate) static SYNTAX: Rule = Rule {
    code: "taut::yaml::syntax",
    istio: None,
    severity: Severity::Error,
    stage: Stage::Yaml,
    finds: "text that is not YAML",
    why: "Nothing in this document can be read. The other documents of the file are still checked.",
    bad: "metadata: {name: orders",
    good: "metadata: {name: orders}",
};

pub(crate) static DUPLICATE_KEY: Rule = Rule {
    code: "taut::yaml::duplicate_key",
    istio: None,
    severity: Severity::Error,
    stage: Stage::Yaml,
    finds: "a key that stands twice in one map",
    why: "Readers disagree: some take the last, some the first, the API server refuses it.",
    bad: "spec:\n  host: orders\n  host: payments",
    good: "spec:\n  host: orders",
};

pub(crate) static TOO_DEEP: Rule = Rule {
    code: "taut::yaml::too_deep",
    istio: None,
    severity: Severity::Error,
    stage: Stage::Yaml,
    finds: "nesting deeper than any resource has",
    why: "Deep nesting is how a small file makes a reader slow or crash it.",
    bad: "[[[[[[[[ ... 200,000 deep",
    good: "a document nested at most 100 deep",
};

static TOO_LARGE: Rule = Rule {
    code: "taut::yaml::too_large",
    istio: None,
    severity: Severity::Error,
    stage: Stage::Yaml,
    finds: "a document that is too large, in bytes or once its aliases are expanded",
    why: "A few lines of aliases can stand for billions of values.",
    bad: "a: &a [x, x]\nb: &b [*a, *a]\nc: &c [*b, *b] # and so on",
    good: "the values written out, or fewer of them",
};

pub(crate) static TAGGED: Rule = Rule {
    code: "taut::yaml::tag",
    istio: None,
    severity: Severity::Error,
    stage: Stage::Yaml,
    finds: "a value with a tag of its own",
    why: "Kubernetes knows no tags; what `!vault x` should become is for the tool that understands it to say.",
    bad: "host: !vault orders",
    good: "host: orders",
};

pub(crate) static MERGE_KEY: Rule = Rule {
    code: "taut::yaml::merge_key",
    istio: None,
    severity: Severity::Error,
    stage: Stage::Yaml,
    finds: "a merge key, `<<`",
    why: "YAML 1.2 has no merge keys. Some tools expand them, others keep a field called `<<`: the mesh would depend on the tool.",
    bad: "base: &base {timeout: 1s}\nroute:\n  <<: *base",
    good: "route:\n  timeout: 1s",
};

pub(crate) static KEY_NOT_TEXT: Rule = Rule {
    code: "taut::yaml::key",
    istio: None,
    severity: Severity::Error,
    stage: Stage::Yaml,
    finds: "a key that is a list, a map or null",
    why: "A resource is JSON underneath, where a key is a string. Numbers and booleans are read as their text.",
    bad: "? [a, b]\n: x",
    good: "a: x\nb: x",
};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Data;

    fn read(text: &str) -> (Vec<Document>, Vec<Problem>) {
        let file = SourceFile::new("a.yaml", text.as_bytes());
        let reference = read_documents(&file, FileId(0), YamlReader::Reference);
        let fast = read_documents(&file, FileId(0), YamlReader::Fast);
        let trees = |read: &(Vec<Document>, Vec<Problem>)| read.0.iter().map(|it| it.tree.clone()).collect::<Vec<_>>();
        assert_eq!(trees(&fast), trees(&reference), "the readers disagree about:\n{text}");
        assert_eq!(fast.1, reference.1);
        reference
    }

    fn codes(text: &str) -> Vec<String> {
        read(text).1.into_iter().map(|problem| problem.code.into_owned()).collect()
    }

    #[test]
    fn scalars_mean_what_serde_yaml_says() {
        let text = "[1, -2, 0o17, 0777, 1_000, yes, true, ~, 1.5, 18446744073709551615, 0x1F, '7', 12:30:45]";
        let (documents, problems) = read(text);
        assert_eq!(problems, []);
        let got: Vec<Data<'_>> = documents[0].tree.root().items().map(|node| node.data()).collect();
        #[rustfmt::skip]
        let want = [
            Data::Int(1), Data::Int(-2), Data::Int(15), Data::Text("0777"), Data::Text("1_000"), Data::Text("yes"),
            Data::Bool(true), Data::Null, Data::Float(1.5), Data::UInt(u64::MAX), Data::Int(31), Data::Text("7"),
            Data::Text("12:30:45"),
        ];
        assert_eq!(got, want);
    }

    #[test]
    fn every_value_knows_where_it_stands() {
        let text = "---\na:\n  - {b: 'x y'} # c\n  - |\n    two\n    lines\n";
        let (documents, _) = read(text);
        let list = documents[0].tree.root().get("a").unwrap();
        let mut items = list.items();
        assert_eq!(items.next().unwrap().get("b").unwrap().written(), "'x y'");
        assert_eq!(items.next().unwrap().text(), Some("two\nlines\n"));
    }

    #[test]
    fn the_fast_reader_is_sure_of_what_people_write() {
        let text = "\
# a comment
apiVersion: networking.istio.io/v1   # another
kind: VirtualService
metadata: {name: orders, labels: {app: \"x y\", n: '7'}}
empty:
last: null
spec:
  hosts:
  - orders
  -   \"quoted: #text\"
  http:
    - match:
      - uri: {prefix: /api}
        headers:
          x-canary: {exact: \"true\"}
      timeout: 10s
      weight: -5
      on: yes
      address: 10.0.0.0/8
      paths: [/a, /a/*, 5%, [x,y], []]
      ports: {8080: a, other: 0}
      url: http://example.com:80/a#b

    # the end
    - route: x
";
        let source: Arc<str> = text.into();
        let tree = fast::read(&source, 0..text.len()).expect("nothing here is in doubt");
        assert_eq!(read(text).0[0].tree, tree);
    }

    #[test]
    fn the_readers_agree_about_what_is_in_doubt() {
        #[rustfmt::skip]
        let doubtful = [
            "a: b\n c", "a: b\n\n  c\nd: e", "- a\n b", "- a\n- b\nc: d", "a: 0777\nb: 1e3\nc: 1_0\nd: 0x1\ne: 1.5\nf: -0", "a:b",
            "a : b", "a: b: c", "a: 'it''s'", "a: \"x\\n\"", "a: |\n  x\n", "a: >\n  x\n", "a: [b\n, c]", "a: [b: c]", "a: {b}", "a: {b:}",
            "a: {b: }", "a: [b, ]", "a: [,]", "- - a", "-\n  a", "- ", "a:\n- b\n-\n", "a:\n  b\nc: d", "a:\n - b\n - c\nd:\n- e", "? a\n: b", "True: a",
            "~: a", "null: a", "a: ~", "a: TRUE", "a: -", "a: - b", "a: -b", "a: &x b\nc: *x", "a: !x b", "a: b #c", "a: b# c", "a: 'b' c", "a: 'b'#c",
            "a: [b]c", "a: @b", "a: `b`", "a: %b", "a: ,b", "a: ]", "a: }", "--- a", "---\n--- \na: b", "a: b\n...\n", "a:  \n  b: c\n d: e",
            "a:\n    b: c\n  d: e", " a: b\nc: d", " a: b\n c: d", "a: 12:30", "a: 1.2.3", "a: 1..2", "a: 1.", "a: .5", "a: 9223372036854775808", "a: 1d",
            "'a': b\n\"c\": d", "'a' : b", "{a: b}", "[a, b]", "a", "a: [a b]", "a: {a: b c}", "a: {a: b,c: d}", "a: {'a':b}", "a: {a: 'b'}", "a: {a: b}\n c",
            "a: x  \n", "a: x", "a: [1, -1, 007, true, null, ~]", "a: {1: b, 1.5: c}", "1: a\n-1: b", "a: [*x]", "a: [a*, b=c, d@e, f%, g+h]", "a: http://b", "a: b:c",
            "a: {b: c:d}", "a: [b#c]", "a: [b #c]\n", "-a: b", "--a: b", "a-: b", "_: b", "/: b", ".: b", "..: b", "a: ..", "a: -.inf", "a: inf\nb: nan\nc: NaN",
        ];
        for text in doubtful {
            let _ = read(text);
        }
    }

    #[test]
    fn a_broken_document_never_hides_the_next() {
        let (documents, problems) = read("a: 1\n---\nb: [\n---\nc: 3\n...\n# only a comment\n---\n%bad\n");
        assert_eq!(documents.len(), 2);
        assert_eq!(problems.len(), 2, "{problems:?}");
    }

    #[test]
    fn directives_belong_to_the_document_after_them() {
        let (documents, problems) = read("%YAML 1.1\n# note\n---\na: 1\n");
        assert_eq!((documents.len(), problems.len()), (1, 0), "{problems:?}");
    }

    #[test]
    fn hazards_are_reported_and_the_last_duplicate_is_used() {
        assert_eq!(codes("a: 1\na: 2"), ["taut::yaml::duplicate_key"]);
        assert_eq!(read("a: 1\na: 2").0[0].tree.root().get("a").unwrap().data(), Data::Int(2));
        assert_eq!(codes("a: &x {b: 1}\nc:\n  <<: *x"), ["taut::yaml::merge_key"]);
        assert_eq!(codes("a: !foo bar"), ["taut::yaml::tag"]);
        assert_eq!(codes("? [a]\n: 1"), ["taut::yaml::key"]);
        assert_eq!(codes("a: b: c"), ["taut::yaml::syntax"]);
        assert_eq!(codes("a: \u{0}"), ["taut::yaml::syntax"]);
        assert_eq!(codes("\ta: 1"), ["taut::yaml::syntax"]);
    }

    /// libyaml-safer panics at a comma right after a tag.
    #[test]
    fn a_tag_before_a_comma_is_a_tag_as_any_other() {
        assert_eq!(codes("a: [!t, b]"), ["taut::yaml::tag"]);
        assert_eq!(codes("a: {b: !t, c: d}"), ["taut::yaml::tag"]);
        assert_eq!(codes("a: [x, !t/u%20!,b]"), ["taut::yaml::tag"]);
        assert_eq!(codes("a: [!<t:,b>,b]"), [""; 0], "what a global tag stands at is what it is");
        for line_end in ["\u{85}", "\u{2028}", "\u{2029}"] {
            assert_eq!(codes(&format!("a: [{line_end}!,b]")), ["taut::yaml::tag"], "{line_end:?}");
        }
        for no_place in ["{b: c}", "[b]", "'b'", "\"b\"", "&b", "*b"] {
            let (_, problems) = read(&format!("a: [{no_place}!,d]"));
            assert_eq!(problems[0].code, "taut::yaml::syntax", "{no_place}");
            assert!(!problems[0].message.contains("gave up"), "{no_place}: {}", problems[0].message);
        }
        let (documents, problems) = read("a: [!!str, b]\nc: [\"x !t, y\", z !t, é !!u,]\nd: x !t, y\n");
        assert_eq!(problems, []);
        let list = documents[0].tree.root().get("c").unwrap();
        let written: Vec<_> = list.items().map(|item| (item.text().unwrap(), item.written())).collect();
        assert_eq!(written, [("x !t, y", "\"x !t, y\""), ("z !t", "z !t"), ("é !!u", "é !!u")]);
    }

    #[test]
    fn number_and_boolean_keys_are_their_text() {
        let (documents, problems) = read("8080: a\ntrue: b\n0o17: c");
        assert_eq!(problems, []);
        let keys: Vec<_> = documents[0].tree.root().pairs().map(|(key, _)| key.text().unwrap().to_owned()).collect();
        assert_eq!(keys, ["8080", "true", "15"]);
    }

    #[test]
    fn a_byte_order_mark_and_carriage_returns_change_nothing() {
        let (documents, problems) = read("\u{feff}a: 1\r\nb: two\r\n---\r\n\u{feff}c: 3\r\n");
        assert_eq!(problems, []);
        assert_eq!(documents[0].tree.root().get("b").unwrap().text(), Some("two"));
        assert_eq!(documents[1].tree.root().get("c").unwrap().data(), Data::Int(3));
        assert_eq!(documents[1].tree.root().get("c").unwrap().written(), "3");
    }

    #[test]
    fn aliases_are_expanded_and_bombs_are_cut() {
        let (documents, _) = read("a: &x [1, {b: 2}]\nc: *x\nd: *x");
        assert_eq!(documents[0].tree.root().get("d").unwrap().items().count(), 2);
        let mut bomb = "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n".to_owned();
        for level in 1..12 {
            let item = format!("*a{},", level - 1);
            bomb += &format!("a{level}: &a{level} [{}]\n", item.repeat(10));
        }
        let found = codes(&bomb);
        assert!(found == ["taut::yaml::too_large"] || found == ["taut::yaml::syntax"], "{found:?}");
    }

    #[test]
    fn nesting_a_hundred_thousand_deep_is_refused_at_once() {
        assert_eq!(codes(&"[".repeat(100_000)), ["taut::yaml::too_deep"]);
        assert_eq!(codes(&"{a: ".repeat(100_000)), ["taut::yaml::too_deep"]);
        let blocks: String = (0..2_000).map(|level| format!("{}a:\n", " ".repeat(level))).collect();
        assert_eq!(codes(&blocks), ["taut::yaml::too_deep"]);
    }

    #[test]
    fn bytes_that_are_not_utf8_are_located() {
        let (_, problems) = read_documents(&SourceFile::new("a", b"a: \xff"), FileId(0), YamlReader::Fast);
        assert_eq!(problems[0].at.span, Span { start: 3, end: 4 });
    }
}

//! YAML near what people write, by seed: maps and lists in block style with everything beside them that makes reading
//! hard. Most of it is YAML; what it means is for the readers to say.
//!
//! Owns: how such a text is made up. May not: promise that it is valid.

use crate::Draws;

/// How deep a made-up text nests: enough for every rule about indentation to meet itself.
const DEPTH_MAX: usize = 5;

/// Scalars whose type or end is not plain to see.
#[rustfmt::skip] // a table is read by its columns
const SCALARS: &[&str] = &[
    "orders", "a b", "a  b ", "/api/v1", "*", "*.example.com", "10.0.0.0/8", "::1", "a:b", "http://a.b:80/c#d", "a#b", "a #b", "12:30", "12:30:45", "1s",
    "0", "-0", "+0", "00", "07", "08", "1", "-1", "+1", "8080", "1_000", "0x1F", "0X1f", "-0x1", "+0x1", "0o17", "-0o7", "0b1", "0b2", "1e3", "1E3", "1e", "e1", "1.", ".5",
    "-.5", "1.5", "1.5.1", "1..2", "1,5", "9223372036854775807", "9223372036854775808", "-9223372036854775808", "-9223372036854775809",
    "18446744073709551615", "18446744073709551616", "340282366920938463463374607431768211456", ".inf", "-.inf", "+.inf", ".Inf", ".nan", ".NaN", "inf", "nan", "NaN", "infinity", "-inf",
    "true", "True", "TRUE", "tRue", "false", "yes", "No", "on", "off", "y", "n", "null", "Null", "NULL", "nULL", "~", "~a", "", "-", "--", "---", "...", "-a", "- a", "?", "?a", "? a",
    ":", ":a", ": a", "a:", "a :", "a : b", "a: b", ",", ",a", "a,b", "a, b", "[", "]", "[]", "{}", "{a}", "[a, b]", "{a: b}", "{a: b, c: [d]}", "[a: b]", "[a,b,]", "[a, , b]", "{a: , b: }", "{a:b}",
    "{\"a\":b}", "{'a': b}", "[\"a\",'b']", "[a #b\n]", "[a\n  , b]", "{a: {b: {c: d}}}", "[[a], [b]]", "[*]", "[-a, - b]", "[1, 01, true, ~]", "{1: a, 1.5: b}", "{true: a}", "{a: b}c", "[a] #b", "[a]#b",
    "#a", "&x a", "*x", "&x", "!t a", "!!str 1", "!!int a", "! a", "|", "|-", "|+", "|2", ">", ">-", "> a", "| #c", "%", "%a", "@a", "`a", "a%", "a@b", "a`", "a!b", "a&b", "a*b", "a|b", "a>b", "=", "a=b", "<<", "<", "$", "$(A)", "${a}", "(a|b)+", "\\d", "a\\b",
    "''", "\"\"", "'a'", "\"a\"", "'a''b'", "\"a\\nb\"", "\"a\\\"b\"", "'a' b", "\"a\" #c", "'a'#c", "'a':b", "'a': b", "'a\n  b'", "\"a\n  b\"", "\"a\\\n  b\"", "'#'", "\": \"", "'- a'", "'1'", "\"true\"", "'é'", "\"\\u00e9\"", "'", "\"", "a'b", "a\"b", "'a\tb'",
    "a\tb", "\ta", "a\t", "é", "日本", "\u{feff}", "a\u{a0}b", "a\u{85}b", "\u{2028}", "😀", "\u{7f}", "\u{1b}", "a\rb", "2001-01-01", "2001-01-01T00:00:00Z", "1:2", "1.2.3.4", "0.0.0.0", "1-2", "1+2", "1a", "0xg", "0o8", "+", "+a", ".", "..", "._", "-.", "_", "_1", "1_",
];

const KEYS: &[&str] = &[
    "a",
    "b",
    "c",
    "apiVersion",
    "kind",
    "metadata",
    "name",
    "spec",
    "hosts",
    "http",
    "match",
    "x-canary",
    "app.kubernetes.io/name",
    "istio.io/rev",
    "a_b",
    "a.b",
    "8080",
    "-1",
    "0",
    "01",
    "1.5",
    "true",
    "null",
    "~",
    "yes",
    "<<",
    "'a'",
    "\"b\"",
    "'a b'",
    "\"a: b\"",
    "a b",
    "a-",
    "-a",
    "/a",
    "@request",
    ":authority",
    "a:b",
    "a#b",
    "é",
    "? a",
    "*",
    "[a]",
    "{a: b}",
    "!t a",
    "&x a",
    "''",
    "\"\"",
    "''''",
    "=",
    "a'",
    "$a",
    "a,",
    "(a)",
    "a/b",
    "%a",
    "1e3",
    "0x1",
    ".",
    "..",
    "...",
    "---",
    "_",
    "+1",
    "a@b",
    "a*",
];

/// A text made up by seed.
#[must_use]
pub fn near_yaml(draws: &mut Draws) -> String {
    let mut page = Page { out: String::new(), draws };
    if page.one_in(20) {
        page.out.push('\u{feff}');
    }
    for document in 0..=page.draws.below(8) / 6 {
        if 0 < document || page.one_in(4) {
            let marker = *page.draws.pick(&[
                "---\n",
                "---\n",
                "--- \n",
                "--- # c\n",
                "---\t\n",
                "--- a\n",
                "...\n---\n",
                "%YAML 1.1\n---\n",
            ]);
            page.out.push_str(marker);
        }
        let indent = if page.one_in(8) { page.draws.below(4) } else { 0 };
        page.block(indent, 0);
        if page.one_in(30) {
            page.out.push_str("...\n");
        }
    }
    let mut text = page.out;
    match draws.below(24) {
        0 => text = text.replace('\n', "\r\n"),
        1 => text = text.trim_end().to_owned(),
        2 => text = text.replacen('\n', "\r", 1),
        3 => text.push_str("  "),
        _ => {}
    }
    text
}

struct Page<'d> {
    out: String,
    draws: &'d mut Draws,
}

impl Page<'_> {
    fn one_in(&mut self, chances: usize) -> bool {
        self.draws.below(chances) == 0
    }

    /// A map or list whose entries have this indentation, give or take a mistake.
    fn block(&mut self, indent: usize, depth: usize) {
        let list = self.one_in(3);
        for entry in 0..1 + self.draws.below(4) {
            self.between(indent);
            let slip = if self.one_in(40) { self.draws.below(3) } else { 0 };
            let blanks = if self.one_in(80) { indent.saturating_sub(1) } else { indent + slip };
            self.blanks(blanks);
            if list { self.item(blanks, depth) } else { self.pair(blanks, depth, entry) }
        }
    }

    /// An item of a list, from its dash on.
    fn item(&mut self, indent: usize, depth: usize) {
        self.out.push('-');
        if self.one_in(12) {
            self.line_end();
            self.below(indent, depth);
            return;
        }
        let gap = if self.one_in(6) { 1 + self.draws.below(4) } else { 1 };
        self.blanks(gap);
        let inner = indent + 1 + gap;
        match self.draws.below(8) {
            0..=2 if depth < DEPTH_MAX => {
                self.pair(inner, depth + 1, 0);
                for entry in 1..1 + self.draws.below(3) {
                    self.between(inner);
                    self.blanks(inner);
                    self.pair(inner, depth + 1, entry);
                }
            }
            3 if depth < DEPTH_MAX => self.item(inner, depth + 1),
            _ => self.value(indent),
        }
    }

    /// A key with its colon and value.
    fn pair(&mut self, indent: usize, depth: usize, entry: usize) {
        let key = if self.one_in(4) { *self.draws.pick(KEYS) } else { KEYS[(entry * 3 + self.draws.below(3)) % 12] };
        self.out.push_str(key);
        let colon = *self.draws.pick(&[":", ":", ":", ":", ":", ":", ":", ":", ":", ":", ":", " :", ": ", ":\t", ""]);
        self.out.push_str(colon);
        if depth < DEPTH_MAX && self.draws.below(5) < 2 {
            self.line_end();
            self.below(indent, depth);
        } else {
            let gap = if self.one_in(10) { self.draws.below(4) } else { 1 };
            self.blanks(gap);
            self.value(indent);
        }
    }

    /// What stands on the lines below a key or dash.
    fn below(&mut self, indent: usize, depth: usize) {
        match self.draws.below(12) {
            0 => {}
            1 => {
                let deeper = self.draws.below(4);
                self.blanks(indent + deeper);
                self.value(indent);
            }
            2 | 3 => self.block(indent, depth + 1),
            _ => {
                let step = *self.draws.pick(&[2, 2, 2, 2, 2, 1, 3, 4]);
                self.block(indent + step, depth + 1);
            }
        }
    }

    /// A scalar or flow collection, and the end of its line; sometimes more of it on the next lines.
    fn value(&mut self, indent: usize) {
        let scalar = *self.draws.pick(SCALARS);
        match self.draws.below(30) {
            0 => {
                let header = *self.draws.pick(&["|", ">", "|-", ">+", "|1", "| # c", ">2-"]);
                self.out.push_str(header);
                self.out.push('\n');
                for _ in 0..self.draws.below(4) {
                    let deeper = self.draws.below(4);
                    self.blanks(indent + deeper);
                    let word = self.word();
                    self.out.push_str(word);
                    self.out.push('\n');
                }
                return;
            }
            1 => {
                self.out.push_str(scalar);
                self.out.push('\n');
                let deeper = self.draws.below(3);
                self.blanks(indent + deeper);
                let word = self.word();
                self.out.push_str(word);
            }
            2 => {
                let other = *self.draws.pick(SCALARS);
                self.out.push_str(&format!("[{scalar}, {other}]"));
            }
            3 => {
                let key = *self.draws.pick(KEYS);
                self.out.push_str(&format!("{{{key}: {scalar}}}"));
            }
            4 => self.out.push_str(&format!("'{scalar}'")),
            5 => self.out.push_str(&format!("\"{scalar}\"")),
            6 => {
                for _ in 0..1 + self.draws.below(6) {
                    let word = self.word();
                    self.out.push_str(word);
                }
            }
            7..=14 => {
                let word = self.word();
                self.out.push_str(word);
            }
            _ => self.out.push_str(scalar),
        }
        self.line_end();
    }

    fn line_end(&mut self) {
        let end = *self.draws.pick(&[
            "\n",
            "\n",
            "\n",
            "\n",
            "\n",
            "\n",
            "\n",
            "\n",
            "\n",
            "\n",
            "\n",
            "\n",
            "\n",
            "\n",
            "\n",
            "\n",
            " \n",
            "  \n",
            " # c\n",
            "   # é: [\n",
            "\t\n",
            "#c\n",
            " #\n",
            "\t# c\n",
            "\r\n",
        ]);
        self.out.push_str(end);
    }

    /// What may stand between two entries: nothing, blank lines, comments.
    fn between(&mut self, indent: usize) {
        match self.draws.below(24) {
            0 => self.out.push('\n'),
            1 => self.out.push_str("    \n"),
            2 => self.out.push_str("# a: b\n"),
            3 => {
                let blanks = self.draws.below(indent + 3);
                self.blanks(blanks);
                self.out.push_str("#c\n");
            }
            4 if self.one_in(6) => self.out.push_str("\t\n"),
            5 if self.one_in(6) => self.out.push_str("\t# c\n"),
            _ => {}
        }
    }

    fn word(&mut self) -> &'static str {
        WORDS[self.draws.below(WORDS.len())]
    }

    fn blanks(&mut self, count: usize) {
        self.out.extend(std::iter::repeat_n(' ', count));
    }
}

/// A few characters of every sort.
#[rustfmt::skip] // a table
const WORDS: &[&str] = &[
    "orders", "x", "v1", "a b", "1", "2", "-", "e", ".", "true", "a-b", "shop", "/x", "0", "z9", "_", "+", "x1", "10s", "a.b.c",
];

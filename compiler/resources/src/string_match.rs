//! How a string is compared: equality, a prefix, a pattern, or whether it is there at all (semantics.md §3.5).

use serde_json::Value;
use taut_source::{Node, Span, Text};

use crate::message::message;
use crate::re2;
use crate::read::{At, Read, Reader, shortened};
use crate::rules;

/// How a string is compared. An empty match is one of presence.
#[derive(Clone, Debug, PartialEq)]
pub struct StringMatch {
    /// Where the match stands.
    pub span: Span,
    /// What is compared, and how.
    pub by: MatchBy,
}

/// The comparison of a [`StringMatch`].
#[derive(Clone, Debug, PartialEq)]
pub enum MatchBy {
    /// `{}`: the value is there.
    Present,
    /// Equality.
    Exact(Text),
    /// A plain string prefix.
    Prefix(Text),
    /// RE2 over the whole value.
    Regex(Text),
    /// A prefix by whole segments of a path. No StringMatch of YAML is one: routes of the Gateway API are.
    Below(Text),
}

message! {
    /// How a string is compared: one of exact, prefix and regex.
    struct RawStringMatch {
        /// The value equals this.
        exact: Option<At<Text>> = "exact";
        /// The value starts with this.
        prefix: Option<At<Text>> = "prefix";
        /// The whole value matches this RE2 expression.
        regex: Option<At<Text>> = "regex";
    }
    where at_most_one("exact", "prefix", "regex");
}

impl Read for StringMatch {
    fn read(node: Node<'_>, cx: &mut Reader<'_>) -> Option<Self> {
        let raw = RawStringMatch::read(node, cx)?;
        let by = match raw {
            RawStringMatch { exact: Some(text), .. } => MatchBy::Exact(text.value),
            RawStringMatch { prefix: Some(text), .. } => MatchBy::Prefix(text.value),
            RawStringMatch { regex: Some(text), .. } => MatchBy::Regex(text.value),
            _ => MatchBy::Present,
        };
        Some(StringMatch { span: node.span(), by })
    }

    fn schema() -> Value {
        RawStringMatch::schema()
    }
}

/// What a match may be besides what it always may.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Leave {
    Nothing,
    /// An empty prefix, which every path has.
    EmptyPrefix,
    /// The pattern `*`, which is no RE2 and means: present.
    Star,
}

impl StringMatch {
    /// Reports a match that can match nothing, or a pattern that is none.
    pub(crate) fn check(&self, leave: Leave, cx: &mut Reader<'_>) {
        match &self.by {
            MatchBy::Prefix(text) if text.is_empty() && leave != Leave::EmptyPrefix => {
                let help = "write a prefix, or `{}` to match whatever is there".into();
                cx.report(&rules::BAD_VALUE, self.span, "an empty prefix is no match".into(), help);
            }
            MatchBy::Regex(text) if leave == Leave::Star && text == "*" => {}
            MatchBy::Regex(text) => check_regex(text, self.span, cx),
            _ => {}
        }
    }
}

/// Reports a pattern that RE2 would refuse.
pub(crate) fn check_regex(pattern: &str, span: Span, cx: &mut Reader<'_>) {
    if pattern.is_empty() {
        let help = "write a pattern, such as `.*`".into();
        cx.report(&rules::BAD_PATTERN, span, "an empty pattern is no match".into(), help);
    } else if let Err(problem) = re2::check(pattern) {
        let message = format!("`{}` is no pattern of RE2: {problem}", shortened(pattern));
        cx.report(&rules::BAD_PATTERN, span, message, problem.help.to_owned());
    }
}

//! Patterns of users as the data plane runs them.
//!
//! Owns: which of them mean something else to RE2, for which they are written, than to the data plane's engine.

use taut_resources::translate_pattern;
use taut_snapshot::Text;

/// The same pattern in the data plane's words. Most mean the same to both, and stay as users know them.
pub(super) fn pattern(text: &Text) -> Text {
    let means_the_same = text.is_ascii() && !text.contains("(?") && !text.contains("[[:") && !has_own_escape(text);
    match translate_pattern(text) {
        Ok(written) if !means_the_same => written.into(),
        // What RE2 refuses was reported where it is written.
        _ => text.clone(),
    }
}

/// Whether it has escapes other than of punctuation and of the classes that both know.
fn has_own_escape(text: &str) -> bool {
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        if character == '\\' && !characters.next().is_some_and(|it| it.is_ascii_punctuation() || "dDwW".contains(it)) {
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_means_the_same_stays_and_the_rest_is_translated() {
        for same in ["/r/[0-9]+", r"a\.b\d", ".*", "(a|b)"] {
            assert_eq!(pattern(&same.into()), same);
        }
        for other in [r"\pL", "(?i)é", "[[:alpha:]]", r"\Qa.b\E", "é"] {
            assert_ne!(pattern(&other.into()), other);
        }
    }
}

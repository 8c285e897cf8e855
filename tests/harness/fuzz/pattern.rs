//! Any bytes as a pattern or as a string of a grammar.

use taut_resources::{grammars as all, translate_pattern};

/// A pattern that is let through is one that the data plane's engine can run, or finds too large.
///
/// # Panics
/// If it is not.
pub fn patterns(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let Ok(translated) = translate_pattern(text) else { return };
    match regex::Regex::new(&translated) {
        Ok(_) | Err(regex::Error::CompiledTooBig(_)) => {}
        Err(error) => panic!("{text:?} became {translated:?}: {error}"),
    }
}

/// Every grammar answers, and none that its regular expression refuses is let through.
///
/// # Panics
/// If one does not.
pub fn grammars(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    for grammar in all() {
        let holds = (grammar.holds)(text);
        let said = grammar.pattern.map(|pattern| regex::Regex::new(pattern).expect("a grammar's pattern is one"));
        if let Some(pattern) = said.filter(|_| holds) {
            assert!(pattern.is_match(text), "{text:?} is {}, and {pattern} says that it is not", grammar.what);
        }
    }
}

//! Words that YAML 1.2 and the API server read differently.
//!
//! Kubernetes reads YAML 1.1: `no` is false and `0777` is 511. Taut reads as `serde_yaml` does, where both are strings.
//! Owns: which words those are. May not: allocate, since every string of every document passes here.

/// What the API server makes of a string of YAML 1.2, if it is no string there.
pub(crate) fn reads(text: &str) -> Option<&'static str> {
    match text.as_bytes().first()? {
        b'y' | b'Y' | b'n' | b'N' | b'o' | b'O' => is_boolean(text).then_some("a boolean"),
        b'0'..=b'9' | b'+' | b'-' | b'.' => is_number(text).then_some("a number"),
        _ => None,
    }
}

/// Whether a value was written without quotes, and not as a block.
pub(crate) fn is_plain(written: &str) -> bool {
    !written.starts_with(['"', '\'', '|', '>'])
}

fn is_boolean(text: &str) -> bool {
    const WORDS: &[&str] = &["y", "yes", "on", "n", "no", "off"];
    // As it stands, all in upper case, or with its first letter so.
    let cased = |word: &str| {
        let rest = &text[1..];
        text == word
            || text.eq_ignore_ascii_case(word) && (rest == &word[1..] || text.bytes().all(|it| it.is_ascii_uppercase()))
    };
    text.is_ascii() && text.len() <= 3 && WORDS.iter().any(|word| cased(word))
}

/// Underscores between digits, and a zero before them: all other numbers are numbers to both.
fn is_number(text: &str) -> bool {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    let bytes = digits.as_bytes();
    let zero = bytes.len() > 1 && bytes[0] == b'0' && bytes[1..].iter().all(u8::is_ascii_digit);
    zero || bytes.contains(&b'_') && is_number_with_underscores(digits)
}

fn is_number_with_underscores(digits: &str) -> bool {
    let radix = |prefix: &str, radix: u32| {
        let rest = digits.strip_prefix(prefix).or_else(|| digits.strip_prefix(&prefix.to_ascii_uppercase()))?;
        Some(
            rest.bytes().any(|byte| byte != b'_') && rest.chars().all(|letter| letter == '_' || letter.is_digit(radix)),
        )
    };
    if let Some(whole) = radix("0x", 16).or_else(|| radix("0o", 8)).or_else(|| radix("0b", 2)) {
        return whole;
    }
    // A decimal: digits, a dot, digits, an exponent.
    let (number, exponent) =
        digits.split_once(['e', 'E']).map_or((digits, None), |(number, exponent)| (number, Some(exponent)));
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let all = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit() || byte == b'_');
    let some = |part: &str| all(part) && part.bytes().any(|byte| byte.is_ascii_digit());
    let exponent = exponent.is_none_or(|exponent| some(exponent.strip_prefix(['+', '-']).unwrap_or(exponent)));
    all(whole) && all(fraction) && (some(whole) || some(fraction)) && exponent
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_yaml_1_1_are_known() {
        for text in ["y", "Y", "yes", "Yes", "YES", "no", "No", "NO", "on", "On", "off", "OFF", "n", "N"] {
            assert_eq!(reads(text), Some("a boolean"), "{text}");
        }
        for text in ["0777", "00", "-07", "+01", "0899", "1_000", "1_0.5", "0x1_F", "1_0e1_0", "0b1_1"] {
            assert_eq!(reads(text), Some("a number"), "{text}");
        }
        for text in [
            "",
            "yEs",
            "nO",
            "none",
            "one",
            "order",
            "a_b",
            "10.0.0.1",
            "0.0.0.0",
            "1s",
            "v1_0",
            "1_a",
            "_",
            "1__x",
            "0",
            "-",
            "+",
            ".",
            "0-1",
            "2001-01-01",
            "12:30",
        ] {
            assert_eq!(reads(text), None, "{text}");
        }
    }
}

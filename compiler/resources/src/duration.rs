//! Lengths of time (semantics.md §1.2).

use serde_json::{Value, json};
use taut_source::Node;

use crate::grammar::SHORT_DURATION;
use crate::read::{Read, Reader};
use crate::rules;

/// A length of time, as protobuf writes it in JSON: `1.5s`, `100ms`, `1h30m`. At least 1 ms and whole milliseconds,
/// but for fields that say otherwise (semantics.md §1.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Duration(pub std::time::Duration);

impl Duration {
    /// The whole milliseconds in it.
    #[must_use]
    pub fn as_millis(self) -> u64 {
        u64::try_from(self.0.as_millis()).unwrap_or(u64::MAX)
    }

    /// Go's grammar of durations, but for a minus.
    fn parse(text: &str) -> Option<std::time::Duration> {
        let mut rest = text.strip_prefix('+').unwrap_or(text);
        let mut nanos: u128 = 0;
        if rest == "0" {
            return Some(std::time::Duration::ZERO);
        }
        if rest.is_empty() {
            return None;
        }
        while !rest.is_empty() {
            let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
            let (number, after) = rest.split_at(digits);
            let unit_end = after.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(after.len());
            let (unit, next) = after.split_at(unit_end);
            let scale: u128 = match unit {
                "ns" => 1,
                "us" | "µs" | "μs" => 1_000,
                "ms" => 1_000_000,
                "s" => 1_000_000_000,
                "m" => 60_000_000_000,
                "h" => 3_600_000_000_000,
                _ => return None,
            };
            let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
            if whole.is_empty() && fraction.is_empty() || fraction.contains('.') {
                return None;
            }
            let whole: u128 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
            nanos = nanos.checked_add(whole.checked_mul(scale)?)?;
            let mut unit_nanos = scale;
            for digit in fraction.bytes() {
                unit_nanos /= 10;
                nanos += u128::from(digit - b'0') * unit_nanos;
            }
            rest = next;
        }
        // Go keeps a duration in 63 bits of nanoseconds: about 292 years.
        let nanos = i64::try_from(nanos).ok()?;
        Some(std::time::Duration::from_nanos(nanos.unsigned_abs()))
    }

    fn read_from(node: Node<'_>, cx: &mut Reader<'_>, least: std::time::Duration) -> Option<Duration> {
        let Some(text) = node.text() else { return cx.wrong_type(node, "a string") };
        let Some(value) = Duration::parse(text) else {
            let message = format!("`{}` is `{text}`, which is no duration", node.path());
            cx.report(&rules::BAD_DURATION, node.span(), message, "write it as `1.5s`, `100ms`, `2m` or `1h`".into());
            return None;
        };
        if value < least || value.subsec_nanos() % 1_000_000 != 0 {
            let message = format!("`{}` is `{text}`: it must be at least 1ms, in whole milliseconds", node.path());
            let help = if value.is_zero() { "leave the field out" } else { "write at least `1ms`" };
            cx.report(&rules::BAD_DURATION, node.span(), message, help.into());
            return None;
        }
        Some(Duration(value))
    }
}

impl Read for Duration {
    fn read(node: Node<'_>, cx: &mut Reader<'_>) -> Option<Self> {
        Duration::read_from(node, cx, std::time::Duration::from_millis(1))
    }

    fn schema() -> Value {
        json!({"type": "string", "pattern": "^\\+?([0-9]+(\\.[0-9]*)?|\\.[0-9]+)(ns|us|µs|μs|ms|s|m|h)(([0-9]+(\\.[0-9]*)?|\\.[0-9]+)(ns|us|µs|μs|ms|s|m|h))*$|^\\+?0$"})
    }
}

/// A duration that may be zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DurationOrZero(pub Duration);

impl Read for DurationOrZero {
    fn read(node: Node<'_>, cx: &mut Reader<'_>) -> Option<Self> {
        Duration::read_from(node, cx, std::time::Duration::ZERO).map(DurationOrZero)
    }

    fn schema() -> Value {
        Duration::schema()
    }
}

/// A duration of the Gateway API: whole numbers with h, m, s or ms; zero means none (GEP-2257).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ShortDuration(pub Duration);

impl Read for ShortDuration {
    fn read(node: Node<'_>, cx: &mut Reader<'_>) -> Option<Self> {
        let Some(text) = node.text() else { return cx.wrong_type(node, "a string") };
        if !cx.grammar(node, text, &SHORT_DURATION) {
            return None;
        }
        Duration::parse(text).map(|value| ShortDuration(Duration(value)))
    }

    fn schema() -> Value {
        json!({"type": "string", "pattern": SHORT_DURATION.pattern})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_follow_go() {
        let millis = |text| Duration::parse(text).map(|duration| duration.as_micros());
        #[rustfmt::skip]
        let table = [
            ("1s", Some(1_000_000)), ("1.5s", Some(1_500_000)), ("100ms", Some(100_000)), ("1h30m", Some(5_400_000_000)),
            (".5s", Some(500_000)), ("1.s", Some(1_000_000)), ("0", Some(0)), ("0s", Some(0)), ("7µs", Some(7)), ("+1s", Some(1_000_000)),
            ("", None), ("1", None), ("s", None), (".s", None), ("1d", None), ("-1s", None), ("1 s", None), ("1.2.3s", None),
            ("99999999999999h", None), ("+", None),
        ];
        for (text, want) in table {
            assert_eq!(millis(text), want, "{text}");
        }
    }
}

//! Values that many kinds share: numbers with a range, durations, percentages, string matches.

use serde_json::{Value, json};
use taut_source::{Data, Node, Span, Text};

use crate::message::message;
use crate::read::{At, Read, Reader};
use crate::rules;

impl Read for Text {
    fn read(node: Node<'_>, cx: &mut Reader<'_>) -> Option<Self> {
        match node.text() {
            Some(text) => Some(Text::new(text)),
            None => cx.wrong_type(node, "a string"),
        }
    }

    fn schema() -> Value {
        json!({"type": "string"})
    }
}

impl Read for bool {
    fn read(node: Node<'_>, cx: &mut Reader<'_>) -> Option<Self> {
        match node.data() {
            Data::Bool(value) => Some(value),
            _ => cx.wrong_type(node, "true or false"),
        }
    }

    fn schema() -> Value {
        json!({"type": "boolean"})
    }
}

fn whole_number(node: Node<'_>, cx: &mut Reader<'_>, least: i64, most: i64) -> Option<i64> {
    let value = match node.data() {
        Data::Int(value) => Some(value),
        // 1.0 and 1e3 are whole numbers to the API server as well.
        Data::Float(value) if value.fract() == 0.0 && value.abs() < 9e15 => Some(value as i64),
        Data::UInt(_) | Data::Float(_) => None,
        _ => return cx.wrong_type(node, "a whole number"),
    };
    match value {
        Some(value) if least <= value && value <= most => Some(value),
        _ => {
            let message = format!("`{}` is {}, outside {least} to {most}", node.path(), node.written());
            cx.report(&rules::OUT_OF_RANGE, node.span(), message, format!("write a number from {least} to {most}"));
            None
        }
    }
}

impl Read for i32 {
    fn read(node: Node<'_>, cx: &mut Reader<'_>) -> Option<Self> {
        whole_number(node, cx, i64::from(i32::MIN), i64::from(i32::MAX)).and_then(|value| value.try_into().ok())
    }

    fn schema() -> Value {
        json!({"type": "integer", "format": "int32"})
    }
}

impl Read for u32 {
    fn read(node: Node<'_>, cx: &mut Reader<'_>) -> Option<Self> {
        whole_number(node, cx, 0, i64::from(u32::MAX)).and_then(|value| value.try_into().ok())
    }

    fn schema() -> Value {
        json!({"type": "integer", "minimum": 0, "maximum": u32::MAX})
    }
}

impl Read for f64 {
    fn read(node: Node<'_>, cx: &mut Reader<'_>) -> Option<Self> {
        match node.data() {
            Data::Int(value) => Some(value as f64),
            Data::UInt(value) => Some(value as f64),
            Data::Float(value) => Some(value),
            _ => cx.wrong_type(node, "a number"),
        }
    }

    fn schema() -> Value {
        json!({"type": "number"})
    }
}

/// A port number, 1 to 65535.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Port(pub u16);

impl Read for Port {
    fn read(node: Node<'_>, cx: &mut Reader<'_>) -> Option<Self> {
        whole_number(node, cx, 1, 65535).and_then(|value| value.try_into().ok()).map(Port)
    }

    fn schema() -> Value {
        json!({"type": "integer", "minimum": 1, "maximum": 65535})
    }
}

message! {
    /// A port of a destination.
    pub struct PortRef {
        /// The service port.
        number: At<Port> = "number";
    }
}

/// A number or a name, as `targetPort`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IntOrText {
    /// A number.
    Int(i64),
    /// A name.
    Text(Text),
}

impl Read for IntOrText {
    fn read(node: Node<'_>, cx: &mut Reader<'_>) -> Option<Self> {
        match node.data() {
            Data::Int(value) => Some(IntOrText::Int(value)),
            Data::Text(text) => Some(IntOrText::Text(Text::new(text))),
            _ => cx.wrong_type(node, "a number or a string"),
        }
    }

    fn schema() -> Value {
        json!({"anyOf": [{"type": "integer"}, {"type": "string"}]})
    }
}

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

    /// Go's grammar of durations, without a sign.
    fn parse(text: &str) -> Option<std::time::Duration> {
        let mut rest = text;
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
        json!({"type": "string", "pattern": "^([0-9]+(\\.[0-9]*)?|\\.[0-9]+)(ns|us|µs|ms|s|m|h)(([0-9]+(\\.[0-9]*)?|\\.[0-9]+)(ns|us|µs|ms|s|m|h))*$|^0$"})
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

message! {
    /// A percentage, 0 to 100, with fractions.
    pub struct Percent {
        /// The percentage.
        value: Option<At<f64>> = "value";
    }
}

/// How a string is compared (semantics.md §3.5). An empty match is one of presence.
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
}

impl Read for StringMatch {
    fn read(node: Node<'_>, cx: &mut Reader<'_>) -> Option<Self> {
        let raw = RawStringMatch::read(node, cx)?;
        let set =
            usize::from(raw.exact.is_some()) + usize::from(raw.prefix.is_some()) + usize::from(raw.regex.is_some());
        if 1 < set {
            let message = format!("`{}` has more than one of exact, prefix and regex", node.path());
            cx.report(&rules::EXCLUSIVE, node.span(), message, "keep one of them".into());
            return None;
        }
        let by = match raw {
            RawStringMatch { exact: Some(text), .. } => MatchBy::Exact(text.value),
            RawStringMatch { prefix: Some(text), .. } => MatchBy::Prefix(text.value),
            RawStringMatch { regex: Some(text), .. } => MatchBy::Regex(text.value),
            _ => MatchBy::Present,
        };
        Some(StringMatch { span: node.span(), by })
    }

    fn schema() -> Value {
        let mut schema = RawStringMatch::schema();
        if let Value::Object(schema) = &mut schema {
            schema.insert("maxProperties".into(), 1.into());
        }
        schema
    }
}

/// A value of a field that Taut refuses as a whole: its content is not looked at.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Unread;

impl Read for Unread {
    fn read(_: Node<'_>, _: &mut Reader<'_>) -> Option<Self> {
        Some(Unread)
    }

    fn schema() -> Value {
        json!({})
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
            (".5s", Some(500_000)), ("1.s", Some(1_000_000)), ("0", Some(0)), ("0s", Some(0)), ("7µs", Some(7)),
            ("", None), ("1", None), ("s", None), (".s", None), ("1d", None), ("-1s", None), ("1 s", None), ("1.2.3s", None),
            ("99999999999999h", None),
        ];
        for (text, want) in table {
            assert_eq!(millis(text), want, "{text}");
        }
    }
}

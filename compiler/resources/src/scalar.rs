//! Values that many kinds share: numbers with a range, durations, percentages, string matches.

use serde_json::{Value, json};
use taut_source::{Data, Node, Span, Text};

use crate::message::message;
use crate::read::{At, Read, Reader};
use crate::rules;

impl Read for Text {
    fn read(node: Node<'_>, cx: &mut Reader<'_>) -> Option<Self> {
        match node.text() {
            Some(text) => {
                cx.unambiguous(node, text);
                Some(Text::new(text))
            }
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
        Data::Float(value) if value.fract() == 0.0 => None,
        Data::UInt(_) => None,
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
        json!({"type": "integer", "minimum": i32::MIN, "maximum": i32::MAX})
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

/// The most that a number of JSON holds exactly: where a field has more bits, this is as far as people write.
const WHOLE_MAX: i64 = 9_007_199_254_740_991;

impl Read for u64 {
    fn read(node: Node<'_>, cx: &mut Reader<'_>) -> Option<Self> {
        whole_number(node, cx, 0, WHOLE_MAX).and_then(|value| value.try_into().ok())
    }

    fn schema() -> Value {
        json!({"type": "integer", "minimum": 0, "maximum": WHOLE_MAX})
    }
}

impl Read for f64 {
    fn read(node: Node<'_>, cx: &mut Reader<'_>) -> Option<Self> {
        match node.data() {
            Data::Int(value) => Some(value as f64),
            Data::UInt(value) => Some(value as f64),
            Data::Float(value) if value.is_finite() => Some(value),
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

/// A port number, or 0 where something else than a port is listened on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PortOrZero(pub u16);

impl Read for PortOrZero {
    fn read(node: Node<'_>, cx: &mut Reader<'_>) -> Option<Self> {
        whole_number(node, cx, 0, 65535).and_then(|value| value.try_into().ok()).map(PortOrZero)
    }

    fn schema() -> Value {
        json!({"type": "integer", "minimum": 0, "maximum": 65535})
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
            Data::Text(text) => {
                cx.unambiguous(node, text);
                Some(IntOrText::Text(Text::new(text)))
            }
            _ => cx.wrong_type(node, "a number or a string"),
        }
    }

    fn schema() -> Value {
        json!({"anyOf": [{"type": "integer"}, {"type": "string"}]})
    }
}

message! {
    /// A percentage, 0 to 100, with fractions.
    pub struct Percent {
        /// The percentage.
        value: Option<At<f64>> = "value", range(0..=100);
    }
}

/// A map of which nothing is read: its content is for someone else.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FreeForm {
    /// Where the map stands.
    pub span: Span,
}

impl Read for FreeForm {
    fn read(node: Node<'_>, cx: &mut Reader<'_>) -> Option<Self> {
        match node.data() {
            Data::Map => Some(FreeForm { span: node.span() }),
            _ => cx.wrong_type(node, "a map"),
        }
    }

    fn schema() -> Value {
        json!({"type": "object"})
    }
}

/// Bytes, written in base64, without the ends of lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Base64(pub Text);

impl Base64 {
    /// How many bytes it stands for.
    #[must_use]
    pub fn decoded_len(&self) -> usize {
        let text = self.0.trim_end_matches('=');
        text.len() * 3 / 4
    }

    /// The alphabet with padding, as Go's decoder for JSON has it; line ends are skipped.
    fn holds(text: &str) -> bool {
        let letters = text.bytes().filter(|byte| !matches!(byte, b'\r' | b'\n'));
        let (mut count, mut padding) = (0_usize, 0_usize);
        for byte in letters {
            match byte {
                b'=' => padding += 1,
                _ if 0 < padding => return false,
                _ if byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/') => {}
                _ => return false,
            }
            count += 1;
        }
        count % 4 == 0 && padding <= 2
    }
}

impl Read for Base64 {
    fn read(node: Node<'_>, cx: &mut Reader<'_>) -> Option<Self> {
        let Some(text) = node.text() else { return cx.wrong_type(node, "a string") };
        if !Base64::holds(text) {
            let message = format!("`{}` is no base64", node.path());
            cx.report(&rules::BAD_VALUE, node.span(), message, "encode the bytes in base64, with padding".into());
            return None;
        }
        Some(Base64(text.chars().filter(|letter| !matches!(letter, '\r' | '\n')).collect()))
    }

    fn schema() -> Value {
        json!({"type": "string", "contentEncoding": "base64"})
    }
}

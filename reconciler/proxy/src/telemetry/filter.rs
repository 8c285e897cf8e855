//! Which requests a log wants: conditions, evaluated as CEL evaluates them. What cannot be tested, because there is none,
//! makes the whole fail, unless `&&` or `||` is decided by its other side.

use taut_snapshot::object::{FilterAttribute, FilterHolds, FilterStep, FilterTest};

use super::log::{Entry, version};
use super::metrics::Security;
use super::record::Line;

/// Whether a request is one of those. Like Envoy, a log has none of which that cannot be said.
pub(super) fn holds(steps: &[FilterStep], entry: &Entry) -> bool {
    let Some(line) = entry.record.line.as_deref() else { return false };
    // True, false, or an error.
    let mut stack: Vec<Option<bool>> = Vec::new();
    for step in steps {
        let value = match step {
            FilterStep::Test(test) => one(test, entry, line),
            FilterStep::Not => stack.pop().flatten().map(|value| !value),
            FilterStep::And | FilterStep::Or => {
                let decisive = *step == FilterStep::Or;
                match (stack.pop().flatten(), stack.pop().flatten()) {
                    (Some(value), _) | (_, Some(value)) if value == decisive => Some(decisive),
                    (Some(_), Some(_)) => Some(!decisive),
                    _ => None,
                }
            }
        };
        stack.push(value);
    }
    stack.pop().flatten().unwrap_or(steps.is_empty())
}

enum Value {
    Number(u64),
    Text(String),
    Truth(bool),
}

fn one(test: &FilterTest, entry: &Entry, line: &Line) -> Option<bool> {
    let value = value(&test.attribute, entry, line);
    if test.holds == FilterHolds::Present {
        return Some(value.is_some());
    }
    match (&test.holds, value?) {
        (FilterHolds::Is(text), Value::Text(value)) => Some(value == *text),
        (FilterHolds::Begins(text), Value::Text(value)) => Some(value.starts_with(text.as_str())),
        (FilterHolds::Ends(text), Value::Text(value)) => Some(value.ends_with(text.as_str())),
        (FilterHolds::Contains(text), Value::Text(value)) => Some(value.contains(text.as_str())),
        (FilterHolds::Equals(number), Value::Number(value)) => Some(value == *number),
        (FilterHolds::Below(number), Value::Number(value)) => Some(value < *number),
        (FilterHolds::True, Value::Truth(value)) => Some(value),
        _ => None,
    }
}

fn value(attribute: &FilterAttribute, entry: &Entry, line: &Line) -> Option<Value> {
    let record = &entry.record;
    let text = |text: &str| Some(Value::Text(text.to_owned()));
    let header = |name: &str| line.kept.as_ref().and_then(|kept| kept.asked(name)).map(Value::Text);
    match attribute {
        FilterAttribute::ResponseCode => {
            Some(Value::Number(u64::from(record.key.status))).filter(|_| record.key.status != 0)
        }
        FilterAttribute::ResponseCodeDetails => Some(Value::Text(record.details.to_string())),
        FilterAttribute::ResponseSize => Some(Value::Number(record.bytes_sent)),
        FilterAttribute::RequestSize => Some(Value::Number(entry.bytes_received)),
        FilterAttribute::RequestPath => line.method.as_ref().and_then(|_| text(&line.path)),
        FilterAttribute::RequestUrlPath => {
            line.method.as_ref().and_then(|_| text(line.path.split('?').next().unwrap_or_default()))
        }
        FilterAttribute::RequestHost => line.method.as_ref().and_then(|_| text(&line.authority)),
        FilterAttribute::RequestMethod => line.method.as_ref().and_then(|method| text(method.as_str())),
        FilterAttribute::RequestProtocol => line.version.and_then(|known| text(version(known))),
        FilterAttribute::RequestUserAgent => header("user-agent"),
        FilterAttribute::RequestId => header("x-request-id"),
        FilterAttribute::ConnectionMtls => Some(Value::Truth(record.key.security == Security::MutualTls)),
        FilterAttribute::ServerName => line.server_name.as_deref().and_then(text),
        FilterAttribute::Header(name) => header(name),
    }
}

#[cfg(test)]
mod tests {
    use taut_snapshot::object::FilterStep::{And, Not, Or};

    use super::*;
    use crate::telemetry::log::tests::entry;

    #[test]
    #[rustfmt::skip] // a table is read by its columns
    fn what_cannot_be_tested_fails_unless_the_other_side_decides() {
        let test = |attribute: FilterAttribute, holds: FilterHolds| FilterStep::Test(FilterTest { attribute, holds });
        let yes = || test(FilterAttribute::ResponseCode, FilterHolds::Equals(503));
        let no = || test(FilterAttribute::ResponseCode, FilterHolds::Below(503));
        let lost = || test(FilterAttribute::Header("x-none".into()), FilterHolds::Is("a".into()));
        let table = [
            (vec![], true),
            (vec![yes()], true),
            (vec![no()], false),
            (vec![no(), Not], true),
            (vec![lost()], false),
            (vec![lost(), Not], false),
            (vec![lost(), yes(), Or], true),
            (vec![yes(), lost(), Or], true),
            (vec![lost(), no(), Or], false),
            (vec![lost(), no(), And, Not], true),
            (vec![lost(), yes(), And, Not], false),
            (vec![test(FilterAttribute::Header("x-none".into()), FilterHolds::Present), Not], true),
            (vec![test(FilterAttribute::RequestPath, FilterHolds::Contains("x=1".into()))], true),
            (vec![test(FilterAttribute::RequestUrlPath, FilterHolds::Contains("x=1".into()))], false),
            (vec![test(FilterAttribute::RequestMethod, FilterHolds::Is("GET".into())), yes(), And], true),
            (vec![test(FilterAttribute::ConnectionMtls, FilterHolds::True)], false),
        ];
        for (steps, want) in table {
            assert_eq!(holds(&steps, &entry()), want, "{steps:?}");
        }
    }
}

//! What metrics say of requests beside Istio's labels, where a Telemetry has them do so (semantics.md §12.3).
//!
//! Owns: which attributes they ask for, and a number for each combination of values that came.
//! May not: lock, or allocate, for a combination that came before.

use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use arc_swap::ArcSwap;
use http::request::Parts;
use taut_snapshot::Text;
use taut_snapshot::object::{FilterAttribute, MetricRule, TagFrom};

use super::log::version;
use super::names::{Labels, NameId};

/// The most combinations that are told apart. Clients choose what they send, and each one is a series in a dozen metrics:
/// beyond this, all of it is `unknown`.
const COMBINATIONS_MAX: usize = 2_000;

/// How much of a value is told.
const VALUE_MAX: usize = 256;

/// The values of one combination.
pub(crate) type Said = Vec<(FilterAttribute, Text)>;

/// What the metrics of one side ask for.
#[derive(Debug)]
pub(crate) struct Wanted {
    attributes: Vec<FilterAttribute>,
    known: ArcSwap<HashMap<Arc<[u8]>, NameId>>,
}

/// What is known of a request as it comes.
pub(crate) struct Coming<'a> {
    pub(crate) parts: &'a Parts,
    pub(crate) host: &'a str,
    pub(crate) server_name: Option<&'a str>,
}

thread_local! {
    /// The values of the request at hand: each with a mark, and its end.
    static SCRATCH: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

impl Wanted {
    /// What some rules ask for; none if that is nothing.
    pub(crate) fn of(rules: &[MetricRule]) -> Option<Wanted> {
        let values = rules.iter().filter(|rule| !rule.disabled).flat_map(|rule| &rule.tags).map(|tag| &tag.value);
        let asked: BTreeSet<FilterAttribute> = values
            .filter_map(|value| match value {
                Some(TagFrom::Request(attribute)) => Some(attribute.clone()),
                _ => None,
            })
            .collect();
        (!asked.is_empty()).then(|| Wanted { attributes: asked.into_iter().collect(), known: ArcSwap::default() })
    }

    /// The number of what a request says.
    pub(crate) fn number(&self, coming: &Coming<'_>, labels: &Labels) -> NameId {
        SCRATCH.with_borrow_mut(|key| {
            key.clear();
            for attribute in &self.attributes {
                if let Some(value) = coming.value(attribute) {
                    key.push(b'=');
                    key.extend(value.bytes().take(VALUE_MAX));
                }
                key.push(0); // no value has it
            }
            let known = self.known.load();
            if let Some(number) = known.get(key.as_slice()) {
                return *number;
            }
            if COMBINATIONS_MAX <= known.len() {
                return NameId::UNKNOWN;
            }
            let said = self.attributes.iter().filter_map(|it| Some((it.clone(), cut(coming.value(it)?))));
            let number = labels.said.number(said.collect());
            let key: Arc<[u8]> = key.as_slice().into();
            self.known.rcu(|known| {
                let mut more = HashMap::clone(known);
                more.insert(key.clone(), number);
                more
            });
            number
        })
    }
}

fn cut(value: &str) -> Text {
    let end = (0..=VALUE_MAX.min(value.len())).rev().find(|end| value.is_char_boundary(*end));
    value[..end.unwrap_or(0)].into()
}

impl Coming<'_> {
    fn value(&self, attribute: &FilterAttribute) -> Option<&str> {
        let path = || self.parts.uri.path_and_query().map_or("", |path| path.as_str());
        let header = |name: &str| self.parts.headers.get(name)?.to_str().ok();
        match attribute {
            FilterAttribute::RequestPath => Some(path()),
            FilterAttribute::RequestUrlPath => Some(path().split('?').next().unwrap_or_default()),
            FilterAttribute::RequestHost => Some(self.host),
            FilterAttribute::RequestMethod => Some(self.parts.method.as_str()),
            FilterAttribute::RequestProtocol => Some(version(self.parts.version)),
            FilterAttribute::RequestUserAgent => header("user-agent"),
            FilterAttribute::ServerName => self.server_name,
            FilterAttribute::Header(name) => header(name),
            // The compiler carries none of these: they are known later, or are no text.
            FilterAttribute::ResponseCode
            | FilterAttribute::ResponseCodeDetails
            | FilterAttribute::ResponseSize
            | FilterAttribute::RequestSize
            | FilterAttribute::RequestId
            | FilterAttribute::ConnectionMtls => None,
        }
    }
}

/// The value of an attribute in a combination.
pub(crate) fn value_in<'s>(said: &'s Said, attribute: &FilterAttribute) -> Option<&'s str> {
    said.iter().find(|(known, _)| known == attribute).map(|(_, value)| value.as_str())
}

#[cfg(test)]
mod tests {
    use taut_snapshot::object::{Metric, TagRule};

    use super::*;

    fn wanted() -> Wanted {
        let tag = |attribute| TagRule { name: "t".into(), value: Some(TagFrom::Request(attribute)) };
        let tags = vec![tag(FilterAttribute::RequestUrlPath), tag(FilterAttribute::Header("x-a".into()))];
        Wanted::of(&[MetricRule { metric: Metric::Requests, disabled: false, tags }]).unwrap()
    }

    fn number(wanted: &Wanted, labels: &Labels, uri: &str, header: Option<&str>) -> NameId {
        let mut request = http::Request::builder().uri(uri);
        if let Some(value) = header {
            request = request.header("x-a", value);
        }
        let parts = request.body(()).unwrap().into_parts().0;
        wanted.number(&Coming { parts: &parts, host: "h", server_name: None }, labels)
    }

    #[test]
    fn requests_that_say_the_same_have_one_number() {
        let (wanted, labels) = (wanted(), Labels::default());
        let one = number(&wanted, &labels, "/a?b", Some("c"));
        assert_eq!(number(&wanted, &labels, "/a?d", Some("c")), one);
        assert_ne!(number(&wanted, &labels, "/a", None), one, "no header is no empty one");
        assert_ne!(number(&wanted, &labels, "/a", Some("")), number(&wanted, &labels, "/a", None));
        let said = labels.said.value(one);
        assert_eq!(value_in(&said, &FilterAttribute::RequestUrlPath), Some("/a"));
        assert_eq!(value_in(&said, &FilterAttribute::Header("x-a".into())), Some("c"));
        assert_eq!(value_in(&said, &FilterAttribute::RequestHost), None);
    }

    #[test]
    fn there_is_an_end_to_combinations() {
        let (wanted, labels) = (wanted(), Labels::default());
        let first = number(&wanted, &labels, "/0", None);
        for at in 0..COMBINATIONS_MAX {
            number(&wanted, &labels, &format!("/{at}"), None);
        }
        assert_eq!(number(&wanted, &labels, "/one-too-many", None), NameId::UNKNOWN);
        assert_eq!(number(&wanted, &labels, "/0", None), first, "what is known stays known");
        let long = number(&self::wanted(), &labels, &format!("/{}", "a".repeat(1_000)), None);
        assert_eq!(value_in(&labels.said.value(long), &FilterAttribute::RequestUrlPath).map(str::len), Some(VALUE_MAX));
    }

    #[test]
    fn nothing_is_looked_at_where_nothing_is_asked_for() {
        assert!(Wanted::of(&[]).is_none());
        let tags = vec![TagRule { name: "t".into(), value: Some(TagFrom::Literal("x".into())) }];
        assert!(Wanted::of(&[MetricRule { metric: Metric::Requests, disabled: false, tags }]).is_none());
    }
}

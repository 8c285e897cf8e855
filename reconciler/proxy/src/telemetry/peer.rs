//! Who the other proxy is, as it says in headers (semantics.md §12.3, 'peer metadata exchange').
//!
//! Owns: `x-envoy-peer-metadata` (base64 of a protobuf Struct) and `x-envoy-peer-metadata-id`, written and read as Istio's
//! proxies do, so that both kinds understand each other.
//! May not: trust what came over plaintext, or hand either header to an application.

use std::sync::Arc;

use arc_swap::ArcSwapOption;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, HeaderName, HeaderValue};
use prost::Message as _;
use prost_types::value::Kind;
use prost_types::{Struct, Value};
use taut_snapshot::Text;

use super::names::{Labels, NameId, Workload};

/// Who sent it, in full.
pub(crate) const METADATA: HeaderName = HeaderName::from_static("x-envoy-peer-metadata");
/// Who sent it, by name. A server answers with its own only to those who sent this.
pub(crate) const METADATA_ID: HeaderName = HeaderName::from_static("x-envoy-peer-metadata-id");

/// The longest description that is read: Istio's own are a few hundred bytes.
const METADATA_BYTES_MAX: usize = 8 << 10;

/// What a proxy says of itself.
#[derive(Clone, Debug)]
pub(crate) struct Introduction {
    id: HeaderValue,
    metadata: HeaderValue,
}

impl Introduction {
    /// Introduces a workload. `id` is the name of the proxy.
    pub(crate) fn new(id: &str, workload: &Workload) -> Introduction {
        let text = |text: &Text| Value { kind: Some(Kind::StringValue(text.to_string())) };
        let labels = [
            ("app", &workload.app),
            ("version", &workload.version),
            ("service.istio.io/canonical-name", &workload.canonical_service),
            ("service.istio.io/canonical-revision", &workload.canonical_revision),
        ];
        let labels = Struct {
            fields: labels
                .iter()
                .filter(|(_, value)| !value.is_empty())
                .map(|(name, value)| ((*name).to_owned(), text(value)))
                .collect(),
        };
        let metadata = Struct {
            fields: [
                ("NAME".to_owned(), text(&id.into())),
                ("NAMESPACE".to_owned(), text(&workload.namespace)),
                ("WORKLOAD_NAME".to_owned(), text(&workload.name)),
                ("LABELS".to_owned(), Value { kind: Some(Kind::StructValue(labels)) }),
            ]
            .into(),
        };
        let encoded = STANDARD.encode(metadata.encode_to_vec());
        Introduction {
            id: HeaderValue::from_str(id).unwrap_or_else(|_| HeaderValue::from_static("unknown")),
            metadata: HeaderValue::from_str(&encoded).expect("base64 is a header's value"),
        }
    }

    /// Adds it to a message.
    pub(crate) fn write(&self, headers: &mut HeaderMap) {
        headers.insert(METADATA_ID, self.id.clone());
        headers.insert(METADATA, self.metadata.clone());
    }
}

/// Takes the introduction out of a message. The first part says whether the sender named itself at all.
pub(crate) fn take(headers: &mut HeaderMap) -> (bool, Option<HeaderValue>) {
    (headers.remove(METADATA_ID).is_some(), headers.remove(METADATA))
}

/// Who was at the other end the last time: proxies introduce themselves with every message, and the same way.
#[derive(Debug, Default)]
pub(crate) struct Acquaintance {
    last: ArcSwapOption<(HeaderValue, NameId)>,
}

impl Acquaintance {
    /// Who this is.
    pub(crate) fn recognize(&self, metadata: &HeaderValue, labels: &Labels) -> NameId {
        if let Some(last) = &*self.last.load()
            && last.0 == *metadata
        {
            return last.1;
        }
        let number = read(metadata.as_bytes()).map_or(NameId::UNKNOWN, |workload| labels.workloads.number(workload));
        self.last.store(Some(Arc::new((metadata.clone(), number))));
        number
    }

    /// Who it was; unknown if nobody said.
    pub(crate) fn last(&self) -> Option<NameId> {
        self.last.load().as_ref().map(|last| last.1)
    }
}

fn read(text: &[u8]) -> Option<Workload> {
    if METADATA_BYTES_MAX < text.len() {
        return None;
    }
    let metadata = Struct::decode(STANDARD.decode(text).ok()?.as_slice()).ok()?;
    let text = |of: &Struct, name: &str| match of.fields.get(name).and_then(|value| value.kind.as_ref()) {
        Some(Kind::StringValue(text)) => Text::from(text.as_str()),
        _ => Text::default(),
    };
    let labels = match metadata.fields.get("LABELS").and_then(|value| value.kind.as_ref()) {
        Some(Kind::StructValue(labels)) => {
            labels.fields.keys().map(|name| (Text::from(name.as_str()), text(labels, name))).collect()
        }
        _ => Vec::new(),
    };
    let mut workload = Workload::new(&text(&metadata, "NAMESPACE"), &text(&metadata, "WORKLOAD_NAME"), &labels);
    workload.cluster = text(&metadata, "CLUSTER_ID");
    Some(workload)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn orders() -> Workload {
        Workload::new(&"shop".into(), &"orders-v1".into(), &[("app".into(), "orders".into())])
    }

    #[test]
    fn a_proxy_is_recognized_by_its_introduction() {
        let labels = Labels::default();
        let mut headers = HeaderMap::new();
        Introduction::new("orders-1", &orders()).write(&mut headers);
        let (named, metadata) = take(&mut headers);
        assert!(named && headers.is_empty(), "nothing is left for the application");
        let met = Acquaintance::default();
        assert_eq!(met.last(), None);
        let number = met.recognize(&metadata.unwrap(), &labels);
        assert_eq!(*labels.workloads.value(number), orders());
        assert_eq!(met.last(), Some(number));
    }

    #[test]
    fn nonsense_is_nobody() {
        let labels = Labels::default();
        for nonsense in ["", "%%%", "AAAA", &"A".repeat(METADATA_BYTES_MAX + 4), &STANDARD.encode([0xff; 100])] {
            let value = HeaderValue::from_str(nonsense).unwrap();
            let workload = labels.workloads.value(Acquaintance::default().recognize(&value, &labels));
            assert_eq!(workload.name, "", "{nonsense}");
        }
    }
}

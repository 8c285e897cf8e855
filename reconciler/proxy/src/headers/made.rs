//! Headers whose values are made for each request that a rule says so of (semantics.md §3.7).
//!
//! Owns: what such a value may be made of: the request as it came, its headers as they are by then, and the answer.

use http::{HeaderMap, HeaderName};
use taut_snapshot::object::{HeaderOps, LogItem, LogPiece};

use crate::telemetry::format::{Headers, Seen, value};
use crate::telemetry::record::Line;

/// What is known of a request besides the headers that are changed.
pub(crate) struct Making<'a> {
    /// None where no header is made.
    pub(crate) line: Option<&'a Line>,
    /// The cluster that the request goes to.
    pub(crate) cluster: Option<&'a str>,
    /// Headers of the request, where those of its answer are changed: the ones that somebody asks for.
    pub(crate) asked: Option<(&'a HeaderMap, u16)>,
}

impl Making<'_> {
    /// The value that some pieces make. `own` are the headers that are changed.
    pub(crate) fn value(&self, own: &HeaderMap, pieces: &[LogPiece]) -> String {
        let Some(line) = self.line else { return String::new() };
        let of_own = |name: &str| text(own, name);
        let of_request = |name: &str| self.asked.and_then(|(asked, _)| text(asked, name));
        let none = |_: &str| None;
        let (status, asked, answered): (_, Headers<'_>, _) = match self.asked {
            None => (0, &of_own, &none as Headers<'_>),
            Some((_, status)) => (status, &of_request, &of_own as Headers<'_>),
        };
        value(pieces, &Seen { line, status, cluster: self.cluster, end: None, asked, answered })
    }
}

/// The first value of a header, as far as it is text.
fn text(headers: &HeaderMap, name: &str) -> Option<String> {
    headers.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
}

/// The headers of a request that changes of its answer ask for.
pub(crate) fn asked_for(headers: &HeaderMap, ops: [Option<&HeaderOps>; 2]) -> HeaderMap {
    let pieces = ops.into_iter().flatten().flat_map(|ops| &ops.made).flat_map(|made| &made.value);
    let mut found = HeaderMap::new();
    for piece in pieces {
        let LogPiece::Item(item) = piece else { continue };
        let LogItem::Request(names) = &item.item else { continue };
        for name in [&names.name, &names.otherwise] {
            let name = HeaderName::try_from(name.as_str()).ok();
            let value = name.as_ref().and_then(|name| headers.get(name));
            if let (Some(name), Some(value)) = (name, value) {
                found.insert(name, value.clone());
            }
        }
    }
    found
}

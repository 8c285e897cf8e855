//! What a cluster reported of an object: its `status`, as far as a file carries it.
//!
//! Invariant: nothing is reported about a status. It is the cluster's own writing, and its fields are none of ours.

use taut_source::{Data, Node, Span, Text};

use crate::read::List;

/// The status of an object; empty where the file has none, as files in git mostly have none.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Reported {
    /// Its conditions.
    pub conditions: List<ReportedCondition>,
    /// Whether addresses were given to it.
    pub addresses: bool,
}

/// One condition of an object.
#[derive(Clone, Debug, PartialEq)]
pub struct ReportedCondition {
    /// Where it stands.
    pub span: Span,
    /// `Accepted`, `Programmed` and so on.
    pub kind: Text,
    /// Whether it holds; none if that is unknown.
    pub holds: Option<bool>,
    /// One word that says why.
    pub reason: Text,
    /// A sentence that says why.
    pub message: Text,
}

impl Reported {
    pub(crate) fn of(object: Node<'_>) -> Reported {
        let Some(status) = object.get("status").filter(|status| matches!(status.data(), Data::Map)) else {
            return Reported::default();
        };
        let list = |node: Node<'_>, key: &str| node.get(key).filter(|node| matches!(node.data(), Data::List)).is_some();
        let addresses = list(status, "addresses")
            && status.get("addresses").is_some_and(|addresses| addresses.items().next().is_some());
        let mut conditions = List::new();
        collect(status, &mut conditions);
        // A route has its conditions once for each parent.
        if let Some(parents) = status.get("parents").filter(|parents| matches!(parents.data(), Data::List)) {
            for parent in parents.items() {
                collect(parent, &mut conditions);
            }
        }
        Reported { conditions, addresses }
    }
}

fn collect(status: Node<'_>, conditions: &mut List<ReportedCondition>) {
    let Some(list) = status.get("conditions").filter(|list| matches!(list.data(), Data::List)) else { return };
    for node in list.items().filter(|node| matches!(node.data(), Data::Map)) {
        let text = |key: &str| node.get(key).and_then(Node::text).map(Text::new).unwrap_or_default();
        conditions.push(ReportedCondition {
            span: node.span(),
            kind: text("type"),
            holds: match text("status").as_str() {
                "True" => Some(true),
                "False" => Some(false),
                _ => None,
            },
            reason: text("reason"),
            message: text("message"),
        });
    }
}

//! How objects name each other: by group, kind, name and namespace.

use taut_source::{Node, Text};

use crate::grammar::{API_GROUP, API_KIND, NAMESPACE, SUBDOMAIN};
use crate::message::{keyword, message};
use crate::read::{At, Reader};
use crate::rules;
use crate::scalar::Port;

message! {
    /// What a route is attached to: a Gateway, a listener of it, or a Service.
    pub struct ParentRef {
        /// The group of its kind.
        group: At<Text> = "group", chars(..=253), is(API_GROUP), default(Text::new("gateway.networking.k8s.io"));
        /// Its kind.
        kind: At<Text> = "kind", chars(1..=63), is(API_KIND), default(Text::new("Gateway"));
        /// Its name.
        name: At<Text> = "name", chars(1..=253);
        /// Its namespace; the route's own if missing.
        namespace: Option<At<Text>> = "namespace", chars(1..=63), is(NAMESPACE);
        /// A listener, or a port of a Service, by name.
        section_name: Option<At<Text>> = "sectionName", chars(1..=253), is(SUBDOMAIN);
        /// A port.
        port: Option<At<Port>> = "port";
    }
}

/// Reports parents that are named twice without saying which part is meant.
pub(super) fn check_parents(parents: &[ParentRef], cx: &mut Reader<'_>) {
    let text = |field: &Option<At<Text>>| field.as_ref().map(|text| text.value.clone()).unwrap_or_default();
    let whole =
        |it: &ParentRef| (it.group.value.clone(), it.kind.value.clone(), it.name.value.clone(), text(&it.namespace));
    let port = |it: &ParentRef| it.port.map(|port| port.value);
    for (index, parent) in parents.iter().enumerate() {
        for other in parents[..index].iter().filter(|other| whole(other) == whole(parent)) {
            let section = (text(&parent.section_name), text(&other.section_name));
            let half = section.0.is_empty() != section.1.is_empty() || port(parent).is_none() != port(other).is_none();
            let help = "give each a `sectionName` or `port` of its own";
            if section.0 == section.1 && port(parent) == port(other) {
                cx.say(&rules::DUPLICATE, parent.span, "another parent is the same", help);
            } else if half {
                cx.say(
                    &rules::EXCLUSIVE,
                    parent.span,
                    "another parent is the same but for its `sectionName` or `port`, which only one of the two has",
                    help,
                );
            } else {
                continue;
            }
            break;
        }
    }
}

message! {
    /// Where traffic goes.
    pub struct BackendRef {
        /// The group of its kind; empty for the core one.
        group: At<Text> = "group", chars(..=253), is(API_GROUP), default(Text::default());
        /// Its kind.
        kind: At<Text> = "kind", chars(1..=63), is(API_KIND), default(Text::new("Service"));
        /// Its name.
        name: At<Text> = "name", chars(1..=253);
        /// Its namespace; the route's own if missing.
        namespace: Option<At<Text>> = "namespace", chars(1..=63), is(NAMESPACE);
        /// Its port, which a Service must have.
        port: Option<At<Port>> = "port";
    }
    where check(BackendRef::check);
}

impl BackendRef {
    fn check(&self, _: Node<'_>, cx: &mut Reader<'_>) {
        check_port(&self.group, &self.kind, self.port, &self.name, cx);
    }
}

/// A Service is named with its port.
pub(super) fn check_port(group: &Text, kind: &Text, port: Option<At<Port>>, name: &At<Text>, cx: &mut Reader<'_>) {
    if group.is_empty() && kind.as_str() == "Service" && port.is_none() {
        let message = format!("the Service `{}` needs a port", name.value);
        cx.say(&rules::NEEDED, name.span, message, "add `port:`");
    }
}

message! {
    /// Where a share of the traffic goes.
    pub struct WeightedBackend {
        /// The group of its kind; empty for the core one.
        group: At<Text> = "group", chars(..=253), is(API_GROUP), default(Text::default());
        /// Its kind.
        kind: At<Text> = "kind", chars(1..=63), is(API_KIND), default(Text::new("Service"));
        /// Its name.
        name: At<Text> = "name", chars(1..=253);
        /// Its namespace; the route's own if missing.
        namespace: Option<At<Text>> = "namespace", chars(1..=63), is(NAMESPACE);
        /// Its port, which a Service must have.
        port: Option<At<Port>> = "port";
        /// Its share, in proportion to the others'.
        weight: At<u32> = "weight", range(0..=1000000), default(1);
    }
    where check(WeightedBackend::check);
}

impl WeightedBackend {
    fn check(&self, _: Node<'_>, cx: &mut Reader<'_>) {
        check_port(&self.group, &self.kind, self.port, &self.name, cx);
    }
}

message! {
    /// A Secret.
    pub struct SecretRef {
        /// The group of its kind; empty for the core one.
        group: At<Text> = "group", chars(..=253), is(API_GROUP), default(Text::default());
        /// Its kind.
        kind: At<Text> = "kind", chars(1..=63), is(API_KIND), default(Text::new("Secret"));
        /// Its name.
        name: At<Text> = "name", chars(1..=253);
        /// Its namespace; the object's own if missing.
        namespace: Option<At<Text>> = "namespace", chars(1..=63), is(NAMESPACE);
    }
}

message! {
    /// An object, in any namespace.
    pub struct ObjectRef {
        /// The group of its kind; empty for the core one.
        group: At<Text> = "group", chars(..=253), is(API_GROUP);
        /// Its kind.
        kind: At<Text> = "kind", chars(1..=63), is(API_KIND);
        /// Its name.
        name: At<Text> = "name", chars(1..=253);
        /// Its namespace; the object's own if missing.
        namespace: Option<At<Text>> = "namespace", chars(1..=63), is(NAMESPACE);
    }
}

message! {
    /// An object of the same namespace.
    pub struct LocalRef {
        /// The group of its kind; empty for the core one.
        group: At<Text> = "group", chars(..=253), is(API_GROUP);
        /// Its kind.
        kind: At<Text> = "kind", chars(1..=63), is(API_KIND);
        /// Its name.
        name: At<Text> = "name", chars(1..=253);
    }
}

keyword! {
    /// Whether gateways that are for everyone are parents too.
    pub enum DefaultGateways {
        /// They are.
        All = "All";
        /// They are not.
        None = "None";
    }
}

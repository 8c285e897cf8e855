//! InferencePool: workloads that serve one model, and who picks one of them for a request (semantics.md §18.4).

use taut_source::{Node, Text};

use crate::grammar::{API_GROUP, API_KIND, LABEL_VALUE};
use crate::message::{keyword, message};
use crate::read::{At, Labels, List, Reader};
use crate::rules;
use crate::scalar::Port;

message! {
    /// Workloads that serve one model.
    pub struct InferencePool {
        /// The workloads, in the pool's namespace.
        selector: PoolSelector = "selector";
        /// Their ports: the first is the one that requests go to.
        target_ports: List<PoolPort> = "targetPorts", required, items(1..=8), unique("number");
        /// What they speak.
        app_protocol: At<PoolProtocol> = "appProtocol", default(PoolProtocol::Http);
        /// Who picks one of them for a request.
        endpoint_picker_ref: EndpointPicker = "endpointPickerRef";
    }
    where check(InferencePool::check);
}

message! {
    /// Which workloads are of a pool.
    pub struct PoolSelector {
        /// Every one of these labels must be equal.
        match_labels: Labels = "matchLabels", required, items(1..=64), chars(..=63), is(LABEL_VALUE);
    }
}

message! {
    /// A port of the workloads of a pool.
    pub struct PoolPort {
        /// Its number.
        number: At<Port> = "number";
    }
}

keyword! {
    /// What the workloads of a pool speak.
    pub enum PoolProtocol {
        /// HTTP/1.1.
        Http = "http";
        /// HTTP/2 without TLS.
        H2c = "kubernetes.io/h2c";
    }
}

keyword! {
    /// What becomes of a request that nobody picks an endpoint for.
    pub enum PickerFailure {
        /// It goes to any endpoint.
        Open = "FailOpen";
        /// It fails.
        Close = "FailClose";
    }
}

message! {
    /// Who picks endpoints.
    pub struct EndpointPicker {
        /// The group of its kind; empty for the core one.
        group: At<Text> = "group", chars(..=253), is(API_GROUP), default(Text::default()), inert("nobody picks endpoints: `failureMode` says what becomes of requests");
        /// Its kind.
        kind: At<Text> = "kind", chars(1..=63), is(API_KIND), default(Text::new("Service")), inert("nobody picks endpoints: `failureMode` says what becomes of requests");
        /// Its name.
        name: At<Text> = "name", chars(1..=253), inert("nobody picks endpoints: `failureMode` says what becomes of requests");
        /// Its port, which a Service must have.
        port: Option<PoolPort> = "port", inert("nobody picks endpoints: `failureMode` says what becomes of requests");
        /// What becomes of requests without it; they fail if missing.
        failure_mode: At<PickerFailure> = "failureMode", default(PickerFailure::Close);
    }
    where check(EndpointPicker::check);
}

impl InferencePool {
    fn check(&self, _: Node<'_>, cx: &mut Reader<'_>) {
        if let Some(second) = self.target_ports.get(1) {
            let message = format!("requests go to port {} alone", self.target_ports[0].number.value.0);
            let help = "keep one port, and make a pool of each of the others: a route can share requests among pools";
            cx.say(&rules::UNSUPPORTED_VALUE, second.span, message, help);
        }
    }
}

impl EndpointPicker {
    fn check(&self, _: Node<'_>, cx: &mut Reader<'_>) {
        if self.kind.as_str() == "Service" && self.port.is_none() {
            let message = format!("the Service `{}` needs a port", self.name.value);
            cx.say(&rules::NEEDED, self.name.span, message, "add `port:`");
        }
        if self.failure_mode.value == PickerFailure::Close {
            // Where it was left out, the API server fills in that requests fail.
            let message = "nobody picks endpoints here, and `failureMode: FailClose` lets no request through without";
            let help = "write `failureMode: FailOpen`: the endpoint with the least requests under way gets the next";
            cx.say(&rules::UNSUPPORTED_VALUE, self.failure_mode.span, message, help);
        }
    }
}

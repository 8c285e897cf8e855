//! What a controller would report, as tables.

use std::sync::Arc;

use taut_resources::{Outcome, Resource, read_resource};
use taut_source::{FileId, SourceFile, YamlReader, read_documents};

use super::*;

fn resources(text: &str) -> Vec<Arc<Resource>> {
    let (documents, _) =
        read_documents(&SourceFile::new("mesh.yaml", text.as_bytes()), FileId(0), YamlReader::default());
    let (mut problems, mut outcomes) = (Vec::new(), Vec::new());
    for document in &documents {
        read_resource(document.tree.root(), FileId(0), "default", &mut problems, &mut outcomes);
    }
    let read = |outcome| match outcome {
        Outcome::Read(resource) => Some(resource),
        _ => None,
    };
    outcomes.into_iter().filter_map(read).collect()
}

/// What is not as it should be, as `Kind/name: Condition Reason`; and how many routes each listener has.
fn reported(mesh: &str) -> Vec<String> {
    let resources = resources(mesh);
    let made = convert(&resources, &Settings::default());
    let mut lines = Vec::new();
    for status in &made.statuses {
        let subject = &resources[status.resource].subject;
        let name = format!("{}/{}", subject.kind(), subject.name);
        let bad = status.all().filter(|it| !it.is_good());
        lines.extend(bad.map(|it| format!("{name}: {} {}", it.kind, it.reason)));
        let attached = status.listeners.iter().filter(|it| 0 < it.attached);
        lines.extend(attached.map(|it| format!("{name}: {} routes at {}", it.attached, it.name)));
    }
    lines
}

const EDGE: &str = "apiVersion: v1\nkind: Service\nmetadata: {name: edge}\nspec: {selector: {app: edge}, ports: [{name: http, port: 80}, {name: https, port: 443}]}\n---\n";

fn gateway(spec: &str) -> String {
    format!(
        "{EDGE}apiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\nmetadata: {{name: g}}\nspec: {{gatewayClassName: istio, addresses: [{{type: Hostname, value: edge}}], {spec}}}\n---\n"
    )
}

fn listener_set(name: &str, listeners: &str) -> String {
    format!(
        "apiVersion: gateway.networking.k8s.io/v1\nkind: ListenerSet\nmetadata: {{name: {name}}}\nspec: {{parentRef: {{name: g}}, listeners: [{listeners}]}}\n---\n"
    )
}

#[test]
#[rustfmt::skip]
fn gateways_say_what_they_cannot_do() {
    const HTTP: &str = "{name: http, port: 80, protocol: HTTP}";
    let table: [(String, &[&str]); 11] = [
        (gateway(&format!("listeners: [{HTTP}]")), &[]),
        (gateway("listeners: [{name: a, port: 81, protocol: HTTP}]"), &["Gateway/g: Programmed AddressNotUsable"]),
        (gateway(&format!("listeners: [{HTTP}]")).replace("value: edge", "value: nobody"), &["Gateway/g: Programmed AddressNotUsable"]),
        (gateway(&format!("listeners: [{HTTP}]")).replace("type: Hostname, value: edge", "type: example.com/Kind, value: edge"),
            &["Gateway/g: Accepted UnsupportedAddress", "Gateway/g: Programmed UnsupportedAddress"]),
        (gateway(&format!("listeners: [{HTTP}, {{name: b, port: 443, protocol: http}}]")), &["Gateway/g: Accepted UnsupportedProtocol"]),
        (gateway("listeners: [{name: b, port: 443, protocol: UDP}]"), &["Gateway/g: Accepted ListenersNotValid", "Gateway/g: Accepted UnsupportedProtocol"]),
        (gateway("listeners: [{name: s, port: 443, protocol: HTTPS, tls: {certificateRefs: [{name: missing}]}}]"),
            &["Gateway/g: Accepted ListenersNotValid", "Gateway/g: Programmed Invalid", "Gateway/g: ResolvedRefs InvalidCertificateRef"]),
        (gateway("listeners: [{name: a, port: 80, protocol: HTTP, allowedRoutes: {kinds: [{kind: TCPRoute}]}}]"), &["Gateway/g: ResolvedRefs InvalidRouteKinds"]),
        (gateway(&format!("infrastructure: {{parametersRef: {{group: \"\", kind: ConfigMap, name: none}}}}, listeners: [{HTTP}]")), &["Gateway/g: Accepted InvalidParameters"]),
        (gateway(&format!("listeners: [{HTTP}]")).replace("gatewayClassName: istio", "gatewayClassName: other"), &[]), // another controller's
        (gateway(&format!("listeners: [{HTTP}]")).replace("gatewayClassName: istio", "gatewayClassName: istio-remote"), &[]),
    ];
    for (mesh, want) in table {
        assert_eq!(reported(&mesh), want, "{mesh}");
    }
}

#[test]
#[rustfmt::skip]
fn of_two_listeners_that_want_the_same_the_older_counts() {
    let own = gateway("allowedListeners: {namespaces: {from: Same}}, listeners: [{name: http, port: 80, protocol: HTTP, hostname: a.com}]");
    let table: [(&str, &[&str]); 4] = [
        ("{name: x, port: 80, protocol: HTTP, hostname: b.com}", &[]),
        ("{name: x, port: 80, protocol: HTTP, hostname: a.com}, {name: y, port: 443, protocol: HTTP}",
            &["ListenerSet/more: Accepted HostnameConflict", "ListenerSet/more: Conflicted HostnameConflict", "ListenerSet/more: Programmed HostnameConflict"]),
        ("{name: x, port: 80, protocol: TCP}, {name: y, port: 443, protocol: HTTP}",
            &["ListenerSet/more: Accepted ProtocolConflict", "ListenerSet/more: Conflicted ProtocolConflict", "ListenerSet/more: Programmed ProtocolConflict"]),
        ("{name: x, port: 443, protocol: HTTP, hostname: a.com}", &[]),
    ];
    for (listeners, want) in table {
        assert_eq!(reported(&(own.clone() + &listener_set("more", listeners))), want, "{listeners}");
    }
    let closed = own.replace("from: Same", "from: None") + &listener_set("more", "{name: x, port: 80, protocol: HTTP}");
    assert_eq!(reported(&closed), ["ListenerSet/more: Accepted NotAllowed", "ListenerSet/more: Programmed NotAllowed"]);
}

#[test]
#[rustfmt::skip]
fn routes_say_why_they_are_attached_to_nothing() {
    let own = gateway("listeners: [{name: http, port: 80, protocol: HTTP, hostname: \"*.a.com\"}, {name: other, port: 443, protocol: HTTP, hostname: b.com}]");
    let route = |parents: &str, hosts: &str, backend: &str| format!(
        "{own}apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {{name: r}}\nspec: {{parentRefs: [{parents}], hostnames: [{hosts}], rules: [{{backendRefs: [{backend}]}}]}}\n---\n");
    const EDGE: &str = "{name: edge, port: 80}";
    let table: [(&str, &str, &str, &[&str]); 12] = [
        ("{name: g}", "", EDGE, &["Gateway/g: 1 routes at http", "Gateway/g: 1 routes at other"]),
        ("{name: g, sectionName: http}", "x.a.com", EDGE, &["Gateway/g: 1 routes at http"]),
        ("{name: g}", "b.com", EDGE, &["Gateway/g: 1 routes at other"]),
        ("{name: g}, {name: g, sectionName: other}", "b.com", EDGE, &["Gateway/g: 1 routes at other"]), // once for a listener
        ("{name: g}", "c.com", EDGE, &["HTTPRoute/r: Accepted NoMatchingListenerHostname"]),
        ("{name: g, sectionName: nobody}", "", EDGE, &["HTTPRoute/r: Accepted NoMatchingParent"]),
        ("{name: g, port: 90}", "", EDGE, &["HTTPRoute/r: Accepted NoMatchingParent"]),
        ("{name: nobody}", "", EDGE, &[]), // another controller's, for all that is known
        ("{group: \"\", kind: Service, name: nobody}", "", EDGE, &["HTTPRoute/r: Accepted NoMatchingParent"]),
        ("{name: g, sectionName: other}", "", "{name: nobody, port: 80}", &["Gateway/g: 1 routes at other", "HTTPRoute/r: ResolvedRefs BackendNotFound"]),
        ("{name: g, sectionName: other}", "", "{group: example.com, kind: Thing, name: x, port: 80}", &["Gateway/g: 1 routes at other", "HTTPRoute/r: ResolvedRefs InvalidKind"]),
        ("{name: g, sectionName: other}", "", "{name: edge, namespace: bank, port: 80}", &["Gateway/g: 1 routes at other", "HTTPRoute/r: ResolvedRefs RefNotPermitted"]),
    ];
    for (parents, hosts, backend, want) in table {
        assert_eq!(reported(&route(parents, hosts, backend)), want, "{parents} [{hosts}] {backend}");
    }
}

#[test]
#[rustfmt::skip]
fn of_two_policies_for_a_service_the_older_counts() {
    let policy = |name: &str, created: &str, rest: &str| format!(
        "apiVersion: gateway.networking.k8s.io/v1\nkind: BackendTLSPolicy\nmetadata: {{name: {name}, creationTimestamp: \"{created}\"}}\nspec: {{targetRefs: [{{group: \"\", kind: Service, name: edge{rest}}}], validation: {{hostname: {name}.com, wellKnownCACertificates: System}}}}\n---\n");
    let old = policy("z", "2020-01-01T00:00:00Z", "");
    let table: [(String, &[&str]); 4] = [
        (old.clone() + &policy("a", "2021-01-01T00:00:00Z", ""), &["BackendTLSPolicy/a: Accepted Conflicted"]),
        (old.clone() + &policy("a", "2021-01-01T00:00:00Z", ", sectionName: https"), &[]), // another part of it
        (policy("a", "2021-01-01T00:00:00Z", ", sectionName: nobody"), &["BackendTLSPolicy/a: Accepted TargetNotFound"]),
        (old.replace("name: edge", "name: nobody"), &["BackendTLSPolicy/z: Accepted TargetNotFound"]),
    ];
    for (mesh, want) in table {
        assert_eq!(reported(&format!("{EDGE}{mesh}")), want, "{mesh}");
    }
    let resources = resources(&format!("{EDGE}{}", old.clone() + &policy("a", "2020-01-01T00:00:00Z", "")));
    let made = convert(&resources, &Settings::default());
    let names: Vec<&str> = made.traffic.iter().map(|it| resources[it.resource].subject.name.as_str()).collect();
    assert_eq!(names, ["a"], "of the same age the name decides");
    assert_eq!(made.unused.len(), 1, "and the other is told of");
}

#[test]
#[rustfmt::skip]
fn retries_are_limited_by_the_older_of_two_policies() {
    let policy = |name: &str, created: &str, rest: &str| format!(
        "apiVersion: gateway.networking.x-k8s.io/v1alpha1\nkind: XBackendTrafficPolicy\nmetadata: {{name: {name}, creationTimestamp: \"{created}\"}}\nspec: {{targetRefs: [{{group: \"\", kind: Service, name: edge}}], {rest}}}\n---\n");
    let budget = |mesh: &str| {
        let resources = resources(&format!("{EDGE}{mesh}"));
        let made = convert(&resources, &Settings::default());
        let said = made.traffic.iter().filter_map(|it| it.spec.traffic_policy.as_ref()?.retry_budget.clone());
        let said = said.map(|it| (it.percent.unwrap().value, it.min_retry_concurrency.unwrap().value, it.budget_interval.unwrap().value.0.as_millis()));
        (said.collect::<Vec<_>>(), made.unused.len())
    };
    let table = [
        (policy("a", "", "retryConstraint: {}"), vec![(20.0, 10, 10_000)], 0), // as the API server fills it in
        (policy("a", "", "retryConstraint: {budget: {percent: 50}, minRetryRate: {count: 3, interval: 2s}}"), vec![(50.0, 3, 10_000)], 0),
        (policy("a", "", "retryConstraint: {budget: {interval: 1m}}"), vec![(20.0, 10, 60_000)], 0),
        (policy("a", "", "sessionPersistence: {cookie: {name: c}}"), vec![], 0),
        (policy("a", "2021-01-01T00:00:00Z", "retryConstraint: {budget: {percent: 1}}") + &policy("z", "2020-01-01T00:00:00Z", "retryConstraint: {budget: {percent: 2}}"), vec![(2.0, 10, 10_000)], 1),
        (policy("a", "", "retryConstraint: {}").replace("name: edge", "name: nobody"), vec![], 0),
        (policy("a", "", "retryConstraint: {}").replace("creationTimestamp: \"\"", "annotations: {istio.io/ignore-policy-attachment: \"true\"}"), vec![], 0),
    ];
    for (mesh, want, unused) in table {
        assert_eq!(budget(&mesh), (want, unused), "{mesh}");
    }
    let nobody = policy("a", "", "").replace("name: edge", "name: nobody");
    assert_eq!(reported(&format!("{EDGE}{nobody}")), ["XBackendTrafficPolicy/a: Accepted TargetNotFound"]);
}

#[test]
fn requests_for_a_pool_go_to_the_service_that_stands_for_it() {
    let own = gateway("listeners: [{name: http, port: 80, protocol: HTTP}]");
    let route = |backend: &str| {
        format!(
            "{own}apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {{name: r}}\nspec: {{parentRefs: [{{name: g}}], rules: [{{backendRefs: [{{group: inference.networking.k8s.io, kind: InferencePool, name: {backend}}}]}}]}}\n---\n"
        )
    };
    let pool = |ports: &str| {
        format!(
            "apiVersion: inference.networking.k8s.io/v1\nkind: InferencePool\nmetadata: {{name: abc}}\nspec: {{selector: {{matchLabels: {{app: abc}}}}, targetPorts: [{ports}], endpointPickerRef: {{name: p, port: {{number: 9002}}, failureMode: FailOpen}}}}\n---\n"
        )
    };
    let to = |mesh: &str| {
        let made = resources(mesh);
        let made = convert(&made, &Settings::default());
        let to = &made.routings[0].spec.http[0].route[0].destination;
        format!("{} {}", to.host.value, to.port.as_ref().map_or(0, |port| port.number.value.0))
    };
    let good = route("abc") + &pool("{number: 8000}");
    assert_eq!(to(&good), "abc-ip-ba7816bf.default.svc.cluster.local 54321");
    assert_eq!(reported(&good), ["Gateway/g: 1 routes at http"]);
    let written = format!(
        "{good}apiVersion: v1\nkind: Service\nmetadata: {{name: abc-ip-ba7816bf}}\nspec: {{ports: [{{name: http, port: 81}}]}}"
    );
    assert_eq!(to(&written), "abc-ip-ba7816bf.default.svc.cluster.local 81", "what somebody wrote is left as it is");
    let missing = route("abd") + &pool("{number: 8000}");
    assert_eq!(to(&missing), " 0");
    assert_eq!(reported(&missing), ["Gateway/g: 1 routes at http", "HTTPRoute/r: ResolvedRefs BackendNotFound"]);
    let elsewhere = route("abc, namespace: bank") + &pool("{number: 8000}");
    assert_eq!(reported(&elsewhere), ["Gateway/g: 1 routes at http", "HTTPRoute/r: ResolvedRefs RefNotPermitted"]);
}

#[test]
fn without_any_object_of_it_nothing_is_made() {
    let made = convert(&resources(EDGE), &Settings::default());
    assert!(made.gateways.is_empty() && made.statuses.is_empty());
}

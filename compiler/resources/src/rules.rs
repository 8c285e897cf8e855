//! The rules that reading one resource can report, apart from those in the files of the kinds.

use taut_source::{Rule, Severity, Stage};

pub(crate) static UNKNOWN_FIELD: Rule = Rule {
    code: "taut::schema::unknown_field",
    istio: None,
    severity: Severity::Error,
    stage: Stage::Schema,
    finds: "a field that the kind does not have",
    why: "The API server drops unknown fields silently, so a misspelt `timeout` means no timeout.",
    bad: r#"apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: orders}
spec:
  hosts: [orders]
  htpp: []"#,
    good: r#"apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: orders}
spec:
  hosts: [orders]
  http: []"#,
};

pub(crate) static WRONG_TYPE: Rule = Rule {
    code: "taut::schema::wrong_type",
    istio: None,
    severity: Severity::Error,
    stage: Stage::Schema,
    finds: "a value of another type than the field has",
    why: "The API server refuses it: a label must be a string, even if it looks like a number.",
    bad: r#"apiVersion: v1
kind: Namespace
metadata:
  name: shop
  labels: {version: 1.10}"#,
    good: r#"apiVersion: v1
kind: Namespace
metadata:
  name: shop
  labels: {version: "1.10"}"#,
};

pub(crate) static AMBIGUOUS: Rule = Rule {
    code: "taut::schema::ambiguous_scalar",
    istio: None,
    severity: Severity::Error,
    stage: Stage::Schema,
    finds: "a word without quotes that Kubernetes reads as a boolean or a number, where a string is wanted",
    why: "Kubernetes reads YAML 1.1, where `no` is false and `0777` is 511: the API server refuses it, or another label is meant.",
    bad: r#"apiVersion: v1
kind: Namespace
metadata:
  name: shop
  labels: {canary: no}"#,
    good: r#"apiVersion: v1
kind: Namespace
metadata:
  name: shop
  labels: {canary: "no"}"#,
};

pub(crate) static TOO_MANY: Rule = Rule {
    code: "taut::schema::too_many",
    istio: None,
    severity: Severity::Error,
    stage: Stage::Schema,
    finds: "a file with more problems than anyone reads",
    why: "The first ten thousand are shown; most of the rest would be the same again.",
    bad: "a list of ten thousand resources without names",
    good: "the same list with names",
};

pub(crate) static MISSING_FIELD: Rule = Rule {
    code: "taut::schema::missing_field",
    istio: None,
    severity: Severity::Error,
    stage: Stage::Schema,
    finds: "a required field that is missing",
    why: "The resource cannot be read without it.",
    bad: r#"apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: orders}
spec:
  hosts: [orders]
  http:
  - route:
    - destination: {}"#,
    good: r#"apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: orders}
spec:
  hosts: [orders]
  http:
  - route:
    - destination: {host: orders}"#,
};

pub(crate) static UNKNOWN_WORD: Rule = Rule {
    code: "taut::schema::unknown_word",
    istio: None,
    severity: Severity::Error,
    stage: Stage::Schema,
    finds: "a word that is none of those the field takes",
    why: "The words are fixed, in upper case, and no other is understood.",
    bad: r#"apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: default}
spec:
  mtls: {mode: strict}"#,
    good: r#"apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: default}
spec:
  mtls: {mode: STRICT}"#,
};

pub(crate) static NOT_A_RESOURCE: Rule = Rule {
    code: "taut::schema::not_a_resource",
    istio: None,
    severity: Severity::Error,
    stage: Stage::Schema,
    finds: "a document of a mesh kind that has no usable apiVersion, kind or metadata.name",
    why: "Without a name it can be neither referred to nor reported about.",
    bad: r#"apiVersion: security.istio.io/v1
kind: PeerAuthentication
spec:
  mtls: {mode: STRICT}"#,
    good: r#"apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: default}
spec:
  mtls: {mode: STRICT}"#,
};

pub(crate) static UNKNOWN_VERSION: Rule = Rule {
    code: "taut::schema::unknown_version",
    istio: None,
    severity: Severity::Error,
    stage: Stage::Schema,
    finds: "an API version that is not served for the kind",
    why: "The API server would not find the kind and refuse the object.",
    bad: r#"apiVersion: security.istio.io/v2
kind: PeerAuthentication
metadata: {name: default}
spec:
  mtls: {mode: STRICT}"#,
    good: r#"apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: default}
spec:
  mtls: {mode: STRICT}"#,
};

pub(crate) static UNKNOWN_KIND: Rule = Rule {
    code: "taut::schema::unknown_kind",
    istio: None,
    severity: Severity::Error,
    stage: Stage::Schema,
    finds: "a kind that its API group does not have, and that looks like one that it has",
    why: "The API server would not find the kind and refuse the object.",
    bad: r#"apiVersion: security.istio.io/v1
kind: PeerAuthentification
metadata: {name: default}
spec:
  mtls: {mode: STRICT}"#,
    good: r#"apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: default}
spec:
  mtls: {mode: STRICT}"#,
};

pub(crate) static OUT_OF_RANGE: Rule = Rule {
    code: "taut::type::range",
    istio: Some("IST0106"),
    severity: Severity::Error,
    stage: Stage::Type,
    finds: "a number outside the range of its field",
    why: "The API refuses it (semantics.md §1.2).",
    bad: r#"apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: orders}
spec:
  hosts: [orders]
  http:
  - route:
    - destination: {host: orders, port: {number: 70000}}"#,
    good: r#"apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: orders}
spec:
  hosts: [orders]
  http:
  - route:
    - destination: {host: orders, port: {number: 7000}}"#,
};

pub(crate) static BAD_DURATION: Rule = Rule {
    code: "taut::type::duration",
    istio: Some("IST0106"),
    severity: Severity::Error,
    stage: Stage::Type,
    finds: "a duration that cannot be read, is below one millisecond, or has fractions of one",
    why: "Durations are strings such as `1.5s`, `100ms` or `1h`; most fields refuse less than 1ms (semantics.md §1.2).",
    bad: r#"apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: orders}
spec:
  hosts: [orders]
  http:
  - timeout: 0s
    route:
    - destination: {host: orders}"#,
    good: r#"apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: orders}
spec:
  hosts: [orders]
  http:
  - timeout: 500ms # or no timeout at all
    route:
    - destination: {host: orders}"#,
};

pub(crate) static BAD_PATTERN: Rule = Rule {
    code: "taut::type::pattern",
    istio: Some("IST0106"),
    severity: Severity::Error,
    stage: Stage::Type,
    finds: "a regular expression that RE2 refuses, or that is too long or too large",
    why: "The data plane runs RE2: linear time, no backreferences, no look-around, at most 1024 characters.",
    bad: r#"apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: orders}
spec:
  hosts: [orders]
  http:
  - match: [{uri: {regex: "(a"}}]
    route:
    - destination: {host: orders}"#,
    good: r#"apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: orders}
spec:
  hosts: [orders]
  http:
  - match: [{uri: {regex: "(a)"}}]
    route:
    - destination: {host: orders}"#,
};

pub(crate) static BAD_VALUE: Rule = Rule {
    code: "taut::type::value",
    istio: Some("IST0106"),
    severity: Severity::Error,
    stage: Stage::Type,
    finds: "a value that the API refuses",
    why: "A name, host, address or header that does not follow its grammar cannot match anything (semantics.md §1.2).",
    bad: r#"apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: orders}
spec:
  hosts: [orders]
  http:
  - retries: {attempts: 2, retryOn: "5xx, reset"}
    route:
    - destination: {host: orders}"#,
    good: r#"apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: orders}
spec:
  hosts: [orders]
  http:
  - retries: {attempts: 2, retryOn: "5xx,reset"}
    route:
    - destination: {host: orders}"#,
};

pub(crate) static EXCLUSIVE: Rule = Rule {
    code: "taut::type::exclusive",
    istio: Some("IST0106"),
    severity: Severity::Error,
    stage: Stage::Type,
    finds: "fields that cannot stand together, or a set of which one is needed",
    why: "Only one of them could take effect.",
    bad: r#"apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: orders}
spec:
  hosts: [orders]
  http:
  - match: [{uri: {exact: /a, prefix: /b}}]
    route:
    - destination: {host: orders}"#,
    good: r#"apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: orders}
spec:
  hosts: [orders]
  http:
  - match: [{uri: {prefix: /b}}]
    route:
    - destination: {host: orders}"#,
};

pub(crate) static NEEDED: Rule = Rule {
    code: "taut::type::missing",
    istio: Some("IST0106"),
    severity: Severity::Error,
    stage: Stage::Type,
    finds: "something that another field needs, or a list that must not be empty",
    why: "Each field may be left out by itself; together they would mean nothing (semantics.md §3-14).",
    bad: r#"apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: orders}
spec:
  hosts: [orders]
  http:
  - timeout: 1s"#,
    good: r#"apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: orders}
spec:
  hosts: [orders]
  http:
  - timeout: 1s
    route:
    - destination: {host: orders}"#,
};

pub(crate) static SIZE: Rule = Rule {
    code: "taut::type::size",
    istio: Some("IST0106"),
    severity: Severity::Error,
    stage: Stage::Type,
    finds: "a text, list or map that is too short or too long",
    why: "The API has a limit for it, and refuses what is beyond.",
    bad: r#"apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: orders}
spec:
  selector: {matchLabels: {app: orders}}
  portLevelMtls: {}"#,
    good: r#"apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: orders}
spec:
  selector: {matchLabels: {app: orders}}
  portLevelMtls: {8080: {mode: STRICT}}"#,
};

pub(crate) static DUPLICATE: Rule = Rule {
    code: "taut::type::duplicate",
    istio: Some("IST0106"),
    severity: Severity::Error,
    stage: Stage::Type,
    finds: "something that stands twice in a list whose items must differ",
    why: "Only one of them could take effect, and the API refuses both.",
    bad: r#"apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: orders}
spec:
  host: orders
  subsets:
  - {name: v1, labels: {version: v1}}
  - {name: v1, labels: {version: v2}}"#,
    good: r#"apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: orders}
spec:
  host: orders
  subsets:
  - {name: v1, labels: {version: v1}}
  - {name: v2, labels: {version: v2}}"#,
};

pub(crate) static DEPRECATED: Rule = Rule {
    code: "taut::type::deprecated",
    istio: Some("IST0133"),
    severity: Severity::Warning,
    stage: Stage::Type,
    finds: "an old field that a new one replaces",
    why: "It works for as long as it is there; the next version of the API may not have it.",
    bad: r#"apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: orders}
spec:
  hosts: [orders]
  gateways: [public.shop.svc.cluster.local]
  http:
  - route:
    - destination: {host: orders}"#,
    good: r#"apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: orders}
spec:
  hosts: [orders]
  gateways: [shop/public]
  http:
  - route:
    - destination: {host: orders}"#,
};

pub(crate) static DOUBTFUL: Rule = Rule {
    code: "taut::type::doubtful",
    istio: Some("IST0133"),
    severity: Severity::Warning,
    stage: Stage::Type,
    finds: "something that the API takes and that is probably not what was meant",
    why: "It is fully live: nothing stops it from doing less, or more, than it seems to say.",
    bad: r#"apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: default}
spec:
  selector: {}
  mtls: {mode: STRICT}"#,
    good: r#"apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: default}
spec:
  mtls: {mode: STRICT}"#,
};

pub(crate) static ANNOTATION: Rule = Rule {
    code: "taut::type::annotation",
    istio: Some("IST0106"),
    severity: Severity::Error,
    stage: Stage::Type,
    finds: "an annotation that is not for this resource, or not for people to write",
    why: "Istio refuses the resource: `istio.io/dry-run` is for ALLOW and DENY policies alone, and the internal ones are its own (semantics.md §1.3).",
    bad: r#"apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata:
  name: default
  annotations: {istio.io/dry-run: "true"}
spec:
  mtls: {mode: STRICT}"#,
    good: r#"apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata:
  name: default
  annotations: {istio.io/dry-run: "true"}
spec:
  action: DENY
  rules: [{}]"#,
};

pub(crate) static UNSUPPORTED_FIELD: Rule = Rule {
    code: "taut::support::field",
    istio: None,
    severity: Severity::Error,
    stage: Stage::Support,
    finds: "a valid field that Taut does not carry to the data plane",
    why: "Leaving it out silently would make the mesh do something else than what is written.",
    bad: r#"apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: orders}
spec:
  host: orders
  trafficPolicy:
    proxyProtocol: {version: V2}"#,
    good: r#"apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: orders}
spec:
  host: orders
  trafficPolicy:
    loadBalancer: {simple: ROUND_ROBIN}"#,
};

pub(crate) static UNSUPPORTED_VALUE: Rule = Rule {
    code: "taut::support::value",
    istio: None,
    severity: Severity::Error,
    stage: Stage::Support,
    finds: "a valid value that Taut does not carry to the data plane",
    why: "Leaving it out silently would make the mesh do something else than what is written.",
    bad: r#"apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: orders}
spec:
  host: orders
  trafficPolicy:
    loadBalancer: {simple: PASSTHROUGH}"#,
    good: r#"apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: orders}
spec:
  host: orders
  trafficPolicy:
    loadBalancer: {simple: ROUND_ROBIN}"#,
};

/// The code of the refusal of a whole kind.
pub const UNSUPPORTED_KIND_CODE: &str = "taut::support::kind";

pub(crate) static UNSUPPORTED_KIND: Rule = Rule {
    code: UNSUPPORTED_KIND_CODE,
    istio: None,
    severity: Severity::Error,
    stage: Stage::Support,
    finds: "a mesh resource of a kind that Taut does not carry to the data plane",
    why: "Leaving it out silently would make the mesh do something else than what is written.",
    bad: r#"apiVersion: networking.istio.io/v1alpha3
kind: EnvoyFilter
metadata: {name: raw}"#,
    good: r#"# the same wish, said in the fields of another kind
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: orders}
spec:
  hosts: [orders]
  http:
  - timeout: 5s
    route:
    - destination: {host: orders}"#,
};

/// Every rule that reading resources can report.
#[must_use]
pub fn all() -> Vec<&'static Rule> {
    vec![
        &UNKNOWN_FIELD,
        &WRONG_TYPE,
        &AMBIGUOUS,
        &TOO_MANY,
        &MISSING_FIELD,
        &UNKNOWN_WORD,
        &NOT_A_RESOURCE,
        &UNKNOWN_VERSION,
        &UNKNOWN_KIND,
        &OUT_OF_RANGE,
        &BAD_DURATION,
        &BAD_PATTERN,
        &BAD_VALUE,
        &EXCLUSIVE,
        &NEEDED,
        &SIZE,
        &DUPLICATE,
        &DEPRECATED,
        &DOUBTFUL,
        &ANNOTATION,
        &UNSUPPORTED_FIELD,
        &UNSUPPORTED_VALUE,
        &UNSUPPORTED_KIND,
    ]
}

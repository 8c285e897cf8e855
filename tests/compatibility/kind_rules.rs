//! The rules of each kind, as the API server and Istio's webhook apply them: a spec, and what is wrong with it.
//! Length: a table of the rules of all kinds.

use harness::compile_text;
use taut_source::{Severity, Stage};

/// What the API would refuse in a resource of a kind.
fn refused(kind: &str, spec: &str) -> Vec<String> {
    let (api, kind) = kind.split_once(' ').unwrap();
    let (_, compiled) =
        compile_text(&format!("apiVersion: {api}\nkind: {kind}\nmetadata: {{name: a}}\nspec: {spec}\n"));
    let errors = compiled.problems.into_iter().filter(|problem| {
        problem.severity == Severity::Error && matches!(problem.stage, Stage::Yaml | Stage::Schema | Stage::Type)
    });
    errors.map(|problem| problem.code.rsplit("::").next().unwrap().to_owned()).collect()
}

/// Every row is a spec and the last word of the code of what is wrong with it; nothing if it is right.
fn check(kind: &str, rows: &[(&str, &str)]) {
    let wrong: Vec<String> = rows
        .iter()
        .filter_map(|(spec, want)| {
            let got = refused(kind, spec);
            let holds = if want.is_empty() { got.is_empty() } else { got.iter().any(|code| code == want) };
            (!holds).then(|| format!("{kind} {spec}\n  wants {want:?} and gets {got:?}"))
        })
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Rows of one part of a spec: `{}` stands for the part.
fn check_part(kind: &str, whole: &str, rows: &[(&str, &str)]) {
    let whole: Vec<(String, &str)> = rows.iter().map(|(part, want)| (whole.replace("{}", part), *want)).collect();
    check(kind, &whole.iter().map(|(spec, want)| (spec.as_str(), *want)).collect::<Vec<_>>());
}

const VS: &str = "networking.istio.io/v1 VirtualService";
const ROUTE: &str = "route: [{destination: {host: b}}]";

#[test]
#[rustfmt::skip]
fn virtual_services() {
    check(VS, &[
        (&format!("{{hosts: [a], http: [{{{ROUTE}}}]}}"), ""),
        (&format!("{{hosts: [a.b, '*.b'], http: [{{{ROUTE}}}]}}"), "duplicate"),
        (&format!("{{hosts: ['*'], http: [{{{ROUTE}}}]}}"), "value"),
        (&format!("{{hosts: ['*'], gateways: [g], http: [{{{ROUTE}}}]}}"), ""),
        (&format!("{{hosts: ['a b'], http: [{{{ROUTE}}}]}}"), "value"),
        (&format!("{{hosts: [a], gateways: [x/y/z], http: [{{{ROUTE}}}]}}"), "value"),
        (&format!("{{hosts: [a], exportTo: ['*', b], http: [{{{ROUTE}}}]}}"), "exclusive"),
        (&format!("{{hosts: [a], exportTo: ['~'], http: [{{{ROUTE}}}]}}"), "value"),
        (&format!("{{gateways: [g], http: [{{{ROUTE}}}]}}"), "exclusive"),
        (&format!("{{http: [{{{ROUTE}}}]}}"), ""),
        ("{hosts: [a]}", "missing"),
        ("{hosts: [a], tls: [{match: [{sniHosts: [a]}], route: [{destination: {host: b}}]}]}", ""),
        ("{hosts: [a], tls: [{match: [{sniHosts: [b]}], route: [{destination: {host: b}}]}]}", "value"),
        ("{hosts: [a], tls: [{route: [{destination: {host: b}}]}]}", "missing_field"),
        ("{hosts: [a], tls: [{match: [{sniHosts: []}], route: [{destination: {host: b}}]}]}", "size"),
        ("{hosts: [a], tcp: [{match: [{destinationSubnets: [10.0.0.0/33]}], route: [{destination: {host: b}}]}]}", "value"),
        ("{hosts: [a], tcp: [{route: [{destination: {host: b}}, {destination: {host: c}}]}]}", "range"),
        ("{hosts: [a], tcp: [{route: []}]}", "size"),
    ]);
    check_part(VS, "{hosts: [a], http: [{}]}", &[
        ("{timeout: 1s}", "missing"),
        ("{route: [{destination: {host: b}}], redirect: {uri: /a}}", "exclusive"),
        ("{route: [{destination: {host: '*'}}]}", "value"),
        ("{route: [{destination: {host: b, subset: a_b}}]}", "value"),
        ("{route: [{destination: {host: b, port: {number: 0}}}]}", "range"),
        ("{route: [{destination: {host: b}, weight: -1}]}", "range"),
        ("{route: [{destination: {host: b}, weight: 0}, {destination: {host: c}}]}", "range"),
        ("{route: [{destination: {host: b}, weight: 7}, {destination: {host: c}}]}", ""),
        ("{redirect: {redirectCode: 302}}", "missing"),
        ("{redirect: {uri: /a, prefixRewrite: /b}}", "exclusive"),
        ("{redirect: {uri: /a, redirectCode: 200}}", "range"),
        ("{redirect: {uri: /a, redirectCode: 304}}", ""),
        ("{redirect: {scheme: ftp}}", "value"),
        ("{match: [{uri: {exact: /a}}], redirect: {prefixRewrite: /b}}", "exclusive"),
        ("{directResponse: {status: 99}}", "range"),
        ("{directResponse: {status: 200, body: {string: a, bytes: YQ==}}}", "exclusive"),
        ("{directResponse: {status: 200, body: {bytes: 'é'}}}", "value"),
        ("{delegate: {name: b}, route: [{destination: {host: b}}]}", "exclusive"),
        ("{delegate: {name: b}}", ""),
    ]);
    check_part(VS, "{hosts: [a], http: [{route: [{destination: {host: b}}], {}}]}", &[
        ("timeout: 0s", "duration"),
        ("timeout: 1500us", "duration"),
        ("timeout: 5", "wrong_type"),
        ("match: [{uri: {regex: '(a'}}]", "pattern"),
        ("match: [{uri: {exact: /a, prefix: /b}}]", "exclusive"),
        ("match: [{uri: {prefix: ''}}]", ""),
        ("match: [{method: {prefix: ''}}]", "value"),
        ("match: [{headers: {'a b': {exact: x}}}]", "value"),
        ("match: [{headers: {a: null}}]", "wrong_type"),
        ("match: [{headers: {a: {regex: '*'}}}]", "pattern"),
        ("match: [{withoutHeaders: {a: {regex: '*'}}}]", ""),
        ("match: [{headers: {'@request.auth.claims.x': {exact: y}}}]", "exclusive"),
        ("match: [{port: 65536}]", "range"),
        ("match: [{sourceLabels: {'-a': b}}]", "value"),
        ("match: [{sourceNamespace: a.b}]", "value"),
        ("rewrite: {}", "missing"),
        ("rewrite: {uri: /a, uriRegexRewrite: {match: a, rewrite: b}}", "exclusive"),
        ("rewrite: {uriRegexRewrite: {match: a}}", "missing_field"),
        ("rewrite: {authority: a}, headers: {request: {set: {host: b}}}", "exclusive"),
        ("headers: {request: {set: {':path': b}}}", "value"),
        ("headers: {response: {set: {host: b}}}", "value"),
        ("headers: {request: {remove: [host]}}", "value"),
        ("headers: {request: {add: {a: '100%'}}}", "value"),
        ("headers: {request: {add: {a: '100%%'}}}", ""),
        ("retries: {attempts: -1}", "range"),
        ("retries: {attempts: 0, retryOn: 5xx}", "exclusive"),
        ("retries: {attempts: 1, retryOn: '5xx, reset'}", "value"),
        ("retries: {attempts: 1, retryOn: '5xx,499'}", "value"),
        ("retries: {attempts: 1, retryOn: '5xx,404'}", ""),
        ("fault: {}", "missing"),
        ("fault: {delay: {exponentialDelay: 1s}}", "value"),
        ("fault: {abort: {httpStatus: 700}}", "range"),
        ("fault: {abort: {httpStatus: 500, grpcStatus: OK}}", "exclusive"),
        ("fault: {abort: {httpStatus: 500, percentage: {value: 0.00001}}}", "range"),
        ("mirror: {host: c}, mirrors: [{destination: {host: c}}]", "exclusive"),
        ("mirrorPercentage: {value: 101}", "range"),
        ("corsPolicy: {allowMethods: [get]}", "value"),
        ("corsPolicy: {allowOrigins: [{exact: ''}]}", "value"),
        ("corsPolicy: {maxAge: 1500ms}", "duration"),
        ("corsPolicy: {maxAge: 24h, allowMethods: ['*', GET]}", ""),
    ]);
}

const DR: &str = "networking.istio.io/v1 DestinationRule";

#[test]
#[rustfmt::skip]
fn destination_rules() {
    check(DR, &[
        ("{host: a}", ""),
        ("{}", "missing_field"),
        ("{host: 'a b'}", "value"),
        ("{host: a, subsets: [{name: v1}, {name: v1}]}", "duplicate"),
        ("{host: a, subsets: [{name: v_1}]}", "value"),
        ("{host: a, workloadSelector: {matchLabels: {a: b}}, exportTo: ['*']}", "exclusive"),
        ("{host: a, workloadSelector: {matchLabels: {a: '*'}}}", "value"),
        ("{host: a, trafficPolicy: {}}", "missing"),
        ("{host: a, subsets: [{name: v1, trafficPolicy: {portLevelSettings: [{port: {number: 80}}]}}]}", "missing"),
    ]);
    check_part(DR, "{host: a, trafficPolicy: {{}}}", &[
        ("loadBalancer: {simple: RANDOM, consistentHash: {useSourceIp: true}}", "exclusive"),
        ("loadBalancer: {consistentHash: {useSourceIp: true, httpHeaderName: a}}", "exclusive"),
        ("loadBalancer: {consistentHash: {httpCookie: {path: /}}}", "missing_field"),
        ("loadBalancer: {consistentHash: {httpCookie: {name: a, ttl: 0s}}}", ""),
        ("loadBalancer: {consistentHash: {useSourceIp: true, maglev: {}}}", "range"),
        ("loadBalancer: {consistentHash: {useSourceIp: true, maglev: {tableSize: 100}}}", "range"),
        ("loadBalancer: {consistentHash: {useSourceIp: true, maglev: {tableSize: 65537}}}", ""),
        ("loadBalancer: {consistentHash: {useSourceIp: true, ringHash: {}, minimumRingSize: 5}}", "exclusive"),
        ("loadBalancer: {warmup: {}}", "missing_field"),
        ("loadBalancer: {warmup: {duration: 1s, minimumPercent: 101}}", "range"),
        ("loadBalancer: {warmup: {duration: 1s, aggression: 0}}", "range"),
        ("loadBalancer: {warmup: {duration: 1s}, warmupDurationSecs: 1s}", "exclusive"),
        ("loadBalancer: {localityLbSetting: {distribute: [{from: a/*, to: {b/*: 99}}]}}", "range"),
        ("loadBalancer: {localityLbSetting: {distribute: [{from: a/*, to: {b/*: 100}}]}}", ""),
        ("loadBalancer: {localityLbSetting: {distribute: [{from: '*/a', to: {b: 100}}]}}", "value"),
        ("loadBalancer: {localityLbSetting: {distribute: [{from: a/*, to: {b: 100}}, {from: a/b, to: {b: 100}}]}}", "duplicate"),
        ("loadBalancer: {localityLbSetting: {failover: [{from: a, to: a}]}}", "value"),
        ("loadBalancer: {localityLbSetting: {failover: [{from: a, to: b/c}]}}", "value"),
        ("loadBalancer: {zoneAwareLbSetting: {minClusterSize: 0}}", "range"),
        ("loadBalancer: {zoneAwareLbSetting: {}, localityLbSetting: {}}", "exclusive"),
        ("connectionPool: {}", "missing"),
        ("connectionPool: {tcp: {maxConnections: -1}}", "range"),
        ("connectionPool: {tcp: {connectTimeout: 0s}}", "duration"),
        ("connectionPool: {tcp: {idleTimeout: 0s}}", ""),
        ("connectionPool: {http: {idleTimeout: 0s}}", "duration"),
        ("connectionPool: {http: {useClientProtocol: true, h2UpgradePolicy: UPGRADE}}", "exclusive"),
        ("connectionPool: {http: {http2KeepAlive: {interval: 1s}}}", "missing_field"),
        ("outlierDetection: {maxEjectionPercent: 101}", "range"),
        ("outlierDetection: {consecutiveLocalOriginFailures: 5}", "exclusive"),
        ("outlierDetection: {consecutiveLocalOriginFailures: 5, splitExternalLocalOriginErrors: true}", ""),
        ("outlierDetection: {outlierDetectionHttpErrorCodes: [99]}", "range"),
        ("tls: {mode: MUTUAL}", "missing"),
        ("tls: {mode: MUTUAL, credentialName: a, caCertificates: b}", "exclusive"),
        ("tls: {mode: ISTIO_MUTUAL, privateKey: b}", "exclusive"),
        ("tls: {mode: SIMPLE, insecureSkipVerify: true, caCertificates: a}", "exclusive"),
        ("tls: {mode: simple}", "unknown_word"),
        ("tunnel: {targetHost: '*.a', targetPort: 80}", "value"),
        ("tunnel: {targetHost: a, targetPort: 80, protocol: GET}", "value"),
        ("tunnel: {targetHost: a, targetPort: 80}, proxyProtocol: {}", "exclusive"),
        ("retryBudget: {percent: 101}", "range"),
    ]);
}

#[test]
#[rustfmt::skip]
fn gateways_and_sidecars() {
    let gateway = "networking.istio.io/v1 Gateway";
    check_part(gateway, "{servers: [{}]}", &[
        ("{port: {number: 80, protocol: HTTP, name: a}, hosts: ['*']}", ""),
        ("{port: {number: 80, protocol: HTTP, name: a}, hosts: []}", "size"),
        ("{port: {number: 80, protocol: HTTP, name: a}, hosts: [orders]}", "value"),
        ("{port: {number: 80, protocol: HTTP, name: a}, hosts: ['~/a.b']}", "value"),
        ("{port: {number: 80, protocol: FTP, name: a}, hosts: ['*']}", "value"),
        ("{port: {number: 0, protocol: HTTP, name: a}, hosts: ['*']}", "range"),
        ("{port: {number: 0, protocol: HTTP, name: a}, bind: 'unix:///a', hosts: ['*']}", ""),
        ("{port: {number: 80, protocol: HTTP, name: a, targetPort: 1}, hosts: ['*']}", "range"),
        ("{port: {number: 80, protocol: HTTP}, hosts: ['*']}", "missing_field"),
        ("{port: {number: 443, protocol: HTTPS, name: a}, hosts: ['*']}", "missing"),
        ("{port: {number: 80, protocol: HTTP, name: a}, hosts: ['*'], tls: {mode: SIMPLE, credentialName: a}}", "exclusive"),
        ("{port: {number: 80, protocol: HTTP, name: a}, hosts: ['*'], tls: {httpsRedirect: true}}", ""),
        ("{port: {number: 80, protocol: HTTP, name: a}, hosts: ['*']}, {port: {number: 81, protocol: HTTP, name: a}, hosts: ['*']}", "duplicate"),
    ]);
    check_part(gateway, "{servers: [{port: {number: 443, protocol: HTTPS, name: a}, hosts: ['*'], tls: {}}]}", &[
        ("{mode: SIMPLE}", "missing"),
        ("{mode: SIMPLE, credentialName: a, credentialNames: [b]}", "exclusive"),
        ("{mode: SIMPLE, credentialNames: [a, b, c]}", "size"),
        ("{mode: SIMPLE, credentialNames: []}", "size"),
        ("{mode: SIMPLE, credentialName: a, caCrl: b}", "exclusive"),
        ("{mode: SIMPLE, serverCertificate: a}", "missing"),
        ("{mode: MUTUAL, serverCertificate: a, privateKey: b}", "missing"),
        ("{mode: MUTUAL, serverCertificate: a, privateKey: b, caCertificates: c}", ""),
        ("{mode: ISTIO_MUTUAL, credentialName: a}", "exclusive"),
        ("{mode: PASSTHROUGH, credentialName: a}", ""),
    ]);
    check("networking.istio.io/v1 Sidecar", &[
        ("{}", "missing"),
        ("{egress: [{hosts: [./*, '*/a.b']}]}", ""),
        ("{egress: [{hosts: [a.b]}]}", "value"),
        ("{egress: [{hosts: []}]}", "size"),
        ("{egress: [{hosts: [./*]}, {hosts: [./*], port: {number: 80, protocol: HTTP, name: a}}]}", "exclusive"),
        ("{egress: [{hosts: [./*], port: {number: 80}}, {hosts: [./*], port: {number: 80}}]}", "duplicate"),
        ("{egress: [{hosts: [./*], port: {number: 0}}]}", "range"),
        ("{ingress: [{port: {number: 80, protocol: HTTP, name: a}, defaultEndpoint: '127.0.0.1:80'}]}", ""),
        ("{ingress: [{port: {number: 80, protocol: HTTP, name: a}, defaultEndpoint: '10.0.0.1:80'}]}", "value"),
        ("{ingress: [{port: {number: 80, protocol: HTTP, name: a}, bind: a}]}", "value"),
        ("{ingress: [{port: {number: 80, protocol: HTTP, name: a}, tls: {mode: SIMPLE, credentialName: a}}]}", "exclusive"),
        ("{outboundTrafficPolicy: {egressProxy: {host: a, port: {number: 80}}}}", "exclusive"),
        ("{outboundTrafficPolicy: {mode: ALLOW_ANY, egressProxy: {host: a.b}}}", "missing"),
        ("{outboundTrafficPolicy: {mode: ALLOW_ANY_DYNAMIC_DNS}}", "unknown_word"),
    ]);
}

#[test]
#[rustfmt::skip]
fn services_and_workloads_outside() {
    check_part("networking.istio.io/v1 ServiceEntry", "{{}}", &[
        ("hosts: [a.b], ports: [{number: 80, name: http, protocol: HTTP}], resolution: DNS", ""),
        ("hosts: [a.b]", ""),
        ("ports: []", "missing_field"),
        ("hosts: []", "size"),
        ("hosts: ['*']", "value"),
        ("hosts: [a.b], ports: [{number: 80, name: a}, {number: 80, name: b}]", "duplicate"),
        ("hosts: [a.b], ports: [{number: 80, name: a}, {number: 81, name: a}]", "duplicate"),
        ("hosts: [a.b], ports: [{number: 80, name: a, targetPort: 0}]", "range"),
        ("hosts: [a.b], addresses: [10.0.0.0/8], resolution: DNS", "exclusive"),
        ("hosts: [a.b], addresses: [10.0.0.0/8], resolution: STATIC", ""),
        ("hosts: [a.b], addresses: [x]", "value"),
        ("hosts: [a.b], endpoints: [{address: 10.0.0.1}]", "exclusive"),
        ("hosts: [a.b], resolution: STATIC, endpoints: [{address: b.c}]", "value"),
        ("hosts: [a.b], resolution: STATIC, endpoints: [{address: 10.0.0.1, ports: {http: 80}}]", "value"),
        ("hosts: [a.b], resolution: STATIC, endpoints: [{}]", "missing"),
        ("hosts: [a.b], resolution: STATIC, endpoints: [{address: 10.0.0.1}], workloadSelector: {labels: {a: b}}", "exclusive"),
        ("hosts: ['*.b'], resolution: DNS", "exclusive"),
        ("hosts: [a.b], resolution: DNS_ROUND_ROBIN, endpoints: [{address: a.b}, {address: b.c}]", "exclusive"),
        ("hosts: [a.b, b.c], resolution: DNS, ports: [{number: 80, name: a, protocol: TCP}]", "exclusive"),
        ("hosts: [a.b], resolution: DYNAMIC_DNS", "exclusive"),
        ("hosts: ['*.b'], resolution: DYNAMIC_DNS, ports: [{number: 443, name: a, protocol: TLS}]", ""),
        ("hosts: [a.b], exportTo: ['~']", ""),
        ("hosts: [a.b], exportTo: ['~', '.']", "exclusive"),
        ("hosts: [a.b], workloadSelector: {labels: {a: '*'}}", "value"),
    ]);
    check("networking.istio.io/v1 WorkloadEntry", &[
        ("{address: 10.0.0.1}", ""),
        ("{network: net}", ""),
        ("{}", "missing"),
        ("{address: 'unix://a'}", "value"),
        ("{address: 'unix:///a/'}", "value"),
        ("{address: 'unix:///a', ports: {a: 80}}", "exclusive"),
        ("{address: 10.0.0.1, ports: {a: 0}}", "range"),
        ("{address: 10.0.0.1, ports: {'-a': 80}}", "value"),
    ]);
    check_part("networking.istio.io/v1 WorkloadGroup", "{template: {serviceAccount: a}, {}}", &[
        ("metadata: {labels: {a: b}}", ""),
        ("probe: {httpGet: {port: 80}}", ""),
        ("probe: {}", "missing"),
        ("probe: {httpGet: {port: 80}, tcpSocket: {port: 80}}", "exclusive"),
        ("probe: {httpGet: {port: 0}}", "range"),
        ("probe: {httpGet: {port: 80, scheme: http}}", "value"),
        ("probe: {exec: {command: []}}", "size"),
        ("probe: {grpc: {port: 80}}", "value"),
        ("probe: {httpGet: {port: 80}, periodSeconds: -1}", "range"),
    ]);
}

#[test]
#[rustfmt::skip]
fn security() {
    check_part("security.istio.io/v1 PeerAuthentication", "{{}}", &[
        ("mtls: {mode: STRICT}", ""),
        ("portLevelMtls: {80: {mode: STRICT}}", "exclusive"),
        ("selector: {matchLabels: {a: b}}, portLevelMtls: {}", "size"),
        ("selector: {matchLabels: {a: b}}, portLevelMtls: {0: {mode: STRICT}}", "range"),
        ("selector: {matchLabels: {'': b}}", "value"),
        ("selector: {matchLabels: {a: 'b*'}}", "value"),
    ]);
    check_part("security.istio.io/v1 RequestAuthentication", "{jwtRules: [{}]}", &[
        ("{issuer: a}", ""),
        ("{}", "missing"),
        ("{issuer: ''}", "size"),
        ("{jwksUri: 'ftp://a'}", "value"),
        ("{jwksUri: 'https://a', jwks: '{}'}", "exclusive"),
        ("{issuer: a, jwks: 'x'}", "value"),
        ("{issuer: a, fromHeaders: [{prefix: b}]}", "missing_field"),
        ("{issuer: a, fromCookies: ['']}", "size"),
        ("{issuer: a, outputClaimToHeaders: [{header: 'a b', claim: c}]}", "value"),
        ("{issuer: a, timeout: 0s}", "duration"),
    ]);
    let policy = "security.istio.io/v1 AuthorizationPolicy";
    check(policy, &[
        ("{}", ""),
        ("{action: DENY}", "missing"),
        ("{action: CUSTOM, rules: [{}]}", "missing"),
        ("{action: CUSTOM, provider: {name: a}}", "missing"),
        ("{action: CUSTOM, provider: {name: a}, rules: [{}]}", ""),
        ("{provider: {name: a}}", "exclusive"),
        ("{action: CUSTOM, provider: {name: a}, rules: [{from: [{source: {principals: [a]}}]}]}", "exclusive"),
        ("{action: CUSTOM, provider: {name: a}, rules: [{when: [{key: request.auth.principal, values: [a]}]}]}", "exclusive"),
        ("{selector: {matchLabels: {a: b}}, targetRefs: [{kind: Service, name: a}]}", "exclusive"),
        ("{targetRefs: [{kind: Pod, name: a}]}", "value"),
        ("{targetRefs: [{kind: Service, name: a, namespace: b}]}", "size"),
    ]);
    check_part(policy, "{rules: [{}]}", &[
        ("{from: []}", "size"),
        ("{from: [{}]}", "missing"),
        ("{from: [{source: {}}]}", "missing"),
        ("{from: [{source: {principals: ['']}}]}", "size"),
        ("{from: [{source: {serviceAccounts: [a], namespaces: [b]}}]}", "exclusive"),
        ("{from: [{source: {serviceAccounts: ['a/*']}}]}", "value"),
        ("{from: [{source: {trustDomains: [a*b]}}]}", "value"),
        ("{from: [{source: {ipBlocks: [10.0.0.300]}}]}", "value"),
        ("{to: [{operation: {}}]}", "missing"),
        ("{to: [{operation: {ports: ['65536']}}]}", "value"),
        ("{to: [{operation: {paths: ['/a/{**}/{*}']}}]}", "value"),
        ("{to: [{operation: {paths: ['/a/{*}/b', '/c*']}}]}", ""),
        ("{when: [{key: 'request.headers[x]'}]}", "missing"),
        ("{when: [{key: '', values: [a]}]}", "size"),
        ("{when: [{key: source.user, values: [a]}]}", "value"),
        ("{when: [{key: source.ip, values: [a]}]}", "value"),
        ("{when: [{key: 'request.auth.claims[a][b]', values: [a]}]}", ""),
    ]);
}

#[test]
#[rustfmt::skip]
fn extensions() {
    check_part("telemetry.istio.io/v1 Telemetry", "{{}}", &[
        ("tracing: [{randomSamplingPercentage: 100}]", ""),
        ("tracing: [{randomSamplingPercentage: 101}]", "range"),
        ("tracing: [{providers: [{name: ''}]}]", "size"),
        ("tracing: [{customTags: {a: {literal: {value: b}, header: {name: c}}}}]", "exclusive"),
        ("metrics: [{overrides: [{tagOverrides: {a: {operation: UPSERT}}}]}]", "missing"),
        ("metrics: [{overrides: [{tagOverrides: {a: {operation: REMOVE, value: b}}}]}]", "exclusive"),
        ("metrics: [{overrides: [{match: {metric: ALL_METRICS, customMetric: a}}]}]", "exclusive"),
    ]);
    check("networking.istio.io/v1beta1 ProxyConfig", &[("{concurrency: 0}", ""), ("{concurrency: -1}", "range")]);
    check_part("networking.istio.io/v1alpha3 EnvoyFilter", "{configPatches: [{}]}", &[
        ("{applyTo: CLUSTER, patch: {operation: REMOVE}}", ""),
        ("{applyTo: CLUSTER, patch: {operation: MERGE}}", "missing"),
        ("{applyTo: CLUSTER}", "missing"),
        ("{patch: {operation: REMOVE}}", "missing"),
        ("{applyTo: CLUSTER, match: {listener: {}}, patch: {operation: REMOVE}}", "exclusive"),
        ("{applyTo: CLUSTER, match: {context: WAYPOINT}, patch: {operation: REMOVE}}", "missing"),
        ("{applyTo: CLUSTER, match: {proxy: {proxyVersion: '(a'}}, patch: {operation: REMOVE}}", "pattern"),
    ]);
    check_part("extensions.istio.io/v1alpha1 WasmPlugin", "{url: 'oci://a/b', {}}", &[
        ("priority: 1", ""),
        ("sha256: x", "value"),
        ("imagePullSecret: ''", "size"),
        ("match: [{ports: [{number: 80}, {number: 80}]}]", "duplicate"),
        ("vmConfig: {env: [{name: a, valueFrom: HOST, value: b}]}", "exclusive"),
    ]);
    check("extensions.istio.io/v1alpha1 TrafficExtension", &[
        ("{lua: {inlineCode: a}}", ""), ("{}", "missing"), ("{lua: {inlineCode: a}, wasm: {url: a}}", "exclusive"),
    ]);
}

#[test]
#[rustfmt::skip]
fn gateway_api() {
    let gateway = "gateway.networking.k8s.io/v1 Gateway";
    check_part(gateway, "{gatewayClassName: a, listeners: [{}]}", &[
        ("{name: a, port: 80, protocol: HTTP}", ""),
        ("{name: a, port: 80, protocol: HTTP, tls: {certificateRefs: [{name: a}]}}", "exclusive"),
        ("{name: a, port: 443, protocol: HTTPS, tls: {mode: Passthrough}}", "exclusive"),
        ("{name: a, port: 443, protocol: HTTPS, tls: {}}", "missing"),
        ("{name: a, port: 443, protocol: TLS}", "missing"),
        ("{name: a, port: 80, protocol: TCP, hostname: a.b}", "exclusive"),
        ("{name: a, port: 80, protocol: HTTP, hostname: A.b}", "value"),
        ("{name: a, port: 80, protocol: HTTP}, {name: b, port: 80, protocol: HTTP}", "duplicate"),
        ("{name: a, port: 80, protocol: HTTP}, {name: a, port: 81, protocol: HTTP}", "duplicate"),
    ]);
    check(gateway, &[
        ("{gatewayClassName: a, listeners: []}", "size"),
        ("{gatewayClassName: a, listeners: [{name: a, port: 80, protocol: HTTP}], addresses: [{value: a}]}", "value"),
    ]);
    let http = "gateway.networking.k8s.io/v1 HTTPRoute";
    check_part(http, "{rules: [{}]}", &[
        ("{backendRefs: [{name: a, port: 80}]}", ""),
        ("{backendRefs: [{name: a}]}", "missing"),
        ("{backendRefs: [{name: a, port: 80, weight: 1000001}]}", "range"),
        ("{matches: [{path: {value: a}}]}", "value"),
        ("{matches: [{path: {value: /a//b}}]}", "value"),
        ("{matches: [{path: {value: '/a b'}}]}", "value"),
        ("{matches: [{path: {type: RegularExpression, value: '(a'}}]}", "pattern"),
        ("{matches: [{headers: [{name: a, value: b}, {name: a, value: c}]}]}", "duplicate"),
        ("{filters: [{type: RequestRedirect, requestRedirect: {}}], backendRefs: [{name: a, port: 80}]}", "exclusive"),
        ("{filters: [{type: RequestRedirect}]}", "missing"),
        ("{filters: [{type: RequestRedirect, urlRewrite: {}}]}", "exclusive"),
        ("{filters: [{type: RequestRedirect, requestRedirect: {statusCode: 304}}]}", "range"),
        ("{filters: [{type: URLRewrite, urlRewrite: {}}, {type: URLRewrite, urlRewrite: {}}]}", "duplicate"),
        ("{filters: [{type: URLRewrite, urlRewrite: {path: {type: ReplacePrefixMatch, replacePrefixMatch: /}}}]}", ""),
        ("{matches: [{path: {type: Exact, value: /a}}], filters: [{type: URLRewrite, urlRewrite: {path: {type: ReplacePrefixMatch, replacePrefixMatch: /}}}]}", "exclusive"),
        ("{filters: [{type: RequestMirror, requestMirror: {backendRef: {name: a, port: 80}, percent: 1, fraction: {numerator: 1}}}]}", "exclusive"),
        ("{filters: [{type: CORS, cors: {allowOrigins: ['*', 'https://a']}}]}", "exclusive"),
        ("{timeouts: {request: 1s, backendRequest: 2s}}", "range"),
        ("{timeouts: {request: 0s, backendRequest: 2s}}", ""),
        ("{timeouts: {request: 1.5s}}", "value"),
    ]);
    check(http, &[
        ("{parentRefs: [{name: a}, {name: a}]}", "duplicate"),
        ("{parentRefs: [{name: a, sectionName: b}, {name: a}]}", "exclusive"),
        ("{parentRefs: [{name: a, sectionName: b}, {name: a, sectionName: c}]}", ""),
        ("{hostnames: ['*']}", "value"),
        ("{rules: []}", "size"),
    ]);
    check_part("gateway.networking.k8s.io/v1 GRPCRoute", "{rules: [{}]}", &[
        ("{matches: [{method: {service: a.B}}]}", ""),
        ("{matches: [{method: {}}]}", "missing"),
        ("{matches: [{method: {method: a-b}}]}", "value"),
    ]);
    check("gateway.networking.k8s.io/v1 TLSRoute", &[
        ("{hostnames: [a.b], rules: [{backendRefs: [{name: a, port: 80}]}]}", ""),
        ("{rules: [{backendRefs: [{name: a, port: 80}]}]}", "missing"),
        ("{hostnames: [a.b], rules: [{backendRefs: []}]}", "size"),
    ]);
    check("gateway.networking.k8s.io/v1alpha2 TLSRoute", &[("{rules: [{backendRefs: [{name: a, port: 80}]}]}", "")]);
    check("gateway.networking.k8s.io/v1 BackendTLSPolicy", &[
        ("{targetRefs: [{group: '', kind: Service, name: a}], validation: {hostname: a.b, wellKnownCACertificates: System}}", ""),
        ("{targetRefs: [{group: '', kind: Service, name: a}], validation: {hostname: a.b}}", "missing"),
        ("{targetRefs: [{group: '', kind: Service, name: a}, {group: '', kind: Service, name: a}], validation: {hostname: a.b, wellKnownCACertificates: System}}", "duplicate"),
        ("{targetRefs: [{group: '', kind: Service, name: a}], validation: {hostname: a.b, wellKnownCACertificates: System, subjectAltNames: [{type: URI, hostname: a}]}}", "exclusive"),
    ]);
}

#[test]
fn metadata_and_words() {
    let found = |metadata: &str| -> Vec<String> {
        let text =
            format!("apiVersion: security.istio.io/v1\nkind: PeerAuthentication\nmetadata: {metadata}\nspec: {{}}\n");
        let (_, compiled) = compile_text(&text);
        compiled.problems.iter().map(|it| it.code.rsplit("::").next().unwrap().to_owned()).collect()
    };
    let table = [
        ("{name: a, labels: {on: b}}", "ambiguous_scalar"),
        ("{name: a, labels: {a: 0777}}", "ambiguous_scalar"),
        ("{name: a, labels: {a: 1_000}}", "ambiguous_scalar"),
        ("{name: a, labels: {a: 1.10}}", "wrong_type"),
        ("{name: A}", "value"),
        ("{name: a, namespace: a.b}", "value"),
        ("{name: a, labels: {'a/b/c': d}}", "value"),
        ("{name: a, annotations: {istio.io/dry-run: 'true'}}", "annotation"),
        ("{name: a, annotations: {internal.istio.io/parents: a}}", "annotation"),
        ("{}", "not_a_resource"),
    ];
    for (metadata, want) in table {
        assert_eq!(found(metadata), [want], "{metadata}");
    }
    assert_eq!(found("{name: a, labels: {a: \"no\", b: 'yes', c: none}}"), Vec::<String>::new());
}

#[test]
#[rustfmt::skip] // a table is read by its columns
fn what_no_header_can_be_made_of_is_refused_and_not_sent_as_it_stands() {
    let found = |of: &str, name: &str, value: &str| {
        let rule = format!("{{headers: {{{of}: {{set: {{{name}: \"{value}\"}}}}}}, directResponse: {{status: 200}}}}");
        let (_, compiled) = compile_text(&format!(
            "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {{name: a}}\nspec: {{hosts: [a.b], http: [{rule}]}}\n"
        ));
        compiled.problems.iter().any(|problem| problem.code == "taut::support::value")
    };
    let table = [
        ("request",  "x-a",  "plain",              false),
        ("request",  "x-a",  "%REQ(x-b)%",         false),
        ("request",  "x-a",  "100%%",              false),
        ("request",  "x-a",  "%RESP(x-b)%",        true), // not known yet
        ("response", "x-a",  "%RESP(x-b)%",        false),
        ("response", "x-a",  "%DURATION%",         true),
        ("response", "x-a",  "%NONE_SUCH%",        true),
        ("request",  "host", "%REQ(x-b)%",         true), // a host is what it says
    ];
    for (of, name, value, want) in table {
        assert_eq!(found(of, name, value), want, "{of} {name}: {value}");
    }
}

//! Meshes of any size, as people write them: for each service a Service, a Deployment, a VirtualService, a
//! DestinationRule and an AuthorizationPolicy.

use std::fmt::Write as _;

/// Services in one namespace: as large as namespaces get before they are split.
const SERVICES_IN_NAMESPACE: usize = 50;

/// One file for each service, by name: `ns-3/svc-172.yaml`.
#[must_use]
pub fn generated_mesh(services: usize) -> Vec<(String, String)> {
    let mut files: Vec<(String, String)> = (0..services).map(|number| service(number, services)).collect();
    for namespace in 0..services.div_ceil(SERVICES_IN_NAMESPACE) {
        files.push((format!("ns-{namespace}/namespace.yaml"), namespace_file(namespace)));
    }
    files
}

fn namespace_file(number: usize) -> String {
    format!(
        "apiVersion: v1
kind: Namespace
metadata:
  name: ns-{number}
  labels:
    istio-injection: enabled
---
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata:
  name: default
  namespace: ns-{number}
spec:
  mtls:
    mode: STRICT
"
    )
}

/// The file of one service. Which header, path and weights it has follows from its number.
fn service(number: usize, services: usize) -> (String, String) {
    let namespace = number / SERVICES_IN_NAMESPACE;
    let (name, caller) = (format!("svc-{number}"), (number * 7 + 1) % services);
    let caller_namespace = caller / SERVICES_IN_NAMESPACE;
    let weight = 5 + number % 40;
    let mut text = String::new();
    let _ = write!(
        text,
        "# Everything that belongs to {name}.
apiVersion: v1
kind: Service
metadata:
  name: {name}
  namespace: ns-{namespace}
  labels:
    app: {name}
    team: team-{team}
spec:
  selector:
    app: {name}
  ports:
  - name: http
    port: 8080
    targetPort: 8080
---
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {name}
  namespace: ns-{namespace}
  labels:
    app: {name}
spec:
  replicas: 3
  selector:
    matchLabels:
      app: {name}
  template:
    metadata:
      labels:
        app: {name}
        version: v1
    spec:
      serviceAccountName: {name}
      containers:
      - name: app
        image: registry.example.com/team-{team}/{name}:1.{number}.0
        ports:
        - containerPort: 8080
          name: http
        resources:
          requests:
            cpu: 100m
            memory: 128Mi
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata:
  name: {name}
  namespace: ns-{namespace}
spec:
  hosts:
  - {name}
  http:
  - name: asked-for
    match:
    - headers:
        x-canary:
          exact: \"true\"
      uri:
        prefix: /api/v{version}/
    route:
    - destination:
        host: {name}
        subset: v2
  - name: split
    timeout: 5s
    retries:
      attempts: 3
      perTryTimeout: 2s
      retryOn: connect-failure,refused-stream,503
    route:
    - destination:
        host: {name}
        subset: v1
      weight: {stable}
    - destination:
        host: {name}
        subset: v2
      weight: {weight}
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata:
  name: {name}
  namespace: ns-{namespace}
spec:
  host: {name}
  trafficPolicy:
    connectionPool:
      tcp:
        maxConnections: 100
      http:
        http2MaxRequests: 1000
    outlierDetection:
      consecutive5xxErrors: 5
      interval: 10s
      baseEjectionTime: 30s
  subsets:
  - name: v1
    labels:
      version: v1
  - name: v2
    labels:
      version: v2
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata:
  name: {name}
  namespace: ns-{namespace}
spec:
  selector:
    matchLabels:
      app: {name}
  action: ALLOW
  rules:
  - from:
    - source:
        principals:
        - cluster.local/ns/ns-{caller_namespace}/sa/svc-{caller}
        - cluster.local/ns/ns-{namespace}/sa/svc-{number}
    to:
    - operation:
        methods:
        - GET
        - POST
        paths:
        - /api/v{version}/*
",
        team = number % 17,
        version = 1 + number % 3,
        stable = 100 - weight,
    );
    (format!("ns-{namespace}/{name}.yaml"), text)
}

//! Snapshots made of resources, as users write them: from the YAML to the wire.

use taut_compile::{Options, compile};
use taut_snapshot::{Digest, EndpointSet, Objects};
use taut_source::{SourceFile, SourceSet};

use crate::client::Answer;
use crate::fixture::{Issuer, Running, endpoint};
use crate::server::App;

/// The services and workloads of the tests' shop: a frontend that calls orders, of which there are v1 and v2, and a gateway.
pub(crate) const SHOP: &str = r#"
apiVersion: v1
kind: Namespace
metadata: {name: shop}
---
apiVersion: v1
kind: Service
metadata: {name: orders, namespace: shop}
spec:
  selector: {app: orders}
  ports: [{name: http, port: 8080}]
---
apiVersion: v1
kind: Service
metadata: {name: frontend, namespace: shop}
spec:
  selector: {app: frontend}
  ports: [{name: http, port: 8080}]
---
apiVersion: v1
kind: Pod
metadata: {name: frontend, namespace: shop, labels: {app: frontend}}
spec: {serviceAccountName: frontend, containers: [{name: app}]}
---
apiVersion: v1
kind: Pod
metadata: {name: orders, namespace: shop, labels: {app: orders, version: v1}}
spec: {serviceAccountName: orders, containers: [{name: app}]}
---
apiVersion: v1
kind: Pod
metadata: {name: orders-v2, namespace: shop, labels: {app: orders, version: v2}}
spec: {serviceAccountName: orders, containers: [{name: app}]}
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: orders, namespace: shop}
spec:
  host: orders
  trafficPolicy: {tls: {mode: DISABLE}}
  subsets:
  - {name: v1, labels: {version: v1}}
  - {name: v2, labels: {version: v2}}
---
"#;

/// The snapshot of some resources; panics with what is wrong with them.
pub(crate) fn compiled(yaml: &str) -> (Digest, Objects) {
    let (snapshot, objects, _) = compiled_with_endpoints(yaml);
    (snapshot, objects)
}

/// The same, with the endpoints that the resources declare.
pub(crate) fn compiled_with_endpoints(yaml: &str) -> (Digest, Objects, EndpointSet) {
    compiled_in("{}", yaml)
}

/// The same in a mesh with this MeshConfig.
pub(crate) fn compiled_in(config: &str, yaml: &str) -> (Digest, Objects, EndpointSet) {
    let file = |name: &str, text: &str| SourceFile::new(name, text.as_bytes());
    let sources = SourceSet::new(vec![file("config.yaml", config), file("mesh.yaml", yaml)]);
    let options = Options { mesh_config: Some("config.yaml".into()), ..Options::default() };
    let compiled = compile(&sources, &options);
    let Some(snapshot) = compiled.snapshot else { panic!("{:#?}", compiled.problems) };
    (snapshot.id, snapshot.objects, compiled.endpoints)
}

/// A sidecar whose application calls `orders`, with applications behind v1 and v2.
pub(crate) struct Shop {
    pub(crate) sidecar: Running,
    pub(crate) v1: App,
    pub(crate) v2: App,
}

impl Shop {
    /// With a virtual service for `orders` of these rules.
    pub(crate) async fn with_rules(rules: &str) -> Shop {
        Shop::with(&format!(
            "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {{name: orders, namespace: shop}}\n\
             spec:\n  hosts: [orders]\n  http:\n{rules}"
        ))
        .await
    }

    /// With these resources beside those of the shop.
    pub(crate) async fn with(yaml: &str) -> Shop {
        let shop =
            Shop { sidecar: Running::calling(&Issuer::new()), v1: App::start("v1").await, v2: App::start("v2").await };
        shop.sidecar
            .endpoints(vec![endpoint("orders-1", "v1", shop.v1.address), endpoint("orders-2", "v2", shop.v2.address)]);
        shop.sidecar.activate_mesh(&format!("{SHOP}{yaml}"));
        shop
    }

    /// What `orders` answers.
    pub(crate) async fn ask(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        crate::client::send(self.sidecar.address(), method, "orders:8080", path, headers, body).await
    }

    pub(crate) async fn get(&self, path: &str, headers: &[(&str, &str)]) -> Answer {
        self.ask("GET", path, headers, "").await
    }
}

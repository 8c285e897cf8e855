//! A destination that is no service.

use taut_source::{Problem, Problems, Rule, Severity, Stage};

use crate::check::{Check, about, destinations, listed};
use crate::mesh::Mesh;

static RULE: Rule = Rule {
    code: "taut::route::unknown_host",
    istio: Some("IST0101"),
    severity: Severity::Error,
    stage: Stage::Reference,
    finds: "a route to a host that no Service or ServiceEntry has",
    why: "Every request that the rule takes gets a 503.",
    bad: r#"apiVersion: v1
kind: Service
metadata: {name: orders}
spec:
  selector: {app: orders}
  ports: [{name: http, port: 8080}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: orders}
spec:
  hosts: [orders]
  http:
  - route:
    - destination: {host: odrers}"#,
    good: r#"apiVersion: v1
kind: Service
metadata: {name: orders}
spec:
  selector: {app: orders}
  ports: [{name: http, port: 8080}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: orders}
spec:
  hosts: [orders]
  http:
  - route:
    - destination: {host: orders}"#,
};

pub(in crate::check) const CHECK: Check = Check { rule: &RULE, run };

fn run(mesh: &Mesh<'_>, problems: &mut Problems) {
    for (routing, to) in destinations(mesh).filter(|(_, to)| to.service.is_none()) {
        let of = &routing.of;
        let written = &to.destination.host;
        let message = match written.as_str() == to.host.as_str() {
            true => format!("no service has the host `{}`", to.host),
            false => format!("no service has the host `{}` (`{}` in full)", written.value, to.host),
        };
        let help = match mesh.services_of(&to.host).is_empty() {
            true => help(mesh, &to.host, of.namespace()),
            false => "its `exportTo` hides it: add the namespaces of the clients there".into(),
        };
        let problem = about(of, &RULE, written.span, message, help);
        problems.push(Problem {
            reftype: Some(if to.mirror { "mirror host" } else { "host" }),
            label: "this host".into(),
            ..problem
        });
    }
}

/// The services that were probably meant: the same name elsewhere, or a similar one here.
fn help(mesh: &Mesh<'_>, host: &str, namespace: &str) -> String {
    let name = host.split('.').next().unwrap_or(host);
    let mut same = mesh.services.iter().filter(|service| service.host.split('.').next() == Some(name));
    if let Some(service) = same.next() {
        return format!(
            "write `{}`: a name with a dot is taken as it is, and a short one is of its own namespace",
            service.host
        );
    }
    let here = mesh.services_in(namespace).iter().map(|id| mesh.service(*id));
    let names: Vec<&str> = here.map(|service| service.host.split('.').next().unwrap_or(&service.host)).collect();
    match names.is_empty() {
        true => "declare it with a Service or a ServiceEntry".into(),
        false => format!("the services of `{namespace}` are: {}", listed(names)),
    }
}

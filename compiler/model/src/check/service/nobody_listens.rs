//! A port of a Service that leads to a port which no workload behind it has.

use taut_resources::Spec;
use taut_source::{Problem, Problems, Rule, Severity, Stage};

use crate::check::{Check, listed, on, place_of, related};
use crate::mesh::Mesh;
use crate::{Target, Workload};

static RULE: Rule = Rule {
    code: "taut::service::nobody_listens",
    istio: None,
    severity: Severity::Warning,
    stage: Stage::Analysis,
    finds: "a port of a Service whose target port none of the workloads behind it declares, though they declare others",
    why: "By name nobody is found, and requests get 503; by number nobody answers, unless the container listens to more than it says.",
    bad: r#"apiVersion: apps/v1
kind: Deployment
metadata: {name: orders}
spec:
  template:
    metadata: {labels: {app: orders}}
    spec: {containers: [{name: app, image: orders, ports: [{name: web, containerPort: 8080}]}]}
---
apiVersion: v1
kind: Service
metadata: {name: orders}
spec:
  selector: {app: orders}
  ports: [{name: http, port: 80, targetPort: 80}]"#,
    good: r#"apiVersion: apps/v1
kind: Deployment
metadata: {name: orders}
spec:
  template:
    metadata: {labels: {app: orders}}
    spec: {containers: [{name: app, image: orders, ports: [{name: web, containerPort: 8080}]}]}
---
apiVersion: v1
kind: Service
metadata: {name: orders}
spec:
  selector: {app: orders}
  ports: [{name: http, port: 80, targetPort: web}]"#,
};

pub(in crate::check) const CHECK: Check = Check { rule: &RULE, run };

fn run(mesh: &Mesh<'_>, problems: &mut Problems) {
    for service in &mesh.services {
        let Spec::Service(spec) = &service.resource.spec else {
            continue;
        };
        let behind: Vec<&Workload<'_>> = mesh.workloads_behind(service).collect();
        // A gateway listens to what Gateways say, and who declares nothing may listen to anything.
        if behind.is_empty() || behind.iter().any(|it| it.gateway || it.ports.is_empty()) {
            continue;
        }
        for port in &service.ports {
            let found = behind.iter().flat_map(|it| &it.ports).any(|(number, name)| match &port.target {
                Target::Number(target) => number == target,
                Target::Name(target) => name.as_ref() == Some(target),
            });
            let Some(written) = spec.ports.iter().find(|it| it.port.value.0 == port.number).filter(|_| !found) else {
                continue;
            };
            let target = match &port.target {
                Target::Number(number) => number.to_string(),
                Target::Name(name) => name.to_string(),
            };
            let shown = |(number, name): &(u16, Option<crate::Text>)| match name {
                Some(name) => format!("{number} (`{name}`)"),
                None => number.to_string(),
            };
            let declared = listed(behind.iter().flat_map(|it| &it.ports).map(shown));
            let span = written.target_port.as_ref().map_or(written.port.span, |target| target.span);
            problems.push(Problem {
                label: "this port".into(),
                related: vec![related(place_of(behind[0].resource), "who is behind it")],
                ..on(
                    service.resource,
                    &RULE,
                    span,
                    format!("nobody behind `{}` has the port `{target}`", service.host),
                    format!("write one that is declared: {declared}"),
                )
            });
        }
    }
}

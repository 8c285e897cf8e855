//! BackendTLSPolicy and XBackendTrafficPolicy: TLS towards services and limits on retries, as a destination rule for each
//! (semantics.md §18.5).

mod traffic;

use taut_resources::gateway_api::{BackendTlsPolicy, SubjectAltNameType};
use taut_resources::{
    At, ClientTls, ClientTlsMode, DestinationRule, List, Port, PortPolicy, PortRef, Resource, RetryBudget,
    TrafficPolicy,
};
use taut_source::Span;

use super::made::at;
use super::server_tls::roots_of;
use super::status::{Fault, ParentStatus, Status, condition};
use super::world::{Numbered, World};
use super::{Converted, MadeTraffic};
use crate::{Host, Text};

/// What keeps a policy from being looked at.
const IGNORED: &str = "istio.io/ignore-policy-attachment";

/// Converts every policy. Of several for one service the oldest counts.
pub(crate) fn convert(world: &World<'_>, made: &mut Converted) {
    secure(world, made);
    traffic::convert(world, made);
}

fn is_ignored(resource: &Resource) -> bool {
    resource.meta.annotations.get(IGNORED).is_some_and(|it| it == "true")
}

/// What is reported of a policy that its annotation keeps from being looked at.
fn ignored(span: Span) -> Fault {
    Fault::new("IgnoredByIstio", span, format!("its annotation `{IGNORED}` says so"))
}

fn secure(world: &World<'_>, made: &mut Converted) {
    let mut taken: Vec<(Host, Text, Text)> = Vec::new();
    for policy in &world.tls_policies {
        let spec = policy.of.spec;
        let age = policy.of.resource.meta.creation_timestamp.as_ref().map_or("", |time| time.as_str());
        let (tls, roots) = client_tls(world, policy);
        if let Some(second) = spec.validation.ca_certificate_refs.get(1) {
            made.unused.push((policy.number, second.span, "the first reference to certificates alone counts".into()));
        }
        let mut status =
            Status { resource: policy.number, conditions: Vec::new(), listeners: Vec::new(), parents: Vec::new() };
        for (number, target) in spec.target_refs.iter().enumerate() {
            let span = target.name.span;
            if is_ignored(policy.of.resource) {
                let conditions = vec![condition("Accepted", "Accepted", span, Some(&ignored(span)))];
                status.parents.push(ParentStatus { number, conditions });
                continue;
            }
            let missing = |what: String| Fault::new("TargetNotFound", span, what);
            let unresolved = roots.clone();
            let mut fault = roots.as_ref().map(|it| Fault::new("NoValidCACertificate", it.at, it.message.clone()));
            let named = Target {
                namespace: policy.of.namespace(),
                group: &target.group,
                kind: &target.kind,
                name: &target.name,
                section: target.section_name.as_ref(),
            };
            match hosts(world, named) {
                Err(what) => fault = Some(missing(what)),
                Ok(hosts) => {
                    for (host, port) in hosts {
                        let section = target.section_name.as_ref().map(|it| it.value.clone()).unwrap_or_default();
                        let older = taken.iter().find(|(known, part, _)| *known == host && *part == section);
                        if let Some((.., other)) = older {
                            let message = format!("an older policy for `{host}` counts");
                            if other.as_str() < age {
                                fault = Some(Fault::new("Conflicted", span, message));
                            } else {
                                made.unused.push((policy.number, span, message));
                            }
                            continue;
                        }
                        taken.push((host.clone(), section, age.into()));
                        made.traffic.push(MadeTraffic {
                            resource: policy.number,
                            spec: destination_rule(
                                spec.span,
                                target.span,
                                at(host.clone(), span),
                                with_tls(target.span, port, &tls),
                            ),
                            host,
                        });
                    }
                }
            }
            let conditions = vec![
                condition("Accepted", "Accepted", span, fault.as_ref()),
                condition("ResolvedRefs", "ResolvedRefs", span, unresolved.as_ref()),
            ];
            status.parents.push(ParentStatus { number, conditions });
        }
        made.statuses.push(status);
    }
}

/// A service, or a port of one, as a policy names it.
#[derive(Clone, Copy)]
struct Target<'a> {
    /// The namespace of the policy.
    namespace: &'a Text,
    group: &'a str,
    kind: &'a str,
    name: &'a Text,
    /// A port, by name.
    section: Option<&'a At<Text>>,
}

type Part = (Host, Option<(u16, Span)>);

/// The hosts of a target, each with the port that is meant.
fn hosts(world: &World<'_>, target: Target<'_>) -> Result<Vec<Part>, String> {
    let namespace = target.namespace;
    let named: Vec<Host> = match (target.group, target.kind) {
        ("" | "core", "Service") => vec![world.host_of_service(target.name, namespace)],
        ("networking.istio.io", "ServiceEntry") => {
            let entry = world.entries.get(&(namespace.clone(), target.name.clone()));
            match entry.map(|resource| &resource.spec) {
                Some(taut_resources::Spec::ServiceEntry(entry)) => {
                    entry.hosts.iter().map(|host| host.to_ascii_lowercase().into()).collect()
                }
                _ => Vec::new(),
            }
        }
        ("networking.istio.io", "Hostname") => vec![target.name.to_ascii_lowercase().into()],
        (_, kind) => return Err(format!("a {kind} is nothing that clients talk to")),
    };
    let mut hosts = Vec::new();
    for host in named {
        let Some(service) = world.service(&host, namespace) else { continue };
        let port = match target.section {
            None => None,
            Some(section) => {
                let Some(port) = service.ports.iter().find(|port| port.name == section.value) else {
                    return Err(format!("`{host}` has no port `{}`", section.value));
                };
                Some((port.number, section.span))
            }
        };
        hosts.push((host, port));
    }
    if hosts.is_empty() {
        return Err(format!("there is no {} `{namespace}/{}`", target.kind, target.name));
    }
    Ok(hosts)
}

/// A rule for one host that says one thing.
struct Saying {
    tls: Option<Box<ClientTls>>,
    retry_budget: Option<Box<RetryBudget>>,
    ports: List<PortPolicy>,
}

fn destination_rule(of: Span, target: Span, host: At<Host>, saying: Saying) -> DestinationRule {
    DestinationRule {
        span: of,
        host,
        traffic_policy: Some(Box::new(TrafficPolicy {
            span: target,
            load_balancer: None,
            connection_pool: None,
            outlier_detection: None,
            tls: saying.tls,
            port_level_settings: saying.ports,
            tunnel: None,
            proxy_protocol: None,
            retry_budget: saying.retry_budget,
        })),
        subsets: List::new(),
        export_to: List::new(),
        workload_selector: None,
    }
}

/// TLS towards all of a host, or towards one of its ports.
fn with_tls(target: Span, port: Option<(u16, Span)>, tls: &ClientTls) -> Saying {
    let one = port.map(|(number, span)| PortPolicy {
        span: target,
        port: PortRef { span, number: at(Port(number), span) },
        load_balancer: None,
        connection_pool: None,
        outlier_detection: None,
        tls: Some(Box::new(tls.clone())),
    });
    Saying { tls: port.is_none().then(|| Box::new(tls.clone())), retry_budget: None, ports: one.into_iter().collect() }
}

/// The TLS of a policy, and what is wrong with its roots.
fn client_tls(world: &World<'_>, policy: &Numbered<'_, BackendTlsPolicy>) -> (ClientTls, Option<Fault>) {
    let validation = &policy.of.spec.validation;
    let namespace = policy.of.namespace();
    let mut roots: Option<At<Text>> = None;
    let mut fault = None;
    // The first reference counts. What it names is asked for even where it does not exist: then nothing is believed.
    if let Some(reference) = validation.ca_certificate_refs.first() {
        let span = reference.name.span;
        if !reference.group.is_empty() || reference.kind.as_str() != "ConfigMap" {
            let message =
                format!("roots are in a ConfigMap, and `{}` is a {}", reference.name.value, reference.kind.value);
            fault = Some(Fault::new("InvalidKind", span, message));
        } else if let Err(why) = roots_of(world, namespace, &reference.name.value) {
            fault = Some(Fault::new("InvalidCACertificateRef", span, why));
        }
        roots = Some(at(format!("configmap://{namespace}/{}", reference.name.value).into(), span));
    }
    let names = validation.subject_alt_names.iter().filter_map(|name| match name.kind.value {
        SubjectAltNameType::Hostname => name.hostname.clone(),
        SubjectAltNameType::Uri => name.uri.clone(),
    });
    let span = validation.span;
    let tls = ClientTls {
        span,
        mode: Some(at(ClientTlsMode::Simple, span)),
        client_certificate: None,
        private_key: None,
        ca_certificates: None,
        credential_name: roots,
        subject_alt_names: names.collect(),
        sni: Some(validation.hostname.clone()),
        insecure_skip_verify: None,
        ca_crl: None,
    };
    (tls, fault)
}

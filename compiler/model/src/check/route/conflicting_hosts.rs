//! Two virtual services of sidecars that claim one host.

use std::collections::BTreeMap;

use taut_source::{Problem, Problems, Rule, Severity, Stage};

use crate::check::order::{Together, witness};
use crate::check::{Check, RELATED_MAX, about, full_name, listed, related};
use crate::mesh::Mesh;
use crate::{Visibility, is_wildcard, overlap};
use std::collections::BTreeSet;

static RULE: Rule = Rule {
    code: "taut::route::conflicting_hosts",
    istio: Some("IST0109"),
    severity: Severity::Error,
    stage: Stage::Analysis,
    finds: "two virtual services for the sidecars of one namespace that claim one host",
    why: "They are not merged: the older one counts whole and the other not at all. Git knows no age, so which one counts would depend on the cluster's history.",
    bad: r#"apiVersion: v1
kind: Service
metadata: {name: orders}
spec:
  selector: {app: orders}
  ports: [{name: http, port: 8080}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: a}
spec:
  hosts: [orders]
  http:
  - route:
    - destination: {host: orders}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: b}
spec:
  hosts: [orders]
  http:
  - route:
    - destination: {host: orders}"#,
    good: r#"apiVersion: v1
kind: Service
metadata: {name: orders}
spec:
  selector: {app: orders}
  ports: [{name: http, port: 8080}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: a}
spec:
  hosts: [orders]
  http:
  - route:
    - destination: {host: orders}"#,
};

pub(in crate::check) const CHECK: Check = Check { rule: &RULE, run };

/// Who sees a host of a virtual service: everybody, or one namespace.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Scope<'m> {
    Everybody,
    Namespace(&'m str),
}

/// A host of a virtual service: the number of the one in the mesh, of the other in the virtual service.
type Claim = (usize, usize);

fn run(mesh: &Mesh<'_>, problems: &mut Problems) {
    let mut claims: BTreeMap<(Scope<'_>, &str), Vec<Claim>> = BTreeMap::new();
    for (number, routing) in mesh.routings.iter().enumerate().filter(|(_, it)| !it.made && it.is_used_by("mesh")) {
        let scopes: Vec<Scope<'_>> = match &routing.visibility {
            Visibility::Public => vec![Scope::Everybody],
            Visibility::Only(only) => only.iter().map(|namespace| Scope::Namespace(namespace)).collect(),
        };
        for (at, host) in routing.hosts.iter().enumerate() {
            for scope in &scopes {
                claims.entry((*scope, host.as_str())).or_default().push((number, at));
            }
        }
    }
    let mut rivals: BTreeMap<Claim, BTreeSet<Claim>> = BTreeMap::new();
    let mut meet = |one: &Claim, other: &Claim| {
        if one.0 != other.0 {
            rivals.entry(*one).or_default().insert(*other);
            rivals.entry(*other).or_default().insert(*one);
        }
    };
    let public: Vec<(&str, &Vec<Claim>)> =
        claims.iter().filter(|((scope, _), _)| *scope == Scope::Everybody).map(|((_, host), it)| (*host, it)).collect();
    for ((scope, host), here) in &claims {
        for (index, one) in here.iter().enumerate() {
            here[index + 1..].iter().take(RELATED_MAX).for_each(|other| meet(one, other));
        }
        if *scope == Scope::Everybody {
            continue;
        }
        // What is for one namespace meets what is for everybody, wildcards included.
        let equal = claims.get(&(Scope::Everybody, *host)).into_iter();
        let wild = public.iter().filter(|(wide, _)| wide != host && (is_wildcard(wide) || is_wildcard(host)));
        let wild = wild.filter(|(wide, _)| overlap(wide, host)).map(|(_, claims)| *claims);
        for other in equal.chain(wild).flatten().take(RELATED_MAX) {
            here.iter().for_each(|one| meet(one, other));
        }
    }
    for (one, others) in &rivals {
        report(mesh, *one, others, problems);
    }
}

fn report(mesh: &Mesh<'_>, (number, at): Claim, others: &BTreeSet<Claim>, problems: &mut Problems) {
    let routing = &mesh.routings[number];
    let host = &routing.hosts[at];
    let names = others.iter().map(|(other, _)| full_name(mesh.routings[*other].of.resource));
    let mut message = format!("`{host}` is claimed by these as well: {}", listed(names));
    let mut equal = others.iter().filter(|(other, at)| mesh.routings[*other].hosts[*at] == *host);
    let request =
        equal.find_map(|(other, _)| witness(host, routing.of.spec, mesh.routings[*other].of.spec, Together::OneCounts));
    if let Some(request) = request {
        message += &format!("; which of them is older decides, for one: {request}");
    }
    let place = |(other, at): &Claim| {
        let other = &mesh.routings[*other];
        related(other.of.at(other.of.spec.hosts[*at].span), "claimed here too")
    };
    let help = "put the rules into one VirtualService, in the order that is meant".into();
    let mut problem = about(&routing.of, &RULE, routing.of.spec.hosts[at].span, message, help);
    let same = others.iter().any(|(other, at)| mesh.routings[*other].hosts[*at] == *host);
    // Of two hosts that only overlap, the narrower counts: that is well-defined, and may be meant.
    if !same {
        problem.severity = Severity::Warning;
    }
    problems.push(Problem {
        label: "this host".into(),
        related: others.iter().take(RELATED_MAX).map(place).collect(),
        ..problem
    });
}

//! Rules about Gateways: what they listen to, and with which certificates.

mod bad_certificate;
mod conflicting;
mod duplicate_certificate;
mod no_workload;
mod port_without_service;
mod server_dropped;
mod unknown_client_roots;
mod unknown_secret;

use std::collections::BTreeSet;

use taut_resources::{At, Gateway, Server};

use crate::Text;
use crate::check::Check;
use crate::mesh::{Mesh, Of};

pub(super) const CHECKS: &[Check] = &[
    bad_certificate::CHECK,
    conflicting::CHECK,
    duplicate_certificate::CHECK,
    no_workload::CHECK,
    port_without_service::CHECK,
    server_dropped::CHECK,
    unknown_client_roots::CHECK,
    unknown_secret::CHECK,
];

/// Where the pods of a gateway are: its certificates are looked up there.
fn namespaces_of_pods(mesh: &Mesh<'_>, gateway: &Of<'_, Gateway>) -> BTreeSet<Text> {
    mesh.pods.selected(None, &gateway.spec.selector).map(|pod| pod.namespace().into()).collect()
}

/// The Secrets with certificates that a server names, and the fields that name them.
fn credentials(server: &Server) -> impl Iterator<Item = (&At<Text>, &'static str)> {
    let tls = server.tls.iter();
    tls.flat_map(|tls| {
        let one = tls.credential_name.iter().map(|name| (name, "credentialName"));
        one.chain(tls.credential_names.iter().map(|name| (name, "credentialNames")))
    })
}

//! Views: what each workload runs.

use std::collections::BTreeMap;

use taut_model::{Mode, Protocol, Target, Workload, mode_of};
use taut_snapshot::object::{Inbound, MtlsMode, View};
use taut_snapshot::{Digest, Text};

use super::Lowering;
use super::cluster::protocol;
use crate::origins::Source;

impl Lowering<'_, '_> {
    /// The views of all workloads in the mesh, by `namespace/name`.
    pub(super) fn views(&mut self) -> BTreeMap<Text, Digest> {
        let workloads = self.mesh.workloads.iter().filter(|workload| workload.meshed);
        workloads
            .map(|workload| (format!("{}/{}", workload.namespace, workload.name).into(), self.view(workload)))
            .collect()
    }

    fn view(&mut self, workload: &Workload<'_>) -> Digest {
        let modes = mode_of(self.mesh, &workload.namespace, &workload.labels);
        let listeners = match workload.gateway {
            true => self.listeners(&workload.namespace, &workload.labels, |name| workload.port_named(name)),
            false => Vec::new(),
        };
        let view = View {
            namespace: workload.namespace.clone(),
            name: workload.name.clone(),
            labels: workload.labels.iter().map(|(name, value)| (name.clone(), value.clone())).collect(),
            service_account: workload.service_account.clone(),
            gateway: workload.gateway,
            mesh: self.mesh_link,
            // A gateway sends by its listeners' rules alone, which name their clusters.
            layers: if workload.gateway { Vec::new() } else { self.layers(&workload.namespace, &workload.labels) },
            inbound: if workload.gateway { Vec::new() } else { self.inbound(workload, &modes) },
            other_ports: mode(modes.workload),
            policies: self.policies(&workload.namespace, &workload.labels),
            listeners,
        };
        let link = self.objects.insert(&view);
        self.origins.add(link.digest, [Source::new(0, workload.resource, workload.resource.span)]);
        link.digest
    }

    /// The ports that services lead to. Of two services for one port, the older says what it speaks.
    fn inbound(&self, workload: &Workload<'_>, modes: &taut_model::ModeOf<'_>) -> Vec<Inbound> {
        let mut ports: BTreeMap<u16, Inbound> = BTreeMap::new();
        for service in self.mesh.services_before(&workload.namespace, &workload.labels) {
            for port in service.ports.iter().filter(|port| port.protocol != Protocol::Udp) {
                let number = match &port.target {
                    Target::Number(number) => *number,
                    Target::Name(name) => match workload.port_named(name) {
                        Some(number) => number,
                        None => continue,
                    },
                };
                let named =
                    workload.ports.iter().find(|(known, _)| *known == number).and_then(|(_, name)| name.clone());
                ports.entry(number).or_insert_with(|| Inbound {
                    port: number,
                    name: named.unwrap_or_default(),
                    protocol: protocol(port.protocol),
                    mtls: mode(modes.port(number)),
                    service: service.host.clone(),
                    service_namespace: service.namespace.clone(),
                });
            }
        }
        ports.into_values().collect()
    }
}

fn mode(mode: Mode) -> MtlsMode {
    match mode {
        Mode::Disable => MtlsMode::Disable,
        Mode::Permissive => MtlsMode::Permissive,
        Mode::Strict => MtlsMode::Strict,
    }
}

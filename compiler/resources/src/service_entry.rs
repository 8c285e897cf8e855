//! ServiceEntry (semantics.md §6): hosts that Kubernetes does not know.

use taut_source::Text;

use crate::kind::CheckedRead;
use crate::message::{keyword, message};
use crate::read::{At, Labels, Reader};
use crate::rules;
use crate::scalar::Port;
use crate::workload_entry::WorkloadEntry;

keyword! {
    /// Whether the endpoints are part of the mesh.
    pub enum Location {
        /// Outside: no mesh identity, no automatic mTLS.
        MeshExternal = "MESH_EXTERNAL";
        /// Inside.
        MeshInternal = "MESH_INTERNAL";
    }
}

keyword! {
    /// How the endpoints are found.
    pub enum Resolution {
        /// The client's own choice of address is kept.
        None = "NONE", refused("without capture a client's own address is not known: use `resolution: DNS`, or `STATIC` with endpoints");
        /// The endpoints are listed.
        Static = "STATIC";
        /// The names of the endpoints, or of the hosts, are looked up; every address counts.
        Dns = "DNS";
        /// As DNS, and one address at a time is used.
        DnsRoundRobin = "DNS_ROUND_ROBIN", refused("use `resolution: DNS`");
        /// The host of each request is looked up.
        DynamicDns = "DYNAMIC_DNS", refused("use `resolution: DNS` with each host written out");
    }
}

message! {
    /// Hosts with their ports and endpoints.
    pub struct ServiceEntry {
        /// The hosts. Short names are not expanded.
        hosts: Vec<At<Text>> = "hosts";
        /// Virtual addresses.
        addresses: Vec<At<Text>> = "addresses";
        /// The ports.
        ports: Vec<EntryPort> = "ports";
        /// Inside or outside the mesh; outside if missing.
        location: Option<At<Location>> = "location";
        /// How the endpoints are found; NONE if missing.
        resolution: Option<At<Resolution>> = "resolution";
        /// The endpoints.
        endpoints: Vec<WorkloadEntry> = "endpoints";
        /// The pods and WorkloadEntries of the namespace that are its endpoints.
        workload_selector: Option<EntrySelector> = "workloadSelector";
        /// The namespaces that see it.
        export_to: Vec<At<Text>> = "exportTo";
        /// The names that a server certificate may have.
        subject_alt_names: Vec<At<Text>> = "subjectAltNames";
    }
}

message! {
    /// A port of a service entry.
    pub struct EntryPort {
        /// The number that clients use.
        number: At<Port> = "number";
        /// The protocol; found out from the bytes if missing.
        protocol: Option<At<Text>> = "protocol";
        /// The name, unique in the entry.
        name: At<Text> = "name";
        /// The endpoints' port; the same number if missing.
        target_port: Option<At<u32>> = "targetPort";
    }
}

message! {
    /// Which workloads are endpoints.
    pub struct EntrySelector {
        /// Every one of these labels must be equal.
        labels: Labels = "labels";
    }
}

impl CheckedRead for ServiceEntry {
    fn check(&self, cx: &mut Reader<'_>) {
        if self.hosts.is_empty() {
            cx.report(&rules::MISSING_FIELD, self.span, "a service entry needs a host".into(), "add `hosts:`".into());
        }
        for (index, port) in self.ports.iter().enumerate() {
            let earlier = &self.ports[..index];
            if earlier.iter().any(|other| other.number.value == port.number.value) {
                let message = format!("port {} stands twice", port.number.0);
                cx.report(&rules::EXCLUSIVE, port.number.span, message, "keep one port of each number".into());
            }
            if earlier.iter().any(|other| other.name.value == port.name.value) {
                let message = format!("the port name `{}` stands twice", port.name.value);
                cx.report(&rules::EXCLUSIVE, port.name.span, message, "give each port a name of its own".into());
            }
        }
        if let (Some(selector), Some(endpoint)) = (&self.workload_selector, self.endpoints.first()) {
            let help = "keep one of them".into();
            cx.report(
                &rules::EXCLUSIVE,
                endpoint.span.to(selector.span),
                "`endpoints` and `workloadSelector` exclude each other".into(),
                help,
            );
        }
        let resolution = self.resolution.as_ref().map_or(Resolution::None, |it| it.value);
        if self.resolution.is_none() {
            // Missing means NONE, which is refused above where it is written out.
            let help = "add `resolution: DNS`, or `resolution: STATIC` with endpoints".into();
            cx.report(
                &rules::UNSUPPORTED_VALUE,
                self.span,
                "a missing `resolution` means `NONE`, which is not carried to the data plane".into(),
                help,
            );
        }
        for endpoint in &self.endpoints {
            let Some(address) = &endpoint.address else { continue };
            let is_ip = address.parse::<std::net::IpAddr>().is_ok();
            if resolution == Resolution::Static && !is_ip && !address.starts_with("unix://") {
                let message =
                    format!("with `resolution: STATIC` an endpoint is an IP address, not `{}`", address.value);
                cx.report(
                    &rules::BAD_VALUE,
                    address.span,
                    message,
                    "write an IP address, or use `resolution: DNS`".into(),
                );
            }
            for (name, _) in &endpoint.ports.0 {
                if !self.ports.iter().any(|port| port.name.value == name.value) {
                    let known: Vec<&str> = self.ports.iter().map(|port| port.name.as_str()).collect();
                    let help = format!("the ports of this entry are: {}", known.join(", "));
                    cx.report(
                        &rules::BAD_VALUE,
                        name.span,
                        format!("the entry has no port named `{}`", name.value),
                        help,
                    );
                }
            }
        }
    }
}

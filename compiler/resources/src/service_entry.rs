//! ServiceEntry (semantics.md §6): hosts that Kubernetes does not know.

use taut_source::{Node, Text};

use crate::export_to::check_export_to;
use crate::grammar::{IP_OR_BLOCK, LABEL, WILDCARD_HOST, has_partial_wildcard, is_fqdn, is_ip};
use crate::message::{keyword, message};
use crate::read::{At, List, Reader};
use crate::rules;
use crate::scalar::Port;
use crate::selector::WorkloadSelector;
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
        None = "NONE";
        /// The endpoints are listed.
        Static = "STATIC";
        /// The names of the endpoints, or of the hosts, are looked up; every address counts.
        Dns = "DNS";
        /// As DNS, but new connections go to the first address alone, and those that are open stay.
        DnsRoundRobin = "DNS_ROUND_ROBIN";
        /// The host of each request is looked up.
        DynamicDns = "DYNAMIC_DNS", refused("use `resolution: DNS` with each host written out");
    }
}

message! {
    /// Hosts with their ports and endpoints.
    pub struct ServiceEntry {
        /// The hosts. Short names are not expanded.
        hosts: List<At<Text>> = "hosts", required, items(1..=256), is(WILDCARD_HOST);
        /// Virtual addresses.
        addresses: List<At<Text>> = "addresses", items(..=256), chars(..=64), is(IP_OR_BLOCK);
        /// The ports.
        ports: List<EntryPort> = "ports", items(..=256), unique("name"), unique("number");
        /// Inside or outside the mesh; outside if missing.
        location: Option<At<Location>> = "location";
        /// How the endpoints are found; NONE if missing.
        resolution: Option<At<Resolution>> = "resolution";
        /// The endpoints.
        endpoints: List<WorkloadEntry> = "endpoints", items(..=4096);
        /// The pods and WorkloadEntries of the namespace that are its endpoints.
        workload_selector: Option<WorkloadSelector> = "workloadSelector";
        /// The namespaces that see it.
        export_to: List<At<Text>> = "exportTo";
        /// The names that a server certificate may have.
        subject_alt_names: List<At<Text>> = "subjectAltNames";
    }
    where at_most_one("workloadSelector", "endpoints"), check(ServiceEntry::check);
}

message! {
    /// A port of a service entry.
    pub struct EntryPort {
        /// The number that clients use.
        number: At<Port> = "number";
        /// The protocol; found out from the bytes if missing.
        protocol: Option<At<Text>> = "protocol", chars(..=256);
        /// The name, unique in the entry.
        name: At<Text> = "name", chars(..=256), is(LABEL);
        /// The endpoints' port; the same number if missing.
        target_port: Option<At<u32>> = "targetPort", range(1..=65535);
    }
}

impl EntryPort {
    fn protocol(&self) -> String {
        self.protocol.as_ref().map(|protocol| protocol.to_ascii_uppercase()).unwrap_or_default()
    }

    /// Whether requests or connections to it name their host, so that hosts can share it.
    fn names_hosts(&self) -> bool {
        let protocol = self.protocol();
        ["HTTP", "HTTP2", "HTTP_PROXY", "GRPC", "GRPC-WEB", "HTTPS", "TLS"].contains(&protocol.as_str())
    }
}

impl ServiceEntry {
    fn check(&self, node: Node<'_>, cx: &mut Reader<'_>) {
        let resolution = self.resolution.map_or(Resolution::None, |it| it.value);
        self.check_hosts(resolution, cx);
        self.check_ports(resolution, cx);
        if !matches!(resolution, Resolution::None | Resolution::Static) {
            for block in self.addresses.iter().filter(|address| address.contains('/')) {
                let message = format!(
                    "`{}` is a block of addresses, which `resolution: {}` cannot have",
                    block.value,
                    resolution.word()
                );
                cx.say(&rules::EXCLUSIVE, block.span, message, "write single addresses, or use `resolution: STATIC`");
            }
        }
        match resolution {
            Resolution::None => self.check_none(node, cx),
            Resolution::Static => {}
            Resolution::Dns | Resolution::DnsRoundRobin => self.check_dns(resolution, cx),
            Resolution::DynamicDns => self.check_dynamic(cx),
        }
        self.check_endpoints(resolution, cx);
        check_export_to(&self.export_to, true, cx);
    }

    fn check_hosts(&self, resolution: Resolution, cx: &mut Reader<'_>) {
        for host in &self.hosts {
            if host.value == "*" {
                cx.say(
                    &rules::BAD_VALUE,
                    host.span,
                    "the host `*` would be every host",
                    "write the hosts, or `*.example.com`",
                );
            } else if has_partial_wildcard(host) && resolution != Resolution::DynamicDns {
                let message =
                    format!("the star of `{}` stands for a part of a name, which proxies do not match", host.value);
                cx.say(&rules::DOUBTFUL, host.span, message, "write `*.example.com`, or whole names");
            }
        }
    }

    fn check_ports(&self, resolution: Resolution, cx: &mut Reader<'_>) {
        if self.hosts.len() < 2 || resolution == Resolution::None {
            return;
        }
        if let Some(port) = self.ports.iter().find(|port| !port.names_hosts()) {
            let message = "several hosts cannot share a port whose protocol does not name the host";
            let help = "give each host a ServiceEntry of its own, or use a protocol of HTTP or TLS";
            cx.say(&rules::EXCLUSIVE, port.span, message, help);
        }
    }

    fn check_none(&self, node: Node<'_>, cx: &mut Reader<'_>) {
        if let Some(endpoints) = node.get("endpoints").filter(|it| !it.is_null()) {
            let message = "with `resolution: NONE` the client's own address is used, and `endpoints` has no place";
            cx.say(&rules::EXCLUSIVE, endpoints.span(), message, "add `resolution: STATIC`, or `DNS`");
        }
        if let Some(selector) = &self.workload_selector {
            let message = "with `resolution: NONE` the client's own address is used, whatever is selected";
            cx.say(&rules::DOUBTFUL, selector.span, message, "add `resolution: STATIC`, or take the selector away");
        }
    }

    fn check_dns(&self, resolution: Resolution, cx: &mut Reader<'_>) {
        if self.endpoints.is_empty() {
            for host in self.hosts.iter().filter(|host| !is_fqdn(host)) {
                let message =
                    format!("`{}` cannot be looked up, and there are no endpoints to look up instead", host.value);
                cx.say(&rules::EXCLUSIVE, host.span, message, "write a host without a star, or add `endpoints:`");
            }
        }
        if let Some(second) = self.endpoints.get(1).filter(|_| resolution == Resolution::DnsRoundRobin) {
            let message = "`resolution: DNS_ROUND_ROBIN` looks up one name";
            cx.say(&rules::EXCLUSIVE, second.span, message, "keep one endpoint, or use `resolution: DNS`");
        }
        let plain = self.ports.iter().any(|port| port.protocol() == "TCP");
        if let Some(address) = self.addresses.first().filter(|_| plain && 1 < self.hosts.len()) {
            let message = "all hosts share this address, and plain TCP does not say which is meant";
            cx.say(&rules::DOUBTFUL, address.span, message, "give each host a ServiceEntry of its own");
        }
    }

    fn check_dynamic(&self, cx: &mut Reader<'_>) {
        for host in self.hosts.iter().filter(|host| !host.starts_with('*')) {
            let message = format!("`resolution: DYNAMIC_DNS` is for hosts with a star, and `{}` has none", host.value);
            cx.say(&rules::EXCLUSIVE, host.span, message, "use `resolution: DNS`");
        }
        let misplaced = self.addresses.first().map(|address| ("addresses", address.span));
        let misplaced =
            misplaced.into_iter().chain(self.endpoints.first().map(|endpoint| ("endpoints", endpoint.span)));
        for (name, span) in misplaced {
            let message =
                format!("`resolution: DYNAMIC_DNS` looks up the host of each request, and `{name}` has no place");
            cx.say(&rules::EXCLUSIVE, span, message, format!("take `{name}` away, or use another resolution"));
        }
        for port in &self.ports {
            if !["HTTP", "HTTP2", "GRPC", "TLS"].contains(&port.protocol().as_str()) {
                let message = "`resolution: DYNAMIC_DNS` needs a protocol that names the host";
                cx.say(&rules::EXCLUSIVE, port.span, message, "write one of: HTTP, HTTP2, GRPC, TLS");
            }
        }
    }

    fn check_endpoints(&self, resolution: Resolution, cx: &mut Reader<'_>) {
        for endpoint in &self.endpoints {
            let address = endpoint.address.as_ref().filter(|address| !address.is_empty());
            let socket = address.is_some_and(|address| address.starts_with("unix://"));
            if let Some(address) = address.filter(|address| !is_ip(address)) {
                match resolution {
                    Resolution::Static if !socket => {
                        let message =
                            format!("with `resolution: STATIC` an endpoint is an IP address, not `{}`", address.value);
                        cx.say(
                            &rules::BAD_VALUE,
                            address.span,
                            message,
                            "write an IP address, or use `resolution: DNS`",
                        );
                    }
                    Resolution::Dns | Resolution::DnsRoundRobin if socket => {
                        let message = "a socket in the file system is nothing to look up";
                        cx.say(
                            &rules::BAD_VALUE,
                            address.span,
                            message,
                            "write a host name, or use `resolution: STATIC`",
                        );
                    }
                    _ => {}
                }
            }
            for (name, _) in &endpoint.ports.0 {
                if !self.ports.iter().any(|port| port.name.value == name.value) {
                    let known: Vec<&str> = self.ports.iter().map(|port| port.name.as_str()).collect();
                    let help = format!("the ports of this entry are: {}", known.join(", "));
                    cx.say(&rules::BAD_VALUE, name.span, format!("the entry has no port named `{}`", name.value), help);
                }
            }
        }
    }
}

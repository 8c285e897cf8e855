//! Service (semantics.md §2.1, §19): a host, its ports, and which workloads stand behind it.

use taut_source::{Node, Text};

use crate::message::{keyword, message};
use crate::read::{At, Labels, List, Reader};
use crate::rules;
use crate::scalar::{IntOrText, Port};

keyword! {
    /// How a service is published.
    pub enum ServiceType {
        /// Inside the cluster.
        ClusterIp = "ClusterIP";
        /// On every node as well.
        NodePort = "NodePort";
        /// Behind a load balancer as well.
        LoadBalancer = "LoadBalancer";
        /// An alias of another host.
        ExternalName = "ExternalName";
    }
}

keyword! {
    /// Which endpoints a service's clients inside the cluster use.
    pub enum InternalTrafficPolicy {
        /// Every one.
        Cluster = "Cluster";
        /// Those on the client's own node.
        Local = "Local", refused("a proxy does not know its node: take it away");
    }
}

keyword! {
    /// Which endpoints are preferred.
    pub enum TrafficDistribution {
        /// Those of the client's zone.
        PreferClose = "PreferClose";
        /// Those of the client's zone.
        PreferSameZone = "PreferSameZone";
        /// Those of the client's node.
        PreferSameNode = "PreferSameNode";
    }
}

message! {
    /// A Kubernetes service.
    pub struct Service open {
        /// Its ports.
        ports: List<ServicePort> = "ports";
        /// The workloads behind it: those that have all of these labels. Without it, endpoints come from EndpointSlices.
        selector: Labels = "selector";
        /// The virtual address; `None` makes the service headless.
        cluster_ip: Option<At<Text>> = "clusterIP";
        /// All virtual addresses.
        cluster_ips: List<At<Text>> = "clusterIPs";
        /// How it is published.
        kind: Option<At<ServiceType>> = "type";
        /// The host that an ExternalName service is an alias of.
        external_name: Option<Box<At<Text>>> = "externalName";
        /// Whether only endpoints on the client's own node are used.
        internal_traffic_policy: Option<At<InternalTrafficPolicy>> = "internalTrafficPolicy";
        /// Which endpoints are preferred.
        traffic_distribution: Option<At<TrafficDistribution>> = "trafficDistribution";
        /// Whether endpoints that are not ready count as if they were.
        publish_not_ready_addresses: Option<At<bool>> = "publishNotReadyAddresses", inert("the cluster writes it into the EndpointSlices");
    }
    where check(Service::check);
}

keyword! {
    /// A transport protocol.
    pub enum ServiceTransport {
        /// TCP.
        Tcp = "TCP";
        /// UDP.
        Udp = "UDP";
        /// SCTP.
        Sctp = "SCTP";
    }
}

message! {
    /// One port of a service.
    pub struct ServicePort open {
        /// Its name, whose part before the first `-` says the protocol.
        name: Option<At<Text>> = "name";
        /// The number that clients use.
        port: At<Port> = "port";
        /// The workload's port, by number or by container port name; the same number if missing.
        target_port: Option<At<IntOrText>> = "targetPort";
        /// TCP, UDP or SCTP.
        protocol: Option<At<ServiceTransport>> = "protocol";
        /// The application protocol; if set, it alone decides.
        app_protocol: Option<Box<At<Text>>> = "appProtocol";
    }
}

impl Service {
    fn check(&self, _: Node<'_>, cx: &mut Reader<'_>) {
        let transport = |port: &ServicePort| port.protocol.map_or(ServiceTransport::Tcp, |protocol| protocol.value);
        for (index, port) in self.ports.iter().enumerate() {
            let same = |other: &ServicePort| other.port.value == port.port.value && transport(other) == transport(port);
            if self.ports[..index].iter().any(same) {
                let message = format!("port {} stands twice", port.port.0);
                cx.say(&rules::DUPLICATE, port.port.span, message, "keep one port of each number and protocol");
            }
            let Some(name) = &port.name else {
                if 1 < self.ports.len() {
                    let message = "a service with several ports needs a name for each";
                    cx.say(&rules::NEEDED, port.span, message, "add `name:`, such as `http-web`");
                }
                continue;
            };
            if self.ports[..index]
                .iter()
                .any(|other| other.name.as_ref().is_some_and(|other| other.value == name.value))
            {
                let message = format!("the port name `{}` stands twice", name.value);
                cx.say(&rules::DUPLICATE, name.span, message, "give each port a name of its own");
            }
        }
    }
}

//! Service (semantics.md §2.1, §19): a host, its ports, and which workloads stand behind it.

use taut_source::Text;

use crate::kind::CheckedRead;
use crate::message::{keyword, message};
use crate::read::{At, Labels};
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

message! {
    /// A Kubernetes service.
    pub struct Service open {
        /// Its ports.
        ports: Vec<ServicePort> = "ports";
        /// The workloads behind it: those that have all of these labels. Without it, endpoints come from EndpointSlices.
        selector: Labels = "selector";
        /// The virtual address; `None` makes the service headless.
        cluster_ip: Option<At<Text>> = "clusterIP";
        /// All virtual addresses.
        cluster_ips: Vec<At<Text>> = "clusterIPs";
        /// How it is published.
        kind: Option<At<ServiceType>> = "type";
        /// The host that an ExternalName service is an alias of.
        external_name: Option<At<Text>> = "externalName";
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
        protocol: Option<At<Text>> = "protocol";
        /// The application protocol; if set, it alone decides.
        app_protocol: Option<At<Text>> = "appProtocol";
    }
}

impl CheckedRead for Service {}

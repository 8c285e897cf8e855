//! WorkloadEntry (semantics.md §8): a workload outside Kubernetes.

use taut_source::{Node, Text};

use crate::grammar::{ENTRY_ADDRESS, LABEL_KEY, LABEL_VALUE, PORT_KEY};
use crate::message::message;
use crate::read::{At, Labels, Named, Reader};
use crate::rules;
use crate::scalar::Port;

message! {
    /// One workload: an address with labels and an identity. Also an endpoint of a ServiceEntry.
    pub struct WorkloadEntry {
        /// An IP address, or a host name for services that resolve names.
        address: Option<At<Text>> = "address", chars(..=256), if_set(ENTRY_ADDRESS);
        /// Ports to dial, by the names of the service's ports.
        ports: Named<At<Port>> = "ports", items(..=128), keys(PORT_KEY);
        /// Labels, which selectors and subsets compare; those of the metadata go before them.
        labels: Labels = "labels", items(..=256), keys(LABEL_KEY), is(LABEL_VALUE);
        /// The network it is in.
        network: Option<At<Text>> = "network", chars(..=2048), refused("all endpoints must be reachable directly: leave `network` out");
        /// Region, zone and subzone.
        locality: Option<At<Text>> = "locality", chars(..=2048);
        /// Its share of the traffic, 1 if missing.
        weight: Option<At<u32>> = "weight";
        /// The service account it runs as; with it, the mesh speaks mTLS to it.
        service_account: Option<At<Text>> = "serviceAccount", chars(..=253);
    }
    where check(WorkloadEntry::check);
}

impl WorkloadEntry {
    fn check(&self, _: Node<'_>, cx: &mut Reader<'_>) {
        // The template of a group has no address: each workload brings its own.
        let is_template = cx.subject.as_ref().is_some_and(|subject| subject.kind().as_str() == "WorkloadGroup");
        let address = self.address.as_ref().map_or("", |address| address.as_str());
        if address.is_empty() && self.network.is_none() && !is_template {
            let help = "add `address:` with an IP address or a host name";
            cx.say(&rules::NEEDED, self.span, "a workload needs an address", help);
        }
        if let Some((name, _)) = self.ports.0.first().filter(|_| address.starts_with("unix://")) {
            cx.say(&rules::EXCLUSIVE, name.span, "a socket in the file system has no ports", "take `ports` away");
        }
    }
}

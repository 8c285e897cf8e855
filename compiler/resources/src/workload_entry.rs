//! WorkloadEntry (semantics.md §8): a workload outside Kubernetes.

use taut_source::Text;

use crate::kind::CheckedRead;
use crate::message::message;
use crate::read::{At, Labels, Named};
use crate::rules;
use crate::scalar::Port;

message! {
    /// One workload: an address with labels and an identity. Also an endpoint of a ServiceEntry.
    pub struct WorkloadEntry {
        /// An IP address, or a host name for services that resolve names.
        address: Option<At<Text>> = "address";
        /// Ports to dial, by the names of the service's ports.
        ports: Named<At<Port>> = "ports";
        /// Labels, which selectors and subsets compare; those of the metadata go before them.
        labels: Labels = "labels";
        /// The network it is in.
        network: Option<At<Text>> = "network", refused("all endpoints must be reachable directly: leave `network` out");
        /// Region, zone and subzone.
        locality: Option<At<Text>> = "locality", refused("locality does not yet steer traffic: leave `locality` out");
        /// Its share of the traffic, 1 if missing.
        weight: Option<At<u32>> = "weight";
        /// The service account it runs as; with it, the mesh speaks mTLS to it.
        service_account: Option<At<Text>> = "serviceAccount";
    }
}

impl CheckedRead for WorkloadEntry {
    fn check(&self, cx: &mut crate::Reader<'_>) {
        if self.address.as_ref().is_none_or(|address| address.is_empty()) && self.network.is_none() {
            let help = "add `address:` with an IP address or a host name".into();
            cx.report(&rules::BAD_VALUE, self.span, "a workload needs an address".into(), help);
        }
    }
}

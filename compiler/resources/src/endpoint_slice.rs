//! EndpointSlice (semantics.md §19): declared endpoints of a Kubernetes service.

use taut_source::Text;

use crate::message::message;
use crate::read::{At, List};
use crate::scalar::Port;

message! {
    /// Endpoints of the service that the label `kubernetes.io/service-name` names.
    pub struct EndpointSlice open {
        /// IPv4, IPv6 or FQDN.
        address_type: Option<At<Text>> = "addressType";
        /// The endpoints.
        endpoints: List<SliceEndpoint> = "endpoints";
        /// Their ports, by the names of the service's ports.
        ports: List<SlicePort> = "ports";
    }
}

message! {
    /// One endpoint.
    pub struct SliceEndpoint open {
        /// Its addresses, of which any will do.
        addresses: List<At<Text>> = "addresses";
        /// Its state.
        conditions: Option<SliceConditions> = "conditions";
    }
}

message! {
    /// The state of an endpoint.
    pub struct SliceConditions open {
        /// False takes it out of balancing.
        ready: Option<At<bool>> = "ready";
        /// True takes it out for good.
        terminating: Option<At<bool>> = "terminating";
    }
}

message! {
    /// A port that all endpoints of the slice have.
    pub struct SlicePort open {
        /// The name of the service's port.
        name: Option<At<Text>> = "name";
        /// The number to dial.
        port: Option<At<Port>> = "port";
    }
}

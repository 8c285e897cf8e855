//! MeshNetworks: which endpoints are in which network, and how one is reached from another.

use taut_source::Text;

use crate::grammar::IP_OR_BLOCK;
use crate::message::message;
use crate::read::{At, List, Named};
use crate::scalar::Port;

message! {
    /// The networks of a mesh.
    pub struct MeshNetworks {
        /// By name.
        networks: Named<Network> = "networks", refused("all endpoints must be reachable directly: leave it out");
    }
}

message! {
    /// One network.
    pub struct Network {
        /// Its endpoints.
        endpoints: List<NetworkEndpoints> = "endpoints";
        /// The ways into it.
        gateways: List<NetworkGateway> = "gateways";
    }
}

message! {
    /// Some endpoints.
    pub struct NetworkEndpoints {
        /// Those in a block of addresses.
        from_cidr: Option<At<Text>> = "fromCidr", is(IP_OR_BLOCK);
        /// Those of a cluster.
        from_registry: Option<At<Text>> = "fromRegistry";
    }
    where at_most_one("fromCidr", "fromRegistry");
}

message! {
    /// A way into a network.
    pub struct NetworkGateway {
        /// By the name of a service.
        registry_service_name: Option<At<Text>> = "registryServiceName";
        /// By address.
        address: Option<At<Text>> = "address";
        /// The port.
        port: At<Port> = "port";
        /// Where it is.
        locality: Option<At<Text>> = "locality";
    }
    where at_most_one("registryServiceName", "address");
}

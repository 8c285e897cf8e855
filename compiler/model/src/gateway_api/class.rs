//! Which Gateways are the mesh's: those of a class that Istio looks after (semantics.md §18.1).

use std::collections::HashMap;

use taut_resources::gateway_api::GatewayClass;

use crate::Text;
use crate::mesh::Of;

/// A class of the mesh.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    /// Gateways at the edge.
    Gateway,
    /// Gateways of another cluster: nothing is run for them here.
    Remote,
    /// Waypoints of the ambient mesh.
    Waypoint,
    /// Gateways between ambient clusters.
    EastWest,
}

impl Class {
    fn of_controller(name: &str) -> Option<Class> {
        Some(match name {
            "istio.io/gateway-controller" => Class::Gateway,
            "istio.io/unmanaged-gateway" => Class::Remote,
            "istio.io/mesh-controller" => Class::Waypoint,
            "istio.io/eastwest-controller" => Class::EastWest,
            _ => return None,
        })
    }

    fn of_name(name: &str) -> Option<Class> {
        Some(match name {
            "istio" => Class::Gateway,
            "istio-remote" => Class::Remote,
            "istio-waypoint" => Class::Waypoint,
            "istio-east-west" => Class::EastWest,
            _ => return None,
        })
    }
}

/// The classes that are declared, by name: none of it for those of another controller.
pub(crate) struct Classes(HashMap<Text, Option<Class>>);

impl Classes {
    pub(crate) fn new<'r>(declared: impl Iterator<Item = Of<'r, GatewayClass>>) -> Classes {
        Classes(declared.map(|it| (it.name().clone(), Class::of_controller(&it.spec.controller_name))).collect())
    }

    /// The class of a name. Istio's own need no declaration; one that is declared is what it says.
    pub(crate) fn find(&self, name: &str) -> Option<Class> {
        self.0.get(name).copied().unwrap_or_else(|| Class::of_name(name))
    }
}

//! GatewayClass: who looks after a Gateway (semantics.md §18.1).

use taut_source::Text;

use super::ObjectRef;
use crate::grammar::CONTROLLER;
use crate::message::message;
use crate::read::At;

message! {
    /// Who looks after Gateways of this class.
    pub struct GatewayClass {
        /// The controller.
        controller_name: At<Text> = "controllerName", chars(1..=253), is(CONTROLLER);
        /// What it is, for people.
        description: Option<At<Text>> = "description", chars(..=64);
        /// What the controller is told.
        parameters_ref: Option<ObjectRef> = "parametersRef";
    }
}

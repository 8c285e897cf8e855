//! Ingress and IngressClass (semantics.md §19): the oldest way into a cluster.

use taut_source::{Node, Text};

use crate::grammar::{HOSTNAME, LABEL};
use crate::message::{keyword, message};
use crate::read::{At, List, Reader};
use crate::rules;
use crate::scalar::{FreeForm, Port};

message! {
    /// Paths of some hosts, and the services behind them.
    pub struct Ingress {
        /// The IngressClass.
        ingress_class_name: Option<At<Text>> = "ingressClassName";
        /// What no rule has.
        default_backend: Option<IngressBackend> = "defaultBackend", inert("Istio does not read it either: write a rule without host");
        /// Certificates.
        tls: List<IngressTls> = "tls";
        /// The rules.
        rules: List<IngressRule> = "rules";
    }
}

message! {
    /// A certificate for some hosts.
    pub struct IngressTls {
        /// The hosts; every one if empty.
        hosts: List<At<Text>> = "hosts";
        /// The Secret.
        secret_name: Option<At<Text>> = "secretName";
    }
}

message! {
    /// The paths of one host.
    pub struct IngressRule {
        /// The host; every one if missing.
        host: Option<At<Text>> = "host", if_set(HOSTNAME);
        /// Its paths.
        http: Option<IngressPaths> = "http";
    }
}

message! {
    /// Paths.
    pub struct IngressPaths {
        /// The paths.
        paths: List<IngressPath> = "paths", required, items(1..);
    }
}

keyword! {
    /// How a path is compared.
    pub enum IngressPathType {
        /// Equality.
        Exact = "Exact";
        /// Whole segments at the start.
        Prefix = "Prefix";
        /// As the controller likes.
        ImplementationSpecific = "ImplementationSpecific";
    }
}

message! {
    /// One path.
    pub struct IngressPath {
        /// The path.
        path: Option<At<Text>> = "path";
        /// How it is compared.
        path_type: At<IngressPathType> = "pathType";
        /// Where requests go.
        backend: IngressBackend = "backend";
    }
    where check(IngressPath::check);
}

message! {
    /// Where requests go.
    pub struct IngressBackend {
        /// To a service.
        service: Option<IngressService> = "service";
        /// To something else.
        resource: Option<FreeForm> = "resource", inert("Istio does not read it either: write `service`");
    }
    where exactly_one("service", "resource");
}

message! {
    /// A service.
    pub struct IngressService {
        /// Its name.
        name: At<Text> = "name", is(LABEL);
        /// Its port.
        port: Option<IngressPort> = "port";
    }
}

message! {
    /// A port, by name or number.
    pub struct IngressPort {
        /// Its name.
        name: Option<At<Text>> = "name";
        /// Its number.
        number: Option<At<Port>> = "number";
    }
    where exactly_one("name", "number");
}

impl IngressPath {
    fn check(&self, _: Node<'_>, cx: &mut Reader<'_>) {
        let own = self.path_type.value == IngressPathType::ImplementationSpecific;
        if own {
            return;
        }
        let path = self.path.as_ref().map_or("", |path| path.as_str());
        if !path.starts_with('/') {
            let span = self.path.as_ref().map_or(self.span, |path| path.span);
            let message = format!("`{path}` does not start with `/`, as a path of type {} does", self.path_type.word());
            cx.say(&rules::BAD_VALUE, span, message, format!("write `/{path}`"));
        }
    }
}

message! {
    /// Who looks after Ingresses of this class.
    pub struct IngressClass open {
        /// The controller.
        controller: Option<At<Text>> = "controller";
    }
}

//! Gateway of the Gateway API (semantics.md §18.2).

use taut_source::{Node, Text};

use super::{Listener, LocalRef, ObjectRef, SecretRef, listener::check_distinct};
use crate::grammar::{ADDRESS_TYPE, HOSTNAME, LABEL_KEY, LABEL_VALUE, is_ip};
use crate::message::{keyword, message};
use crate::read::{At, Labels, List, Reader};
use crate::rules;
use crate::scalar::Port;
use crate::selector::LabelSelector;

message! {
    /// Listeners, and who looks after them.
    pub struct Gateway {
        /// The GatewayClass.
        gateway_class_name: At<Text> = "gatewayClassName", chars(1..=253);
        /// The listeners.
        listeners: List<Listener> = "listeners", required, items(1..=64), unique("name");
        /// Addresses that it should have.
        addresses: List<GatewayAddress> = "addresses", items(..=16);
        /// What is made for it.
        infrastructure: Option<Infrastructure> = "infrastructure";
        /// Which ListenerSets may add to it.
        allowed_listeners: Option<AllowedListeners> = "allowedListeners";
        /// TLS for all listeners.
        tls: Option<GatewayTls> = "tls";
        /// Whether routes without parents are its own.
        default_scope: Option<At<super::DefaultGateways>> = "defaultScope", refused("let routes name the Gateway in `parentRefs`");
    }
    where check(Gateway::check);
}

message! {
    /// An address.
    pub struct GatewayAddress {
        /// IPAddress or Hostname.
        kind: At<Text> = "type", chars(1..=253), is(ADDRESS_TYPE), default(Text::new("IPAddress"));
        /// The address; any if missing.
        value: Option<At<Text>> = "value", chars(..=253);
    }
    where check(GatewayAddress::check);
}

message! {
    /// What is made for a Gateway.
    pub struct Infrastructure {
        /// Its labels.
        labels: Labels = "labels", inert("it is for what a controller makes in a cluster; workloads are what the repository declares"), items(..=8), keys(LABEL_KEY), is(LABEL_VALUE);
        /// Its annotations.
        annotations: Labels = "annotations", inert("it is for what a controller makes in a cluster; workloads are what the repository declares"), items(..=16), keys(LABEL_KEY), chars(..=4096);
        /// What the controller is told.
        parameters_ref: Option<LocalRef> = "parametersRef";
    }
}

message! {
    /// Which ListenerSets may add to a Gateway.
    pub struct AllowedListeners {
        /// From which namespaces.
        namespaces: Option<ListenerNamespaces> = "namespaces";
    }
}

keyword! {
    /// Which namespaces.
    pub enum ListenersFrom {
        /// Every one.
        All = "All";
        /// Those with some labels.
        Selector = "Selector";
        /// The same.
        Same = "Same";
        /// None at all.
        None = "None";
    }
}

message! {
    /// The namespaces whose ListenerSets may add to a Gateway.
    pub struct ListenerNamespaces {
        /// Which; None if missing.
        from: Option<At<ListenersFrom>> = "from";
        /// Those with these labels.
        selector: Option<LabelSelector> = "selector";
    }
}

message! {
    /// TLS for all listeners.
    pub struct GatewayTls {
        /// Towards backends.
        backend: Option<GatewayBackendTls> = "backend";
        /// Towards clients.
        frontend: Option<FrontendTls> = "frontend";
    }
}

message! {
    /// TLS towards backends.
    pub struct GatewayBackendTls {
        /// The gateway's own certificate.
        client_certificate_ref: Option<SecretRef> = "clientCertificateRef";
    }
}

message! {
    /// TLS towards clients.
    pub struct FrontendTls {
        /// On all ports.
        default: FrontendValidation = "default";
        /// On some ports.
        per_port: List<FrontendPort> = "perPort", items(..=64), unique("port");
    }
}

message! {
    /// TLS towards clients on one port.
    pub struct FrontendPort {
        /// The port.
        port: At<Port> = "port";
        /// How clients are checked.
        tls: FrontendValidation = "tls";
    }
}

message! {
    /// How clients are checked.
    pub struct FrontendValidation {
        /// By their certificates.
        validation: Option<ClientValidation> = "validation";
    }
}

keyword! {
    /// What happens to clients without a good certificate.
    pub enum ClientValidationMode {
        /// They are refused.
        AllowValidOnly = "AllowValidOnly";
        /// They pass.
        AllowInsecureFallback = "AllowInsecureFallback";
    }
}

message! {
    /// How the certificates of clients are checked.
    pub struct ClientValidation {
        /// The roots.
        ca_certificate_refs: List<ObjectRef> = "caCertificateRefs", required, items(1..=16);
        /// What happens to other clients; AllowValidOnly if missing.
        mode: Option<At<ClientValidationMode>> = "mode";
    }
}

impl Gateway {
    fn check(&self, _: Node<'_>, cx: &mut Reader<'_>) {
        check_distinct(&self.listeners, cx);
        for (index, address) in self.addresses.iter().enumerate() {
            let Some(value) = &address.value else { continue };
            let same = |other: &GatewayAddress| {
                other.kind.value == address.kind.value && other.value.as_ref().is_some_and(|it| it.value == value.value)
            };
            if self.addresses[..index].iter().any(same) {
                cx.say(
                    &rules::DUPLICATE,
                    value.span,
                    format!("`{}` stands here twice", value.value),
                    "write each once",
                );
            }
        }
    }
}

impl GatewayAddress {
    fn check(&self, _: Node<'_>, cx: &mut Reader<'_>) {
        let Some(value) = &self.value else { return };
        let (holds, what) = match self.kind.as_str() {
            "IPAddress" => (is_ip(value), "an IP address"),
            "Hostname" => (value.is_empty() || (HOSTNAME.holds)(value), "a host name"),
            _ => return,
        };
        if !holds {
            let message = format!("`{}` is not {what}", value.value);
            cx.say(&rules::BAD_VALUE, value.span, message, format!("write {what}, or change `type`"));
        }
    }
}

//! DestinationRule (semantics.md §4): how clients talk to a service, and its subsets.
//!
//! Owns: the rule, its subsets and the parts of a policy that are not a folder's own: tunnels, PROXY headers, budgets.

mod balancer;
mod client_tls;
mod connection_pool;
mod locality;
mod outlier_detection;

use taut_source::{Node, Text};

use crate::DurationOrZero;
use crate::export_to::check_export_to;
use crate::grammar::{FQDN_OR_IP, LABEL, LABEL_KEY, LABEL_VALUE, WILDCARD_HOST};
use crate::message::{keyword, message};
use crate::read::{At, Labels, List, Reader};
use crate::rules;
use crate::scalar::{Port, PortRef};
use crate::selector::Selector;

pub use balancer::*;
pub use client_tls::*;
pub use connection_pool::*;
pub use locality::*;
pub use outlier_detection::*;

message! {
    /// How clients talk to the service of a host.
    pub struct DestinationRule {
        /// The service. A short name is one of the object's own namespace.
        host: At<Text> = "host", is(WILDCARD_HOST);
        /// For all of its ports and subsets.
        traffic_policy: Option<Box<TrafficPolicy>> = "trafficPolicy";
        /// Parts of the service, by labels.
        subsets: List<Subset> = "subsets", unique("name");
        /// The namespaces whose proxies may use it.
        export_to: List<At<Text>> = "exportTo";
        /// The clients it is for.
        workload_selector: Option<Selector> = "workloadSelector", refused("put the rule in the clients' own namespace");
    }
    where check(DestinationRule::check);
}

message! {
    /// A part of a service.
    pub struct Subset {
        /// Its name.
        name: At<Text> = "name", is(LABEL);
        /// Its endpoints have all of these labels.
        labels: Labels = "labels", keys(LABEL_KEY), is(LABEL_VALUE);
        /// Replaces parts of the rule's policy.
        traffic_policy: Option<Box<TrafficPolicy>> = "trafficPolicy";
    }
}

message! {
    /// How to talk to endpoints.
    pub struct TrafficPolicy {
        /// Which endpoint gets the next request.
        load_balancer: Option<Box<LoadBalancer>> = "loadBalancer";
        /// Limits.
        connection_pool: Option<Box<ConnectionPool>> = "connectionPool";
        /// When to leave an endpoint out.
        outlier_detection: Option<Box<OutlierDetection>> = "outlierDetection";
        /// TLS towards the endpoints; automatic mTLS if missing.
        tls: Option<Box<ClientTls>> = "tls";
        /// For one port, in place of everything above.
        port_level_settings: List<PortPolicy> = "portLevelSettings", items(..=4096);
        /// Goes through a proxy.
        tunnel: Option<Box<Tunnel>> = "tunnel", refused("let the proxy be the destination of a route");
        /// Writes a PROXY header.
        proxy_protocol: Option<Box<ProxyProtocol>> = "proxyProtocol", refused("the client's address is in `x-forwarded-for`");
        /// Limits retries in proportion to requests.
        retry_budget: Option<Box<RetryBudget>> = "retryBudget";
    }
    where at_least_one("loadBalancer", "connectionPool", "outlierDetection", "tls", "portLevelSettings", "tunnel", "proxyProtocol", "retryBudget"),
        at_most_one("tunnel", "proxyProtocol"), check(TrafficPolicy::check);
}

message! {
    /// How to talk to one port.
    pub struct PortPolicy {
        /// The service port.
        port: PortRef = "port";
        /// Which endpoint gets the next request.
        load_balancer: Option<Box<LoadBalancer>> = "loadBalancer";
        /// Limits.
        connection_pool: Option<Box<ConnectionPool>> = "connectionPool";
        /// When to leave an endpoint out.
        outlier_detection: Option<Box<OutlierDetection>> = "outlierDetection";
        /// TLS towards the endpoints.
        tls: Option<Box<ClientTls>> = "tls";
    }
    where at_least_one("loadBalancer", "connectionPool", "outlierDetection", "tls"), check(PortPolicy::check);
}

message! {
    /// A proxy that connections go through.
    pub struct Tunnel {
        /// CONNECT, or POST.
        protocol: Option<At<Text>> = "protocol";
        /// What the proxy is asked for.
        target_host: At<Text> = "targetHost", is(FQDN_OR_IP);
        /// On which port.
        target_port: At<Port> = "targetPort";
    }
    where check(Tunnel::check);
}

keyword! {
    /// A version of the PROXY protocol.
    pub enum ProxyProtocolVersion {
        /// As text.
        V1 = "V1";
        /// As bytes.
        V2 = "V2";
    }
}

message! {
    /// A header before the first byte of a connection.
    pub struct ProxyProtocol {
        /// How it is written; V1 if missing.
        version: Option<At<ProxyProtocolVersion>> = "version";
    }
}

message! {
    /// How many retries may be under way, in proportion to requests.
    pub struct RetryBudget {
        /// In percent of the requests; 20 if missing.
        percent: Option<At<f64>> = "percent", range(0..=100);
        /// At least this many; 3 if missing.
        min_retry_concurrency: Option<At<u32>> = "minRetryConcurrency";
        /// How long requests count; those under way alone if missing or zero.
        budget_interval: Option<At<DurationOrZero>> = "budgetInterval";
    }
}

impl DestinationRule {
    fn check(&self, _: Node<'_>, cx: &mut Reader<'_>) {
        check_export_to(&self.export_to, false, cx);
        if self.workload_selector.is_none() {
            return;
        }
        let own = cx.namespace();
        for entry in self.export_to.iter().filter(|entry| entry.value != "." && entry.value != own) {
            let message = "a rule with a `workloadSelector` is for clients of its own namespace alone";
            cx.say(&rules::EXCLUSIVE, entry.span, message, "write `.`, or leave `exportTo` out");
        }
    }
}

/// Failover by locality has nothing to go by where no endpoint is ever left out (semantics.md §4.1).
fn check_failover(balancer: Option<&LoadBalancer>, outliers: Option<&OutlierDetection>, cx: &mut Reader<'_>) {
    let setting = balancer.and_then(|balancer| balancer.locality_lb_setting.as_ref());
    if let Some(setting) = setting.filter(|setting| outliers.is_none() && setting.fails_over()) {
        let message = "failover does nothing without `outlierDetection`";
        cx.say(&rules::DOUBTFUL, setting.span, message, "add `outlierDetection:` beside `loadBalancer`");
    }
}

impl TrafficPolicy {
    fn check(&self, _: Node<'_>, cx: &mut Reader<'_>) {
        check_failover(self.load_balancer.as_deref(), self.outlier_detection.as_deref(), cx);
    }
}

impl PortPolicy {
    fn check(&self, _: Node<'_>, cx: &mut Reader<'_>) {
        check_failover(self.load_balancer.as_deref(), self.outlier_detection.as_deref(), cx);
    }
}

impl Tunnel {
    fn check(&self, _: Node<'_>, cx: &mut Reader<'_>) {
        let known = |protocol: &&At<Text>| matches!(protocol.as_str(), "" | "CONNECT" | "POST");
        if let Some(protocol) = self.protocol.as_ref().filter(|protocol| !known(protocol)) {
            let message = format!("`{}` is no way to ask a proxy", protocol.value);
            cx.say(&rules::BAD_VALUE, protocol.span, message, "write CONNECT or POST");
        }
    }
}

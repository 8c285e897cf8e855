//! WorkloadGroup (semantics.md §8): what workloads outside Kubernetes have in common.

use taut_source::{Node, Text};

use crate::WorkloadEntry;
use crate::grammar::{LABEL_KEY, LABEL_VALUE, PLAIN_HEADER};
use crate::message::message;
use crate::read::{At, Labels, List, Reader};
use crate::rules;
use crate::scalar::Port;

message! {
    /// A template for workloads that register themselves.
    pub struct WorkloadGroup {
        /// Their labels and annotations.
        metadata: Option<GroupMetadata> = "metadata";
        /// Everything else of them.
        template: WorkloadEntry = "template";
        /// How their health is found out.
        probe: Option<Probe> = "probe";
    }
    where check(WorkloadGroup::check);
}

message! {
    /// Labels and annotations of workloads that register themselves.
    pub struct GroupMetadata {
        /// Labels.
        labels: Labels = "labels", items(..=256), keys(LABEL_KEY), is(LABEL_VALUE);
        /// Annotations.
        annotations: Labels = "annotations", items(..=256);
    }
}

message! {
    /// How the health of a workload is found out.
    pub struct Probe {
        /// How long to wait before the first try.
        initial_delay_seconds: Option<At<i32>> = "initialDelaySeconds", range(0..);
        /// How long a try may take; 1 if missing.
        timeout_seconds: Option<At<i32>> = "timeoutSeconds", range(0..);
        /// How long between two tries; 10 if missing.
        period_seconds: Option<At<i32>> = "periodSeconds", range(0..);
        /// How many tries in a row make it healthy; 1 if missing.
        success_threshold: Option<At<i32>> = "successThreshold", range(0..);
        /// How many failures in a row make it unhealthy; 1 if missing.
        failure_threshold: Option<At<i32>> = "failureThreshold", range(0..);
        /// Asks for a page.
        http_get: Option<HttpProbe> = "httpGet";
        /// Connects.
        tcp_socket: Option<TcpProbe> = "tcpSocket";
        /// Runs a command.
        exec: Option<ExecProbe> = "exec";
        /// Asks by gRPC.
        grpc: Option<GrpcProbe> = "grpc";
    }
    where at_most_one("httpGet", "tcpSocket", "exec", "grpc"), at_least_one("httpGet", "tcpSocket", "exec", "grpc"), check(Probe::check);
}

message! {
    /// Asks for a page.
    pub struct HttpProbe {
        /// Its path; `/` if missing.
        path: Option<At<Text>> = "path";
        /// The port.
        port: At<Port> = "port";
        /// The host.
        host: Option<At<Text>> = "host";
        /// HTTP or HTTPS.
        scheme: Option<At<Text>> = "scheme";
        /// Headers to send.
        http_headers: List<ProbeHeader> = "httpHeaders";
    }
    where check(HttpProbe::check);
}

message! {
    /// A header of a probe.
    pub struct ProbeHeader {
        /// Its name.
        name: Option<At<Text>> = "name", is(PLAIN_HEADER);
        /// Its value.
        value: Option<At<Text>> = "value";
    }
}

message! {
    /// Connects.
    pub struct TcpProbe {
        /// To which host.
        host: Option<At<Text>> = "host";
        /// To which port.
        port: At<Port> = "port";
    }
}

message! {
    /// Runs a command.
    pub struct ExecProbe {
        /// The command and its arguments.
        command: List<At<Text>> = "command", required, items(1..), chars(1..);
    }
}

message! {
    /// Asks by gRPC.
    pub struct GrpcProbe {
        /// The port.
        port: Option<At<Port>> = "port";
        /// The service to ask about.
        service: Option<At<Text>> = "service";
    }
}

impl WorkloadGroup {
    fn check(&self, _: Node<'_>, cx: &mut Reader<'_>) {
        if let Some(address) = self.template.address.as_ref().filter(|address| !address.is_empty()) {
            let message = "the address of a template is never used: each workload brings its own";
            cx.say(&rules::DOUBTFUL, address.span, message, "take it away, or write a WorkloadEntry");
        }
    }
}

impl Probe {
    fn check(&self, _: Node<'_>, cx: &mut Reader<'_>) {
        if let Some(grpc) = &self.grpc {
            // The schema has it, and the webhook does not know it (semantics.md §8).
            cx.say(
                &rules::BAD_VALUE,
                grpc.span,
                "a probe by gRPC is refused by Istio's webhook",
                "use `httpGet`, `tcpSocket` or `exec`",
            );
        }
    }
}

impl HttpProbe {
    fn check(&self, _: Node<'_>, cx: &mut Reader<'_>) {
        let known = |scheme: &&At<Text>| matches!(scheme.as_str(), "" | "HTTP" | "HTTPS");
        if let Some(scheme) = self.scheme.as_ref().filter(|scheme| !known(scheme)) {
            cx.say(
                &rules::BAD_VALUE,
                scheme.span,
                format!("`{}` is no scheme of a probe", scheme.value),
                "write HTTP or HTTPS",
            );
        }
    }
}

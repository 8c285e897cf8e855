//! Telemetry (semantics.md §12): what is measured, logged and traced.

use taut_source::{Node, Text};

use crate::Duration;
use crate::log_filter::{FilterAttribute, parse_log_filter, parse_request_text};
use crate::message::{keyword, message};
use crate::read::{At, List, Named, Reader};
use crate::rules;
use crate::selector::{Selector, TargetRef};

message! {
    /// What is measured, logged and traced of some workloads.
    pub struct Telemetry {
        /// The workloads; all of the namespace if missing, all of the mesh in the root namespace.
        selector: Option<Selector> = "selector";
        /// A Gateway instead of workloads.
        target_ref: Option<Box<TargetRef>> = "targetRef";
        /// Gateways instead of workloads.
        target_refs: List<TargetRef> = "targetRefs", items(..=16);
        /// Traces.
        tracing: List<Tracing> = "tracing";
        /// Metrics.
        metrics: List<Metrics> = "metrics";
        /// Access logs.
        access_logging: List<AccessLogging> = "accessLogging";
    }
    where at_most_one("selector", "targetRef", "targetRefs");
}

keyword! {
    /// Which side of a connection.
    pub enum WorkloadMode {
        /// Both.
        ClientAndServer = "CLIENT_AND_SERVER";
        /// The client's, and gateways.
        Client = "CLIENT";
        /// The server's.
        Server = "SERVER";
    }
}

message! {
    /// Which side of a connection.
    pub struct ModeMatch {
        /// Both if missing.
        mode: Option<At<WorkloadMode>> = "mode";
    }
}

message! {
    /// A provider that MeshConfig declares.
    pub struct ProviderRef {
        /// Its name.
        name: At<Text> = "name", chars(1..);
    }
}

message! {
    /// How requests are traced.
    pub struct Tracing {
        /// On which side.
        matches: Option<ModeMatch> = "match";
        /// To whom; only the first counts.
        providers: List<ProviderRef> = "providers";
        /// How many percent of the requests.
        random_sampling_percentage: Option<At<f64>> = "randomSamplingPercentage", range(0..=100);
        /// Whether spans are kept back.
        disable_span_reporting: Option<At<bool>> = "disableSpanReporting";
        /// Tags of every span, by name.
        custom_tags: Named<CustomTag> = "customTags";
        /// Whether the request's id says if it is traced.
        use_request_id_for_trace_sampling: Option<At<bool>> = "useRequestIdForTraceSampling";
        /// Whether spans say where in the mesh they are from.
        enable_istio_tags: Option<At<bool>> = "enableIstioTags";
        /// Whether the trace ends here.
        disable_context_propagation: Option<At<bool>> = "disableContextPropagation";
    }
    where check(Tracing::check);
}

message! {
    /// Where the value of a tag comes from.
    pub struct CustomTag {
        /// From here.
        literal: Option<LiteralTag> = "literal";
        /// From the proxy's environment.
        environment: Option<LookedUpTag> = "environment";
        /// From a header of the request.
        header: Option<LookedUpTag> = "header";
        /// From a format.
        formatter: Option<LiteralTag> = "formatter", refused("use `literal`, `environment` or `header`");
    }
    where at_most_one("literal", "environment", "header", "formatter");
}

message! {
    /// A value as it stands.
    pub struct LiteralTag {
        /// The value.
        value: At<Text> = "value", chars(1..);
    }
}

message! {
    /// A value that is looked up.
    pub struct LookedUpTag {
        /// Where.
        name: At<Text> = "name", chars(1..);
        /// The value if there is none.
        default_value: Option<At<Text>> = "defaultValue";
    }
}

message! {
    /// How requests are measured.
    pub struct Metrics {
        /// For whom.
        providers: List<ProviderRef> = "providers";
        /// What is different from the standard.
        overrides: List<MetricsOverride> = "overrides";
        /// How often TCP is measured.
        reporting_interval: Option<At<Duration>> = "reportingInterval", refused("bytes of a connection are counted when it ends: leave it out");
    }
    where check(Metrics::check);
}

keyword! {
    /// A standard metric.
    pub enum Metric {
        /// Every one.
        All = "ALL_METRICS";
        /// `istio_requests_total`.
        RequestCount = "REQUEST_COUNT";
        /// `istio_request_duration_milliseconds`.
        RequestDuration = "REQUEST_DURATION";
        /// `istio_request_bytes`.
        RequestSize = "REQUEST_SIZE";
        /// `istio_response_bytes`.
        ResponseSize = "RESPONSE_SIZE";
        /// `istio_tcp_connections_opened_total`.
        TcpOpened = "TCP_OPENED_CONNECTIONS";
        /// `istio_tcp_connections_closed_total`.
        TcpClosed = "TCP_CLOSED_CONNECTIONS";
        /// `istio_tcp_sent_bytes_total`.
        TcpSent = "TCP_SENT_BYTES";
        /// `istio_tcp_received_bytes_total`.
        TcpReceived = "TCP_RECEIVED_BYTES";
        /// `istio_request_messages_total`.
        GrpcRequests = "GRPC_REQUEST_MESSAGES";
        /// `istio_response_messages_total`.
        GrpcResponses = "GRPC_RESPONSE_MESSAGES";
    }
}

message! {
    /// What is different of some metrics.
    pub struct MetricsOverride {
        /// Which; all if missing.
        matches: Option<MetricMatch> = "match";
        /// Whether they are left out.
        disabled: Option<At<bool>> = "disabled";
        /// Their tags, by name.
        tag_overrides: Named<TagOverride> = "tagOverrides";
    }
}

message! {
    /// Some metrics.
    pub struct MetricMatch {
        /// A standard one.
        metric: Option<At<Metric>> = "metric";
        /// One of the provider's own.
        custom_metric: Option<At<Text>> = "customMetric", chars(1..), refused("name a standard metric with `metric`");
        /// On which side.
        mode: Option<At<WorkloadMode>> = "mode";
    }
    where at_most_one("metric", "customMetric");
}

keyword! {
    /// What happens to a tag.
    pub enum TagOperation {
        /// It gets a value.
        Upsert = "UPSERT";
        /// It goes away.
        Remove = "REMOVE";
    }
}

message! {
    /// What happens to a tag.
    pub struct TagOverride {
        /// UPSERT if missing.
        operation: Option<At<TagOperation>> = "operation";
        /// The value, as an expression.
        value: Option<At<Text>> = "value";
    }
    where check(TagOverride::check);
}

message! {
    /// How requests are logged.
    pub struct AccessLogging {
        /// On which side.
        matches: Option<ModeMatch> = "match";
        /// To whom.
        providers: List<ProviderRef> = "providers";
        /// Whether they are not.
        disabled: Option<At<bool>> = "disabled";
        /// Which of them.
        filter: Option<LogFilter> = "filter";
    }
}

message! {
    /// Which requests are logged.
    pub struct LogFilter {
        /// A condition in CEL.
        expression: Option<At<Text>> = "expression";
    }
    where check(LogFilter::check);
}

impl Tracing {
    fn check(&self, _: Node<'_>, cx: &mut Reader<'_>) {
        if let Some(second) = self.providers.get(1) {
            cx.say(&rules::DOUBTFUL, second.span, "only the first provider of traces counts", "keep one");
        }
        for (name, _) in self.custom_tags.0.iter().filter(|(name, _)| name.value.is_empty()) {
            cx.say(&rules::BAD_VALUE, name.span, "a tag needs a name", "write one");
        }
    }
}

impl Metrics {
    fn check(&self, _: Node<'_>, cx: &mut Reader<'_>) {
        for provider in self.providers.iter().filter(|it| !it.name.eq_ignore_ascii_case("prometheus")) {
            let message = format!("metrics are not sent to `{}`", provider.name.value);
            cx.say(
                &rules::UNSUPPORTED_VALUE,
                provider.name.span,
                message,
                "write `prometheus`: every proxy serves `/metrics`",
            );
        }
    }
}

/// What the value of a metric's tag is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TagExpression {
    /// It is this text.
    Literal(Text),
    /// It is that of this label, which every metric has.
    Label(&'static str),
    /// It is this of the request.
    Request(FilterAttribute),
}

/// Reads the expression of a tag; none if it is not one of those that Taut evaluates.
#[must_use]
pub fn parse_tag(text: &str) -> Option<TagExpression> {
    let text = text.trim();
    for quote in ['\'', '"'] {
        let within = text.strip_prefix(quote).and_then(|it| it.strip_suffix(quote));
        if let Some(within) = within.filter(|it| !it.contains([quote, '\\'])) {
            return Some(TagExpression::Literal(within.into()));
        }
    }
    let label = match text.strip_prefix("string(").and_then(|it| it.strip_suffix(')')).unwrap_or(text) {
        "response.code" => "response_code",
        "upstream_peer.workload" => "destination_workload",
        "upstream_peer.namespace" => "destination_workload_namespace",
        "upstream_peer.app" => "destination_app",
        "upstream_peer.version" => "destination_version",
        "upstream_peer.cluster" => "destination_cluster",
        "downstream_peer.workload" => "source_workload",
        "downstream_peer.namespace" => "source_workload_namespace",
        "downstream_peer.app" => "source_app",
        "downstream_peer.version" => "source_version",
        "downstream_peer.cluster" => "source_cluster",
        other => return parse_request_text(other).map(TagExpression::Request),
    };
    Some(TagExpression::Label(label))
}

impl LogFilter {
    fn check(&self, _: Node<'_>, cx: &mut Reader<'_>) {
        if let Some(text) = self.expression.as_ref().filter(|text| !text.is_empty())
            && let Err(why) = parse_log_filter(text)
        {
            let help = "compare `response.code`, `request.method`, `request.headers['name']` and others, with `&&`, `||` and `!`";
            cx.say(&rules::UNSUPPORTED_VALUE, text.span, format!("this condition cannot be evaluated: {why}"), help);
        }
    }
}

impl TagOverride {
    fn check(&self, _: Node<'_>, cx: &mut Reader<'_>) {
        let removes = self.operation.is_some_and(|operation| operation.value == TagOperation::Remove);
        let value = self.value.as_ref();
        if removes && let Some(value) = value {
            cx.say(
                &rules::EXCLUSIVE,
                value.span,
                "a tag that is removed has no value",
                "take `value` or `operation` away",
            );
        } else if !removes && value.is_none_or(|value| value.is_empty()) {
            cx.say(&rules::NEEDED, self.span, "a tag needs a value", "add `value:`, or `operation: REMOVE`");
        } else if let Some(value) = value.filter(|value| !removes && parse_tag(value).is_none()) {
            let message = format!("Taut does not evaluate `{}` for a tag", value.value);
            let help = "write a text in quotes (`'shop'`), `response.code`, `request.host`, `request.method`, `request.path`, \
                        `request.headers['name']`, or `upstream_peer.` or `downstream_peer.` with `workload`, `namespace`, \
                        `app`, `version` or `cluster`; or trace requests, whose spans say more";
            cx.say(&rules::UNSUPPORTED_VALUE, value.span, message, help);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[rustfmt::skip] // a table is read by its columns
    fn tags_are_texts_labels_and_what_a_request_says_as_it_comes() {
        let request = |attribute| Some(TagExpression::Request(attribute));
        let table = [
            ("'shop'",                             Some(TagExpression::Literal("shop".into()))),
            ("string(response.code)",              Some(TagExpression::Label("response_code"))),
            ("upstream_peer.app",                  Some(TagExpression::Label("destination_app"))),
            ("request.host",                       request(FilterAttribute::RequestHost)),
            (" request.url_path ",                 request(FilterAttribute::RequestUrlPath)),
            ("string(request.method)",             request(FilterAttribute::RequestMethod)),
            ("request.headers['X-A']",             request(FilterAttribute::Header("x-a".into()))),
            ("connection.requested_server_name",   request(FilterAttribute::ServerName)),
            ("request.id",                         None), // no two would be counted together
            ("response.code_details",              None), // known later
            ("request.size",                       None), // no text
            ("request.host + 'a'",                 None),
            ("request.host == 'a'",                None),
            ("request.time",                       None),
            ("",                                   None),
        ];
        for (text, want) in table {
            assert_eq!(parse_tag(text), want, "{text}");
        }
    }
}

//! What is told of a workload's requests (semantics.md §12).

use std::collections::BTreeMap;

use taut_model::{
    Client, LabelSet, LogLines, Logged, Measured, Mesh, Of, Side, Traced, governing, logs_of, metrics_of,
    telemetries_of, tracing_of,
};
use taut_resources::{
    self as log, self as telemetry, At, CustomTag, ExtensionProvider, LookedUpTag, TagExpression, TagOperation,
    TagOverride, TraceContext, USUAL_TEXT, parse_log_filter, parse_log_format, parse_tag,
};
use taut_snapshot::Text;
use taut_snapshot::format::codec::Link;
use taut_snapshot::object::{
    ClusterSet, Collects, CutItem, Exporter, FilterAttribute, FilterHolds, FilterStep, FilterTest, HeaderNames,
    LogField, LogFile, LogFormat, LogItem, LogPiece, LogService, LookedUp, Metric, MetricRule, OtlpRecord, SpanTag,
    TagFrom, TagRule, TagValue, Telemetry, Told, ToldHeaders, Tracing, ZipkinCollector,
};

use super::Lowering;
use crate::origins::Source;

/// The longest path in a span, as Envoy has it.
const PATH_MAX: u32 = 256;

/// Where Zipkin takes spans.
const ZIPKIN_PATH: &str = "/api/v2/spans";

impl Lowering<'_, '_> {
    /// What is told of the requests of a workload; none if nothing is.
    pub(super) fn telemetry(&mut self, namespace: &Text, labels: &LabelSet) -> Option<Link<Telemetry>> {
        let layers = telemetries_of(self.mesh, namespace, labels);
        let places = layers.iter().map(|it| it.at(it.resource.span)).collect();
        // Nearly all workloads of a namespace are told of alike.
        let key = (namespace.clone(), places);
        if let Some(known) = self.telemetries.get(&key) {
            return *known;
        }
        let told = self.telemetry_of(&layers, namespace);
        self.telemetries.insert(key, told);
        told
    }

    fn telemetry_of(&mut self, layers: &[Of<'_, telemetry::Telemetry>], namespace: &str) -> Option<Link<Telemetry>> {
        let mesh = self.mesh;
        let sides = [Side::Client, Side::Server];
        let [client, server] = sides.map(|side| {
            let traced = tracing_of(mesh, layers, side)?;
            self.tracing(&traced, namespace)
        });
        let logged = sides.map(|side| logs_of(mesh, layers, side));
        let [client_logs, server_logs] = logged.each_ref().map(|logged| logs(mesh, logged.as_deref()));
        let [client_told, server_told] = logged.map(|logged| self.told(logged.unwrap_or_default(), namespace));
        let [client_metrics, server_metrics] = sides.map(|side| metric_rules(&metrics_of(layers, side)));
        let telemetry = Telemetry {
            client,
            server,
            client_logs,
            server_logs,
            client_metrics,
            server_metrics,
            client_told,
            server_told,
        };
        if telemetry == Telemetry::default() {
            return None;
        }
        let link = self.objects.insert(&telemetry);
        self.origins.add(link.digest, layers.iter().map(|it| Source::new(0, it.resource, it.spec.span)));
        Some(link)
    }

    fn tracing(&mut self, traced: &Traced<'_>, namespace: &str) -> Option<Tracing> {
        let tags = traced.tags.iter().flat_map(|tags| &tags.0);
        let mut tags: Vec<SpanTag> =
            tags.filter_map(|(name, tag)| Some(SpanTag { name: name.value.clone(), value: tag_value(tag)? })).collect();
        tags.sort();
        Some(Tracing {
            exporter: self.exporter(traced.provider, namespace)?,
            // Envoy draws one of ten thousand.
            sampling: (traced.percent * 100.0).round().clamp(0.0, 10_000.0) as u32,
            tags,
            by_request_id: traced.by_request_id,
            mesh_tags: traced.mesh_tags,
            propagates: traced.propagates,
        })
    }

    /// A collector, for a client of this namespace; none if the mesh has no such service.
    fn exporter(&mut self, provider: &ExtensionProvider, namespace: &str) -> Option<Exporter> {
        let (service, port, path_max, speaks) = match (&provider.zipkin, &provider.opentelemetry) {
            (Some(it), _) => {
                let path = it.path.as_ref().filter(|path| !path.is_empty());
                let path = path.map_or(ZIPKIN_PATH.into(), |path| path.value.clone());
                let w3c = it.trace_context_option.is_some_and(|it| it.value == TraceContext::B3AndW3c);
                let speaks = Collects::Zipkin(ZipkinCollector { path, w3c });
                (&it.service.value, it.port.value.0, it.max_tag_length, speaks)
            }
            (None, Some(it)) => {
                let over_http = it.http.as_ref().map(|http| Collects::OtlpHttp(http.path.value.clone()));
                (&it.service.value, it.port.value.0, it.max_tag_length, over_http.unwrap_or(Collects::OtlpGrpc))
            }
            (None, None) => return None,
        };
        let clusters = self.provider_clusters(service, port, namespace)?;
        let path_max = path_max.map(|most| most.value).filter(|most| *most != 0).unwrap_or(PATH_MAX);
        Some(Exporter { name: provider.name.value.clone(), clusters, speaks, path_max })
    }

    /// Those of some logs that are services, for a client of this namespace; what the mesh does not have was reported.
    fn told(&mut self, logged: Vec<Logged<'_>>, namespace: &str) -> Vec<LogService> {
        let mut told = |logged: Logged<'_>| {
            let provider = logged.provider?;
            let (service, port) = provider.log_service()?;
            let (takes, log, usual) = takes(provider)?;
            Some(LogService {
                name: provider.name.value.clone(),
                clusters: self.provider_clusters(service, port, namespace)?,
                takes,
                log: log.filter(|it| !it.is_empty()).map_or(usual.into(), |it| it.value.clone()),
                filter: filter_steps(logged.filter),
            })
        };
        let mut told: Vec<LogService> = logged.into_iter().filter_map(&mut told).collect();
        told.sort();
        told
    }

    /// The clusters of a provider's service (`namespace/host`, or `host` as it is known in a namespace) and its port.
    pub(super) fn provider_clusters(&mut self, service: &str, port: u16, namespace: &str) -> Option<Link<ClusterSet>> {
        let mesh = self.mesh;
        let (of, host) = service.split_once('/').map_or((None, service), |(of, host)| (Some(of), host));
        let host: Text = host.to_ascii_lowercase().into();
        let id = match of {
            Some(of) => *mesh.services_of(&host).iter().find(|id| mesh.service(**id).namespace == of)?,
            None => mesh.service_named(&host, namespace)?,
        };
        let service = mesh.service(id);
        let port = service.port(port)?;
        let labels = LabelSet::new();
        let client = Client { namespace, labels: &labels, gateway: "mesh" };
        Some(self.clusters(id, port, &governing(mesh, service, namespace), &client))
    }
}

fn metric_rules(measured: &BTreeMap<telemetry::Metric, Measured<'_>>) -> Vec<MetricRule> {
    use telemetry::Metric as From;
    let rule = |(metric, measured): (&From, &Measured<'_>)| {
        let metric = match metric {
            From::RequestCount => Metric::Requests,
            From::RequestDuration => Metric::Duration,
            From::RequestSize => Metric::RequestBytes,
            From::ResponseSize => Metric::ResponseBytes,
            From::TcpOpened => Metric::TcpOpened,
            From::TcpClosed => Metric::TcpClosed,
            From::TcpSent => Metric::TcpSent,
            From::TcpReceived => Metric::TcpReceived,
            From::All | From::GrpcRequests | From::GrpcResponses => return None,
        };
        let tag = |(name, tag): (&&str, &&TagOverride)| {
            let removed = tag.operation.is_some_and(|it| it.value == TagOperation::Remove);
            // What cannot be read was reported.
            let value = match parse_tag(tag.value.as_ref().map_or("", |value| value.value.as_str())) {
                _ if removed => None,
                Some(TagExpression::Literal(text)) => Some(TagFrom::Literal(text)),
                Some(TagExpression::Label(label)) => Some(TagFrom::Label(label.into())),
                Some(TagExpression::Request(of)) => Some(TagFrom::Request(attribute(of))),
                None => None,
            };
            TagRule { name: (*name).into(), value }
        };
        let tags = measured.tags.iter().map(tag).collect();
        Some(MetricRule { metric, disabled: measured.disabled, tags })
    };
    let mut rules: Vec<MetricRule> = measured.iter().filter_map(rule).collect();
    rules.sort();
    rules
}

/// Where the requests of one side are logged; where nobody says, as the mesh has it.
fn logs(mesh: &Mesh<'_>, provided: Option<&[Logged<'_>]>) -> Vec<LogFile> {
    let settings = &mesh.settings;
    let Some(provided) = provided else {
        let of_mesh =
            LogFile { path: settings.log_file.clone(), format: log_format(&settings.log_format), filter: Vec::new() };
        return if settings.log_file.is_empty() { Vec::new() } else { vec![of_mesh] };
    };
    let file = |logged: &Logged<'_>| {
        if logged.provider.is_some_and(|provider| provider.log_service().is_some()) {
            return None;
        }
        let said = logged.provider.and_then(|provider| provider.envoy_file_access_log.as_ref());
        let path = said.and_then(|said| said.path.as_ref()).filter(|path| !path.is_empty());
        let format = match said.map(|said| said.log_format.as_ref()) {
            // The one that every mesh has is written as MeshConfig says.
            None => settings.log_format.clone(),
            Some(None) => LogLines::Text(USUAL_TEXT.into()),
            Some(Some(format)) => match (&format.text, &format.labels) {
                (Some(text), _) => LogLines::Text(text.value.clone()),
                (None, labels) => {
                    let labels = labels.iter().flat_map(|labels| &labels.0);
                    LogLines::Json(labels.map(|(key, text)| (key.value.clone(), text.value.clone())).collect())
                }
            },
        };
        Some(LogFile {
            path: path.map_or("/dev/stdout".into(), |path| path.value.clone()),
            format: log_format(&format),
            filter: filter_steps(logged.filter),
        })
    };
    let mut files: Vec<LogFile> = provided.iter().filter_map(file).collect();
    files.sort();
    files
}

/// What a provider's service is told, what its log is called, and what it is called where nobody says.
fn takes(provider: &ExtensionProvider) -> Option<(Told, Option<&At<Text>>, &'static str)> {
    let lower = |names: &[At<Text>]| {
        let mut names: Vec<Text> = names.iter().map(|name| name.to_ascii_lowercase().into()).collect();
        names.sort();
        names.dedup();
        names
    };
    if let Some(it) = &provider.envoy_http_als {
        let request = lower(&it.additional_request_headers_to_log);
        let response = lower(&it.additional_response_headers_to_log);
        return Some((Told::Requests(ToldHeaders { request, response }), it.log_name.as_ref(), "http_envoy_accesslog"));
    }
    if let Some(it) = &provider.envoy_tcp_als {
        return Some((Told::Connections, it.log_name.as_ref(), "tcp_envoy_accesslog"));
    }
    let it = provider.envoy_otel_als.as_ref()?;
    let text = it.log_format.as_ref().and_then(|format| format.text.as_ref()).filter(|text| !text.is_empty());
    let labels = it.log_format.iter().flat_map(|format| &format.labels).flat_map(|labels| &labels.0);
    let record = OtlpRecord {
        body: pieces(text.map_or(USUAL_TEXT, |text| text.value.as_str())),
        attributes: fields(labels.map(|(name, format)| (&name.value, format.value.as_str()))),
    };
    Some((Told::Otlp(record), it.log_name.as_ref(), "otel_envoy_accesslog"))
}

fn filter_steps(filter: Option<&str>) -> Vec<FilterStep> {
    // What cannot be read was reported.
    let steps = filter.and_then(|filter| parse_log_filter(filter).ok()).unwrap_or_default();
    steps.into_iter().map(filter_step).collect()
}

fn pieces(format: &str) -> Vec<LogPiece> {
    // What cannot be read was reported.
    parse_log_format(format).unwrap_or_default().into_iter().map(log_piece).collect()
}

fn fields<'f>(all: impl Iterator<Item = (&'f Text, &'f str)>) -> Vec<LogField> {
    let mut fields: Vec<LogField> =
        all.map(|(name, format)| LogField { name: name.clone(), value: pieces(format) }).collect();
    fields.sort();
    fields
}

fn log_format(lines: &LogLines) -> LogFormat {
    match lines {
        LogLines::Text(text) if text.ends_with('\n') => LogFormat::Text(pieces(text)),
        LogLines::Text(text) => LogFormat::Text(pieces(&format!("{text}\n"))),
        LogLines::Json(all) => LogFormat::Json(fields(all.iter().map(|(name, format)| (name, format.as_str())))),
    }
}

pub(super) fn log_piece(piece: log::LogPiece) -> LogPiece {
    use log::LogItem as From;
    let names = |name: Text, otherwise: Option<Text>| HeaderNames { name, otherwise: otherwise.unwrap_or_default() };
    let (item, most) = match piece {
        log::LogPiece::Text(text) => return LogPiece::Text(text),
        log::LogPiece::Item(item, most) => (item, most),
    };
    let item = match item {
        From::StartTime => LogItem::StartTime,
        From::Protocol => LogItem::Protocol,
        From::ResponseCode => LogItem::ResponseCode,
        From::ResponseCodeDetails => LogItem::ResponseCodeDetails,
        From::ResponseFlags => LogItem::ResponseFlags,
        From::Termination => LogItem::Termination,
        From::TransportFailure => LogItem::TransportFailure,
        From::BytesReceived => LogItem::BytesReceived,
        From::BytesSent => LogItem::BytesSent,
        From::Duration => LogItem::Duration,
        From::UpstreamHost => LogItem::UpstreamHost,
        From::UpstreamCluster => LogItem::UpstreamCluster,
        From::UpstreamLocal => LogItem::UpstreamLocal,
        From::DownstreamLocal => LogItem::DownstreamLocal,
        From::DownstreamLocalIp => LogItem::DownstreamLocalIp,
        From::DownstreamRemote => LogItem::DownstreamRemote,
        From::DownstreamRemoteIp => LogItem::DownstreamRemoteIp,
        From::ServerName => LogItem::ServerName,
        From::RouteName => LogItem::RouteName,
        From::Request(name, otherwise) => LogItem::Request(names(name, otherwise)),
        From::Response(name, otherwise) => LogItem::Response(names(name, otherwise)),
    };
    LogPiece::Item(CutItem { item, most })
}

fn filter_step(step: log::FilterStep) -> FilterStep {
    use log::FilterTest as Holds;
    let (attribute, test) = match step {
        log::FilterStep::Not => return FilterStep::Not,
        log::FilterStep::And => return FilterStep::And,
        log::FilterStep::Or => return FilterStep::Or,
        log::FilterStep::Test(attribute, test) => (attribute, test),
    };
    let holds = match test {
        Holds::Is(text) => FilterHolds::Is(text),
        Holds::Begins(text) => FilterHolds::Begins(text),
        Holds::Ends(text) => FilterHolds::Ends(text),
        Holds::Contains(text) => FilterHolds::Contains(text),
        Holds::Equals(number) => FilterHolds::Equals(number),
        Holds::Below(number) => FilterHolds::Below(number),
        Holds::True => FilterHolds::True,
        Holds::Present => FilterHolds::Present,
    };
    FilterStep::Test(FilterTest { attribute: self::attribute(attribute), holds })
}

fn attribute(of: log::FilterAttribute) -> FilterAttribute {
    use log::FilterAttribute as Of;
    match of {
        Of::ResponseCode => FilterAttribute::ResponseCode,
        Of::ResponseCodeDetails => FilterAttribute::ResponseCodeDetails,
        Of::ResponseSize => FilterAttribute::ResponseSize,
        Of::RequestSize => FilterAttribute::RequestSize,
        Of::RequestPath => FilterAttribute::RequestPath,
        Of::RequestUrlPath => FilterAttribute::RequestUrlPath,
        Of::RequestHost => FilterAttribute::RequestHost,
        Of::RequestMethod => FilterAttribute::RequestMethod,
        Of::RequestProtocol => FilterAttribute::RequestProtocol,
        Of::RequestUserAgent => FilterAttribute::RequestUserAgent,
        Of::RequestId => FilterAttribute::RequestId,
        Of::ConnectionMtls => FilterAttribute::ConnectionMtls,
        Of::ServerName => FilterAttribute::ServerName,
        Of::Header(name) => FilterAttribute::Header(name),
    }
}

fn tag_value(tag: &CustomTag) -> Option<TagValue> {
    let looked_up = |tag: &LookedUpTag, name: Text| LookedUp {
        name,
        otherwise: tag.default_value.as_ref().map(|it| it.value.clone()).unwrap_or_default(),
    };
    match (&tag.literal, &tag.header, &tag.environment) {
        (Some(literal), _, _) => Some(TagValue::Literal(literal.value.value.clone())),
        (_, Some(header), _) => Some(TagValue::Header(looked_up(header, header.name.to_ascii_lowercase().into()))),
        (_, _, Some(variable)) => Some(TagValue::Environment(looked_up(variable, variable.name.value.clone()))),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use taut_snapshot::object::{LogFile, LogService, Telemetry, Told};
    use taut_source::{SourceFile, SourceSet};

    use crate::{Options, compile};

    /// What is told of the workload `shop/a`.
    fn telemetry_of_a(config: &str, mesh: &str) -> Option<Telemetry> {
        let file = |name: &str, text: &str| SourceFile::new(name, text.as_bytes());
        let sources = SourceSet::new(vec![file("config.yaml", config), file("mesh.yaml", mesh)]);
        let options = Options { mesh_config: Some("config.yaml".into()), ..Options::default() };
        let compiled = compile(&sources, &options);
        let snapshot = compiled.snapshot.unwrap_or_else(|| panic!("{:#?}", compiled.problems));
        let view = taut_snapshot::view_of(&snapshot.objects, snapshot.id, "shop/a").unwrap().unwrap();
        let view = snapshot.objects.read(view).unwrap();
        view.telemetry.map(|link| snapshot.objects.read(link).unwrap())
    }

    /// How many of ten thousand are sampled, and whose tags there are, of the client's and of the server's side.
    fn traced(config: &str, telemetries: &[&str]) -> String {
        let service = "apiVersion: v1\nkind: Service\nmetadata: {name: c, namespace: shop}\nspec: {selector: {app: c}, ports: [{name: grpc, port: 4317}]}\n---\n";
        let pod = "apiVersion: v1\nkind: Pod\nmetadata: {name: a, namespace: shop, labels: {app: a}}\nspec: {containers: [{name: a}]}\n";
        let other = "---\napiVersion: v1\nkind: Pod\nmetadata: {name: b, namespace: istio-system, labels: {app: a}}\nspec: {containers: [{name: b}]}\n";
        let mut mesh = format!("{service}{pod}{other}");
        for (at, text) in telemetries.iter().enumerate() {
            let (namespace, spec) = text.split_once(' ').unwrap();
            mesh += &format!(
                "---\napiVersion: telemetry.istio.io/v1\nkind: Telemetry\nmetadata: {{name: t{at}, namespace: {namespace}}}\nspec: {spec}\n"
            );
        }
        let providers = "extensionProviders:\n- {name: one, opentelemetry: {service: c.shop.svc.cluster.local, port: 4317}}\n- {name: two, zipkin: {service: c.shop.svc.cluster.local, port: 4317}}\n";
        let told = telemetry_of_a(&format!("{providers}{config}"), &mesh);
        let Some(Telemetry { client, server, .. }) = told else { return "nothing".to_owned() };
        let side = |it: &taut_snapshot::object::Tracing| {
            let tags: Vec<&str> = it.tags.iter().map(|tag| tag.name.as_str()).collect();
            format!("{} {} {}", it.exporter.name, it.sampling, tags.join(",")).trim_end().to_owned()
        };
        [client, server].map(|it| it.as_ref().map_or("-".to_owned(), side)).join("; ")
    }

    /// What is logged, and who is told, of the client's side and of the server's.
    fn logged(config: &str, logging: &str) -> String {
        let mesh = format!(
            "apiVersion: v1\nkind: Service\nmetadata: {{name: c, namespace: shop}}\nspec: {{selector: {{app: c}}, ports: [{{name: grpc, port: 4317}}]}}\n---\n\
             apiVersion: v1\nkind: Pod\nmetadata: {{name: a, namespace: shop, labels: {{app: a}}}}\nspec: {{containers: [{{name: a}}]}}\n---\n\
             apiVersion: telemetry.istio.io/v1\nkind: Telemetry\nmetadata: {{name: t, namespace: shop}}\nspec: {{accessLogging: [{logging}]}}\n"
        );
        let at = "service: c.shop.svc.cluster.local, port: 4317";
        let providers = format!(
            "extensionProviders:\n- {{name: http, envoyHttpAls: {{{at}, additionalRequestHeadersToLog: [X-B, x-a, X-A]}}}}\n\
             - {{name: tcp, envoyTcpAls: {{{at}, logName: own}}}}\n\
             - {{name: otel, envoyOtelAls: {{{at}, logFormat: {{labels: {{code: '%RESPONSE_CODE%'}}}}}}}}\n\
             - {{name: gone, envoyOtelAls: {{service: gone.example, port: 1}}}}\n\
             - {{name: file, envoyFileAccessLog: {{path: /log}}}}\n"
        );
        let Some(it) = telemetry_of_a(&format!("{providers}{config}"), &mesh) else { return "nothing".to_owned() };
        let side = |files: &[LogFile], told: &[LogService]| {
            let files = files.iter().map(|file| file.path.to_string());
            let told = told.iter().map(|it| match &it.takes {
                Told::Requests(headers) => format!("{} of requests with {}", it.log, headers.request.join(",")),
                Told::Connections => format!("{} of connections", it.log),
                Told::Otlp(record) => format!("{} of all in {}+{}", it.log, record.body.len(), record.attributes.len()),
            });
            files.chain(told).collect::<Vec<String>>().join(", ")
        };
        [side(&it.client_logs, &it.client_told), side(&it.server_logs, &it.server_told)].join("; ")
    }

    #[test]
    #[rustfmt::skip] // a table is read by its columns
    fn services_are_told_where_files_would_be_written() {
        let http = "http_envoy_accesslog of requests with x-a,x-b";
        let table = [
            ("", "{providers: [{name: http}]}", format!("{http}; {http}")),
            ("", "{providers: [{name: tcp}], match: {mode: SERVER}}", "; own of connections".to_owned()),
            ("", "{providers: [{name: HTTP}], match: {mode: CLIENT}}, {providers: [{name: file}], match: {mode: CLIENT}}", format!("/log, {http}; ")),
            ("accessLogFile: /mesh", "{providers: [{name: tcp}]}", "own of connections; own of connections".to_owned()),
            ("accessLogFile: /mesh", "{providers: [{name: nobody}]}", "/mesh; /mesh".to_owned()),
            ("", "{providers: [{name: gone}]}", "nothing".to_owned()),
            ("defaultProviders: {accessLogging: [tcp]}", "{disabled: true, match: {mode: CLIENT}}", "nothing".to_owned()),
            ("defaultProviders: {accessLogging: [tcp]}", "{match: {mode: CLIENT}}", "own of connections; ".to_owned()),
        ];
        for (config, logging, want) in table {
            assert_eq!(logged(config, logging), want, "{config} {logging}");
        }
        let otel = logged("", "{providers: [{name: otel}], match: {mode: CLIENT}}");
        assert!(otel.starts_with("otel_envoy_accesslog of all in ") && otel.ends_with("+1; "), "{otel}");
    }

    /// What is different of the metrics of the client's side and of the server's.
    fn measured(overrides: &[&str]) -> String {
        let layers = ["istio-system", "shop"].iter().zip(overrides);
        let mut mesh = "apiVersion: v1\nkind: Pod\nmetadata: {name: a, namespace: shop, labels: {app: a}}\nspec: {containers: [{name: a}]}\n".to_owned();
        for (namespace, overrides) in layers {
            mesh += &format!(
                "---\napiVersion: telemetry.istio.io/v1\nkind: Telemetry\nmetadata: {{name: t, namespace: {namespace}}}\nspec: {{metrics: [{{overrides: [{overrides}]}}]}}\n"
            );
        }
        let Some(telemetry) = telemetry_of_a("", &mesh) else { return "; ".to_owned() };
        let rule = |rule: &super::MetricRule| {
            let tags = rule.tags.iter().map(|tag| format!(" {}", tag.name)).collect::<String>();
            format!("{:?}{}{tags}", rule.metric, if rule.disabled { " off" } else { "" })
        };
        let side = |rules: &[super::MetricRule]| rules.iter().map(rule).collect::<Vec<_>>().join(", ");
        format!("{}; {}", side(&telemetry.client_metrics), side(&telemetry.server_metrics))
    }

    #[test]
    #[rustfmt::skip] // a table is read by its columns
    fn overrides_of_metrics_are_laid_over_each_other_as_in_istio() {
        let all_off = "Requests off, Duration off, RequestBytes off, ResponseBytes off, TcpOpened off, TcpClosed off, TcpSent off, TcpReceived off";
        let table: [(&[&str], String); 6] = [
            (&[],                                                                          "; ".to_owned()),
            (&["{disabled: true}"],                                                        format!("{all_off}; {all_off}")),
            (&["{match: {mode: SERVER}, disabled: true}"],                                 format!("; {all_off}")),
            (&["{disabled: true}", "{match: {metric: REQUEST_COUNT}, disabled: false}"],   "; ".to_owned()),
            (&["{match: {metric: REQUEST_COUNT}, tagOverrides: {a: {value: \"'b'\"}}}", "{match: {metric: REQUEST_COUNT, mode: CLIENT}, tagOverrides: {c: {operation: REMOVE}}}"], "Requests a c; Requests a".to_owned()),
            (&["{match: {metric: TCP_SENT_BYTES}, disabled: true}", "{match: {metric: GRPC_REQUEST_MESSAGES}, disabled: true}"], "TcpSent off; TcpSent off".to_owned()),
        ];
        for (overrides, want) in table {
            assert_eq!(measured(overrides), want, "{overrides:?}");
        }
    }

    #[test]
    #[rustfmt::skip] // a table is read by its columns
    fn telemetries_are_laid_over_each_other_as_in_istio() {
        let default = "defaultProviders: {tracing: [none-such, ONE]}";
        let some = "defaultProviders: {tracing: [one]}";
        let mesh = "istio-system {tracing: [{randomSamplingPercentage: 10, customTags: {m: {literal: {value: x}}}}]}";
        let space = "shop {tracing: [{randomSamplingPercentage: 20}]}";
        let own = "shop {selector: {matchLabels: {app: a}}, tracing: [{match: {mode: SERVER}, providers: [{name: Two}], randomSamplingPercentage: 0.01, customTags: {o: {header: {name: X}}}}]}";
        let table: [(&str, &[&str], &str); 12] = [
            ("", &[], "nothing"),
            ("", &[mesh, space], "nothing"),
            (some, &[], "one 100; one 100"),
            ("defaultProviders: {tracing: [one]}\ndefaultConfig: {tracing: {sampling: 5}}", &[], "one 500; one 500"),
            ("defaultProviders: {tracing: [one]}\ndefaultConfig: {tracing: {sampling: 0}}", &[], "one 100; one 100"),
            (some, &[mesh], "one 1000 m; one 1000 m"),
            (some, &[space, mesh], "one 2000 m; one 2000 m"),
            (some, &[own, space, mesh], "one 2000 m; two 1 o"),
            ("", &[own], "-; two 1 o"),
            (some, &["istio-system {selector: {matchLabels: {app: a}}, tracing: [{randomSamplingPercentage: 7}]}"], "one 100; one 100"),
            (some, &["shop {tracing: [{match: {mode: CLIENT}, disableSpanReporting: true}]}"], "-; one 100"),
            (some, &["istio-system {tracing: [{disableSpanReporting: true}]}", "shop {tracing: [{disableSpanReporting: false}]}"], "one 100; one 100"),
        ];
        for (config, telemetries, want) in table {
            assert_eq!(traced(config, telemetries), want, "{config} {telemetries:?}");
        }
        let refused = std::panic::catch_unwind(|| traced(default, &[]));
        assert!(refused.is_err(), "a name that nobody has is reported");
    }
}

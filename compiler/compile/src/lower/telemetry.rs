//! What is told of a workload's requests (semantics.md §12).

use taut_model::{LabelSet, Side, Traced, governing, telemetries_of, tracing_of};
use taut_resources::{CustomTag, ExtensionProvider, LookedUpTag, TraceContext};
use taut_snapshot::Text;
use taut_snapshot::format::codec::Link;
use taut_snapshot::object::{
    ClusterSet, Collects, Exporter, LookedUp, SpanTag, TagValue, Telemetry, Tracing, ZipkinCollector,
};

use super::Lowering;
use crate::origins::Source;

/// The longest path in a span, as Envoy has it.
const PATH_MAX: u32 = 256;

/// Where Zipkin takes spans.
const ZIPKIN_PATH: &str = "/api/v2/spans";

impl Lowering<'_, '_> {
    /// What is told of the requests of a workload; none if nothing is.
    pub(super) fn telemetry(&mut self, namespace: &str, labels: &LabelSet) -> Option<Link<Telemetry>> {
        let mesh = self.mesh;
        let layers = telemetries_of(mesh, namespace, labels);
        let mut side = |side: Side| tracing_of(mesh, &layers, side).and_then(|traced| self.tracing(&traced, namespace));
        let telemetry = Telemetry { client: side(Side::Client), server: side(Side::Server) };
        if telemetry.client.is_none() && telemetry.server.is_none() {
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
        Some(self.clusters(id, port, &governing(mesh, service, namespace)))
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
    use taut_snapshot::object::Telemetry;
    use taut_source::{SourceFile, SourceSet};

    use crate::{Options, compile};

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
        let file = |name: &str, text: &str| SourceFile::new(name, text.as_bytes());
        let sources =
            SourceSet::new(vec![file("config.yaml", &format!("{providers}{config}")), file("mesh.yaml", &mesh)]);
        let options = Options { mesh_config: Some("config.yaml".into()), ..Options::default() };
        let compiled = compile(&sources, &options);
        let snapshot = compiled.snapshot.unwrap_or_else(|| panic!("{:#?}", compiled.problems));
        let view = taut_snapshot::view_of(&snapshot.objects, snapshot.id, "shop/a").unwrap().unwrap();
        let view = snapshot.objects.read(view).unwrap();
        let Some(link) = view.telemetry else { return "nothing".to_owned() };
        let Telemetry { client, server, .. } = snapshot.objects.read(link).unwrap();
        let side = |it: &taut_snapshot::object::Tracing| {
            let tags: Vec<&str> = it.tags.iter().map(|tag| tag.name.as_str()).collect();
            format!("{} {} {}", it.exporter.name, it.sampling, tags.join(",")).trim_end().to_owned()
        };
        [client, server].map(|it| it.as_ref().map_or("-".to_owned(), side)).join("; ")
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

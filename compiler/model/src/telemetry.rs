//! What is told of a workload's requests (semantics.md §12.2): Telemetries, laid over what the mesh says.
//!
//! Invariant: layers go from the root namespace's object without a selector over the namespace's to those that select the
//! workload, or are attached to its Gateway, the oldest first; a later one wins field by field.

use std::collections::BTreeMap;

use taut_resources::{
    AccessLogging, CustomTag, ENVOY_LOG, ExtensionProvider, Metric, ModeMatch, Named, TagOverride, Telemetry,
    WorkloadMode,
};

use crate::attachment::Attached as _;
use crate::labels::LabelSet;
use crate::mesh::{Mesh, Of};

/// How many percent of the requests are traced where nobody says.
const SAMPLING_USUAL: f64 = 1.0;

/// A side of requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Side {
    /// Of whoever sends them, and of gateways.
    Client,
    /// Of whoever takes them.
    Server,
}

/// How the requests of one side are traced.
#[derive(Clone, Debug)]
pub struct Traced<'r> {
    /// By whom spans are collected.
    pub provider: &'r ExtensionProvider,
    /// How many percent.
    pub percent: f64,
    /// Tags of every span.
    pub tags: Option<&'r Named<CustomTag>>,
    /// Whether the request's id says whether it is traced.
    pub by_request_id: bool,
    /// Whether spans say where in the mesh they are from.
    pub mesh_tags: bool,
    /// Whether the trace goes on.
    pub propagates: bool,
}

/// The Telemetries of a workload, those that win last.
#[must_use]
pub fn telemetries_of<'r>(mesh: &Mesh<'r>, namespace: &str, labels: &LabelSet) -> Vec<Of<'r, Telemetry>> {
    let root = mesh.settings.root_namespace.as_str();
    let mut all: Vec<_> =
        mesh.inventory.telemetries.iter().filter(|it| it.namespace() == namespace || it.namespace() == root).collect();
    all.sort_by_key(|it| it.seniority());
    let wide =
        |of_namespace: &str| all.iter().find(|it| it.namespace() == of_namespace && it.spec.is_wide()).map(|it| **it);
    let mesh_wide = wide(root).filter(|_| root != namespace);
    let selecting = all.iter().filter(|it| it.namespace() == namespace && !it.spec.is_wide());
    let selecting = selecting.filter(|it| it.spec.is_for(true, labels));
    mesh_wide.into_iter().chain(wide(namespace)).chain(selecting.map(|it| **it)).collect()
}

/// The provider of a name, whatever the case of its letters.
#[must_use]
pub fn provider_named<'m>(mesh: &'m Mesh<'_>, name: &str) -> Option<&'m ExtensionProvider> {
    mesh.settings.providers.iter().find(|provider| provider.name.eq_ignore_ascii_case(name))
}

/// How the requests of one side of a workload are traced; none if they are not.
#[must_use]
pub fn tracing_of<'m>(mesh: &'m Mesh<'_>, layers: &[Of<'m, Telemetry>], side: Side) -> Option<Traced<'m>> {
    let tracer = |name: &str| provider_named(mesh, name).filter(|provider| provider.takes_traces());
    let mut provider = mesh.settings.default_tracing.iter().find_map(|name| tracer(name));
    let mut off = false;
    let (mut percent, mut tags) = (mesh.settings.sampling, None);
    let (mut by_request_id, mut mesh_tags, mut propagates) = (true, true, true);
    for tracing in layers.iter().flat_map(|layer| &layer.spec.tracing).filter(|it| concerns(it.matches.as_ref(), side))
    {
        if let Some(first) = tracing.providers.first() {
            provider = tracer(&first.name);
        }
        if let Some(said) = tracing.disable_span_reporting {
            off = said.value;
        }
        if !tracing.custom_tags.0.is_empty() {
            tags = Some(&tracing.custom_tags);
        }
        if let Some(said) = tracing.random_sampling_percentage {
            percent = said.value;
        }
        let flags = [
            (&mut by_request_id, tracing.use_request_id_for_trace_sampling),
            (&mut mesh_tags, tracing.enable_istio_tags),
        ];
        for (flag, said) in flags {
            *flag = said.map_or(*flag, |said| said.value);
        }
        if let Some(said) = tracing.disable_context_propagation {
            propagates = !said.value;
        }
    }
    let provider = provider.filter(|_| !off)?;
    Some(Traced { provider, percent, tags, by_request_id, mesh_tags, propagates })
}

/// What is different of one metric; of its tags, what became of the last override of each.
#[derive(Clone, Debug, Default)]
pub struct Measured<'r> {
    /// Whether it is not shown.
    pub disabled: bool,
    /// By name.
    pub tags: BTreeMap<&'r str, &'r TagOverride>,
}

/// What is different of the metrics of one side of a workload.
#[must_use]
pub fn metrics_of<'m>(layers: &[Of<'m, Telemetry>], side: Side) -> BTreeMap<Metric, Measured<'m>> {
    let (mut found, mut none_at_all): (BTreeMap<Metric, Measured<'m>>, bool) = (BTreeMap::new(), false);
    let overrides = layers.iter().flat_map(|layer| &layer.spec.metrics).flat_map(|it| &it.overrides);
    for said in overrides {
        let matches = said.matches.as_ref();
        let mode = matches.and_then(|it| it.mode).map(|mode| mode.value);
        if !is_side(mode, side) {
            continue;
        }
        let which = matches.and_then(|it| it.metric).map_or(Metric::All, |metric| metric.value);
        let off = said.disabled.map(|disabled| disabled.value);
        // Whatever is said of any metric afterwards takes it back (semantics.md §12.1).
        none_at_all = which == Metric::All && off == Some(true);
        if none_at_all {
            continue;
        }
        for metric in METRICS.iter().filter(|metric| which == Metric::All || **metric == which) {
            let measured = found.entry(*metric).or_default();
            measured.disabled = off.unwrap_or(measured.disabled);
            measured.tags.extend(said.tag_overrides.0.iter().map(|(name, tag)| (name.value.as_str(), tag)));
        }
    }
    if none_at_all {
        found = METRICS.iter().map(|metric| (*metric, Measured { disabled: true, tags: BTreeMap::new() })).collect();
    }
    found.retain(|_, measured| measured.disabled || !measured.tags.is_empty());
    found
}

/// Those that proxies count.
const METRICS: &[Metric] = &[
    Metric::RequestCount,
    Metric::RequestDuration,
    Metric::RequestSize,
    Metric::ResponseSize,
    Metric::TcpOpened,
    Metric::TcpClosed,
    Metric::TcpSent,
    Metric::TcpReceived,
];

/// Where the requests of one side are logged.
#[derive(Clone, Debug)]
pub struct Logged<'r> {
    /// By which provider; by what MeshConfig says of files if none.
    pub provider: Option<&'r ExtensionProvider>,
    /// Which requests; all if none.
    pub filter: Option<&'r str>,
}

/// Where the requests of one side of a workload are logged, by what Telemetries and default providers say; none if neither
/// says anything, and then `accessLogFile` counts. Entries of one provider are laid over each other, and the last object
/// that names providers says which there are.
#[must_use]
pub fn logs_of<'m>(mesh: &'m Mesh<'_>, layers: &[Of<'m, Telemetry>], side: Side) -> Option<Vec<Logged<'m>>> {
    let of_side = |layer: &Of<'m, Telemetry>| {
        layer.spec.access_logging.iter().filter(move |it| concerns(it.matches.as_ref(), side))
    };
    let named = |logging: &'m AccessLogging| logging.providers.iter().map(|it| it.name.value.as_str());
    let defaults: Vec<&str> = mesh.settings.default_logs.iter().map(|name| name.as_str()).collect();
    let layers: Vec<_> = layers.iter().filter(|layer| !layer.spec.access_logging.is_empty()).collect();
    let (mut in_scope, mut filters) = (defaults.clone(), BTreeMap::new());
    for layer in &layers {
        let names: Vec<&str> = of_side(layer).flat_map(named).collect();
        for logging in of_side(layer) {
            filters.extend(named(logging).map(|name| (name, filter_of(logging))));
        }
        if !names.is_empty() {
            in_scope = names;
        }
    }
    // By name: whether it is off, and the filter.
    let mut found: BTreeMap<&str, Option<Option<&str>>> = BTreeMap::new();
    if layers.is_empty() {
        found.extend(defaults.iter().map(|name| (*name, Some(None))));
    }
    let mut inherited = defaults;
    for logging in layers.iter().flat_map(|layer| of_side(layer)) {
        if !logging.providers.is_empty() {
            inherited = named(logging).collect();
        }
        for name in inherited.iter().filter(|name| in_scope.contains(name)) {
            let off = logging.disabled.is_some_and(|disabled| disabled.value);
            let own = filter_of(logging).or_else(|| filters.get(name).copied().flatten());
            found.insert(name, (!off).then_some(own));
        }
    }
    let provided = found.into_iter().filter_map(|(name, on)| {
        let provider = provider_named(mesh, name).filter(|it| it.takes_logs());
        (provider.is_some() || name.eq_ignore_ascii_case(ENVOY_LOG)).then_some((provider, on))
    });
    let provided: Vec<_> = provided.collect();
    let on = provided.iter().filter_map(|(provider, on)| Some(Logged { provider: *provider, filter: (*on)? }));
    (!provided.is_empty()).then(|| on.collect())
}

fn filter_of(logging: &AccessLogging) -> Option<&str> {
    let expression = logging.filter.as_ref().and_then(|filter| filter.expression.as_ref());
    expression.map(|text| text.value.as_str()).filter(|text| !text.is_empty())
}

/// How many percent of the requests are traced by what MeshConfig says (semantics.md §12.5).
pub(crate) fn usual_sampling(said: Option<f64>) -> f64 {
    match said {
        Some(percent) if 0.0 < percent && percent <= 100.0 => percent,
        _ => SAMPLING_USUAL,
    }
}

fn concerns(matches: Option<&ModeMatch>, side: Side) -> bool {
    is_side(matches.and_then(|matches| matches.mode).map(|mode| mode.value), side)
}

fn is_side(mode: Option<WorkloadMode>, side: Side) -> bool {
    match mode {
        None | Some(WorkloadMode::ClientAndServer) => true,
        Some(WorkloadMode::Client) => side == Side::Client,
        Some(WorkloadMode::Server) => side == Side::Server,
    }
}

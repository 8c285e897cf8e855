//! What is told of a workload's requests (semantics.md §12.2): Telemetries, laid over what the mesh says.
//!
//! Invariant: layers go from the root namespace's object without a selector over the namespace's to those that select the
//! workload, the oldest first; a later one wins field by field.

use taut_resources::{CustomTag, ExtensionProvider, ModeMatch, Named, Telemetry, WorkloadMode};

use crate::labels::{LabelSet, selects};
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
    let of = |it: &Of<'r, Telemetry>| it.spec.selector.as_ref().map(|it| &it.match_labels).filter(|it| !it.is_empty());
    let wide =
        |of_namespace: &str| all.iter().find(|it| it.namespace() == of_namespace && of(it).is_none()).map(|it| **it);
    let mesh_wide = wide(root).filter(|_| root != namespace);
    let selecting = all.iter().filter(|it| it.namespace() == namespace);
    let selecting = selecting.filter(|it| of(it).is_some_and(|selector| selects(selector, labels)));
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

/// How many percent of the requests are traced by what MeshConfig says (semantics.md §12.5).
pub(crate) fn usual_sampling(said: Option<f64>) -> f64 {
    match said {
        Some(percent) if 0.0 < percent && percent <= 100.0 => percent,
        _ => SAMPLING_USUAL,
    }
}

fn concerns(matches: Option<&ModeMatch>, side: Side) -> bool {
    match matches.and_then(|matches| matches.mode).map(|mode| mode.value) {
        None | Some(WorkloadMode::ClientAndServer) => true,
        Some(WorkloadMode::Client) => side == Side::Client,
        Some(WorkloadMode::Server) => side == Side::Server,
    }
}

//! The pipeline: sources, documents, resources, model, snapshot.

use taut_model::Settings;
use taut_resources::{Outcome, Resource};
use taut_snapshot::{EndpointSet, Snapshot, SourceMap};
use taut_source::{Problem, Problems, SourceSet, YamlReader};

use crate::second_opinion::SecondOpinion;
use crate::{endpoints, lower, origins};

/// What a compilation depends on besides the files.
#[derive(Clone, Debug)]
pub struct Options {
    /// The namespace of objects that name none; if it is empty they have none.
    pub default_namespace: String,
    /// What holds for the whole mesh.
    pub settings: Settings,
    /// Which reader reads YAML.
    pub reader: YamlReader,
}

impl Default for Options {
    /// Istio's settings, and the namespace `default`, as kubectl has it.
    fn default() -> Self {
        Options { default_namespace: "default".into(), settings: Settings::default(), reader: YamlReader::default() }
    }
}

/// What was read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Documents that held anything.
    pub documents: usize,
    /// Resources of kinds that Taut reads.
    pub resources: usize,
    /// Objects that are none of the mesh's business.
    pub foreign: usize,
}

/// The result. A broken mesh is not an error: it is problems and no snapshot.
#[derive(Clone, Debug)]
pub struct Compiled {
    /// The snapshot, if no problem is an error.
    pub snapshot: Option<Snapshot>,
    /// Where each of its objects came from.
    pub source_map: SourceMap,
    /// The endpoints that the sources declare.
    pub endpoints: EndpointSet,
    /// Everything that is wrong, by place.
    pub problems: Vec<Problem>,
    /// What was read.
    pub counts: Counts,
}

/// Source text in, snapshot out.
#[must_use]
pub fn compile(sources: &SourceSet, options: &Options) -> Compiled {
    let mut problems = Problems::default();
    let (resources, counts) = read(sources, options, &mut problems);
    let mesh = taut_model::resolve(&resources, options.settings.clone());
    taut_model::check::check(&mesh, &mut problems);
    let mut source_map = origins::empty();
    let mut snapshot = None;
    if !problems.fatal() {
        let (lowered, origins) = lower::lower(&mesh);
        source_map = origins.source_map(sources);
        snapshot = Some(lowered);
    }
    let endpoints = endpoints::declared(&mesh);
    Compiled { snapshot, source_map, endpoints, problems: problems.into_sorted(), counts }
}

pub(crate) fn read(sources: &SourceSet, options: &Options, problems: &mut Problems) -> (Vec<Resource>, Counts) {
    let mut counts = Counts::default();
    let mut resources = Vec::new();
    let mut second = (options.reader == YamlReader::Reference).then(SecondOpinion::default);
    for (id, file) in sources.iter() {
        let (documents, mut found) = taut_source::read_documents(file, id, options.reader);
        counts.documents += documents.len();
        let mut outcomes = Vec::new();
        for document in &documents {
            let root = document.tree.root();
            let before = found.len();
            taut_resources::read_resource(root, id, &options.default_namespace, &mut found, &mut outcomes);
            if let Some(second) = &mut second {
                second.ask(root, id, before, &mut found);
            }
        }
        problems.extend(found);
        for outcome in outcomes {
            match outcome {
                Outcome::Read(resource) => resources.push(*resource),
                Outcome::Foreign => counts.foreign += 1,
                Outcome::Broken => {}
            }
        }
    }
    counts.resources = resources.len();
    (resources, counts)
}

//! The pipeline: sources, documents, resources, model, snapshot.

use std::cell::OnceCell;

use taut_model::{Converted, Mesh, MeshWide, Settings};
use taut_resources::{MeshConfig, MeshNetworks, Outcome, Resource};
use taut_snapshot::{EndpointSet, Snapshot, SourceMap};
use taut_source::{FileId, Problem, Problems, SourceFile, SourceSet, YamlReader};

use crate::second_opinion::SecondOpinion;
use crate::{endpoints, exceptions, lower, origins, threads};

/// What a compilation depends on besides the files.
#[derive(Clone, Debug)]
pub struct Options {
    /// The namespace of objects that name none; if it is empty they have none.
    pub default_namespace: String,
    /// What holds for the whole mesh.
    pub settings: Settings,
    /// Which reader reads YAML.
    pub reader: YamlReader,
    /// The name of the file among the sources that is MeshConfig as a whole.
    pub mesh_config: Option<String>,
    /// The name of the file among the sources that is MeshNetworks as a whole.
    pub mesh_networks: Option<String>,
    /// The time, in seconds since 1970, for whoever asks what is wrong today: certificates and exceptions that have
    /// expired are problems then. Without it the result depends on the sources alone, as a snapshot must.
    pub now_s: Option<i64>,
}

impl Default for Options {
    /// Istio's settings, and the namespace `default`, as kubectl has it.
    fn default() -> Self {
        Options {
            default_namespace: "default".into(),
            settings: Settings::default(),
            reader: YamlReader::default(),
            mesh_config: None,
            mesh_networks: None,
            now_s: None,
        }
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
    let (read, counts) = read(sources, options, &mut problems);
    let mesh = read.mesh(options);
    let checks: Vec<&taut_model::check::Check> = taut_model::check::checks().collect();
    threads::each(&checks, |check| check.found(&mesh)).into_iter().for_each(|found| problems.extend(found));
    let problems = exceptions::apply(problems.into_all(), sources, &read.resources, options.now_s);
    let problems: Problems = problems.into_iter().collect();
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

/// What the sources hold.
#[derive(Default)]
pub(crate) struct Sources {
    pub(crate) resources: Vec<Resource>,
    pub(crate) config: Option<(FileId, MeshConfig)>,
    pub(crate) networks: Option<(FileId, MeshNetworks)>,
    /// What was made of the Gateway API and of Ingresses, once a mesh was asked for.
    converted: OnceCell<Converted>,
}

impl Sources {
    /// The mesh that they make.
    pub(crate) fn mesh(&self, options: &Options) -> Mesh<'_> {
        let wide = MeshWide {
            config: self.config.as_ref().map(|(file, config)| (*file, config)),
            networks: self.networks.as_ref().map(|(file, networks)| (*file, networks)),
            now_s: options.now_s,
        };
        let settings = settings(options, self.config.as_ref());
        let converted = self.converted.get_or_init(|| taut_model::convert(&self.resources, &settings));
        taut_model::resolve(&self.resources, converted, settings, wide)
    }
}

/// What one file holds.
#[derive(Default)]
struct FileRead {
    documents: usize,
    foreign: usize,
    resources: Vec<Resource>,
    config: Option<MeshConfig>,
    networks: Option<MeshNetworks>,
    problems: Vec<Problem>,
}

pub(crate) fn read(sources: &SourceSet, options: &Options, problems: &mut Problems) -> (Sources, Counts) {
    let mut counts = Counts::default();
    let mut read = Sources::default();
    let second = (options.reader == YamlReader::Reference).then(SecondOpinion::default);
    let files: Vec<_> = sources.iter().filter(|(_, file)| !exceptions::is_exceptions(&file.name)).collect();
    let of_files = threads::each(&files, |(id, file)| read_file(*id, file, options, second.as_ref()));
    for ((id, _), file) in files.into_iter().zip(of_files) {
        counts.documents += file.documents;
        counts.foreign += file.foreign;
        read.resources.extend(file.resources);
        read.config = file.config.map(|config| (id, config)).or(read.config);
        read.networks = file.networks.map(|networks| (id, networks)).or(read.networks);
        problems.extend(file.problems);
    }
    counts.resources = read.resources.len();
    (read, counts)
}

fn read_file(id: FileId, file: &SourceFile, options: &Options, second: Option<&SecondOpinion>) -> FileRead {
    let mut read = FileRead::default();
    let (documents, mut found) = taut_source::read_documents(file, id, options.reader);
    read.documents = documents.len();
    let is = |name: &Option<String>| name.as_deref() == Some(&*file.name);
    let mut outcomes = Vec::new();
    for document in &documents {
        let root = document.tree.root();
        if is(&options.mesh_config) {
            read.config = taut_resources::read_mesh_config(root, id, &mut found);
            continue;
        }
        if is(&options.mesh_networks) {
            read.networks = taut_resources::read_mesh_networks(root, id, &mut found);
            continue;
        }
        let before = found.len();
        taut_resources::read_resource(root, id, &options.default_namespace, &mut found, &mut outcomes);
        if let Some(second) = second {
            second.ask(root, id, before, &mut found);
        }
    }
    for outcome in outcomes {
        match outcome {
            Outcome::Read(resource) => read.resources.push(*resource),
            Outcome::Foreign => read.foreign += 1,
            Outcome::Broken => {}
        }
    }
    read.problems = found;
    read
}

/// The settings of the options, with what MeshConfig says instead.
fn settings(options: &Options, config: Option<&(FileId, MeshConfig)>) -> Settings {
    match config {
        Some((_, config)) => options.settings.clone().with(config),
        None => options.settings.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn codes(files: &[(&str, &str)], options: &Options) -> Vec<String> {
        let files = files.iter().map(|(name, text)| SourceFile::new(name, text.as_bytes())).collect();
        let compiled = compile(&SourceSet::new(files), options);
        compiled.problems.into_iter().map(|problem| problem.code.into_owned()).collect()
    }

    #[test]
    fn networks_are_checked_against_the_clusters_that_are_known() {
        let rule = crate::rules().into_iter().find(|rule| rule.code == "taut::mesh_wide::unknown_registry");
        let rule = rule.expect("it is a rule");
        let options = Options { mesh_networks: Some("networks.yaml".into()), ..Options::default() };
        assert!(codes(&[("networks.yaml", rule.bad)], &options).iter().any(|code| code == rule.code));
        assert!(!codes(&[("networks.yaml", rule.good)], &options).iter().any(|code| code == rule.code));
        let secret = "apiVersion: v1\nkind: Secret\nmetadata: {name: remote, labels: {istio/multiCluster: \"true\"}}\ndata: {cluster-7: e30=}";
        let found = codes(&[("networks.yaml", rule.bad), ("secret.yaml", secret)], &options);
        assert!(!found.iter().any(|code| code == rule.code), "{found:?}");
    }

    #[test]
    fn the_root_namespace_is_the_one_of_mesh_config() {
        let policy = "apiVersion: networking.istio.io/v1\nkind: Sidecar\nmetadata: {name: a, namespace: mesh}\nspec:\n  workloadSelector: {labels: {app: a}}\n  egress: [{hosts: [\"./*\"]}]";
        let options = Options { mesh_config: Some("mesh.yaml".into()), ..Options::default() };
        let root = "taut::sidecar::root_selector".to_owned();
        assert!(codes(&[("mesh.yaml", "rootNamespace: mesh"), ("a.yaml", policy)], &options).contains(&root));
        assert!(!codes(&[("mesh.yaml", "rootNamespace: other"), ("a.yaml", policy)], &options).contains(&root));
    }

    #[test]
    fn errors_that_somebody_lives_with_keep_nothing_from_being_compiled() {
        let text = "apiVersion: v1
kind: Service
metadata: {name: orders}
spec:
  selector: {app: orders}
  ports: [{name: http, port: 8080}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: orders, annotations: {galley.istio.io/analyze-suppress: \"*\"}}
spec:
  hosts: [orders, nobody]
  gateways: [mesh, missing]
  http:
  - match: [{uri: {prefix: /a}}]
    route: [{destination: {host: nobody}}]
  - match: [{uri: {prefix: /b}}]
    route: [{destination: {host: orders, subset: v9}}]
  - route: [{destination: {host: orders, port: {number: 1}}}]";
        let files = vec![SourceFile::new("mesh.yaml", text.as_bytes())];
        let compiled = compile(&SourceSet::new(files), &Options::default());
        assert!(compiled.problems.is_empty(), "{:?}", compiled.problems);
        assert!(compiled.snapshot.is_some());
    }
}

//! The pipeline: sources, documents, resources, model, snapshot.

use std::cell::OnceCell;
use std::collections::BTreeSet;
use std::sync::Arc;

use taut_model::{Converted, Mesh, MeshWide, Settings, Whole};
use taut_resources::{MeshConfig, Outcome, Resource};
use taut_snapshot::{EndpointSet, Snapshot, SourceMap};
use taut_source::{FileId, Problem, Problems, SourceFile, SourceSet, YamlReader, threads};

use crate::lower::{Layers, Lowered, Shares};
use crate::origins::Origins;
use crate::second_opinion::SecondOpinion;
use crate::wide::{Held, Wide};
use crate::{allowed, endpoints, exceptions, lower, origins};

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
    /// Kinds that the data plane does not carry, and that are gone on without: their refusals are warnings.
    pub allow_unsupported: BTreeSet<String>,
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
            allow_unsupported: BTreeSet::new(),
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
    let (mut read, counts) = read(sources, options, &mut problems);
    let compiled = compile_read(sources, options, &mut read, counts, problems, false).0;
    if threads::MANY <= counts.resources {
        threads::let_go(read);
    }
    compiled
}

/// What is known of a mesh beside what it was compiled to, for whoever compiles it again after an edit.
pub(crate) struct Known {
    pub(crate) settings: Settings,
    pub(crate) whole: Whole,
    pub(crate) origins: Origins,
    pub(crate) shares: Shares,
    pub(crate) layers: Layers,
    /// Whether some service is plain HTTP on its port.
    pub(crate) plain_http: bool,
}

/// Compiles what was read. With `known` it also says what the next time needs, if the mesh is one whose parts can be
/// compiled alone.
pub(crate) fn compile_read(
    sources: &SourceSet,
    options: &Options,
    read: &mut Sources,
    counts: Counts,
    mut problems: Problems,
    known: bool,
) -> (Compiled, Option<Known>) {
    let mesh = read.mesh(options);
    let checks: Vec<&taut_model::check::Check> = taut_model::check::checks().collect();
    threads::each(&checks, |check| check.found(&mesh)).into_iter().for_each(|found| problems.extend(found));
    let mut problems = exceptions::apply(problems.into_all(), sources, &read.resources, options.now_s);
    let left_out = allowed::apply(&mut problems, &options.allow_unsupported);
    // What is said not to happen must not happen in part either.
    let mut mesh = if left_out.is_empty() {
        mesh
    } else {
        read.resources.retain(|resource| !left_out.contains(&(resource.file, resource.subject.clone())));
        read.converted = OnceCell::new();
        read.mesh(options)
    };
    let problems: Problems = problems.into_iter().collect();
    mesh.after_checks();
    let lowered = (!problems.fatal()).then(|| lower::lower(&mesh, known));
    let mut source_map = origins::empty();
    let mut endpoints = EndpointSet { endpoints: Vec::new() };
    let (mut snapshot, mut of_next_time, mut mapped) = (None, None, None);
    if let Some(Lowered { snapshot: made, origins, shares, layers }) = lowered {
        snapshot = Some(made);
        of_next_time = shares.filter(|_| left_out.is_empty() && mesh.inventory.replaced.is_empty()).map(|shares| {
            let (settings, whole, origins) = (mesh.settings.clone(), mesh.whole(), Origins::of(&origins));
            Known { settings, whole, origins, shares, layers, plain_http: lower::has_plain_http(&mesh) }
        });
        mapped = Some(origins);
    }
    let declared = || {
        endpoints = endpoints::declared(&mesh);
        drop(mesh); // a large one takes its time to go
    };
    match mapped {
        Some(origins) => source_map = origins.into_source_map(sources, &read.resources, Box::new(declared)),
        None => declared(),
    }
    (Compiled { snapshot, source_map, endpoints, problems: problems.into_sorted(), counts }, of_next_time)
}

/// What the sources hold.
#[derive(Default)]
pub(crate) struct Sources {
    pub(crate) resources: Vec<Arc<Resource>>,
    pub(crate) wide: Held,
    /// What was made of the Gateway API and of Ingresses, once a mesh was asked for.
    converted: OnceCell<Converted>,
}

impl Sources {
    /// What the mesh is told beside its resources.
    pub(crate) fn wide(&self, options: &Options) -> MeshWide<'_> {
        MeshWide {
            config: self.wide.config.as_ref().map(|(file, config)| (*file, config)),
            networks: self.wide.networks.as_ref().map(|(file, networks)| (*file, networks)),
            now_s: options.now_s,
        }
    }

    /// The mesh that they make.
    pub(crate) fn mesh(&self, options: &Options) -> Mesh<'_> {
        let wide = self.wide(options);
        let settings = settings(options, self.wide.config.as_ref());
        let converted = self.converted.get_or_init(|| taut_model::convert(&self.resources, &settings));
        taut_model::resolve(&self.resources, converted, settings, wide)
    }
}

/// What one file holds.
pub(crate) struct FileRead {
    pub(crate) documents: usize,
    pub(crate) foreign: usize,
    pub(crate) resources: Vec<Arc<Resource>>,
    wide: Wide,
    pub(crate) problems: Vec<Problem>,
}

impl FileRead {
    /// One that holds nothing but these.
    pub(crate) fn plain(documents: usize, foreign: usize, resources: Vec<Arc<Resource>>) -> FileRead {
        FileRead { documents, foreign, resources, wide: Wide::new(), problems: Vec::new() }
    }

    /// Whether it holds resources that are as they should be, and nothing that says how others are read.
    pub(crate) fn is_plain(&self) -> bool {
        self.problems.is_empty() && self.wide.is_empty()
    }
}

pub(crate) fn read(sources: &SourceSet, options: &Options, problems: &mut Problems) -> (Sources, Counts) {
    let files: Vec<_> = sources.iter().filter(|(_, file)| !exceptions::is_exceptions(&file.name)).collect();
    together(read_files(&files, options), problems)
}

/// What some files hold, each by itself.
pub(crate) fn read_files(files: &[(FileId, &SourceFile)], options: &Options) -> Vec<FileRead> {
    let second = (options.reader == YamlReader::Reference).then(SecondOpinion::default);
    threads::each(files, |(id, file)| read_file(*id, file, options, second.as_ref()))
}

/// What all files hold.
pub(crate) fn together(files: Vec<FileRead>, problems: &mut Problems) -> (Sources, Counts) {
    let mut counts = Counts::default();
    let resources = Vec::with_capacity(files.iter().map(|file| file.resources.len()).sum());
    let mut read = Sources { resources, ..Sources::default() };
    let mut wide = Wide::new();
    for file in files {
        counts.documents += file.documents;
        counts.foreign += file.foreign;
        read.resources.extend(file.resources);
        wide.add(file.wide);
        problems.extend(file.problems);
    }
    read.wide = wide.settle(problems);
    counts.resources = read.resources.len();
    (read, counts)
}

fn read_file(id: FileId, file: &SourceFile, options: &Options, second: Option<&SecondOpinion>) -> FileRead {
    let (documents, mut found) = taut_source::read_documents(file, id, options.reader);
    let (mut wide, mut resources, mut foreign) = (Wide::new(), Vec::new(), 0);
    let mut outcomes = Vec::new();
    for document in &documents {
        let root = document.tree.root();
        if wide.take_named(&file.name, id, &document.tree, options) {
            continue;
        }
        wide.take(root, id, options);
        let before = found.len();
        taut_resources::read_resource(root, id, &options.default_namespace, &mut found, &mut outcomes);
        if let Some(second) = second {
            second.ask(root, id, before, &mut found);
        }
    }
    for outcome in outcomes {
        match outcome {
            Outcome::Read(resource) => resources.push(resource),
            Outcome::Foreign => foreign += 1,
            Outcome::Broken => {}
        }
    }
    FileRead { documents: documents.len(), foreign, resources, wide, problems: found }
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
    #[rustfmt::skip] // a table is read by its columns
    fn the_service_that_traces_go_to_by_default_is_looked_for() {
        const PROVIDERS: &str = "extensionProviders:\n- {name: spans, opentelemetry: {service: otel.obs.svc.cluster.local, port: 4317}}\n- {name: old, zipkin: {service: obs/zipkin.obs.svc.cluster.local, port: 9411}}\n- {name: file, envoyFileAccessLog: {path: /dev/stdout}}\n";
        let service = |name: &str, port: u16, hidden: &str| format!("apiVersion: v1\nkind: Service\nmetadata: {{name: {name}, namespace: obs{hidden}}}\nspec: {{ports: [{{name: grpc, port: {port}}}]}}\n");
        let hidden = ", annotations: {networking.istio.io/exportTo: .}";
        let table = [
            ("",                             String::new(),                        ""),
            ("defaultProviders: {tracing: [spans]}\n", service("otel", 4317, ""),  ""),
            ("defaultProviders: {tracing: [spans]}\n", String::new(),              "provider `spans` is at `otel.obs.svc.cluster.local:4317`, which the mesh does not have"),
            ("defaultProviders: {tracing: [spans]}\n", service("otel", 4318, ""),  "provider `spans` is at `otel.obs.svc.cluster.local:4317`, which the mesh does not have"),
            ("defaultProviders: {tracing: [spans]}\n", service("otel", 4317, hidden), "provider `spans` is at `otel.obs.svc.cluster.local:4317`, which the mesh does not have"),
            ("defaultProviders: {tracing: [old]}\n", service("zipkin", 9411, hidden), ""), // its namespace is said
            ("defaultProviders: {tracing: [old]}\n", service("otel", 9411, ""),    "provider `old` is at `obs/zipkin.obs.svc.cluster.local:9411`, which the mesh does not have"),
            ("defaultProviders: {tracing: [nobody, file, spans]}\n", String::new(), "provider `spans` is at `otel.obs.svc.cluster.local:4317`, which the mesh does not have"), // the first that takes traces
        ];
        for (defaults, mesh, want) in table {
            let options = Options { mesh_config: Some("mesh.yaml".into()), ..Options::default() };
            let files = [("mesh.yaml", format!("{PROVIDERS}{defaults}")), ("a.yaml", mesh.clone())];
            let files = files.iter().map(|(name, text)| SourceFile::new(name, text.as_bytes())).collect();
            let problems = compile(&SourceSet::new(files), &options).problems;
            let of_provider = problems.iter().filter(|it| it.code == "taut::telemetry::unknown_provider");
            let said: Vec<&str> = of_provider.map(|problem| problem.message.as_str()).collect();
            assert_eq!(said.join("; "), want, "{defaults}{mesh}: {problems:?}");
        }
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

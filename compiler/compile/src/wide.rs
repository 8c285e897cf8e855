//! What holds for the whole mesh, and where it stands: in files that the caller names, or in the ConfigMap `istio` of
//! the root namespace, as Istio has it (semantics.md §15).
//!
//! Owns: which of them is read, and what is wrong with there being several.
//! Invariant: a file that the caller names takes the place of what a ConfigMap says, whole.

use taut_resources::{MeshConfig, MeshNetworks, read_mesh_config, read_mesh_networks};
use taut_source::{
    FileId, Node, Place, Problem, Problems, Related, Rule, Severity, Stage, Subject, Text, Tree, TypeMeta,
    read_embedded, same,
};

use crate::compile::Options;

/// The ConfigMap of the revision `default`, under whose keys the two stand.
const NAME: &str = "istio";

pub(crate) static TWICE: Rule = Rule {
    code: "taut::mesh_wide::two_config_maps",
    istio: None,
    severity: Severity::Error,
    stage: Stage::Analysis,
    finds: "two ConfigMaps that both hold the settings of the mesh",
    why: "Which of them holds would depend on which control plane reads them.",
    bad: "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: istio, namespace: istio-system}\ndata:\n  mesh: |\n    trustDomain: shop.example\n---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: istio, namespace: mesh}\ndata:\n  mesh: |\n    rootNamespace: mesh",
    good: "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: istio, namespace: mesh}\ndata:\n  mesh: |\n    rootNamespace: mesh\n    trustDomain: shop.example",
};

pub(crate) static OVERRIDDEN: Rule = Rule {
    code: "taut::mesh_wide::overridden",
    istio: None,
    severity: Severity::Warning,
    stage: Stage::Analysis,
    finds: "settings of the mesh in a ConfigMap, and others in a file that takes their place",
    why: "The ConfigMap looks as if it held, and nothing of it does.",
    bad: "`--mesh-config FILE` beside a ConfigMap `istio` that says something else",
    good: "one of the two",
};

pub(crate) static RULES: &[&Rule] = &[&OVERRIDDEN, &TWICE];

/// What holds, and in which file it stands.
#[derive(Default)]
pub(crate) struct Held {
    pub(crate) config: Option<(FileId, MeshConfig)>,
    pub(crate) networks: Option<(FileId, MeshNetworks)>,
}

/// What was found of one of the two.
struct Found<T> {
    /// The file that the caller named, if it was read.
    named: Option<(FileId, Tree)>,
    /// Of each ConfigMap: the key, whose resource it is, and what stands there.
    maps: Vec<(Place, Subject, Option<Tree>, Vec<Problem>)>,
    read: fn(Node<'_>, FileId, &mut Vec<Problem>) -> Option<T>,
}

impl<T> Found<T> {
    fn new(read: fn(Node<'_>, FileId, &mut Vec<Problem>) -> Option<T>) -> Found<T> {
        Found { named: None, maps: Vec::new(), read }
    }

    fn is_empty(&self) -> bool {
        self.named.is_none() && self.maps.is_empty()
    }

    fn add(&mut self, other: Found<T>) {
        self.named = other.named.or(self.named.take());
        self.maps.extend(other.maps);
    }

    fn settle(self, option: &str, problems: &mut Problems) -> Option<(FileId, T)> {
        let mut maps = self.maps.into_iter();
        let first = maps.next();
        for (at, subject, ..) in maps {
            let Some((other, ..)) = &first else { break };
            let related = vec![Related { at: *other, message: "and here".into() }];
            let message = "the settings of the mesh stand in two ConfigMaps".to_owned();
            let help = "keep the one of the root namespace".into();
            problems.push(Problem { help, related, subject: Some(subject), ..TWICE.at(at, message) });
        }
        let mut found = Vec::new();
        let read = match (self.named, first) {
            (Some((file, tree)), map) => {
                if let Some((at, subject, said, _)) = map
                    && said.is_none_or(|said| !same(said.root(), tree.root()))
                {
                    let message = format!("`{option}` takes the place of these settings, and says something else");
                    let help = format!("leave out `{option}`, or make the two alike");
                    problems.push(Problem { help, subject: Some(subject), ..OVERRIDDEN.at(at, message) });
                }
                (self.read)(tree.root(), file, &mut found).map(|read| (file, read))
            }
            (None, Some((at, subject, tree, wrong))) => {
                let of_map = |problem: Problem| Problem { subject: Some(subject.clone()), ..problem };
                found.extend(wrong.into_iter().map(of_map));
                tree.and_then(|tree| (self.read)(tree.root(), at.file, &mut found)).map(|read| (at.file, read))
            }
            (None, None) => None,
        };
        problems.extend(found);
        read
    }
}

/// Both, as they are found.
pub(crate) struct Wide {
    config: Found<MeshConfig>,
    networks: Found<MeshNetworks>,
}

impl Wide {
    pub(crate) fn new() -> Wide {
        Wide { config: Found::new(read_mesh_config), networks: Found::new(read_mesh_networks) }
    }

    /// Whether nothing was found.
    pub(crate) fn is_empty(&self) -> bool {
        self.config.is_empty() && self.networks.is_empty()
    }

    /// Adds what was found in another file.
    pub(crate) fn add(&mut self, other: Wide) {
        self.config.add(other.config);
        self.networks.add(other.networks);
    }

    /// Takes a document of a file that the caller named; false if it is none of those.
    pub(crate) fn take_named(&mut self, name: &str, file: FileId, tree: &Tree, options: &Options) -> bool {
        let is = |option: &Option<String>| option.as_deref() == Some(name);
        if is(&options.mesh_config) {
            self.config.named = Some((file, tree.clone()));
        } else if is(&options.mesh_networks) {
            self.networks.named = Some((file, tree.clone()));
        } else {
            return false;
        }
        true
    }

    /// Takes what a document holds, if it is the ConfigMap, or a list with it.
    pub(crate) fn take(&mut self, node: Node<'_>, file: FileId, options: &Options) {
        let text = |node: Option<Node<'_>>| node.and_then(Node::text).unwrap_or_default().to_owned();
        let kind = text(node.get("kind"));
        if let Some(items) = node.get("items").filter(|_| kind.ends_with("List")) {
            items.items().for_each(|item| self.take(item, file, options));
        }
        let Some(meta) = node.get("metadata").filter(|_| kind == "ConfigMap") else { return };
        let Some(data) = node.get("data").filter(|_| text(meta.get("name")) == NAME) else { return };
        let namespace = match text(meta.get("namespace")) {
            none if none.is_empty() => options.default_namespace.clone(),
            namespace => namespace,
        };
        let embedded = |key: &str| {
            let (name, string) = data.pairs().find(|(name, _)| name.text() == Some(key))?;
            string.text()?;
            Some((Place { file, span: name.span() }, read_embedded(string, file, options.reader)))
        };
        let (config, networks) = (embedded("mesh"), embedded("meshNetworks"));
        // A control plane elsewhere says in its settings where it is.
        let says_so = config.as_ref().and_then(|(_, (tree, _))| tree.as_ref());
        let says_so = says_so.is_some_and(|tree| text(tree.root().get("rootNamespace")) == namespace);
        if namespace != options.settings.root_namespace && !says_so {
            return;
        }
        let of = TypeMeta { api_version: "v1".into(), kind: "ConfigMap".into() };
        let subject = Subject::new(of, Some(Text::new(&namespace)), NAME.into());
        if let Some((at, (tree, problems))) = config {
            self.config.maps.push((at, subject.clone(), tree, problems));
        }
        if let Some((at, (tree, problems))) = networks {
            self.networks.maps.push((at, subject, tree, problems));
        }
    }

    /// What holds.
    pub(crate) fn settle(self, problems: &mut Problems) -> Held {
        let config = self.config.settle("--mesh-config", problems);
        let networks = self.networks.settle("--mesh-networks", problems);
        Held { config, networks }
    }
}

#[cfg(test)]
mod tests {
    use taut_source::{SourceFile, SourceSet};

    use super::*;
    use crate::{Compiled, compile};

    fn map(namespace: &str, mesh: &str) -> String {
        let lines: String = mesh.lines().map(|line| format!("    {line}\n")).collect();
        format!(
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: istio, namespace: {namespace}}}\ndata:\n  mesh: |\n{lines}"
        )
    }

    fn compiled(files: &[(&str, &str)]) -> (SourceSet, Compiled) {
        let files = files.iter().map(|(name, text)| SourceFile::new(name, text.as_bytes()));
        let sources = SourceSet::new(files.collect());
        let compiled = compile(&sources, &Options { mesh_config: Some("mesh.yaml".into()), ..Options::default() });
        (sources, compiled)
    }

    fn id(files: &[(&str, &str)]) -> String {
        let (_, compiled) = compiled(files);
        assert!(compiled.problems.iter().all(|it| it.code.contains("mesh_wide")), "{:?}", compiled.problems);
        compiled.snapshot.unwrap().id.to_string()
    }

    const POD: &str = "apiVersion: v1\nkind: Pod\nmetadata: {name: a, namespace: shop, labels: {app: a}}\nspec: {containers: [{name: a}]}\n";

    #[test]
    fn the_config_map_of_the_root_namespace_says_what_a_file_would() {
        let mesh = "trustDomain: shop.example\ntrustDomainAliases: [old.example]\n";
        let by_file = id(&[("a.yaml", POD), ("mesh.yaml", mesh)]);
        assert_ne!(by_file, id(&[("a.yaml", POD)]));
        assert_eq!(by_file, id(&[("a.yaml", POD), ("map.yaml", &map("istio-system", mesh))]));
        let list = format!(
            "apiVersion: v1\nkind: List\nitems:\n- {}",
            map("istio-system", mesh).trim_end().replace('\n', "\n  ")
        );
        assert_eq!(by_file, id(&[("a.yaml", POD), ("map.yaml", &list)]));
        let elsewhere = format!("{mesh}rootNamespace: mesh\n");
        assert_eq!(
            id(&[("a.yaml", POD), ("mesh.yaml", &elsewhere)]),
            id(&[("a.yaml", POD), ("b.yaml", &map("mesh", &elsewhere))])
        );
        // Somebody else's ConfigMap of the name says nothing.
        assert_eq!(id(&[("a.yaml", POD)]), id(&[("a.yaml", POD), ("map.yaml", &map("shop", mesh))]));
    }

    #[test]
    fn what_is_wrong_in_it_is_shown_at_its_line() {
        let (sources, compiled) =
            compiled(&[("map.yaml", &map("istio-system", "# ours\ntrustDomain: shop.example\nrootNamespce: mesh\n"))]);
        let problem = &compiled.problems[0];
        let at = sources.position(problem.at.file, problem.at.span.start);
        assert_eq!((problem.code.as_ref(), at.line, at.column), ("taut::schema::unknown_field", 8, 5));
        assert!(problem.help.contains("rootNamespace"), "{problem:?}");
    }

    #[test]
    fn a_file_takes_its_place_and_says_so_where_they_differ() {
        let (ours, theirs) = ("trustDomain: shop.example\n", "trustDomain: other.example\n");
        let both = [("a.yaml", POD), ("map.yaml", &*map("istio-system", theirs)), ("mesh.yaml", ours)];
        assert_eq!(id(&both), id(&[("a.yaml", POD), ("mesh.yaml", ours)]));
        let codes = |files: &[(&str, &str)]| {
            let (_, compiled) = compiled(files);
            compiled.problems.into_iter().map(|it| it.code.into_owned()).collect::<Vec<_>>()
        };
        assert_eq!(codes(&both), [OVERRIDDEN.code]);
        assert!(
            codes(&[
                ("map.yaml", &map("istio-system", ours)),
                ("mesh.yaml", "# the same\ntrustDomain: 'shop.example'")
            ])
            .is_empty()
        );
        let twice = [("a.yaml", &*map("istio-system", ours)), ("b.yaml", &*map("mesh", "rootNamespace: mesh\n"))];
        assert_eq!(codes(&twice), [TWICE.code]);
    }
}

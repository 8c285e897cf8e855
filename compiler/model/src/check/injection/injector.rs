//! What the ConfigMaps of injectors say: which proxy is injected, and into whom by default.

use serde_json::Value;
use taut_resources::ConfigMap;

use crate::mesh::{Mesh, Of};

/// One revision's injector.
pub(super) struct Injector {
    /// `default`, or the name of a revision.
    pub(super) revision: String,
    /// The image of the proxy, without a variant.
    pub(super) image: Option<String>,
    /// Whether the image is written out whole, so that no variant is added to it.
    pub(super) absolute: bool,
    /// Whether namespaces that say nothing are injected into.
    pub(super) by_default: bool,
}

/// Every injector that the sources declare.
pub(super) fn injectors(mesh: &Mesh<'_>) -> Vec<Injector> {
    const NAME: &str = "istio-sidecar-injector";
    let of = |map: &Of<'_, ConfigMap>| {
        let rest = map.name().strip_prefix(NAME)?;
        if !rest.is_empty() && !rest.starts_with('-') {
            return None;
        }
        let values: Value = serde_json::from_str(map.spec.data.get("values")?).ok()?;
        let text = |path: &str| values.pointer(path).and_then(Value::as_str).unwrap_or_default();
        // A tag such as 1.3 is a number in JSON.
        let tag = match values.pointer("/global/tag") {
            Some(Value::String(tag)) => tag.clone(),
            Some(Value::Number(tag)) => tag.to_string(),
            _ => String::new(),
        };
        let image = text("/global/proxy/image");
        let absolute = image.contains('/');
        let whole = match absolute {
            true => image.to_owned(),
            false => format!("{}/{image}:{tag}", text("/global/hub")),
        };
        let labelled = map.resource.meta.labels.get("istio.io/rev").map_or("", |revision| revision.as_str());
        let revision = match (labelled, rest.trim_start_matches('-')) {
            ("", "") => "default",
            ("", named) => named,
            (labelled, _) => labelled,
        };
        Some(Injector {
            revision: revision.to_owned(),
            image: (!image.is_empty()).then_some(whole),
            absolute,
            by_default: values
                .pointer("/sidecarInjectorWebhook/enableNamespacesByDefault")
                .and_then(Value::as_bool)
                .unwrap_or_default(),
        })
    };
    mesh.inventory.config_maps.iter().filter_map(of).collect()
}

/// Namespaces that are never injected into (semantics.md §17.3).
pub(super) fn is_exempt(mesh: &Mesh<'_>, namespace: &str) -> bool {
    namespace == mesh.settings.root_namespace || crate::check::is_kubernetes_own(namespace)
}

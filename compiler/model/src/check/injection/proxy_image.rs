//! Pods with another proxy than their namespace's control plane injects.

use taut_source::{Problem, Problems, Rule, Severity, Stage};

use super::injector::{injectors, is_exempt};
use crate::Pod;
use crate::check::{Check, RELATED_MAX, about, listed, name_of, place_of, related};
use crate::mesh::Mesh;
use taut_resources::ProxyImage;

static RULE: Rule = Rule {
    code: "taut::injection::proxy_image",
    istio: Some("IST0158"),
    severity: Severity::Warning,
    stage: Stage::Analysis,
    finds: "pods with another proxy than their namespace's control plane injects",
    why: "They were made before the control plane was upgraded, and run the old proxy until they are made anew.",
    bad: r#"apiVersion: v1
kind: Namespace
metadata:
  name: shop
  labels: {istio-injection: enabled}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: istio-sidecar-injector, namespace: istio-system}
data:
  values: '{"global": {"hub": "example.org", "tag": "1.30", "proxy": {"image": "proxyv2"}}}'
---
apiVersion: v1
kind: Pod
metadata: {name: orders, namespace: shop}
spec:
  containers:
  - {name: app, image: orders}
  - {name: istio-proxy, image: "example.org/proxyv2:1.29"}"#,
    good: r#"apiVersion: v1
kind: Namespace
metadata:
  name: shop
  labels: {istio-injection: enabled}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: istio-sidecar-injector, namespace: istio-system}
data:
  values: '{"global": {"hub": "example.org", "tag": "1.30", "proxy": {"image": "proxyv2"}}}'
---
apiVersion: v1
kind: Pod
metadata: {name: orders, namespace: shop}
spec:
  containers:
  - {name: app, image: orders}
  - {name: istio-proxy, image: "example.org/proxyv2:1.30"}"#,
};

pub(in crate::check) const CHECK: Check = Check { rule: &RULE, run };

fn run(mesh: &Mesh<'_>, problems: &mut Problems) {
    let injectors = injectors(mesh);
    if injectors.is_empty() {
        return;
    }
    for namespace in mesh.inventory.namespaces.iter().filter(|it| !is_exempt(mesh, it.name())) {
        let label = |name: &str| namespace.resource.meta.labels.get(name).map(|value| value.as_str());
        let revision = match (label("istio-injection"), label("istio.io/rev")) {
            (_, Some(revision)) => revision,
            (Some("enabled"), None) => "default",
            _ => continue,
        };
        let Some(injector) = injectors.iter().find(|injector| injector.revision == revision) else { continue };
        let Some(image) = &injector.image else { continue };
        let mut others = Vec::new();
        for pod in mesh.pods.within(namespace.name()) {
            if pod.annotations.get("sidecar.istio.io/proxyImage").is_some_and(|image| !image.is_empty()) {
                continue;
            }
            let Some(running) = pod.proxy().and_then(|proxy| proxy.image.as_ref()) else { continue };
            let variant = variant(mesh, pod);
            let plain = running.as_str() == image;
            let varied = !injector.absolute && !variant.is_empty() && running.as_str() == format!("{image}-{variant}");
            // One that the injector is still to fill in has no image yet.
            if running.as_str() != "auto" && !plain && !varied {
                others.push(pod);
            }
        }
        if others.is_empty() {
            continue;
        }
        let message = format!("these pods do not run `{image}`: {}", listed(others.iter().map(|pod| pod.name())));
        let places = others.iter().take(3).map(|pod| related(place_of(pod.resource), "runs another proxy"));
        problems.push(Problem {
            label: "this namespace".into(),
            related: places.take(RELATED_MAX).collect(),
            ..about(namespace, &RULE, name_of(namespace.resource), message, "make the pods anew".into())
        });
    }
}

/// The variant of the image that a pod gets: what it says itself, before its namespace, before the mesh.
fn variant(mesh: &Mesh<'_>, pod: &Pod<'_>) -> String {
    let written = |image: Option<&ProxyImage>| Some(image?.image_type.as_ref()?.value.to_string());
    let annotated = pod.annotations.get("sidecar.istio.io/proxyImageType").map(|kind| kind.to_string());
    let overlaid = pod.annotations.get("proxy.istio.io/config").and_then(|config| image_type(config));
    let configs = mesh.inventory.proxy_configs.iter();
    let selecting = configs.clone().find_map(|config| {
        let selector = config.spec.selector.as_ref().filter(|it| !it.match_labels.is_empty())?;
        let here = config.namespace() == pod.namespace() && pod.has(&selector.match_labels);
        here.then(|| written(config.spec.image.as_ref())).flatten()
    });
    let wide = |namespace: &str| {
        configs.clone().find_map(|config| {
            let everyone = config.spec.selector.as_ref().is_none_or(|it| it.match_labels.is_empty());
            (everyone && config.namespace() == namespace).then(|| written(config.spec.image.as_ref())).flatten()
        })
    };
    let of_mesh = mesh.wide.config.and_then(|(_, config)| written(config.default_config.as_ref()?.image.as_ref()));
    let found = annotated
        .or(overlaid)
        .or(selecting)
        .or_else(|| wide(pod.namespace()))
        .or_else(|| wide(&mesh.settings.root_namespace))
        .or(of_mesh);
    found.filter(|kind| kind != "default").unwrap_or_default()
}

/// `image.imageType` of a piece of YAML in an annotation.
fn image_type(config: &str) -> Option<String> {
    let line = config.lines().map(str::trim).find(|line| line.contains("imageType"))?;
    let value = line.split("imageType").nth(1)?.trim_start_matches(['"', ':', ' ']);
    Some(value.trim_end_matches(['}', ' ', '"']).trim_matches('"').to_owned())
}

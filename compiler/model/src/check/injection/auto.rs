//! Proxies whose image the injector is to fill in.

use taut_source::Span;

use crate::Pod;

/// Where a pod asks for the injector's own image.
pub(super) fn auto_image(pod: &Pod<'_>) -> Option<Span> {
    let image = pod.proxy()?.image.as_ref()?;
    (image.as_str() == "auto").then_some(image.span)
}

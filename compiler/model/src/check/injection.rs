//! Rules about who gets a proxy, and which one.

mod auto;
mod image_never_filled_in;
mod image_not_filled_in;
mod injector;
mod missing_proxy;
mod namespace_injected_by_default;
mod namespace_not_injected;
mod proxy_image;
mod several_labels;

use crate::check::Check;

pub(super) const CHECKS: &[Check] = &[
    image_never_filled_in::CHECK,
    image_not_filled_in::CHECK,
    missing_proxy::CHECK,
    namespace_injected_by_default::CHECK,
    namespace_not_injected::CHECK,
    proxy_image::CHECK,
    several_labels::CHECK,
];

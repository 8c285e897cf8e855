//! PeerAuthentication (semantics.md §9): which connections a workload accepts.

use taut_source::Node;

use crate::message::{keyword, message};
use crate::read::{At, Named, Reader};
use crate::rules;
use crate::selector::Selector;

keyword! {
    /// Which connections are accepted.
    pub enum MtlsMode {
        /// As the next wider policy says.
        Unset = "UNSET";
        /// Plaintext; TLS is not ended.
        Disable = "DISABLE";
        /// Plaintext and mTLS.
        Permissive = "PERMISSIVE";
        /// mTLS alone.
        Strict = "STRICT";
    }
}

message! {
    /// Which connections the workloads of a selector, a namespace or the mesh accept.
    pub struct PeerAuthentication {
        /// The workloads; all of the namespace if missing, all of the mesh in the root namespace.
        selector: Option<Selector> = "selector";
        /// For all ports.
        mtls: Option<Mtls> = "mtls";
        /// For one port of the workload, by its number.
        port_level_mtls: Option<Named<Mtls>> = "portLevelMtls", items(1..);
    }
    where check(PeerAuthentication::check);
}

message! {
    /// Which connections are accepted.
    pub struct Mtls {
        /// The mode; UNSET if missing.
        mode: Option<At<MtlsMode>> = "mode";
    }
}

impl PeerAuthentication {
    /// Whether it says DISABLE for all ports of somebody.
    #[must_use]
    pub fn says_disable(&self) -> bool {
        self.mtls.as_ref().and_then(|mtls| mtls.mode).is_some_and(|mode| mode.value == MtlsMode::Disable)
    }

    fn check(&self, _: Node<'_>, cx: &mut Reader<'_>) {
        let Some(ports) = &self.port_level_mtls else { return };
        if self.selector.as_ref().is_none_or(|selector| selector.match_labels.is_empty()) {
            let help = "add `selector: {matchLabels: ...}`";
            cx.say(&rules::EXCLUSIVE, self.span, "`portLevelMtls` needs a selector with labels", help);
        }
        for (port, _) in &ports.0 {
            if !port.parse::<u32>().is_ok_and(|number| (1..=65535).contains(&number)) {
                let message = format!("`{}` is no port", port.value);
                cx.say(&rules::OUT_OF_RANGE, port.span, message, "write a number from 1 to 65535");
            }
        }
    }
}

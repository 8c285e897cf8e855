//! Which connections a workload accepts (semantics.md §9.2): mesh, then namespace, then workload; the narrowest that says so.

use taut_resources::{Mtls, MtlsMode, PeerAuthentication};

use crate::labels::LabelSet;
use crate::mesh::Mesh;

/// What a port accepts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Plaintext; TLS is the application's own.
    Disable,
    /// Plaintext and mTLS.
    Permissive,
    /// mTLS alone.
    Strict,
}

/// The modes of one workload.
#[derive(Clone, Copy, Debug)]
pub struct ModeOf<'r> {
    /// Of every port without a mode of its own.
    pub workload: Mode,
    policy: Option<&'r PeerAuthentication>,
}

/// The modes of a workload.
#[must_use]
pub fn mode_of<'r>(mesh: &Mesh<'r>, namespace: &str, labels: &LabelSet) -> ModeOf<'r> {
    let mut mode = namespace_mode(mesh, namespace);
    // Only the oldest policy counts at each level; and one with a selector in the root namespace counts nowhere
    // (the traps of §9.2).
    let counts = namespace != mesh.settings.root_namespace;
    let of_workload = if counts { mesh.peers_for(namespace, labels).next() } else { None };
    if let Some(policy) = of_workload {
        mode = said(policy.spec.mtls.as_ref()).unwrap_or(mode);
    }
    ModeOf { workload: mode, policy: of_workload.map(|policy| policy.spec) }
}

/// What holds for a namespace: its own policy without a selector, or the mesh's.
#[must_use]
pub fn namespace_mode(mesh: &Mesh<'_>, namespace: &str) -> Mode {
    let general = |namespace: &str| said(mesh.peer_of_namespace(namespace)?.spec.mtls.as_ref());
    let of_mesh = general(&mesh.settings.root_namespace);
    let of_namespace = general(namespace);
    of_namespace.or(of_mesh).unwrap_or(Mode::Permissive)
}

impl ModeOf<'_> {
    /// The ports with a mode of their own.
    pub fn ports(&self) -> impl Iterator<Item = u16> {
        let ports = self.policy.and_then(|policy| policy.port_level_mtls.as_ref());
        ports.into_iter().flat_map(|ports| &ports.0).filter_map(|(name, _)| name.parse().ok())
    }

    /// The mode of a workload's port.
    #[must_use]
    pub fn port(&self, port: u16) -> Mode {
        let ports = self.policy.and_then(|policy| policy.port_level_mtls.as_ref());
        let own = ports.and_then(|ports| ports.0.iter().find(|(name, _)| name.parse() == Ok(port)));
        own.and_then(|(_, mtls)| said(Some(mtls))).unwrap_or(self.workload)
    }
}

fn said(mtls: Option<&Mtls>) -> Option<Mode> {
    match mtls?.mode.as_ref()?.value {
        MtlsMode::Unset => None,
        MtlsMode::Disable => Some(Mode::Disable),
        MtlsMode::Permissive => Some(Mode::Permissive),
        MtlsMode::Strict => Some(Mode::Strict),
    }
}

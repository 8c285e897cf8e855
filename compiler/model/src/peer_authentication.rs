//! Which connections a workload accepts (semantics.md §9.2): mesh, then namespace, then workload; the narrowest that says so.

use taut_resources::{Mtls, MtlsMode, PeerAuthentication};
use taut_source::Span;

use crate::labels::LabelSet;
use crate::mesh::{Mesh, Of};

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
    let of_workload = of_workload(mesh, namespace, labels);
    if let Some(policy) = of_workload {
        mode = said(policy.spec.mtls.as_ref()).unwrap_or(mode);
    }
    ModeOf { workload: mode, policy: of_workload.map(|policy| policy.spec) }
}

/// What holds for a namespace: its own policy without a selector, or the mesh's.
#[must_use]
pub fn namespace_mode(mesh: &Mesh<'_>, namespace: &str) -> Mode {
    let general = general(mesh, namespace);
    general.into_iter().flatten().find_map(|policy| said(policy.spec.mtls.as_ref())).unwrap_or(Mode::Permissive)
}

/// The policy that says what a workload's port accepts, and where it does; none if nobody says anything.
#[must_use]
pub fn deciding_policy<'r>(
    mesh: &Mesh<'r>,
    namespace: &str,
    labels: &LabelSet,
    port: u16,
) -> Option<(Of<'r, PeerAuthentication>, Span)> {
    let of_workload = of_workload(mesh, namespace, labels);
    let of_port = of_workload.and_then(|policy| Some((policy, at(own(policy.spec, port))?)));
    let levels = [of_workload].into_iter().chain(general(mesh, namespace)).flatten();
    of_port.or_else(|| levels.filter_map(|policy| Some((policy, at(policy.spec.mtls.as_ref())?))).next())
}

/// The policy with a selector that counts for a workload. Only the oldest counts at each level; and one with a selector
/// in the root namespace counts nowhere (the traps of §9.2).
fn of_workload<'r>(mesh: &Mesh<'r>, namespace: &str, labels: &LabelSet) -> Option<Of<'r, PeerAuthentication>> {
    let counts = namespace != mesh.settings.root_namespace;
    if counts { mesh.peers_for(namespace, labels).next() } else { None }
}

/// The policies without a selector: the namespace's, then the mesh's.
fn general<'r>(mesh: &Mesh<'r>, namespace: &str) -> [Option<Of<'r, PeerAuthentication>>; 2] {
    [mesh.peer_of_namespace(namespace), mesh.peer_of_namespace(&mesh.settings.root_namespace)]
}

/// What a policy says about a port of its own.
fn own(policy: &PeerAuthentication, port: u16) -> Option<&Mtls> {
    let ports = policy.port_level_mtls.as_ref()?;
    ports.0.iter().find(|(name, _)| name.parse() == Ok(port)).map(|(_, mtls)| mtls)
}

/// Where a mode stands, if one is said.
fn at(mtls: Option<&Mtls>) -> Option<Span> {
    said(mtls)?;
    mtls?.mode.as_ref().map(|mode| mode.span)
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
        said(self.policy.and_then(|policy| own(policy, port))).unwrap_or(self.workload)
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

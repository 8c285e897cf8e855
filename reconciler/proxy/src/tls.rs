//! TLS configurations: made when a snapshot is prepared, never for a connection.
//!
//! Owns: which configuration a cluster, an inbound port and a gateway's server have.
//! May not: decide who is trusted; `taut-identity` does that for the mesh's own mTLS.

mod gateway;
mod outside;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use rustls::{ClientConfig, ServerConfig};
use rustls_pki_types::ServerName;
use taut_identity::{Accepted, Clients, LiveIdentity, SpiffeId};
use taut_snapshot::object::{Cluster, ClusterTls, Identities, OutsideTls, Roots};

pub(crate) use gateway::{Ending, gateway_config};

/// The protocols of HTTP over TLS, in the order in which a server prefers them.
pub(crate) const HTTP: &[&[u8]] = &[b"h2", b"http/1.1"];

/// How connections to the endpoints of a cluster are secured.
#[derive(Debug)]
pub(crate) struct Mutual {
    pub(crate) http1: Arc<ClientConfig>,
    pub(crate) http2: Arc<ClientConfig>,
    /// Without a protocol in it: for bytes.
    pub(crate) bytes: Arc<ClientConfig>,
    pub(crate) server_name: ServerName<'static>,
}

/// How the clusters of one snapshot are secured. Those that accept the same identities have the same configurations.
pub(crate) struct Securing<'i> {
    identity: &'i LiveIdentity,
    /// For HTTP/1, HTTP/2 and bytes, by who is accepted.
    known: BTreeMap<BTreeSet<SpiffeId>, [Arc<ClientConfig>; 3]>,
}

impl<'i> Securing<'i> {
    /// With the identity that is shown.
    pub(crate) fn new(identity: &'i LiveIdentity) -> Securing<'i> {
        Securing { identity, known: BTreeMap::new() }
    }

    /// The configurations of a cluster; none if its connections are not secured.
    ///
    /// # Errors
    /// If an identity that it accepts is none, or its name cannot be a server name.
    pub(crate) fn of(&mut self, cluster: &Cluster) -> Result<Option<Mutual>, String> {
        let accepted = match &cluster.tls {
            ClusterTls::Plain => return Ok(None),
            ClusterTls::Auto(Identities { accepted }) | ClusterTls::Mutual(Identities { accepted }) => accepted,
            ClusterTls::Outside(tls) => return Mutual::outside(cluster, tls).map(Some),
        };
        let accepted: BTreeSet<SpiffeId> = accepted
            .iter()
            .map(|text| SpiffeId::parse(text).map_err(|bad| format!("the identity `{text}`: {bad}")))
            .collect::<Result<_, _>>()?;
        let name = cluster.server_name();
        let server_name =
            ServerName::try_from(name.clone()).map_err(|_| format!("`{name}` cannot be a server name"))?;
        let identity = self.identity;
        let [http1, http2, bytes] = self.known.entry(accepted).or_insert_with_key(|accepted| {
            // As Istio's proxies say it, so that a port which takes plaintext as well knows the mesh's TLS by it (§2.2).
            let protocols: [&[&[u8]]; 3] = [&[b"istio-http/1.1", b"http/1.1"], &[b"istio-h2", b"h2"], &[b"istio"]];
            protocols.map(|these| taut_identity::client_config(identity, Accepted::AnyOf(accepted.clone()), these))
        });
        Ok(Some(Mutual { http1: http1.clone(), http2: http2.clone(), bytes: bytes.clone(), server_name }))
    }
}

impl Mutual {
    /// Those of a service outside the mesh. Its server name is its host, unless the rule names another.
    fn outside(cluster: &Cluster, tls: &OutsideTls) -> Result<Mutual, String> {
        let name = if tls.server_name.is_empty() { &cluster.host } else { &tls.server_name };
        let server_name =
            ServerName::try_from(name.to_string()).map_err(|_| format!("`{name}` cannot be a server name"))?;
        let bytes = outside::config(tls, cluster.own.as_ref())?;
        let with = |protocol: &[u8]| {
            let mut config = bytes.clone();
            config.alpn_protocols = vec![protocol.to_vec()];
            Arc::new(config)
        };
        Ok(Mutual { http1: with(b"http/1.1"), http2: with(b"h2"), bytes: Arc::new(bytes), server_name })
    }
}

/// For questions to services outside the mesh that are the proxy's own, by whoever this machine trusts.
///
/// # Errors
/// If it trusts nobody.
pub(crate) fn system_client() -> Result<Arc<ClientConfig>, String> {
    let tls = OutsideTls {
        server_name: Default::default(),
        names: Vec::new(),
        roots: Roots::System,
        certificate: Default::default(),
        key: Default::default(),
        revoked: Default::default(),
        own: None,
    };
    outside::config(&tls, None).map(Arc::new)
}

/// How an inbound port ends the mesh's mTLS.
#[derive(Debug)]
pub(crate) struct Inward {
    http: Arc<ServerConfig>,
    bytes: Arc<ServerConfig>,
    /// Without a protocol in it: for clients that offer none of those.
    silent: Arc<ServerConfig>,
}

/// The protocols of HTTP within the mesh's TLS.
const MESH_HTTP: &[&[u8]] = &[b"istio-h2", b"istio-http/1.1", b"istio-http/1.0", b"h2", b"http/1.1"];

/// What says that it carries bytes. Metadata of peers (`istio-peer-exchange`) is not spoken.
const MESH_BYTES: &[&[u8]] = &[b"istio"];

impl Inward {
    pub(crate) fn new(identity: &LiveIdentity) -> Inward {
        Inward {
            http: taut_identity::server_config(identity, Clients::Required, MESH_HTTP),
            bytes: taut_identity::server_config(identity, Clients::Required, MESH_BYTES),
            silent: taut_identity::server_config(identity, Clients::Required, &[]),
        }
    }

    /// The configuration for a client that offers these protocols.
    pub(crate) fn config(&self, requests: bool, offers: &[Box<str>]) -> &Arc<ServerConfig> {
        let (config, known) = if requests { (&self.http, MESH_HTTP) } else { (&self.bytes, MESH_BYTES) };
        let agreed = offers.iter().any(|offered| known.contains(&offered.as_bytes()));
        // Without a protocol in common, TLS would end; Envoy goes on.
        if agreed { config } else { &self.silent }
    }
}

//! What becomes of a connection: the question to the world, before its first request.
//!
//! Owns: how the answers of `decide` become an upstream of this proxy, or an end.
//! May not: match a rule itself, read a byte, or send one.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use taut_snapshot::Digest;
use taut_snapshot::decide::{
    Arriving, Connection, ConnectionTarget, GatewayServer, Outgoing, Refusal, VirtualHost, split,
};
use taut_snapshot::object::ServerTls;

use crate::accept::sniff::Seen;
use crate::balance::Draws;
use crate::telemetry::names::NameId;
use crate::telemetry::record::Flags;
use crate::upstream::Upstream;
use crate::world::{BLACK_HOLE, World};

/// Where the bytes of a connection go.
pub(crate) struct Heading {
    pub(crate) upstream: Arc<Upstream>,
    /// The address of its endpoint, if the client chose that itself.
    pub(crate) toward: Option<SocketAddr>,
    /// Whether they have the mesh's TLS around them already.
    pub(crate) sealed: bool,
    /// What said so: a table of rules and the number of the rule, from 1.
    pub(crate) rule: Option<(Digest, usize)>,
}

/// Why the bytes of a connection go nowhere.
#[derive(Clone, Debug)]
pub(crate) struct Nowhere {
    pub(crate) flags: Flags,
    /// What its line in the log names as the cluster.
    pub(crate) cluster: Option<Arc<str>>,
    /// What it is counted as.
    pub(crate) service: NameId,
    pub(crate) rule: Option<(Digest, usize)>,
}

/// What becomes of a connection.
pub(crate) enum Becomes {
    /// Its requests are decided one by one.
    Requests,
    /// Its bytes are carried.
    Bytes(Heading),
    /// It ends.
    End(Nowhere),
}

impl Nowhere {
    /// Nothing that listens there is for it.
    pub(crate) fn no_chain() -> Nowhere {
        Nowhere { flags: Flags::NO_ROUTE, cluster: None, service: NameId::UNKNOWN, rule: None }
    }

    /// It is for nobody, and does not pass.
    fn black_hole(world: &World) -> Nowhere {
        let cluster = Some(BLACK_HOLE.into());
        Nowhere { flags: Flags::NO_HEALTHY, cluster, service: world.black_hole, rule: None }
    }
}

/// Whether the client's bytes must be known to decide a connection to an address that the application dialled.
pub(crate) fn looks(world: &World, dialled: SocketAddr) -> bool {
    world.tables.outgoing_looks(dialled.ip(), dialled.port(), &|host, address| is_endpoint(world, host, address))
}

fn is_endpoint(world: &World, host: &VirtualHost<'_>, address: IpAddr) -> bool {
    host.cluster.is_some_and(|cluster| world.upstream(cluster).has(address))
}

/// What decides the requests of a connection to an address that the application dialled.
pub(crate) fn outgoing<'w>(world: &'w World, dialled: SocketAddr, seen: &Seen) -> Result<Outgoing<'w>, Refusal> {
    let connection =
        Connection { address: dialled.ip(), port: dialled.port(), http: seen.is_http(), tls: seen.hello(false) };
    world.tables.outgoing(&connection, &|host, address| is_endpoint(world, host, address))
}

/// What becomes of a connection of the application. `known` says whether it truly dialled that address, so that what
/// nobody knows can pass to it.
pub(crate) fn leaving(world: &World, dialled: SocketAddr, known: bool, seen: &Seen, draws: &Draws) -> Becomes {
    match outgoing(world, dialled, seen) {
        // Whoever speaks something else to a port of HTTP is told so in HTTP.
        Ok(Outgoing::Requests(_)) | Err(_) => Becomes::Requests,
        Ok(Outgoing::Loop) => Becomes::End(Nowhere::black_hole(world)),
        Ok(Outgoing::Cluster(cluster, service)) => Becomes::Bytes(Heading {
            upstream: world.upstream(cluster).clone(),
            toward: world.toward(cluster, known.then_some(dialled)),
            sealed: false,
            rule: Some((service, 0)),
        }),
        Ok(Outgoing::Targets(targets, table, rule)) => {
            one_of(world, targets, (table, rule + 1), known.then_some(dialled), draws)
        }
        Ok(Outgoing::Unknown) if !known => Becomes::End(Nowhere::no_chain()),
        Ok(Outgoing::Unknown) => match unknown(world, dialled) {
            Some(heading) => Becomes::Bytes(heading),
            None => Becomes::End(Nowhere::black_hole(world)),
        },
    }
}

/// Where that goes which the workload does not know; none if it does not pass (semantics.md §2.3, §7.1).
pub(crate) fn unknown(world: &World, dialled: SocketAddr) -> Option<Heading> {
    if world.tables.registry_only() {
        return None;
    }
    Some(match world.tables.through() {
        Some(proxy) => Heading { upstream: world.upstream(proxy).clone(), toward: None, sealed: false, rule: None },
        None => Heading { upstream: world.passthrough.clone(), toward: Some(dialled), sealed: false, rule: None },
    })
}

/// What becomes of a connection to a gateway's port, and at which of its servers.
///
/// # Errors
/// If none of them is for it.
pub(crate) fn arriving<'w>(
    world: &'w World,
    local: SocketAddr,
    port: u16,
    seen: &Seen,
    draws: &Draws,
) -> Result<(&'w GatewayServer, Becomes), Refusal> {
    let ask = |mesh: bool, http: bool| {
        let connection = Connection { address: local.ip(), port, http, tls: seen.hello(mesh) };
        world.tables.arriving(&connection)
    };
    // What is within TLS is only seen when it has ended; whoever is not of the mesh is found out by the handshake.
    let http = seen.is_http() || seen.hello.is_some();
    let found = match ask(false, http) {
        Err(Refusal::Mtls) => ask(true, http),
        Err(Refusal::Protocol) => ask(false, true),
        found => found,
    }?;
    Ok(match found {
        Arriving::Requests(server) => (server, Becomes::Requests),
        Arriving::Targets(server, targets, table, rule) => {
            let sealed = server.tls == Some(ServerTls::AutoPassthrough);
            let becomes = match one_of(world, targets, (table, rule + 1), None, draws) {
                Becomes::Bytes(heading) => Becomes::Bytes(Heading { sealed, ..heading }),
                other => other,
            };
            (server, becomes)
        }
    })
}

/// One of some destinations, drawn by weight.
fn one_of(
    world: &World,
    targets: &[ConnectionTarget],
    rule: (Digest, usize),
    dialled: Option<SocketAddr>,
    draws: &Draws,
) -> Becomes {
    let weights = targets.iter().map(|(_, weight)| *weight);
    let draw = if targets.len() < 2 { 0 } else { draws.draw() };
    let nowhere = |cluster: Option<Arc<str>>| {
        let flags = Flags::NO_CLUSTER;
        Becomes::End(Nowhere { flags, cluster, service: NameId::UNKNOWN, rule: Some(rule) })
    };
    match split(weights, draw).map(|index| &targets[index].0) {
        Some(Ok(cluster)) => Becomes::Bytes(Heading {
            upstream: world.upstream(*cluster).clone(),
            toward: world.toward(*cluster, dialled),
            sealed: false,
            rule: Some(rule),
        }),
        Some(Err(missing)) => nowhere(Some(missing.as_str().into())),
        None => nowhere(None),
    }
}

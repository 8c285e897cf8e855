//! What becomes of a connection: on its way out, on its way in, and at a gateway (semantics.md §2, §5.6, §9.2).
//!
//! Owns: how TLS, its server name and application protocol, and the first bytes decide whether requests are looked at.

use std::net::IpAddr;

use super::listen::{ConnectionTarget, Then};
use super::route::ClusterId;
use super::tables::{GatewayListener, GatewayServer, Tables, VirtualHost};
use crate::Digest;
use crate::object::{Inbound, MtlsMode, Protocol, ServerTls};

/// What is known of a connection before its first request.
#[derive(Clone, Copy, Debug)]
pub struct Connection<'a> {
    /// The address that the client asked for.
    pub address: IpAddr,
    /// The port that it asked for.
    pub port: u16,
    /// Whether its bytes, within TLS if there is any, are HTTP.
    pub http: bool,
    /// How TLS began, if it did.
    pub tls: Option<Hello<'a>>,
}

/// The beginning of TLS.
#[derive(Clone, Copy, Debug)]
pub struct Hello<'a> {
    /// The server name.
    pub server_name: Option<&'a str>,
    /// The application protocol that the client likes best.
    pub protocol: Option<&'a str>,
    /// Whether the client has a certificate of the mesh.
    pub mesh: bool,
}

/// Why a connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Nothing listens there.
    NoListener,
    /// Something does, and nothing of it is for such a connection.
    NoFilterChain,
    /// It is plaintext where there must be TLS.
    Tls,
    /// It is the mesh's own TLS where it must not be, or the other way round.
    Mtls,
    /// Its bytes are not the HTTP that they must be.
    Protocol,
}

/// What becomes of a connection on its way out.
#[derive(Clone, Copy, Debug)]
pub enum Outgoing<'t> {
    /// Its requests are decided one by one.
    Requests(Requests<'t>),
    /// Its bytes go to one of these, drawn by weight; and the rule that says so.
    Targets(&'t [ConnectionTarget], Digest, usize),
    /// Its bytes go to a service's cluster.
    Cluster(ClusterId, Digest),
    /// It is for nobody that the workload knows.
    Unknown,
    /// It is for the proxy itself, and would go round in circles.
    Loop,
}

/// The services among which requests of a connection are decided.
#[derive(Clone, Copy, Debug)]
pub struct Requests<'t> {
    tables: &'t Tables,
    scope: usize,
    service: Option<usize>,
    port: u16,
}

/// What becomes of a connection on its way in.
#[derive(Clone, Copy, Debug)]
pub struct Incoming<'t> {
    /// The port; none if no service leads there.
    pub port: Option<&'t Inbound>,
    /// Whether the proxy ends the mesh's TLS.
    pub mtls: bool,
    /// Whether its requests are looked at.
    pub requests: bool,
    /// Whether it is for the proxy itself, and would go round in circles.
    pub circular: bool,
}

/// What becomes of a connection at a gateway.
#[derive(Clone, Copy, Debug)]
pub enum Arriving<'t> {
    /// Its requests are decided one by one.
    Requests(&'t GatewayServer),
    /// Its bytes go to one of these, drawn by weight; and the rule that says so.
    Targets(&'t GatewayServer, &'t [ConnectionTarget], Digest, usize),
}

/// Where captured connections of the application come to.
const OUTBOUND_CAPTURE: u16 = 15001;

/// Where captured connections of others come to.
const INBOUND_CAPTURE: u16 = 15006;

/// What sidecars offer for HTTP within the mesh's TLS.
pub const MESH_HTTP: &[&str] = &["istio-http/1.0", "istio-http/1.1", "istio-h2"];

/// What they offer for anything else.
pub const MESH_BYTES: &[&str] = &["istio-peer-exchange", "istio"];

impl<'t> Requests<'t> {
    /// Where a request is decided, by its Host.
    #[must_use]
    pub fn host(&self, authority: &str) -> Option<VirtualHost<'t>> {
        let found = match self.service {
            Some(service) => self.tables.virtual_host(service, self.port),
            None => self.tables.in_scope(self.scope, self.port, authority),
        }?;
        let known = found.protocol.is_http() || *found.protocol == Protocol::Auto || found.router.is_some();
        (known && !found.service.alias).then_some(found)
    }
}

impl Tables {
    /// What becomes of a connection of the workload's application.
    ///
    /// # Errors
    /// If it must end: its bytes are not what the port speaks.
    pub fn outgoing(
        &self,
        connection: &Connection<'_>,
        is_endpoint: &dyn Fn(&VirtualHost<'_>, IpAddr) -> bool,
    ) -> Result<Outgoing<'_>, Refusal> {
        if connection.port == OUTBOUND_CAPTURE {
            return Ok(Outgoing::Loop);
        }
        let endpoint = |service: usize, port: u16, address: IpAddr| {
            self.virtual_host(service, port).is_some_and(|host| is_endpoint(&host, address))
        };
        Ok(match self.listen.find(connection, &endpoint) {
            None | Some(Then::Unknown | Then::Targets(_)) => Outgoing::Unknown,
            Some(Then::Requests { scope, service }) => {
                if !connection.http || connection.tls.is_some() {
                    return Err(Refusal::Protocol);
                }
                let (scope, service) = (*scope, *service);
                Outgoing::Requests(Requests { tables: self, scope, service, port: connection.port })
            }
            Some(Then::Rule { chains, rule }) => {
                let chains = &self.chains[*chains];
                match &chains.chains[*rule].then {
                    Then::Targets(targets) => Outgoing::Targets(targets, chains.digest, *rule),
                    _ => Outgoing::Unknown,
                }
            }
            Some(Then::Cluster { service, cluster }) => Outgoing::Cluster(*cluster, self.services[*service].digest),
        })
    }

    /// Whether the first bytes of the application's connections to a place must be known before they are decided; where
    /// they need not, a server may speak first.
    #[must_use]
    pub fn outgoing_looks(
        &self,
        address: IpAddr,
        port: u16,
        is_endpoint: &dyn Fn(&VirtualHost<'_>, IpAddr) -> bool,
    ) -> bool {
        let endpoint = |service: usize, port: u16, address: IpAddr| {
            self.virtual_host(service, port).is_some_and(|host| is_endpoint(&host, address))
        };
        self.listen.looks(address, port, &endpoint)
    }

    /// What becomes of a connection to the workload.
    ///
    /// # Errors
    /// If it must end.
    pub fn incoming(&self, connection: &Connection<'_>) -> Result<Incoming<'_>, Refusal> {
        if connection.port == INBOUND_CAPTURE {
            return Ok(Incoming { port: None, mtls: false, requests: false, circular: true });
        }
        let (mode, port) = self.inbound_mode(connection.port);
        let (mtls, requests) = accept(mode, port.map_or(&Protocol::Auto, |port| &port.protocol), connection)?;
        if mtls && connection.tls.is_none() {
            return Err(Refusal::Tls);
        }
        if mtls && !connection.tls.is_some_and(|hello| hello.mesh) {
            return Err(Refusal::Mtls);
        }
        if requests && (!connection.http || (!mtls && connection.tls.is_some())) {
            return Err(Refusal::Protocol);
        }
        Ok(Incoming { port, mtls, requests, circular: false })
    }

    /// Whether the first bytes of connections to one of its ports must be known before they are decided.
    #[must_use]
    pub fn incoming_looks(&self, port: u16) -> bool {
        let (mode, declared) = self.inbound_mode(port);
        *mode != MtlsMode::Disable
            || declared.is_none_or(|port| !matches!(port.protocol, Protocol::Tcp | Protocol::Tls))
    }

    /// Which connections one of its ports takes, and the port if a service leads there.
    #[must_use]
    pub fn inbound_mode(&self, port: u16) -> (&MtlsMode, Option<&Inbound>) {
        let declared = self.view.inbound.iter().find(|inbound| inbound.port == port);
        let own = self.view.port_modes.iter().find(|it| it.port == port);
        let mode = declared.map(|port| &port.mtls).or(own.map(|own| &own.mtls)).unwrap_or(&self.view.other_ports);
        (mode, declared)
    }

    /// Whether the first bytes of connections to a port of the gateway must be known before they are decided: not if all
    /// that it has are bytes without TLS.
    #[must_use]
    pub fn arriving_looks(&self, port: u16) -> bool {
        let listener = self.listeners.iter().find(|listener| listener.port == port);
        let bytes = |server: &GatewayServer| {
            server.chains.is_some_and(|number| !self.chains[number].looks()) && server.tls.is_none()
        };
        listener.is_none_or(|listener| !listener.servers.iter().all(bytes))
    }

    /// What becomes of a connection to the workload as a gateway.
    ///
    /// # Errors
    /// If it must end.
    pub fn arriving(&self, connection: &Connection<'_>) -> Result<Arriving<'_>, Refusal> {
        let listener = self.listeners.iter().find(|it| it.port == connection.port).ok_or(Refusal::NoListener)?;
        let takes = |server: &GatewayServer| server.chains.is_none_or(|number| !self.chains[number].chains.is_empty());
        if !listener.servers.iter().any(takes) {
            return Err(Refusal::NoListener); // nothing that it could do with any connection
        }
        let found = self.at_gateway(listener, connection).ok_or(Refusal::NoFilterChain)?;
        let server = match found {
            Arriving::Requests(server) | Arriving::Targets(server, ..) => server,
        };
        if server.ends_tls() {
            let hello = connection.tls.as_ref().ok_or(Refusal::Tls)?;
            if (server.tls == Some(ServerTls::IstioMutual)) != hello.mesh {
                return Err(Refusal::Mtls);
            }
        }
        if let Arriving::Requests(server) = found
            && (!connection.http || (connection.tls.is_some() && !server.ends_tls()))
        {
            return Err(Refusal::Protocol);
        }
        Ok(found)
    }

    fn at_gateway<'t>(&'t self, listener: &'t GatewayListener, connection: &Connection<'_>) -> Option<Arriving<'t>> {
        let by_rule = |server: &'t GatewayServer| {
            let chains = &self.chains[server.chains?];
            let rule = chains.find(connection)?;
            match &chains.chains[rule].then {
                Then::Targets(targets) => Some(Arriving::Targets(server, targets, chains.digest, rule)),
                _ => None,
            }
        };
        let of = |server: &'t GatewayServer| match server.chains {
            Some(_) => by_rule(server),
            None => (!server.passes_tls()).then_some(Arriving::Requests(server)),
        };
        // Names of servers that pass TLS on are those of their rules; all others have names of their own.
        let wanted = connection.tls.as_ref().and_then(|hello| hello.server_name);
        let passing = listener.servers.iter().filter(|server| server.passes_tls() && connection.tls.is_some());
        let passed = passing.filter_map(by_rule).next();
        if passed.is_some() {
            return passed;
        }
        let ends = |server: &&GatewayServer| server.ends_tls();
        match wanted {
            _ if !listener.servers.iter().any(|server| server.ends_tls() || server.passes_tls()) => {
                listener.servers.first().and_then(of)
            }
            Some(_) => listener.server(wanted).filter(ends).or_else(|| listener.plain()).and_then(of),
            None => listener.server(Some("\u{0}")).filter(ends).or_else(|| listener.plain()).and_then(of),
        }
    }
}

/// How a port takes a connection: whether the mesh's TLS ends there, and whether requests are looked at.
fn accept(mode: &MtlsMode, protocol: &Protocol, connection: &Connection<'_>) -> Result<(bool, bool), Refusal> {
    let offered = connection.tls.as_ref().and_then(|hello| hello.protocol);
    let offers = |known: &[&str]| offered.is_some_and(|offered| known.contains(&offered));
    let of_mesh = offers(MESH_HTTP) || offers(MESH_BYTES);
    let auto = *protocol == Protocol::Auto;
    let plain_requests = connection.tls.is_none() && connection.http;
    match (mode, connection.tls.is_some()) {
        // Without a look at TLS, an HTTP port takes everything for HTTP.
        (MtlsMode::Disable, _) => Ok((false, protocol.is_http() || (auto && plain_requests))),
        (MtlsMode::Permissive, false) => Ok((false, protocol.is_http() || (auto && plain_requests))),
        (MtlsMode::Strict, false) => Err(Refusal::NoFilterChain),
        (MtlsMode::Strict, true) => Ok((true, protocol.is_http() || (auto && offers(MESH_HTTP)))),
        (MtlsMode::Permissive, true) if of_mesh => Ok((true, protocol.is_http() || (auto && offers(MESH_HTTP)))),
        // TLS of the application's own passes, but not as HTTP.
        (MtlsMode::Permissive, true) if protocol.is_http() => Err(Refusal::NoFilterChain),
        (MtlsMode::Permissive, true) => Ok((false, false)),
    }
}

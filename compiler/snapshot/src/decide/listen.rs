//! Where a connection of a workload's application is decided: by address, then by server name, then by its first bytes
//! (semantics.md §2.3).
//!
//! Owns: which service has an address and port, what becomes of two that claim the same, and which rule of a table of
//! connections counts. Envoy sieves: at each step the rules that have the condition and meet it are kept; if there is
//! none, those that do not have it.

use std::collections::HashMap;
use std::net::IpAddr;

use super::authorize::{address_of, in_block};
use super::connection::{Connection, Hello};
use super::pattern::BadPattern;
use super::route::ClusterId;
use super::tables::{PortEntry, Scope, ServiceEntry};
use crate::object::{ConnectionTable, IpBlock, Protocol, Service};
use crate::{Digest, Text};

/// A destination of a connection: a cluster, or the name of one that does not exist, and its share.
pub type ConnectionTarget = (Result<ClusterId, Text>, u32);

/// A table of rules for connections, ready to be asked.
#[derive(Debug)]
pub struct Chains {
    /// The object that it was read from.
    pub(super) digest: Digest,
    pub(super) chains: Vec<Chain>,
}

/// One rule for connections.
#[derive(Clone, Debug, Default)]
pub(super) struct Chain {
    names: Vec<Text>,
    blocks: Vec<(IpAddr, u8)>,
    protocols: Vec<Text>,
    /// Whether it is for HTTP alone, which the first bytes tell.
    sniffed: bool,
    pub(super) then: Then,
}

/// What becomes of a connection.
#[derive(Clone, Debug, Default)]
pub(super) enum Then {
    /// What becomes of those for nobody.
    #[default]
    Unknown,
    /// Its requests are decided by their Host, among all services of the scope or of one service alone.
    Requests { scope: usize, service: Option<usize> },
    /// Its bytes go where a rule says.
    Rule { chains: usize, rule: usize },
    /// Its bytes go to the service's cluster.
    Cluster { service: usize, cluster: ClusterId },
    /// Its bytes go to a rule's destinations.
    Targets(Vec<ConnectionTarget>),
}

impl Chains {
    pub(super) fn new(
        digest: Digest,
        table: &ConnectionTable,
        targets: Vec<Vec<ConnectionTarget>>,
    ) -> Result<Chains, BadPattern> {
        let chain = |(rule, targets): (&crate::object::ConnectionRule, Vec<ConnectionTarget>)| {
            Ok(Chain {
                names: rule.server_names.iter().filter(|_| !any_name(&rule.server_names)).cloned().collect(),
                blocks: blocks(&rule.addresses)?,
                protocols: rule.protocols.clone(),
                sniffed: false,
                then: Then::Targets(targets),
            })
        };
        let chains = table.rules.iter().zip(targets).map(chain).collect::<Result<_, _>>()?;
        Ok(Chains { digest, chains })
    }

    /// The number of the rule for a connection.
    pub(super) fn find(&self, connection: &Connection<'_>) -> Option<usize> {
        let found = sieve(|| self.chains.iter(), connection)?;
        self.chains.iter().position(|chain| std::ptr::eq(chain, found))
    }

    /// Whether it is looked at how a connection's TLS begins, if it does.
    pub(super) fn looks(&self) -> bool {
        self.chains.iter().any(Chain::looks)
    }
}

/// `*` among server names means that there is no condition.
pub(super) fn any_name(names: &[Text]) -> bool {
    names.iter().any(|name| name == "*")
}

fn blocks(from: &[IpBlock]) -> Result<Vec<(IpAddr, u8)>, BadPattern> {
    let blocks = from.iter().map(|block| Ok((address_of(block)?, block.bits)));
    // `0.0.0.0/0` is no condition, as in Istio.
    blocks.filter(|block| !block.as_ref().is_ok_and(|(address, _)| address.is_unspecified())).collect()
}

/// How exactly a server name is met: by itself before wildcards, by longer ones before shorter ones.
fn fits_name(names: &[Text], wanted: &str) -> Option<usize> {
    let fit = |name: &Text| match name.strip_prefix('*') {
        Some(suffix) => {
            let end = wanted.len().checked_sub(suffix.len()).and_then(|at| wanted.get(at..));
            end.is_some_and(|end| end.eq_ignore_ascii_case(suffix)).then_some(suffix.len())
        }
        None => wanted.eq_ignore_ascii_case(name).then_some(usize::MAX),
    };
    names.iter().filter_map(fit).max()
}

/// How a chain stands to one condition; a condition that is met counts more than one that it does not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Fit {
    Unmet,
    Free,
    /// The more, the better.
    Met(usize),
}

impl Fit {
    fn of(free: bool, met: Option<usize>) -> Fit {
        match (free, met) {
            (true, _) => Fit::Free,
            (false, Some(how)) => Fit::Met(how),
            (false, None) => Fit::Unmet,
        }
    }
}

/// The conditions, in the order in which they sieve.
const SIEVES: usize = 4;

/// How a chain stands to every condition: its address, its server names, whether it is for plain bytes, its protocols.
fn fits(chain: &Chain, connection: &Connection<'_>, hello: Option<&Hello<'_>>) -> [Fit; SIEVES] {
    let blocks = chain.blocks.iter().filter(|(address, bits)| in_block(connection.address, *address, *bits));
    let name = || hello?.server_name.and_then(|wanted| fits_name(&chain.names, wanted));
    let protocol = match hello {
        None => chain.sniffed && connection.tls.is_none() && connection.http,
        Some(hello) => hello.protocol.is_some_and(|wanted| chain.protocols.iter().any(|known| known == wanted)),
    };
    [
        Fit::of(chain.blocks.is_empty(), blocks.map(|(_, bits)| usize::from(*bits)).max()),
        Fit::of(chain.names.is_empty(), name()),
        Fit::of(!chain.sniffed, hello.is_none().then_some(0)),
        Fit::of(!chain.sniffed && chain.protocols.is_empty(), protocol.then_some(0)),
    ]
}

/// The chain for a connection. At each step those are kept that meet the condition best; if none does, those without it.
fn sieve<'c, I: Iterator<Item = &'c Chain>>(chains: impl Fn() -> I, connection: &Connection<'_>) -> Option<&'c Chain> {
    // Server names are read only where some rule asks for them.
    let inspected = chains().any(|chain| !chain.names.is_empty() || !chain.protocols.is_empty());
    let hello = connection.tls.as_ref().filter(|_| inspected);
    let all = || chains().map(|chain| (chain, fits(chain, connection, hello)));
    let mut best = [Fit::Unmet; SIEVES];
    for step in 0..SIEVES {
        let left = all().filter(|(_, fits)| fits[..step] == best[..step]);
        best[step] = left.map(|(_, fits)| fits[step]).max().filter(|fit| *fit != Fit::Unmet)?;
    }
    all().find(|(_, fits)| *fits == best).map(|(chain, _)| chain)
}

/// Everything that a workload's application may dial.
#[derive(Debug, Default)]
pub(super) struct Listeners {
    by_address: HashMap<(Option<IpAddr>, u16), Listener>,
    /// Services whose endpoints are dialled themselves, by port: service, port, and what becomes of it.
    pods: HashMap<u16, Vec<(usize, Listener)>>,
}

#[derive(Clone, Debug)]
struct Listener {
    kind: Kind,
    chains: Vec<Chain>,
    /// The scope that it is of: a later one adds nothing to it.
    scope: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Http,
    Bytes,
    Both,
}

impl Listeners {
    pub(super) fn new(services: &[ServiceEntry], scopes: &[Scope], chains: &[Chains]) -> Listeners {
        let mut listeners = Listeners::default();
        for (scope, what) in scopes.iter().enumerate() {
            let mut order: Vec<usize> = what.services.clone().collect();
            order.sort_by_key(|number| seniority(&services[*number].service));
            for number in order {
                let entry = &services[number];
                if entry.service.alias {
                    continue;
                }
                let apart = what.egress.as_ref();
                for port in entry.ports.iter().filter(|port| apart.is_none_or(|apart| apart.port == port.number)) {
                    let protocol = apart.map_or(&port.protocol, |apart| &apart.protocol);
                    let bind = apart.and_then(|apart| apart.bind.parse().ok());
                    let making = Making { scope, number, entry, port, protocol, bind };
                    listeners.add(&making, chains);
                }
            }
            // A port that is set apart is listened to whether or not any service has it.
            if let Some(apart) = what.egress.as_ref().filter(|apart| apart.protocol.is_http()) {
                let bind = apart.bind.parse().ok();
                let requests = Chain {
                    sniffed: bind.is_none(),
                    then: Then::Requests { scope, service: None },
                    ..Chain::default()
                };
                listeners.by_address.entry((bind, apart.port)).or_insert_with(|| Listener {
                    kind: Kind::Both,
                    chains: vec![requests],
                    scope,
                });
            }
        }
        listeners
    }

    fn add(&mut self, making: &Making<'_>, tables: &[Chains]) {
        if making.protocol.is_http() {
            let sniffed = making.bind.is_none();
            let kind = if sniffed { Kind::Both } else { Kind::Http };
            let then = Then::Requests { scope: making.scope, service: None };
            self.claim(making, making.bind, kind, vec![Chain { sniffed, then, ..Chain::default() }]);
            return;
        }
        let service = &making.entry.service;
        if making.bind.is_none() && service.original && service.addresses.is_empty() && service.ranges.is_empty() {
            // Endpoints are dialled one by one; only where nobody knows any does the port stand for all of them.
            let selects = making.entry.service.kubernetes || service.headless;
            let of_pod = making.listener(tables, &[], true);
            self.pods.entry(making.port.number).or_default().push((making.number, of_pod));
            if selects {
                return;
            }
        }
        let addresses: Vec<IpAddr> = match making.bind {
            Some(bind) => vec![bind],
            None => service.addresses.iter().filter_map(|address| address.parse().ok()).collect(),
        };
        for address in &addresses {
            let made = making.listener(tables, &[], true);
            self.claim(making, Some(*address), made.kind, made.chains);
        }
        let blocks = |range: &IpBlock| blocks(std::slice::from_ref(range)).ok();
        for range in service.ranges.iter().filter(|_| making.bind.is_none()).filter_map(blocks) {
            let made = making.listener(tables, &range, false);
            self.claim(making, None, made.kind, made.chains);
        }
        if addresses.is_empty() && service.ranges.is_empty() {
            let made = making.listener(tables, &[], false);
            self.claim(making, None, made.kind, made.chains);
        }
    }

    /// Two services that claim one place (semantics.md §2.3): HTTP and bytes are told apart by the first of them; of two
    /// rules with the same conditions the older service's counts.
    fn claim(&mut self, making: &Making<'_>, address: Option<IpAddr>, kind: Kind, chains: Vec<Chain>) {
        let fresh = Listener { kind, chains, scope: making.scope };
        let Some(listener) = self.by_address.get_mut(&(address, making.port.number)) else {
            self.by_address.insert((address, making.port.number), fresh);
            return;
        };
        if listener.scope != making.scope {
            return; // what is set apart is set apart
        }
        let http = making.protocol.is_http();
        let auto = *making.protocol == Protocol::Auto;
        match listener.kind {
            Kind::Http | Kind::Both if http => return,
            Kind::Both if auto => return,
            Kind::Http if auto => {
                *listener = fresh;
                return;
            }
            Kind::Bytes if !http && !auto => {}
            _ => listener.kind = Kind::Both,
        }
        for chain in fresh.chains {
            if !listener.chains.iter().any(|known| known.conditions() == chain.conditions()) {
                listener.chains.push(chain);
            }
        }
    }

    /// What becomes of a connection. `is_endpoint` says whether an address is one of a service's endpoints.
    pub(super) fn find(
        &self,
        connection: &Connection<'_>,
        is_endpoint: &dyn Fn(usize, u16, IpAddr) -> bool,
    ) -> Option<&Then> {
        self.at(connection.address, connection.port, is_endpoint).map(|listener| listener.find(connection))
    }

    /// Whether the first bytes of connections to a place count.
    pub(super) fn looks(&self, address: IpAddr, port: u16, is_endpoint: &dyn Fn(usize, u16, IpAddr) -> bool) -> bool {
        let listener = self.at(address, port, is_endpoint);
        listener.is_some_and(|listener| listener.chains.iter().any(Chain::looks))
    }

    fn at(&self, address: IpAddr, port: u16, is_endpoint: &dyn Fn(usize, u16, IpAddr) -> bool) -> Option<&Listener> {
        let at = |address| self.by_address.get(&(address, port));
        let pods = || {
            let candidates = self.pods.get(&port).into_iter().flatten();
            let mut own = candidates.filter(|(service, _)| is_endpoint(*service, port, address));
            own.next().map(|(_, listener)| listener)
        };
        at(Some(address)).or_else(pods).or_else(|| at(None))
    }
}

impl Listener {
    fn find(&self, connection: &Connection<'_>) -> &Then {
        const UNKNOWN: &Then = &Then::Unknown;
        // A rule without any condition is what is left when no other holds.
        let default = self.chains.iter().rev().find(|chain| chain.is_free());
        let others = || self.chains.iter().filter(|chain| !chain.is_free());
        sieve(others, connection).or(default).map_or(UNKNOWN, |chain| &chain.then)
    }
}

impl Chain {
    fn is_free(&self) -> bool {
        self.names.is_empty() && self.blocks.is_empty() && self.protocols.is_empty() && !self.sniffed
    }

    /// Whether the first bytes of a connection count.
    fn looks(&self) -> bool {
        self.sniffed
            || !self.names.is_empty()
            || !self.protocols.is_empty()
            || matches!(self.then, Then::Requests { .. })
    }

    /// What two rules must not have in common. Bits of an address beyond its prefix do not count.
    fn conditions(&self) -> (Vec<&Text>, Vec<(u128, u8)>, bool) {
        let mut names: Vec<&Text> = self.names.iter().collect();
        names.sort();
        let masked = |(address, bits): &(IpAddr, u8)| {
            let (value, width) = match address {
                IpAddr::V4(address) => (u128::from(address.to_bits()), 32),
                IpAddr::V6(address) => (address.to_bits(), 128),
            };
            let shift = u32::from(width - (*bits).min(width));
            (value.checked_shr(shift).unwrap_or(0), *bits)
        };
        let mut blocks: Vec<(u128, u8)> = self.blocks.iter().map(masked).collect();
        blocks.sort_unstable();
        (names, blocks, self.sniffed)
    }
}

/// One port of a service while its listeners are made.
struct Making<'s> {
    scope: usize,
    number: usize,
    entry: &'s ServiceEntry,
    port: &'s PortEntry,
    protocol: &'s Protocol,
    bind: Option<IpAddr>,
}

impl Making<'_> {
    /// `own_address` says that whoever gets here means this service.
    fn listener(&self, tables: &[Chains], blocks: &[(IpAddr, u8)], own_address: bool) -> Listener {
        let mut chains: Vec<Chain> = Vec::new();
        let mut ends = false;
        if let Some(table) = self.port.chains {
            for (rule, chain) in tables[table].chains.iter().enumerate() {
                let own = if chain.blocks.is_empty() { blocks.to_vec() } else { chain.blocks.clone() };
                ends |= *self.protocol == Protocol::Tls || own == blocks;
                let then = Then::Rule { chains: table, rule };
                chains.push(Chain { blocks: own, then, ..chain.clone() });
            }
        }
        if let (false, Some((cluster, _))) = (ends, &self.port.otherwise) {
            // Without an address of its own, TLS is told from that of others by its server name.
            let names = match self.protocol {
                Protocol::Tls if !own_address => {
                    let names = std::iter::once(&self.entry.service.host).chain(&self.entry.service.aliases);
                    names.cloned().collect()
                }
                _ => Vec::new(),
            };
            let then = Then::Cluster { service: self.number, cluster: *cluster };
            chains.push(Chain { names, blocks: blocks.to_vec(), then, ..Chain::default() });
        }
        let kind = if *self.protocol == Protocol::Auto { Kind::Both } else { Kind::Bytes };
        if *self.protocol == Protocol::Auto {
            let then = Then::Requests { scope: self.scope, service: own_address.then_some(self.number) };
            chains.push(Chain { sniffed: true, then, ..Chain::default() });
        }
        Listener { kind, chains, scope: self.scope }
    }
}

/// Older services before younger ones, then by name.
fn seniority(service: &Service) -> (Text, Text, Text) {
    let name = match service.host.split_once('.').filter(|_| service.kubernetes) {
        Some((name, _)) => name.into(),
        None => service.host.clone(),
    };
    (service.created.clone(), name, service.namespace.clone())
}

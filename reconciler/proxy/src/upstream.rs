//! A cluster as this proxy uses it: its endpoints, who of them is in, and what of it is under way.
//!
//! Owns: which endpoints there are, and what is kept of them when snapshots or endpoints change.
//! May not: send anything; `pool` connects, `forward` tries.
//! Invariant: an endpoint that stays keeps its connections, its health and its count of requests, whatever else changes.

use std::collections::{BTreeSet, HashMap};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use arc_swap::{ArcSwap, ArcSwapOption};
use taut_snapshot::decide::{Nearness, Whereabouts};
use taut_snapshot::object::{Balancer, Cluster, ClusterTls, HashKey, Protocol};
use tokio::sync::Notify;

use crate::balance::{Draws, Rota};
use crate::levels::{Group, Load, loads};
use crate::limits::{Gauge, Usage};
use crate::outlier::{Gate, Health, Outcome};
use crate::pool::Pool;
use crate::telemetry::names::{Labels, NameId, ServiceName};
use crate::telemetry::peer::Acquaintance;
use crate::tls::{Mutual, Securing};

/// The share of an endpoint that is no longer new.
const WARM: u32 = 1_000;

/// How many endpoints that clients name themselves are remembered for one cluster. Connections to more are made, and not
/// kept for the next request.
const ORIGINALS_MAX: usize = 4_096;

/// A cluster, ready to be sent to.
#[derive(Debug)]
pub(crate) struct Upstream {
    /// Istio's name for it.
    pub(crate) name: Arc<str>,
    pub(crate) cluster: Cluster,
    /// What metrics call its service.
    pub(crate) service: NameId,
    /// How connections to its endpoints are secured.
    pub(crate) mutual: Option<Mutual>,
    pub(crate) usage: Arc<Usage>,
    /// Somebody may make one connection more.
    pub(crate) freed: Arc<Notify>,
    /// Where the proxy is.
    pub(crate) here: Arc<Whereabouts>,
    members: ArcSwap<Members>,
    /// Endpoints that clients name themselves, in a cluster that has none of its own.
    originals: ArcSwap<HashMap<SocketAddr, Arc<Backend>>>,
    turn: AtomicUsize,
    gate: Gate,
    /// When outliers were last looked at, in milliseconds since the proxy began.
    swept_ms: AtomicU64,
    /// The second in which new endpoints last got more.
    warmed_s: AtomicU64,
}

/// The endpoints of a cluster, and those of them that are in.
#[derive(Debug, Default)]
struct Members {
    all: Arc<[Member]>,
    /// Those who are in, by groups that share the traffic in proportion.
    parts: Vec<(u32, Rota)>,
    /// The sum of the parts' weights.
    whole: u32,
}

#[derive(Clone, Debug)]
struct Member {
    backend: Arc<Backend>,
    weight: u32,
    draining: bool,
    whereabouts: Arc<Whereabouts>,
    /// Where it stands by nearness.
    nearness: Nearness,
}

/// One endpoint of one cluster.
#[derive(Debug)]
pub(crate) struct Backend {
    /// What it is known by. It is where it answers, unless `dial` says otherwise.
    pub(crate) address: SocketAddr,
    /// The addresses that a connection tries, one after the other, where that is not its own alone.
    dial: ArcSwapOption<Vec<SocketAddr>>,
    /// When it was first heard of.
    since: Instant,
    /// Whether the mesh's mTLS is spoken to it.
    pub(crate) secure: bool,
    /// Who it is, as far as its labels say.
    labelled: NameId,
    /// Who it is, as it says itself.
    pub(crate) met: Acquaintance,
    pub(crate) health: Arc<Health>,
    /// Requests under way.
    pub(crate) active: Arc<Gauge>,
    pub(crate) pool: Pool,
}

/// An endpoint that was found for a cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) address: SocketAddr,
    /// The addresses that a connection tries, where that is not this one alone.
    pub(crate) dial: Vec<SocketAddr>,
    /// Whether it takes the mesh's mTLS, as far as it says.
    pub(crate) speaks_mtls: bool,
    pub(crate) workload: NameId,
    pub(crate) weight: u32,
    pub(crate) draining: bool,
    pub(crate) whereabouts: Arc<Whereabouts>,
}

/// How one endpoint does, for the admin pages.
pub(crate) struct Standing {
    pub(crate) address: SocketAddr,
    pub(crate) secure: bool,
    pub(crate) weight: u32,
    pub(crate) draining: bool,
    pub(crate) ejected: bool,
    pub(crate) active: u32,
    pub(crate) connections: u32,
}

impl Upstream {
    /// Makes a cluster ready. What it is used for now, and those of its endpoints that stay, come from `before`: the same
    /// service, port and subset in the snapshot before.
    ///
    /// # Errors
    /// If its TLS cannot be made ready.
    pub(crate) fn new(
        cluster: Cluster,
        here: &Arc<Whereabouts>,
        securing: &mut Securing<'_>,
        labels: &Labels,
        before: Option<&Upstream>,
    ) -> Result<Upstream, String> {
        let name: Arc<str> = cluster.name().into();
        let mutual = securing.of(&cluster).map_err(|why| format!("cluster `{name}`: {why}"))?;
        let service = labels.services.number(ServiceName::new(&cluster.host, &cluster.namespace));
        Ok(Upstream { name, service, mutual, here: here.clone(), ..Upstream::bare(cluster, before) })
    }

    /// The workload's own application behind one of its ports.
    pub(crate) fn application(
        name: String,
        cluster: Cluster,
        service: NameId,
        address: SocketAddr,
        workers: usize,
    ) -> Upstream {
        let upstream = Upstream { name: name.into(), service, ..Upstream::bare(cluster, None) };
        let found = Found {
            address,
            dial: Vec::new(),
            speaks_mtls: false,
            workload: NameId::UNKNOWN,
            weight: 1,
            draining: false,
            whereabouts: Arc::default(),
        };
        upstream.populate(&[found], workers, None);
        upstream
    }

    /// What passes to wherever the client wanted to go, unchanged.
    pub(crate) fn passthrough(name: &'static str, cluster: Cluster, labels: &Labels) -> Upstream {
        let service = ServiceName { name: name.into(), ..ServiceName::default() };
        Upstream { name: name.into(), service: labels.services.number(service), ..Upstream::bare(cluster, None) }
    }

    fn bare(cluster: Cluster, before: Option<&Upstream>) -> Upstream {
        Upstream {
            name: "".into(),
            service: NameId::UNKNOWN,
            mutual: None,
            usage: before.map(|before| before.usage.clone()).unwrap_or_default(),
            freed: before.map(|before| before.freed.clone()).unwrap_or_default(),
            here: Arc::default(),
            members: ArcSwap::default(),
            originals: before
                .filter(|before| connections_fit(&before.cluster, &cluster))
                .map(|before| ArcSwap::new(before.originals.load_full()))
                .unwrap_or_default(),
            turn: AtomicUsize::new(0),
            gate: Gate::default(),
            warmed_s: AtomicU64::new(0),
            swept_ms: AtomicU64::new(before.map_or(0, |before| before.swept_ms.load(Ordering::Relaxed))),
            cluster,
        }
    }

    /// The endpoints that it has.
    pub(crate) fn found(&self) -> Vec<Found> {
        let found = |member: &Member| Found {
            address: member.backend.address,
            dial: member.backend.dial(),
            speaks_mtls: member.backend.secure,
            workload: member.backend.labelled,
            weight: member.weight,
            draining: member.draining,
            whereabouts: member.whereabouts.clone(),
        };
        self.members.load().all.iter().map(found).collect()
    }

    /// Sets its endpoints. Those that it has already, or that `before` has, stay as they are; `workers` is how many
    /// threads will connect to the others.
    pub(crate) fn populate(&self, found: &[Found], workers: usize, before: Option<&Upstream>) {
        let old = self.members.load();
        let earlier = before.map(|before| before.members.load());
        let connections_fit = before.is_some_and(|before| connections_fit(&before.cluster, &self.cluster));
        let all = found.iter().map(|found| {
            let secure = match &self.cluster.tls {
                ClusterTls::Plain | ClusterTls::Outside(_) => false,
                ClusterTls::Auto(_) => found.speaks_mtls,
                ClusterTls::Mutual(_) => true,
            };
            let same = |member: &&Member| member.backend.address == found.address && member.backend.secure == secure;
            let known = old.all.iter().find(same);
            let inherited = earlier.as_ref().and_then(|earlier| earlier.all.iter().find(same));
            let whole = known.or(inherited.filter(|_| connections_fit));
            let backend = match whole.map(|member| &member.backend) {
                Some(backend) if backend.labelled == found.workload => backend.clone(),
                _ => Arc::new(Backend {
                    address: found.address,
                    dial: ArcSwapOption::empty(),
                    since: known.or(inherited).map_or_else(Instant::now, |member| member.backend.since),
                    secure,
                    labelled: found.workload,
                    met: Acquaintance::default(),
                    health: inherited.map(|member| member.backend.health.clone()).unwrap_or_default(),
                    active: inherited.map(|member| member.backend.active.clone()).unwrap_or_default(),
                    pool: Pool::new(if self.shares_connections() { 1 } else { workers }),
                }),
            };
            if backend.dial() != found.dial {
                backend.dial.store(Some(found.dial.clone()).filter(|all| !all.is_empty()).map(Arc::new));
            }
            let whereabouts = found.whereabouts.clone();
            let nearness = match &self.cluster.locality {
                Some(locality) => locality.nearness(&self.here, &whereabouts),
                None => Nearness::Level(0),
            };
            Member { backend, weight: found.weight, draining: found.draining, whereabouts, nearness }
        });
        let all: Arc<[Member]> = all.collect();
        // With its rota from the start: a request that finds endpoints without one would find nobody.
        self.members.store(Arc::new(self.members_of(all)));
        // Once more, so that whoever was taken out meanwhile is not put back.
        self.seat();
    }

    /// Whether all workers use the same connections. With a limit they must: otherwise one could keep idle what another
    /// waits for. Without one, each has its own, and none is ever handed from thread to thread.
    pub(crate) fn shares_connections(&self) -> bool {
        self.cluster.limits.connections != 0
    }

    /// Decides anew who is in.
    pub(crate) fn seat(&self) {
        self.members.rcu(|members| self.members_of(members.all.clone()));
    }

    /// How far an endpoint is towards its full share, in thousandths (Envoy's slow start: by whole seconds, and never less
    /// than the policy's minimum).
    fn warmth(&self, since: Instant, now: Instant) -> u32 {
        let Some(warmup) = &self.cluster.warmup else { return WARM };
        let (age_ms, whole_ms) = (now.saturating_duration_since(since).as_millis() as f64, warmup.ms.max(1) as f64);
        if whole_ms <= age_ms {
            return WARM;
        }
        let grown = (age_ms.max(1_000.0) / whole_ms).min(1.0).powf(1_000.0 / f64::from(warmup.aggression.max(1)));
        let least = f64::from(warmup.minimum_percent) / 100.0;
        ((grown.max(least) * f64::from(WARM)) as u32).max(1)
    }

    fn members_of(&self, all: Arc<[Member]>) -> Members {
        let parts = self.parts(&all);
        let whole = parts.iter().fold(0, |sum: u32, (weight, _)| sum.saturating_add(*weight));
        Members { all, parts, whole }
    }

    /// Those who are in, by groups. Draining endpoints are only if nobody else is there at all.
    fn parts(&self, all: &[Member]) -> Vec<(u32, Rota)> {
        let is_left = |member: &&Member| member.nearness != Nearness::Left;
        if all.iter().filter(is_left).all(|member| member.draining) {
            return vec![(1, self.rota(all, |member| member.nearness != Nearness::Left))];
        }
        let order: BTreeSet<(u32, usize)> = all.iter().filter_map(|member| member.nearness.order()).collect();
        let shares = self.cluster.locality.as_ref().and_then(|locality| locality.shares(&self.here));
        let here = |member: &Member, group: (u32, usize)| !member.draining && member.nearness.order() == Some(group);
        let groups = order.iter().map(|group| {
            let of_group = || all.iter().filter(|member| here(member, *group));
            Group {
                total: of_group().count(),
                healthy: of_group().filter(|member| !member.backend.health.is_ejected()).count(),
                share: shares.and_then(|shares| shares.get(group.1)).map(|(_, share)| *share),
            }
        });
        let groups: Vec<Group> = groups.collect();
        let panic_percent = self.cluster.outlier.as_ref().map_or(0, |outlier| usize::from(outlier.panic_percent));
        let loads = loads(&groups, panic_percent);
        let part = |(group, load): (&(u32, usize), &Load)| {
            let is_in = |member: &Member| here(member, *group) && (load.panic || !member.backend.health.is_ejected());
            (load.weight, self.rota(all, is_in))
        };
        order.iter().zip(&loads).filter(|(_, load)| load.weight != 0).map(part).collect()
    }

    /// The rota of some of its endpoints.
    fn rota(&self, all: &[Member], is_in: impl Fn(&Member) -> bool) -> Rota {
        let now = Instant::now();
        let warms = self.cluster.warmup.is_some()
            && matches!(self.cluster.balancer, Balancer::LeastRequest | Balancer::RoundRobin);
        let weight = |member: &Member| match warms {
            true => member.weight.max(1).saturating_mul(self.warmth(member.backend.since, now)),
            false => member.weight,
        };
        let seats: Vec<(u32, u32)> = all
            .iter()
            .enumerate()
            .filter(|(_, member)| is_in(member))
            .map(|(number, member)| (number as u32, weight(member)))
            .collect();
        match &self.cluster.balancer {
            Balancer::Hash(hashing) => {
                let entry = |(number, weight): &(u32, u32)| {
                    (*number, all[*number as usize].backend.address.to_string(), *weight)
                };
                Rota::hashed(&hashing.table, &seats.iter().map(entry).collect::<Vec<_>>())
            }
            _ => Rota::new(&seats),
        }
    }

    /// Whether TLS is spoken to its endpoints as outside the mesh.
    pub(crate) fn is_outside(&self) -> bool {
        matches!(self.cluster.tls, ClusterTls::Outside(_))
    }

    /// What is hashed of a request for it.
    pub(crate) fn hash_key(&self) -> Option<&HashKey> {
        match &self.cluster.balancer {
            Balancer::Hash(hashing) => Some(&hashing.key),
            _ => None,
        }
    }

    /// A request begins: it counts for a while, where a budget of retries says so.
    pub(crate) fn note(&self, now: Instant) {
        if let Some(budget) = self.cluster.limits.budget.as_ref().filter(|budget| 0 < budget.interval_ms) {
            self.usage.recent.note(now, budget.interval_ms);
        }
    }

    /// How many of its retries may be under way.
    pub(crate) fn retries_max(&self) -> u32 {
        match &self.cluster.limits.budget {
            None => self.cluster.limits.retries,
            Some(budget) => {
                let requests = match budget.interval_ms {
                    0 => u64::from(self.usage.requests.value()),
                    interval => self.usage.recent.count(Instant::now(), interval),
                };
                let part = requests * u64::from(budget.share) / 1_000_000;
                u32::try_from(part).unwrap_or(u32::MAX).max(budget.least)
            }
        }
    }

    /// The endpoint for a request; none if none is in. `tried` have failed it before; `hash` says where it belongs.
    pub(crate) fn choose(&self, draws: &Draws, tried: &[Arc<Backend>], hash: Option<u64>) -> Option<Arc<Backend>> {
        let members = self.members.load();
        let rota = members.part(hash, draws)?;
        let backend = |number: u32| &members.all[number as usize].backend;
        let avoid = |number: u32| tried.iter().any(|tried| Arc::ptr_eq(tried, backend(number)));
        if let Some(number) = hash.and_then(|hash| rota.at(hash, avoid)) {
            return Some(backend(number).clone());
        }
        let chosen =
            rota.choose(&self.cluster.balancer, &self.turn, draws, |number| backend(number).active.value(), avoid);
        chosen.map(|number| backend(number).clone())
    }

    /// The endpoint at an address that the client chose; none if the cluster has endpoints of its own, and this is none of
    /// them.
    pub(crate) fn toward(&self, address: SocketAddr, workers: usize) -> Option<Arc<Backend>> {
        let Some(address) = self.cluster.endpoints.original(address) else {
            let members = self.members.load();
            // The port that it dialled is the service's, which an endpoint may have under another number.
            let at = |member: &&Member| member.backend.is_at(address.ip());
            return members.all.iter().find(at).map(|member| member.backend.clone());
        };
        if let Some(known) = self.originals.load().get(&address) {
            return Some(known.clone());
        }
        let secure = matches!(self.cluster.tls, ClusterTls::Mutual(_));
        let fresh = Arc::new(Backend {
            address,
            dial: ArcSwapOption::empty(),
            since: Instant::now(),
            secure,
            labelled: NameId::UNKNOWN,
            met: Acquaintance::default(),
            health: Arc::default(),
            active: Arc::default(),
            pool: Pool::new(if self.shares_connections() { 1 } else { workers }),
        });
        self.originals.rcu(|known| match known.len() < ORIGINALS_MAX {
            true => {
                let mut more = HashMap::clone(known);
                more.entry(address).or_insert_with(|| fresh.clone());
                Arc::new(more)
            }
            false => known.clone(),
        });
        Some(self.originals.load().get(&address).cloned().unwrap_or(fresh))
    }

    /// An endpoint that speaks the mesh's mTLS; none if none is in.
    pub(crate) fn choose_secure(&self, draws: &Draws, hash: Option<u64>) -> Option<Arc<Backend>> {
        let mut avoided = Vec::new();
        loop {
            let backend = self.choose(draws, &avoided, hash)?;
            if backend.secure {
                return Some(backend);
            }
            // Who was tried comes again only when there is nobody else.
            if avoided.iter().any(|known| Arc::ptr_eq(known, &backend)) {
                return None;
            }
            avoided.push(backend);
        }
    }

    /// Whether this is its only endpoint.
    pub(crate) fn is_at(&self, address: SocketAddr) -> bool {
        matches!(&*self.members.load().all, [member] if member.backend.address == address)
    }

    /// Whether one of its endpoints has this address.
    pub(crate) fn has(&self, address: IpAddr) -> bool {
        self.members.load().all.iter().any(|member| member.backend.is_at(address))
    }

    /// Counts how a try ended. True if the endpoint was taken out for it.
    pub(crate) fn report(&self, backend: &Backend, outcome: Outcome, now: impl FnOnce() -> Duration) -> bool {
        let Some(policy) = &self.cluster.outlier else { return false };
        if !backend.health.count(policy, outcome) {
            return false;
        }
        let members = self.members.load();
        let all = members.all.iter().map(|member| &*member.backend.health);
        let out = self.gate.eject(policy, &backend.health, all, now());
        if out {
            self.seat();
        }
        out
    }

    /// Lets those in again whose time is over.
    pub(crate) fn sweep(&self, now: Duration) {
        if let Some(warmup) = &self.cluster.warmup {
            self.warm_up(now, warmup.ms);
        }
        let Some(policy) = &self.cluster.outlier else { return };
        let now_ms = u64::try_from(now.as_millis()).unwrap_or(u64::MAX);
        if now_ms < self.swept_ms.load(Ordering::Relaxed).saturating_add(policy.interval_ms) {
            return;
        }
        self.swept_ms.store(now_ms, Ordering::Relaxed);
        let members = self.members.load();
        let back = members.all.iter().filter(|member| member.backend.health.sweep(policy, now)).count();
        if 0 < back {
            self.seat();
        }
    }

    /// Gives new endpoints more, once a second.
    fn warm_up(&self, now: Duration, whole_ms: u64) {
        let second = now.as_secs();
        if self.warmed_s.swap(second, Ordering::Relaxed) == second {
            return;
        }
        // A second longer, so that the last look gives the full share.
        let whole = Duration::from_millis(whole_ms) + Duration::from_secs(2);
        if self.members.load().all.iter().any(|member| member.backend.since.elapsed() < whole) {
            self.seat();
        }
    }

    /// Closes what was idle for too long.
    pub(crate) fn close_idle(&self) {
        let idle_max = match self.cluster.idle_timeout_ms {
            0 => Duration::MAX,
            ms => Duration::from_millis(ms),
        };
        self.members.load().all.iter().for_each(|member| member.backend.pool.close_idle(idle_max));
        let originals = self.originals.load();
        originals.values().for_each(|backend| backend.pool.close_idle(idle_max));
        // Nobody else holds it, nothing is under way, and no connection is kept.
        let unused = |it: &Arc<Backend>| {
            it.active.value() == 0 && it.pool.connections.value() == 0 && Arc::strong_count(it) == 1
        };
        if originals.values().any(unused) {
            self.originals.rcu(|known| {
                let used = known.iter().filter(|(_, backend)| !unused(backend));
                used.map(|(address, backend)| (*address, backend.clone())).collect::<HashMap<_, _>>()
            });
        }
    }

    /// How each of its endpoints does.
    pub(crate) fn standings(&self) -> Vec<Standing> {
        let standing = |member: &Member| Standing {
            address: member.backend.first(),
            secure: member.backend.secure,
            weight: member.weight,
            draining: member.draining,
            ejected: member.backend.health.is_ejected(),
            active: member.backend.active.value(),
            connections: member.backend.pool.connections.value(),
        };
        self.members.load().all.iter().map(standing).collect()
    }

    /// Whether its endpoints are sent HTTP/2; none if they are sent what the client speaks.
    pub(crate) fn speaks_http2(&self) -> Option<bool> {
        match self.cluster.protocol {
            Protocol::Http2 | Protocol::Grpc => Some(true),
            Protocol::Auto => None,
            Protocol::Http | Protocol::Tcp | Protocol::Tls => Some(false),
        }
    }
}

impl Members {
    /// The part that a request falls to.
    fn part(&self, hash: Option<u64>, draws: &Draws) -> Option<&Rota> {
        if let [(_, only)] = self.parts.as_slice() {
            return Some(only);
        }
        let whole = self.whole.max(1);
        let mut at = match hash {
            Some(hash) => (hash % u64::from(whole)) as u32,
            None => draws.below(whole as usize) as u32,
        };
        for (weight, rota) in &self.parts {
            match at.checked_sub(*weight) {
                Some(rest) => at = rest,
                None => return Some(rota),
            }
        }
        None
    }
}

impl Backend {
    /// Who it is: what it says itself counts more than what its labels say.
    pub(crate) fn workload(&self) -> NameId {
        self.met.last().unwrap_or(self.labelled)
    }

    /// The addresses that a connection tries, one after the other; none if that is its own alone.
    pub(crate) fn dial(&self) -> Vec<SocketAddr> {
        self.dial.load().as_ref().map(|all| all.to_vec()).unwrap_or_default()
    }

    /// The address that a connection tries first.
    pub(crate) fn first(&self) -> SocketAddr {
        self.dial.load().as_ref().and_then(|all| all.first().copied()).unwrap_or(self.address)
    }

    /// Whether connections to it go to this address.
    fn is_at(&self, address: IpAddr) -> bool {
        self.address.ip() == address || self.first().ip() == address
    }
}

/// Whether connections that were made for one cluster are as those for the other would be.
fn connections_fit(before: &Cluster, now: &Cluster) -> bool {
    before.tls == now.tls
        && before.protocol == now.protocol
        && (before.limits.connections == 0) == (now.limits.connections == 0)
}

#[cfg(test)]
mod tests;

//! The proxy as a whole: it starts, says where it is to be found, and stops without losing a request.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use taut_delivery::{Connect, MemberConfig, MemberKind, Told, follow};
use taut_identity::LiveIdentity;
use taut_snapshot::endpoint::EndpointPort;
use taut_snapshot::object::MtlsMode;
use taut_snapshot::{Endpoint, Owner, Text};
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};

use crate::admin;
use crate::config::{Addresses, Bind, DrainConfig, ProxyConfig, Role};
use crate::dns::Dns;
use crate::drain::Stage;
use crate::error::ProxyError;
use crate::limits::connections_max;
use crate::listen::Listening;
use crate::runner::Changing;
use crate::telemetry::log::Log;
use crate::telemetry::names::Labels;
use crate::tls::Inward;
use crate::worker::{Shared, Workers};
use crate::world::World;

/// How often outliers are looked at: well below the shortest interval that anyone configures.
const SWEEP_INTERVAL: Duration = Duration::from_millis(100);

/// How often idle connections are looked at, in sweeps.
const SWEEPS_PER_IDLE: u32 = 10;

/// How long a proxy that is leaving waits until others know, within its deadline: more than a reconciler needs that is just
/// being started again ([`follow`] asks for it every 5 s), and little enough for what supervises processes.
const KNOWN_MAX: Duration = Duration::from_secs(10);

/// How long it waits for a connection to tell them by: there is one in a moment, or everything is being stopped.
const UNTOLD_MAX: Duration = Duration::from_secs(2);

/// How long connections that are cut may take to notice.
const CUT_MAX: Duration = Duration::from_secs(1);

/// A proxy that runs.
pub struct Proxy {
    pub(crate) shared: Arc<Shared>,
    pub(crate) workers: Workers,
    pub(crate) runtime: Handle,
    pub(crate) changing: Changing,
    pub(crate) addresses: Addresses,
    pub(crate) name: String,
    pub(crate) workload: String,
    advertise: Option<IpAddr>,
    drain: DrainConfig,
    listening: Vec<Arc<Listening>>,
    endpoint: watch::Sender<Option<Endpoint>>,
    /// Whether somebody asked it to stop.
    asked: watch::Sender<bool>,
}

/// How a proxy follows its reconciler.
pub struct Following<C> {
    /// Where it keeps what it was given last.
    pub state: PathBuf,
    /// How it reaches the reconciler.
    pub connect: C,
}

/// Runs a proxy until `shutdown` becomes true or its admin page is told to drain: it listens, boots from disk, follows the
/// reconciler, and at the end drains. `ready` is called once it listens.
///
/// # Errors
/// If it cannot listen, or its state folder cannot be used.
pub async fn run<C: Connect>(
    config: ProxyConfig,
    identity: LiveIdentity,
    following: Following<C>,
    mut shutdown: watch::Receiver<bool>,
    ready: impl FnOnce(&Addresses),
) -> Result<(), ProxyError> {
    let proxy = Proxy::start(config, identity)?;
    ready(proxy.addresses());
    let (telling, told) = watch::channel(Told::Nobody);
    let member = MemberConfig {
        name: proxy.name.clone(),
        kind: MemberKind::Proxy { workload: proxy.workload.clone() },
        state: following.state,
        endpoint: proxy.endpoint(),
        told: telling,
    };
    let (stop, stopped) = watch::channel(false);
    let mut follow = std::pin::pin!(follow(member, proxy.clone(), following.connect, stopped));
    let asked = async {
        tokio::select! {
            // Nobody being left to ask is no reason to stop.
            true = async { shutdown.wait_for(|stop| *stop).await.is_ok() } => {}
            () = proxy.asked_to_stop() => {}
        }
    };
    tokio::select! {
        ended = &mut follow => {
            // Whatever came before goes on being served while the operator is told.
            proxy.drain().await;
            return Ok(ended?);
        }
        () = asked => {}
    }
    // It goes on following, so that others hear that it is leaving.
    tokio::select! {
        ended = &mut follow => return Ok(ended?),
        () = proxy.drain_when(others_know(told)) => {}
    }
    stop.send_replace(true);
    Ok(follow.await?)
}

/// Waits until others know that it is leaving: true, unless there is nobody to tell them.
async fn others_know(mut told: watch::Receiver<Told>) -> bool {
    loop {
        let now = *told.borrow_and_update();
        let goes_on = match now {
            Told::All => return true,
            Told::Publisher => told.changed().await.is_ok(),
            Told::Nobody => matches!(timeout(UNTOLD_MAX, told.changed()).await, Ok(Ok(()))),
        };
        if !goes_on {
            return false;
        }
    }
}

impl Proxy {
    /// Listens, and starts the threads that serve. Until a snapshot is activated, every request gets a 503. To be called
    /// within a runtime, which carries everything but requests.
    ///
    /// # Errors
    /// If an address cannot be listened on, or there are no threads.
    pub fn start(config: ProxyConfig, identity: LiveIdentity) -> Result<Arc<Proxy>, ProxyError> {
        let ProxyConfig {
            name,
            workload,
            binds,
            admin,
            advertise,
            workers,
            drain,
            trusted_proxies,
            locality,
            access_log,
            patience,
            refresh,
            nameservers,
        } = config;
        if !admin.ip().is_loopback() {
            return Err(ProxyError::AdminNotLocal(admin));
        }
        let nowhere = |bind: &&Bind| bind.address.ip().is_unspecified() && bind.role.is_for_others();
        if let Some(bind) = binds.iter().find(nowhere).filter(|_| advertise.is_none()) {
            return Err(ProxyError::NoAddress(bind.address));
        }
        let runtime = Handle::current();
        let listen = |role: Role, address: SocketAddr| {
            Listening::bind(role, address, &runtime).map_err(|source| ProxyError::Listen { address, source })
        };
        let listening: Vec<Arc<Listening>> =
            binds.iter().map(|bind| listen(bind.role, bind.address).map(Arc::new)).collect::<Result<_, _>>()?;
        let admin_listener = admin::bind(admin).map_err(|source| ProxyError::Listen { address: admin, source })?;
        let addresses = Addresses {
            binds: listening.iter().map(|bound| Bind { role: bound.role, address: bound.address }).collect(),
            admin: admin_listener.local_addr().unwrap_or(admin),
        };
        let labels = Labels::default();
        let principal = labels.principals.number(Text::from(identity.current().id().as_str()));
        let shared = Arc::new(Shared {
            world: Default::default(),
            retired: Default::default(),
            has_world: watch::Sender::new(false),
            inward: Inward::new(&identity),
            identity,
            principal,
            labels,
            counters: Default::default(),
            drains: Default::default(),
            connections: Default::default(),
            connections_max: connections_max(rustix::process::getrlimit(rustix::process::Resource::Nofile).current),
            patience,
            refresh,
            dns: Arc::new(Dns::new(nameservers, refresh)),
            workers: workers.get(),
            trusted_proxies,
            locality: locality.map(Text::from),
            log: access_log.map(|log| Log::start(log, None)).transpose().map_err(ProxyError::Workers)?,
            writers: Default::default(),
            reports: Default::default(),
            began: Instant::now(),
        });
        let workers = Workers::start(workers, &shared).map_err(ProxyError::Workers)?;
        listening.iter().for_each(|listening| workers.listen(listening));
        runtime.spawn(keep_house(Arc::downgrade(&shared)));
        let proxy = Arc::new(Proxy {
            shared,
            workers,
            runtime: runtime.clone(),
            changing: Changing::default(),
            addresses,
            name,
            workload,
            advertise,
            drain,
            listening,
            endpoint: watch::Sender::new(None),
            asked: watch::Sender::new(false),
        });
        runtime.spawn(admin::serve(Arc::downgrade(&proxy), admin_listener));
        Ok(proxy)
    }

    /// Where it listens.
    #[must_use]
    pub fn addresses(&self) -> &Addresses {
        &self.addresses
    }

    /// Where others of the mesh find it: nowhere until a snapshot is active.
    #[must_use]
    pub fn endpoint(&self) -> watch::Receiver<Option<Endpoint>> {
        self.endpoint.subscribe()
    }

    /// Stops without losing a request, when nobody can say whether others know: after the notice they are taken to.
    pub async fn drain(&self) {
        self.drain_when(std::future::ready(true)).await;
    }

    /// Stops without losing a request: says that it is leaving, waits until others know, takes no more connections of theirs,
    /// and lets what is under way end. Then the same for what the application asks of others, which it may have needed to
    /// answer them. What has not ended by the deadline is cut.
    pub async fn drain_when(&self, others_know: impl Future<Output = bool>) {
        let drains = &self.shared.drains;
        drains.others.advance(Stage::Leaving);
        self.report_endpoint();
        sleep(self.drain.notice).await;
        let has_others = self.endpoint.borrow().is_some();
        if has_others && !matches!(timeout(KNOWN_MAX.min(self.drain.deadline), others_know).await, Ok(true)) {
            tracing::warn!("not everybody is known to have taken note that it stops: their next requests may fail");
        }
        let deadline = tokio::time::Instant::now() + self.drain.deadline;
        for (drain, for_others) in [(&drains.others, true), (&drains.own, false)] {
            let bound = self.listening.iter().cloned().chain(self.changing.listening());
            bound.filter(|it| it.role.is_for_others() == for_others).for_each(|listening| listening.stop());
            drain.advance(Stage::Closing);
            if !drain.empty(deadline.saturating_duration_since(tokio::time::Instant::now())).await {
                tracing::warn!(connections = drain.connections(), "the deadline is over: open connections are cut");
                drain.advance(Stage::Cutting);
                drain.empty(CUT_MAX).await;
            }
        }
        self.shared.reports.flush().await;
        self.shared.writers.flush();
        if let Some(log) = &self.shared.log {
            log.flush();
        }
    }

    /// Asks it to stop, as a signal would.
    pub(crate) fn ask_to_stop(&self) {
        self.asked.send_replace(true);
    }

    async fn asked_to_stop(&self) {
        let mut asked = self.asked.subscribe();
        // `self` holds the sender, so that this ends only when it is asked.
        let _ = asked.wait_for(|asked| *asked).await;
    }

    /// Says where it is to be found, and whether it is leaving.
    pub(crate) fn report_endpoint(&self) {
        let world = self.shared.world.load_full();
        self.endpoint.send_replace(world.and_then(|world| self.own_endpoint(&world)));
    }

    /// The endpoint that it is; none if nobody can ask it for anything.
    fn own_endpoint(&self, world: &World) -> Option<Endpoint> {
        let view = &world.tables.view;
        let from_snapshot = self.changing.listening();
        let dynamic = from_snapshot.iter().map(|listening| (listening.role, listening.address));
        let bound: Vec<(Role, SocketAddr)> =
            self.addresses.binds.iter().map(|bind| (bind.role, bind.address)).chain(dynamic).collect();
        // Whoever captures has every port of the workload where it is.
        let captures = bound.iter().any(|(role, _)| *role == Role::InboundCaptured);
        let own = view.inbound.iter().filter(|_| captures).map(|inbound| (inbound.port, inbound.port));
        let named = bound.iter().filter_map(|(role, address)| Some((role.workload_port()?, address.port())));
        let ports: BTreeMap<u16, EndpointPort> = own
            .chain(named)
            .map(|(number, dial)| {
                let declared = view.inbound.iter().find(|inbound| inbound.port == number);
                let name = declared.map(|inbound| inbound.name.clone()).unwrap_or_default();
                let plaintext = *world.mtls(number) == MtlsMode::Disable;
                (number, EndpointPort { number, name, dial, plaintext })
            })
            .collect();
        let address = self.advertise.or_else(|| {
            let own = bound.iter().filter(|(role, _)| role.is_for_others()).map(|(_, address)| address.ip());
            own.into_iter().find(|address| !address.is_unspecified())
        })?;
        // A gateway's ports show its own certificates, or none.
        let identity = if view.gateway { Text::default() } else { self.shared.identity.current().id().as_str().into() };
        (!ports.is_empty()).then(|| Endpoint {
            id: self.name.as_str().into(),
            owner: Owner::Workload(view.namespace.clone()),
            labels: view.labels.clone(),
            address: address.to_string().into(),
            ports: ports.into_values().collect(),
            identity,
            weight: 0,
            draining: self.shared.drains.stage() != Stage::Serving,
            locality: self.shared.locality.clone().unwrap_or_default(),
        })
    }
}

impl Role {
    /// The workload's port that a bind stands for, if others reach the workload by it.
    fn workload_port(self) -> Option<u16> {
        match self {
            Role::Inbound { port, .. } | Role::Gateway { port } => Some(port),
            Role::InboundCaptured
            | Role::Outbound { .. }
            | Role::OutboundAny
            | Role::OutboundTo { .. }
            | Role::OutboundCaptured => None,
        }
    }

    fn is_for_others(self) -> bool {
        !self.is_outbound()
    }
}

/// What must be done now and then: outliers let in again, idle connections closed.
async fn keep_house(shared: Weak<Shared>) {
    let mut sweeps = interval(SWEEP_INTERVAL);
    sweeps.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for sweep in 0_u32.. {
        sweeps.tick().await;
        let Some(shared) = shared.upgrade() else { return };
        shared.retired.drop_unused();
        let Some(world) = shared.world.load_full() else { continue };
        let now = shared.began.elapsed();
        world.upstreams.iter().for_each(|upstream| upstream.sweep(now));
        if sweep.is_multiple_of(SWEEPS_PER_IDLE) {
            world.upstreams.iter().for_each(|upstream| upstream.close_idle());
            world.passthrough.close_idle();
            world.inbound.values().for_each(|inbound| inbound.upstream.close_idle());
        }
    }
}

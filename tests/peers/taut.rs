//! The proxy under test: in this process, with what the compiler makes of resources as users write them.

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use harness::{compile_text, problems_text};
use taut_delivery::Runner as _;
use taut_identity::LiveIdentity;
use taut_proxy::{Bind, DrainConfig, Patience, Proxy, ProxyConfig, Refresh, Role};
use taut_snapshot::endpoint::EndpointPort;
use taut_snapshot::{Endpoint, EndpointSet, Owner};
use tokio::runtime::Runtime;

use crate::sealed::credentials;

/// The port of every service and workload of the tests.
pub(crate) const PORT: u16 = 8080;

/// A proxy of a workload of the namespace `shop`.
pub(crate) struct Taut {
    proxy: Arc<Proxy>,
    generation: AtomicU64,
    _runtime: Runtime,
}

impl Taut {
    pub(crate) fn start(workload: &str, role: Role) -> Taut {
        let free = SocketAddr::from(([127, 0, 0, 1], 0));
        let config = ProxyConfig {
            name: format!("{workload}-1"),
            workload: format!("shop/{workload}"),
            binds: vec![Bind { role, address: free }],
            admin: free,
            advertise: None,
            workers: NonZeroUsize::MIN,
            drain: DrainConfig { notice: Duration::ZERO, deadline: Duration::ZERO },
            trusted_proxies: 0,
            locality: None,
            access_log: None,
            patience: Patience::USUAL,
            refresh: Refresh::USUAL,
            nameservers: Vec::new(),
        };
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
        let identity = LiveIdentity::new(credentials(&format!("cluster.local/ns/shop/sa/{workload}")));
        let proxy = runtime.block_on(async { Proxy::start(config, identity) }).unwrap();
        Taut { proxy, generation: AtomicU64::new(0), _runtime: runtime }
    }

    /// Activates what resources compile to.
    pub(crate) fn activate(&self, yaml: &str) {
        let (sources, compiled) = compile_text(yaml);
        let Some(snapshot) = &compiled.snapshot else { panic!("{}", problems_text(&sources, &compiled)) };
        let prepared = self.proxy.prepare(snapshot.id, &snapshot.objects).unwrap();
        self.proxy.activate(prepared, snapshot.id, self.generation.fetch_add(1, Ordering::Relaxed) + 1);
    }

    /// The endpoints of the services: each selects by the label `app`, which is its name.
    pub(crate) fn endpoints(&self, services: &[(&str, Vec<SocketAddr>)]) {
        let endpoint = |service: &str, number: usize, address: &SocketAddr| Endpoint {
            id: format!("{service}-{number}").into(),
            owner: Owner::Workload("shop".into()),
            labels: vec![("app".into(), service.into())],
            address: address.ip().to_string().into(),
            ports: vec![EndpointPort { number: PORT, name: "http".into(), dial: address.port(), plaintext: false }],
            identity: "".into(),
            weight: 1,
            draining: false,
            locality: "".into(),
        };
        let mut endpoints: Vec<Endpoint> = services
            .iter()
            .flat_map(|(service, addresses)| {
                addresses.iter().enumerate().map(move |(number, address)| endpoint(service, number, address))
            })
            .collect();
        endpoints.sort_by(|a, b| a.id.cmp(&b.id));
        self.proxy.endpoints(&EndpointSet { endpoints });
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.proxy.addresses().binds[0].address
    }
}

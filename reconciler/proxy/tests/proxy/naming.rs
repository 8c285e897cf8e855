//! Endpoints that are names: a name server of the test's own answers for them.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpListener, UdpSocket};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use taut_proxy::{ProxyConfig, Refresh, Role};
use taut_snapshot::Objects;
use taut_snapshot::object::*;
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;

use crate::capturing::{inside, run, skipped};
use crate::client::get;
use crate::fixture::*;
use crate::server::App;

const NAME: &str = "app.test";

/// What the name server says.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Says {
    /// It has these addresses, for so many seconds.
    Addresses(Vec<IpAddr>, u32),
    /// The same, but not over UDP.
    TooMuch(Vec<IpAddr>),
    /// IPv4 addresses, and something is wrong where the others are.
    Half(Vec<IpAddr>),
    /// Something is wrong with the server (`SERVFAIL`).
    Failure,
    /// There is no such name (`NXDOMAIN`).
    NoName,
    /// It has no address.
    Nothing,
}

/// What comes back for a question (RFC 1035 §4.1).
fn answer(question: &[u8], says: &Says, udp: bool) -> Vec<u8> {
    const ADDRESS: u16 = 1;
    const ADDRESS6: u16 = 28;
    let name_end = 12 + question[12..].iter().position(|byte| *byte == 0).expect("a name ends") + 1;
    let kind = u16::from_be_bytes([question[name_end], question[name_end + 1]]);
    let (code, addresses, seconds) = match says {
        Says::Addresses(all, seconds) => (0, all.as_slice(), *seconds),
        Says::TooMuch(_) if udp => (0, &[][..], 0),
        Says::Half(_) if kind == ADDRESS6 => (2, &[][..], 0),
        Says::TooMuch(all) | Says::Half(all) => (0, all.as_slice(), 0),
        Says::Nothing => (0, &[][..], 0),
        Says::Failure => (2, &[][..], 0),
        Says::NoName => (3, &[][..], 0),
    };
    let wanted = |it: &&IpAddr| (kind == ADDRESS && it.is_ipv4()) || (kind == ADDRESS6 && it.is_ipv6());
    let records: Vec<&IpAddr> = addresses.iter().filter(wanted).collect();
    let mut out = question[..2].to_vec();
    let truncated = u8::from(udp && matches!(says, Says::TooMuch(_))) << 1;
    out.extend([0x81 | truncated, 0x80 | code, 0, 1, 0, u8::try_from(records.len()).unwrap(), 0, 0, 0, 0]);
    out.extend(&question[12..name_end + 4]);
    for address in records {
        let bytes = match address {
            IpAddr::V4(it) => it.octets().to_vec(),
            IpAddr::V6(it) => it.octets().to_vec(),
        };
        out.extend([0xc0, 12]);
        out.extend(kind.to_be_bytes());
        out.extend([0, 1]);
        out.extend(seconds.to_be_bytes());
        out.extend([0, u8::try_from(bytes.len()).unwrap()]);
        out.extend(bytes);
    }
    out
}

/// A name server on a port of its own.
#[derive(Clone)]
struct NameServer {
    address: SocketAddr,
    /// By name; there are no others.
    says: Arc<Mutex<BTreeMap<String, Says>>>,
    /// Every name that it was asked for.
    asked: Arc<Mutex<Vec<String>>>,
}

impl NameServer {
    fn start(address: &str) -> NameServer {
        // The port that the system gives for one protocol may be somebody's for the other.
        let both = (0..16).find_map(|_| {
            let listener = TcpListener::bind(address).ok()?;
            Some((UdpSocket::bind(listener.local_addr().ok()?).ok()?, listener))
        });
        let (socket, listener) = both.expect("a port is free for both");
        let address = socket.local_addr().unwrap();
        let server = NameServer { address, says: Arc::default(), asked: Arc::default() };
        let (by_udp, by_tcp) = (server.clone(), server.clone());
        std::thread::spawn(move || {
            let mut question = [0; 512];
            while let Ok((length, from)) = socket.recv_from(&mut question) {
                let _ = socket.send_to(&by_udp.answer(&question[..length], true), from);
            }
        });
        std::thread::spawn(move || {
            while let Ok((mut stream, _)) = listener.accept() {
                let mut length = [0; 2];
                stream.read_exact(&mut length).unwrap();
                let mut question = vec![0; usize::from(u16::from_be_bytes(length))];
                stream.read_exact(&mut question).unwrap();
                let answer = by_tcp.answer(&question, false);
                let length = u16::try_from(answer.len()).unwrap().to_be_bytes();
                stream.write_all(&[&length[..], &answer].concat()).unwrap();
            }
        });
        server
    }

    fn answer(&self, question: &[u8], udp: bool) -> Vec<u8> {
        let (mut name, mut rest) = (Vec::new(), &question[12..]);
        while let Some((length, after)) = rest.split_first().filter(|(length, _)| **length != 0) {
            name.push(String::from_utf8_lossy(&after[..usize::from(*length)]).into_owned());
            rest = &after[usize::from(*length)..];
        }
        let name = name.join(".");
        let says = self.says.lock().unwrap().get(&name).cloned().unwrap_or(Says::NoName);
        self.asked.lock().unwrap().push(name);
        answer(question, &says, udp)
    }

    fn says(&self, name: &str, says: Says) {
        self.says.lock().unwrap().insert(name.to_owned(), says);
    }

    /// How often it was asked for a name.
    fn asked(&self, name: &str) -> usize {
        self.asked.lock().unwrap().iter().filter(|asked| *asked == name).count()
    }
}

fn follows(names: &[&str], port: u16) -> Cluster {
    let name = |host: &&str| DnsName { host: (*host).into(), port, weight: 1, locality: "".into(), single: false };
    Cluster { endpoints: EndpointSource::Dns(names.iter().map(name).collect()), ..cluster("") }
}

/// A sidecar that asks a name server, and often where the answer is not to be kept.
fn sidecar(nameservers: Vec<SocketAddr>) -> Running {
    let often = Duration::from_millis(50);
    let refresh = Refresh { names: often, names_after_failure_max: often, ..Refresh::USUAL };
    let config = ProxyConfig { refresh, nameservers, ..config("frontend", &[Role::Outbound { port: PORT }]) };
    Running::start_with(config, Issuer::new().identity("frontend"))
}

async fn goes_to(sidecar: &Running) -> String {
    let answer = get(sidecar.address(), "orders", "/").await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    answer.app().to_owned()
}

async fn comes_to(sidecar: &Running, wanted: &str) {
    let so = async { while goes_to(sidecar).await != wanted {} };
    timeout(Duration::from_secs(20), so).await.unwrap_or_else(|_| panic!("it does not come to {wanted}"));
}

/// Two applications at the same port of two addresses.
async fn two() -> [App; 2] {
    let one = App::start_at("one", "127.0.0.1:0").await;
    let two = App::start_at("two", &format!("127.0.0.2:{}", one.address.port())).await;
    [one, two]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_is_followed_and_what_was_known_of_it_stays_while_nobody_answers() {
    let server = NameServer::start("127.0.0.1:0");
    let [one, two] = two().await;
    let [first, second] = [&one, &two].map(|app| app.address.ip());
    let sidecar = sidecar(vec![server.address]);
    server.says(NAME, Says::Addresses(vec![first], 0));
    sidecar.activate(Case::orders(&follows(&[NAME], one.address.port()), vec![], Objects::default()));
    assert_eq!(goes_to(&sidecar).await, "one", "the first request finds it");

    server.says(NAME, Says::Addresses(vec![second], 0));
    comes_to(&sidecar, "two").await;
    for _ in 0..20 {
        assert_eq!(goes_to(&sidecar).await, "two", "the other address is gone");
    }

    // It flaps: no request is lost, and nobody is forgotten, not even by the next snapshot.
    let looked = async |bad: &Says| {
        let before = server.asked(NAME);
        let looked = async {
            while server.asked(NAME) < before + 6 {
                assert_eq!(goes_to(&sidecar).await, "two", "{bad:?}");
            }
        };
        timeout(Duration::from_secs(20), looked).await.expect("it is asked again and again");
    };
    for bad in [Says::Failure, Says::NoName, Says::Nothing, Says::Failure] {
        server.says(NAME, bad.clone());
        looked(&bad).await;
    }
    let other = Cluster { connect_timeout_ms: 9_999, ..follows(&[NAME], one.address.port()) };
    sidecar.activate(Case::orders(&other, vec![], Objects::default()));
    looked(&Says::Failure).await;
    server.says(NAME, Says::Half(vec![first]));
    comes_to(&sidecar, "one").await;
    server.says(NAME, Says::TooMuch(vec![second]));
    comes_to(&sidecar, "two").await;

    // This machine has no route to that network: such an address is no endpoint beside one that is.
    let far: IpAddr = "2001:db8::1".parse().unwrap();
    if UdpSocket::bind("[::]:0").and_then(|socket| socket.connect((far, 9))).is_err() {
        server.says(NAME, Says::Addresses(vec![far, first], 0));
        comes_to(&sidecar, "one").await;
        let known = get(sidecar.admin(), "localhost", "/endpoints").await.body;
        assert!(known.contains(&one.address.to_string()) && !known.contains("2001:db8"), "{known}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_single_endpoint_keeps_its_connections_wherever_its_name_leads() {
    let server = NameServer::start("127.0.0.1:0");
    let [one, two] = two().await;
    let sidecar = sidecar(vec![server.address]);
    let addresses = [&one, &two].map(|app| app.address.ip());
    server.says(NAME, Says::Addresses(addresses.to_vec(), 0));
    let port = one.address.port();
    // With a limit, all workers use the same connections.
    let mesh = |seconds: u32| {
        format!(
            "apiVersion: v1
kind: Pod
metadata: {{name: frontend, namespace: shop, labels: {{app: frontend}}}}
spec: {{serviceAccountName: frontend, containers: [{{name: app}}]}}
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: app, namespace: shop}}
spec:
  hosts: [{NAME}]
  location: MESH_EXTERNAL
  resolution: DNS_ROUND_ROBIN
  ports: [{{name: http, number: {PORT}, protocol: HTTP, targetPort: {port}}}]
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {{name: app, namespace: shop}}
spec:
  host: {NAME}
  trafficPolicy: {{connectionPool: {{tcp: {{maxConnections: 8, connectTimeout: {seconds}s}}}}}}
"
        )
    };
    let goes_to = async || {
        let answer = get(sidecar.address(), NAME, "/").await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        answer.app().to_owned()
    };
    sidecar.activate_mesh(&mesh(1));
    for _ in 0..20 {
        assert_eq!(goes_to().await, "one", "it is the first");
    }
    server.says(NAME, Says::Addresses(addresses.into_iter().rev().collect(), 0));
    let before = server.asked(NAME);
    let looked = async {
        while server.asked(NAME) < before + 6 {
            assert_eq!(goes_to().await, "one", "over the connection that is open");
        }
    };
    timeout(Duration::from_secs(20), looked).await.expect("it is asked again and again");
    sidecar.activate_mesh(&mesh(2));
    assert_eq!(goes_to().await, "one", "a snapshot changes nothing about that");
    assert_eq!(one.connections.load(Ordering::SeqCst), 1);

    let at = sidecar.address();
    let under_way = tokio::spawn(async move { get(at, NAME, "/wait").await });
    one.until_waiting(1).await;
    assert_eq!(goes_to().await, "two", "a new connection goes to the first of the newest answer");
    let known = get(sidecar.admin(), "localhost", "/endpoints").await.body;
    assert!(known.contains(&two.address.to_string()) && !known.contains("0.0.0.0"), "{known}");
    one.gate.notify_waiters();
    assert_eq!(under_way.await.unwrap().app(), "one");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_is_asked_for_again_when_its_answer_is_no_longer_good() {
    let server = NameServer::start("127.0.0.1:0");
    let [one, two] = two().await;
    let sidecar = sidecar(vec![server.address]);
    for (name, seconds) in [("never.test", 0), ("second.test", 1), ("hour.test", 3_600)] {
        server.says(name, Says::Addresses(vec![one.address.ip()], seconds));
    }
    let names = follows(&["never.test", "second.test", "hour.test"], one.address.port());
    sidecar.activate(Case::orders(&names, vec![], Objects::default()));
    assert_eq!(goes_to(&sidecar).await, "one");
    server.says("hour.test", Says::Addresses(vec![two.address.ip()], 3_600));
    // Each time it is asked for addresses of both families.
    let thrice = async {
        while server.asked("second.test") < 6 {
            assert_eq!(goes_to(&sidecar).await, "one");
        }
    };
    timeout(Duration::from_secs(60), thrice).await.expect("what is good for a second is asked for again");
    assert!(12 < server.asked("never.test"), "what is not to be kept is asked for all the time");
    assert_eq!(server.asked("hour.test"), 2, "what is good for an hour is not");
}

#[tokio::test(flavor = "multi_thread")]
async fn where_nothing_is_said_this_machines_files_say_who_is_asked() {
    if !inside("naming::where_nothing_is_said_this_machines_files_say_who_is_asked", &[]) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in [
        ("resolv.conf", "nameserver 127.0.0.9\nnameserver 127.0.0.1\nsearch none.test some.test\noptions ndots:2\n"),
        ("hosts", "127.0.0.1 localhost\n127.0.0.2 in.hosts # a comment\n"),
    ] {
        let file = folder.path().join(name);
        std::fs::write(&file, text).unwrap();
        let at = std::path::Path::new("/etc").join(name);
        if !at.exists() {
            skipped(&format!("the files of this machine, since there is no {} to put others over", at.display()));
            return;
        }
        run("mount", &format!("--bind {} {}", file.display(), at.display()));
    }
    run("ip", "link set lo up");
    let server = NameServer::start("127.0.0.1:53");
    let [one, _two] = two().await;
    let sidecar = sidecar(vec![]);
    server.says("app.some.test", Says::Addresses(vec![one.address.ip()], 3_600));
    for (name, wanted) in [("app", "one"), ("in.hosts", "two")] {
        sidecar.activate(Case::orders(&follows(&[name], one.address.port()), vec![], Objects::default()));
        comes_to(&sidecar, wanted).await;
    }
    let asked: Vec<String> = server.asked.lock().unwrap().clone();
    let both = |name: &str| [name.to_owned(), name.to_owned()];
    assert_eq!(asked, [both("app.none.test"), both("app.some.test")].concat(), "the first server is not there");
}

/// Where connections neither come about nor fail: nobody accepts, and no more may wait.
async fn silent(address: &str) -> (SocketAddr, tokio::net::TcpListener, Vec<TcpStream>) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(address.parse().unwrap()).unwrap();
    let listener = socket.listen(1).unwrap();
    let (address, mut waiting) = (listener.local_addr().unwrap(), Vec::new());
    while let Ok(stream) = timeout(Duration::from_millis(250), TcpStream::connect(address)).await {
        waiting.push(stream.unwrap());
    }
    (address, listener, waiting)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_swallows_connections_is_raced_by_one_of_the_other_family() {
    if TcpListener::bind("[::1]:0").is_err() {
        skipped("a race of both families, since this machine has no IPv6");
        return;
    }
    let alive = App::start_at("alive", "[::1]:0").await;
    let port = alive.address.port();
    let (dead, _listener, _waiting) = silent(&format!("127.0.0.3:{port}")).await;
    let server = NameServer::start("127.0.0.1:0");
    server.says(NAME, Says::Addresses(vec![dead.ip(), alive.address.ip()], 3_600));
    let sidecar = sidecar(vec![server.address]);
    // Whoever waits for the dead one waits for longer than this test does.
    let patient = Cluster { connect_timeout_ms: 600_000, ..follows(&[NAME], port) };
    sidecar.activate(Case::orders(&patient, vec![], Objects::default()));
    let known = get(sidecar.admin(), "localhost", "/endpoints").await.body;
    assert!(known.contains("127.0.0.3") && known.contains("[::1]"), "both are endpoints: {known}");
    let all = async {
        for _ in 0..20 {
            assert_eq!(goes_to(&sidecar).await, "alive");
        }
    };
    timeout(Duration::from_secs(30), all).await.expect("nobody waits for an address that does not answer");
}

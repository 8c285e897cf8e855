//! Endpoints that are names: a name server of the test's answers for them, in a network of the test's own.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use taut_proxy::{ProxyConfig, Refresh, Role};
use taut_snapshot::Objects;
use taut_snapshot::object::*;
use tokio::sync::watch;
use tokio::time::timeout;

use crate::capturing::{inside, run};
use crate::client::get;
use crate::fixture::*;
use crate::server::App;

const NAME: &str = "app.test";

/// What the name server says.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Says {
    /// It has these addresses.
    Addresses(Vec<IpAddr>),
    /// Something is wrong with the server (`SERVFAIL`).
    Failure,
    /// There is no such name (`NXDOMAIN`).
    NoName,
    /// It has no address.
    Nothing,
}

/// What comes back for a question (RFC 1035 §4.1).
fn answer(question: &[u8], says: &Says) -> Vec<u8> {
    const ADDRESS: u16 = 1;
    const ADDRESS6: u16 = 28;
    let name_end = 12 + question[12..].iter().position(|byte| *byte == 0).expect("a name ends") + 1;
    let kind = u16::from_be_bytes([question[name_end], question[name_end + 1]]);
    let (code, addresses) = match says {
        Says::Addresses(all) => (0, all.as_slice()),
        Says::Nothing => (0, &[][..]),
        Says::Failure => (2, &[][..]),
        Says::NoName => (3, &[][..]),
    };
    let wanted = |it: &&IpAddr| (kind == ADDRESS && it.is_ipv4()) || (kind == ADDRESS6 && it.is_ipv6());
    let records: Vec<&IpAddr> = addresses.iter().filter(wanted).collect();
    let mut out = question[..2].to_vec();
    out.extend([0x81, 0x80 | code, 0, 1, 0, u8::try_from(records.len()).unwrap(), 0, 0, 0, 0]);
    out.extend(&question[12..name_end + 4]);
    for address in records {
        let bytes = match address {
            IpAddr::V4(it) => it.octets().to_vec(),
            IpAddr::V6(it) => it.octets().to_vec(),
        };
        out.extend([0xc0, 12]);
        out.extend(kind.to_be_bytes());
        out.extend([0, 1, 0, 0, 0, 1, 0, u8::try_from(bytes.len()).unwrap()]);
        out.extend(bytes);
    }
    out
}

/// A name server at the address that the system asks, and how often it was asked.
fn name_server() -> (watch::Sender<Says>, Arc<AtomicU32>) {
    let folder = tempfile::tempdir().unwrap().keep();
    for (name, text) in [
        ("resolv.conf", "nameserver 127.0.0.1\noptions timeout:1 attempts:1\n"),
        ("nsswitch.conf", "hosts: files dns\n"),
        ("hosts", "127.0.0.1 localhost\n"),
    ] {
        let file = folder.join(name);
        std::fs::write(&file, text).unwrap();
        if std::path::Path::new("/etc").join(name).exists() {
            run("mount", &format!("--bind {} /etc/{name}", file.display()));
        }
    }
    run("ip", "link set lo up");
    let socket = UdpSocket::bind("127.0.0.1:53").unwrap();
    let (says, said) = watch::channel(Says::Failure);
    let asked = Arc::new(AtomicU32::new(0));
    let count = asked.clone();
    std::thread::spawn(move || {
        let mut question = [0; 512];
        while let Ok((length, from)) = socket.recv_from(&mut question) {
            count.fetch_add(1, Ordering::SeqCst);
            let _ = socket.send_to(&answer(&question[..length], &said.borrow()), from);
        }
    });
    (says, asked)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_is_followed_and_what_was_known_of_it_stays_while_nobody_answers() {
    if !inside("naming::a_name_is_followed_and_what_was_known_of_it_stays_while_nobody_answers", &[]) {
        return;
    }
    let (says, asked) = name_server();
    let [first, second] = ["127.0.0.1", "127.0.0.2"].map(|ip| ip.parse::<IpAddr>().unwrap());
    let one = App::start_at("one", "127.0.0.1:0").await;
    let port = one.address.port();
    let two = App::start_at("two", &SocketAddr::new(second, port).to_string()).await;
    let often = Duration::from_millis(50);
    let refresh = Refresh { names: often, names_after_failure_max: often, ..Refresh::USUAL };
    let config = ProxyConfig { refresh, ..config("frontend", &[Role::Outbound { port: PORT }]) };
    let sidecar = Running::start_with(config, Issuer::new().identity("frontend"));
    let dns = DnsName { host: NAME.into(), port, weight: 1, locality: "".into() };
    let cluster = Cluster { endpoints: EndpointSource::Dns(vec![dns]), ..cluster("") };
    says.send_replace(Says::Addresses(vec![first]));
    sidecar.activate(Case::orders(&cluster, vec![], Objects::default()));
    let goes_to = async || {
        let answer = get(sidecar.address(), "orders", "/").await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        answer.app().to_owned()
    };
    assert_eq!(goes_to().await, "one", "the first request finds it");

    let comes_to = async |wanted: &str| {
        let so = async { while goes_to().await != wanted {} };
        timeout(Duration::from_secs(20), so).await.unwrap_or_else(|_| panic!("it does not come to {wanted}"));
    };
    says.send_replace(Says::Addresses(vec![second]));
    comes_to("two").await;
    for _ in 0..20 {
        assert_eq!(goes_to().await, "two", "the other address is gone");
    }

    // It flaps: no request is lost, and nobody is forgotten.
    for bad in [Says::Failure, Says::NoName, Says::Nothing, Says::Failure] {
        says.send_replace(bad.clone());
        let before = asked.load(Ordering::SeqCst);
        let looked = async {
            while asked.load(Ordering::SeqCst) < before + 6 {
                assert_eq!(goes_to().await, "two", "{bad:?}");
            }
        };
        timeout(Duration::from_secs(20), looked).await.expect("it is asked again and again");
    }
    says.send_replace(Says::Addresses(vec![first]));
    comes_to("one").await;

    // This machine has no route to IPv6's world: such an address is no endpoint beside one that is.
    let far: IpAddr = "2001:db8::1".parse().unwrap();
    says.send_replace(Says::Addresses(vec![far, second]));
    comes_to("two").await;
    let known = get(sidecar.admin(), "localhost", "/endpoints").await.body;
    assert!(known.contains(&two.address.to_string()) && !known.contains("2001:db8"), "{known}");
    drop((one, two));
}

//! Members and the authority, over real connections.

use std::collections::BTreeSet;
use std::time::{Duration, SystemTime};

use rustls_pki_types::ServerName;
use taut_identity::{
    Accepted, Clients, Credentials, LiveIdentity, SpiffeId, client_config, server_config, store, verified_peer,
};
use taut_snapshot::object::Authority;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{interval, timeout};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use crate::client::{connect, over};
use crate::wire::{self, Ask};
use crate::{CaError, ClientError, Issuer, JoinToken, KeepFresh, create_token, join, keep_fresh, renew, serve};

const ORDERS: &str = "spiffe://td/ns/shop/sa/orders";
const PAYMENTS: &str = "spiffe://td/ns/shop/sa/payments";
const RECONCILER: &str = "spiffe://td/ns/taut-system/sa/reconciler";
const HOUR: Duration = Duration::from_secs(60 * 60);

/// How long a test may take before it counts as stuck.
const STUCK: Duration = Duration::from_secs(60);

/// An authority that runs.
struct Running {
    folder: tempfile::TempDir,
    issuer: Issuer,
    address: String,
    stop: watch::Sender<bool>,
    task: JoinHandle<Result<(), CaError>>,
}

impl Running {
    async fn start() -> Running {
        Running::start_in(tempfile::tempdir().unwrap()).await
    }

    async fn start_in(folder: tempfile::TempDir) -> Running {
        let issuer = Issuer::open(folder.path(), "td", SystemTime::now()).unwrap();
        let identity = LiveIdentity::new(issuer.own_credentials(SystemTime::now()).unwrap());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (stop, stopped) = watch::channel(false);
        let task = tokio::spawn(serve(listener, identity, issuer.clone(), stopped));
        Running { folder, issuer, address, stop, task }
    }

    async fn stop(self) -> tempfile::TempDir {
        self.stop.send(true).unwrap();
        timeout(STUCK, self.task).await.expect("it stops").unwrap().unwrap();
        self.folder
    }

    fn token(&self, id: &str) -> JoinToken {
        create_token(self.folder.path(), &id.parse().unwrap(), HOUR, SystemTime::now()).unwrap()
    }

    async fn join(&self, token: &JoinToken) -> Result<Credentials, ClientError> {
        timeout(STUCK, join(&self.address, token, None)).await.expect("it answers")
    }

    async fn joined(&self, id: &str) -> LiveIdentity {
        LiveIdentity::new(self.join(&self.token(id)).await.unwrap())
    }

    fn activate(&self, identities: &[&str]) {
        let identities = identities.iter().map(|it| (*it).into()).collect();
        self.issuer.set_authority(Some(Authority { trust_domain: "td".into(), identities }));
    }
}

fn refused<T>(result: Result<T, ClientError>) -> String {
    match result {
        Err(ClientError::Refused { why, .. }) => why,
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("it was granted"),
    }
}

#[tokio::test]
async fn a_member_joins_with_a_token_and_renews_with_its_certificate() {
    let ca = Running::start().await;
    let orders = ca.joined(ORDERS).await;
    let first = orders.current();
    assert_eq!(first.id().as_str(), ORDERS);
    assert_eq!(first.chain().len(), 2, "the leaf and its issuer, without the root");
    assert_eq!(first.bundle().roots(), ca.issuer.bundle().roots());
    let left = first.validity().left(SystemTime::now());
    assert!(23 * HOUR < left && left <= 25 * HOUR, "{left:?}");

    let second = renew(&ca.address, &orders, Some(HOUR)).await.unwrap();
    assert_eq!(second.id(), first.id());
    assert_ne!(second.serial(), first.serial());
    assert_ne!(second.key_pem(), first.key_pem(), "each certificate has a key of its own");
    assert!(second.validity().left(SystemTime::now()) <= HOUR + Duration::from_secs(1));
}

#[tokio::test]
async fn each_token_that_cannot_be_used_is_refused_with_its_own_reason() {
    let ca = Running::start().await;
    let token = ca.token(ORDERS);
    ca.join(&token).await.unwrap();
    assert_eq!(
        refused(ca.join(&token).await),
        "this join token was used already, and each is good for one certificate: make a new one with `taut ca token`"
    );

    let long_ago = SystemTime::now() - 2 * HOUR;
    let expired = create_token(ca.folder.path(), &ORDERS.parse().unwrap(), HOUR, long_ago).unwrap();
    assert_eq!(refused(ca.join(&expired).await), "this join token has expired: make a new one with `taut ca token`");

    let unknown = JoinToken::generate(token.root());
    assert!(refused(ca.join(&unknown).await).starts_with("this join token is not known here"));

    let other = Running::start().await;
    let others = other.token(ORDERS);
    let error = ca.join(&others).await.unwrap_err();
    assert!(matches!(error, ClientError::OtherAuthority { root, .. } if root == others.root()), "{error}");
    other.join(&others).await.expect("the secret was not shown to the wrong one, and is still good");
}

#[tokio::test]
async fn a_token_of_another_root_is_refused_by_the_authority_too() {
    let ca = Running::start().await;
    let other = Running::start().await;
    let request = crate::csr::KeyRequest::generate().unwrap().der;
    let caller = crate::Caller::Token(other.token(ORDERS));
    let result = ca.issuer.issue(&caller, &request, None, SystemTime::now());
    assert!(matches!(result, Err(CaError::Refused(crate::Refusal::OtherAuthority))));
}

#[tokio::test]
async fn the_active_mesh_says_who_may_have_a_certificate() {
    let ca = Running::start().await;
    let payments = ca.joined(PAYMENTS).await; // before anything is active
    ca.activate(&["shop/orders"]);
    let orders = ca.joined(ORDERS).await;
    let missing = "the active mesh has no workload with the service account `shop/payments`: push one that has it";
    let token = ca.token(PAYMENTS);
    assert_eq!(refused(ca.join(&token).await), missing);
    assert_eq!(refused(renew(&ca.address, &payments, None).await), missing);
    renew(&ca.address, &orders, None).await.unwrap();
    ca.joined(RECONCILER).await;

    ca.activate(&["shop/orders", "shop/payments"]);
    ca.join(&token).await.expect("a refused token is still good");
    renew(&ca.address, &payments, None).await.unwrap();
}

#[tokio::test]
async fn a_lifetime_that_is_too_long_is_refused() {
    let ca = Running::start().await;
    let orders = ca.joined(ORDERS).await;
    let days = |days: u32| Some(days * 24 * HOUR);
    let why = refused(renew(&ca.address, &orders, days(91)).await);
    assert_eq!(why, "a certificate for 7862400 seconds was asked for: the most is 7776000 (90 days)");
    assert!(89 * 24 * HOUR < renew(&ca.address, &orders, days(90)).await.unwrap().validity().lifetime());
    assert!(refused(renew(&ca.address, &orders, Some(Duration::MAX)).await).contains("the most is"));
}

#[tokio::test]
async fn members_go_on_with_an_authority_that_was_restarted() {
    let ca = Running::start().await;
    let orders = ca.joined(ORDERS).await;
    let ca = Running::start_in(ca.stop().await).await;
    let renewed = renew(&ca.address, &orders, None).await.unwrap();
    assert_eq!(renewed.bundle().roots(), orders.current().bundle().roots());
}

#[tokio::test]
async fn members_of_another_root_get_nothing() {
    let (ca, other) = (Running::start().await, Running::start().await);
    let stranger = other.joined(ORDERS).await;
    // It does not even believe our authority.
    let error = renew(&ca.address, &stranger, None).await.expect_err("it was granted");
    assert!(matches!(&error, ClientError::Handshake { why, .. } if why.contains("does not lead to a root")), "{error}");
    // And if it did, our authority would not believe it.
    let mut bundle = stranger.current().bundle().to_pem();
    bundle.push_str(&ca.issuer.bundle().to_pem());
    let (chain, key) = (stranger.current().chain_pem(), stranger.current().key_pem());
    stranger.swap(Credentials::from_pem(chain.as_bytes(), key.as_bytes(), bundle.as_bytes()).unwrap());
    let error = renew(&ca.address, &stranger, None).await.expect_err("it was granted");
    assert!(error.to_string().contains("received fatal alert"), "{error}");
}

#[tokio::test]
async fn nobody_but_the_authority_passes_for_it() {
    let ca = Running::start().await;
    let (orders, payments) = (ca.joined(ORDERS).await, ca.joined(PAYMENTS).await);
    let impostor = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = impostor.local_addr().unwrap().to_string();
    let accept = TlsAcceptor::from(server_config(&payments, Clients::Optional, &[b"h2"]));
    tokio::spawn(async move { while accept.accept(impostor.accept().await.unwrap().0).await.is_err() {} });
    let error = renew(&address, &orders, None).await.expect_err("it was believed").to_string();
    assert!(error.contains(&format!("the peer is `{PAYMENTS}`")), "{error}");
    let error = join(&address, &ca.token(ORDERS), None).await.unwrap_err();
    assert!(matches!(error, ClientError::OtherAuthority { .. }), "{error}");
}

#[tokio::test]
async fn an_authority_that_cannot_be_reached_is_worth_a_retry() {
    let ca = Running::start().await;
    let (address, token) = (ca.address.clone(), ca.token(ORDERS));
    ca.stop().await;
    let error = join(&address, &token, None).await.unwrap_err();
    assert!(error.is_worth_a_retry());
    assert!(error.to_string().starts_with(&format!("cannot reach the certificate authority at `{address}`")));
}

#[tokio::test]
async fn strange_callers_do_not_keep_others_from_their_certificates() {
    let ca = Running::start().await;
    let mut open = Vec::new();
    for hello in [&b""[..], b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\xff\xff\x01", &[0; 40_000]] {
        let mut stream = TcpStream::connect(&ca.address).await.unwrap();
        // Some are cut off before they have said all of it.
        let _ = stream.write_all(hello).await;
        open.push(stream);
    }
    let orders = ca.joined(ORDERS).await;
    for request in [vec![], vec![0x30; 100], vec![0; 8 * 1024 + 1], vec![0; 1024 * 1024]] {
        let config = client_config(&orders, Accepted::TrustDomain, &[b"h2"]);
        let channel = over(connect(&ca.address, config).await.unwrap()).await.unwrap();
        let ask = Ask { token: None, request, lifetime: None };
        assert!(wire::ask(channel, ask).await.is_err(), "it was granted");
    }
    renew(&ca.address, &orders, None).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_says_nothing_is_hung_up_on() {
    let ca = Running::start().await;
    let mut silent = TcpStream::connect(&ca.address).await.unwrap();
    let said = timeout(STUCK, silent.read_u8()).await.expect("it hangs up");
    assert_eq!(said.unwrap_err().kind(), std::io::ErrorKind::UnexpectedEof);
}

/// A connection between two members, which carries bytes while both renew their certificates several times, until the
/// certificates that it was made with have expired.
#[tokio::test]
async fn certificates_are_renewed_before_they_expire_and_open_connections_live_on() {
    let ca = Running::start().await;
    let lifetime = Some(Duration::from_secs(3));
    let mut members = Vec::new();
    let (stop, stopped) = watch::channel(false);
    for id in [ORDERS, PAYMENTS] {
        let identity = LiveIdentity::new(join(&ca.address, &ca.token(id), lifetime).await.unwrap());
        let folder = tempfile::tempdir().unwrap();
        let config = KeepFresh { address: ca.address.clone(), folder: folder.path().to_owned(), lifetime };
        let task = tokio::spawn(keep_fresh(config, identity.clone(), stopped.clone()));
        members.push((identity, folder, task));
    }
    let (orders, payments) = (members[0].0.clone(), members[1].0.clone());

    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let acceptor = TlsAcceptor::from(server_config(&payments, Clients::Required, &[]));
    tokio::spawn(async move {
        loop {
            let mut stream = acceptor.accept(listener.accept().await.unwrap().0).await.unwrap();
            tokio::spawn(async move {
                while let Ok(byte) = stream.read_u8().await {
                    stream.write_u8(byte).await.unwrap();
                    stream.flush().await.unwrap();
                }
            });
        }
    });
    let accepted = Accepted::AnyOf(BTreeSet::from([SpiffeId::parse(PAYMENTS).unwrap()]));
    let connector = TlsConnector::from(client_config(&orders, accepted, &[]));
    let call = async || {
        let stream = TcpStream::connect(address).await.unwrap();
        connector.connect(ServerName::try_from("payments").unwrap(), stream).await.unwrap()
    };

    let mut old = call().await;
    let first = verified_peer(old.get_ref().1).unwrap();
    let mut pace = interval(Duration::from_millis(10));
    let mut serials = BTreeSet::new();
    timeout(STUCK, async {
        // Until a second after the first certificates have expired.
        while !first.validity().left(SystemTime::now() - Duration::from_secs(1)).is_zero() {
            pace.tick().await;
            for stream in [&mut old, &mut call().await] {
                stream.write_all(b"!").await.unwrap();
                stream.flush().await.unwrap();
                assert_eq!(stream.read_u8().await.unwrap(), b'!');
                serials.insert(verified_peer(stream.get_ref().1).unwrap().serial().to_owned());
            }
        }
    })
    .await
    .expect("time goes by");
    assert!(3 <= serials.len(), "renewed twice and more: {serials:?}");

    stop.send(true).unwrap();
    for (identity, folder, task) in members {
        timeout(STUCK, task).await.expect("it stops").unwrap();
        // The end may have come between the two steps of a renewal: it is saved before it is used.
        let saved = store::load(folder.path()).unwrap().expect("it was saved");
        assert!(identity.current().not_after() <= saved.not_after(), "a restart finds what ran");
    }
}

#[tokio::test]
async fn a_member_goes_on_when_its_folder_cannot_be_written() {
    let ca = Running::start().await;
    let token = ca.token(ORDERS);
    let orders = LiveIdentity::new(join(&ca.address, &token, Some(Duration::from_secs(1))).await.unwrap());
    let first = orders.current();
    let scratch = tempfile::tempdir().unwrap();
    let folder = scratch.path().join("identity");
    std::fs::write(&folder, "something else").unwrap();
    let (_stop, stopped) = watch::channel(false);
    let config = KeepFresh { address: ca.address.clone(), folder, lifetime: None };
    let renewed = async {
        let mut look = interval(Duration::from_millis(10));
        while orders.current().serial() == first.serial() {
            look.tick().await;
        }
    };
    tokio::select! {
        () = keep_fresh(config, orders.clone(), stopped) => panic!("it gave up"),
        result = timeout(STUCK, renewed) => result.expect("it renews"),
    }
}

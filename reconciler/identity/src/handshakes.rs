//! Real handshakes over the configurations of this crate: who gets through, who does not, and what a swap changes.

use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;
use std::time::SystemTime;

use rustls::{ClientConfig, ServerConfig};
use rustls_pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio_rustls::{TlsAcceptor, TlsConnector, client, server};

use crate::fixture::{DAY, Mesh};
use crate::{
    Accepted, Clients, Credentials, Fingerprint, FirstContact, LiveIdentity, SpiffeId, TrustBundle, Validity,
    client_config, explain_handshake, first_contact_config, server_config, verified_peer,
};

const ORDERS: &str = "spiffe://td/ns/shop/sa/orders";
const PAYMENTS: &str = "spiffe://td/ns/shop/sa/payments";

type Ends = (io::Result<server::TlsStream<DuplexStream>>, io::Result<client::TlsStream<DuplexStream>>);

/// Both ends of a handshake, and one byte each way: in TLS 1.3 a client learns of its refusal only by reading.
async fn handshake(server: Arc<ServerConfig>, client: Arc<ClientConfig>) -> Ends {
    let (one, other) = duplex(64 * 1024);
    let name = ServerName::try_from("outbound.shop").unwrap();
    let accept = async {
        let mut stream = TlsAcceptor::from(server).accept(one).await?;
        echo_once(&mut stream).await.map(|()| stream)
    };
    let connect = async {
        let mut stream = TlsConnector::from(client).connect(name, other).await?;
        stream.write_all(b"!").await?;
        stream.read_u8().await.map(|_| stream)
    };
    tokio::join!(accept, connect)
}

async fn echo_once(stream: &mut server::TlsStream<DuplexStream>) -> io::Result<()> {
    let byte = stream.read_u8().await?;
    stream.write_u8(byte).await?;
    stream.flush().await
}

fn any_of(ids: &[&str]) -> Accepted {
    Accepted::AnyOf(ids.iter().map(|id| SpiffeId::parse(id).unwrap()).collect::<BTreeSet<_>>())
}

fn live(mesh: &Mesh, id: &str) -> LiveIdentity {
    LiveIdentity::new(mesh.credentials(id))
}

/// What `orders` gets from a server that is `server`, if it expects `accepted`.
async fn call(orders: &LiveIdentity, server: &LiveIdentity, accepted: Accepted) -> Ends {
    handshake(server_config(server, Clients::Required, &[]), client_config(orders, accepted, &[])).await
}

/// The end that refuses says why. The other only gets an alert.
fn refusal<T>(result: io::Result<T>) -> String {
    explain_handshake(&result.err().expect("it was accepted"))
}

#[tokio::test]
async fn each_end_learns_who_the_other_is() {
    let mesh = Mesh::new("td");
    let (server, client) = call(&live(&mesh, ORDERS), &live(&mesh, PAYMENTS), any_of(&[PAYMENTS])).await;
    let (server, client) = (server.unwrap(), client.unwrap());
    assert_eq!(verified_peer(server.get_ref().1).unwrap().id().as_str(), ORDERS);
    assert_eq!(verified_peer(client.get_ref().1).unwrap().id().as_str(), PAYMENTS);
}

#[tokio::test]
async fn a_server_that_is_someone_else_is_refused() {
    let mesh = Mesh::new("td");
    let (orders, payments) = (live(&mesh, ORDERS), live(&mesh, PAYMENTS));
    let (_, client) = call(&orders, &payments, any_of(&[ORDERS])).await;
    let want = format!("the peer is `{PAYMENTS}`; accepted is `{ORDERS}`");
    assert!(refusal(client).contains(&want));
    let (_, client) = call(&orders, &payments, any_of(&[])).await;
    assert!(refusal(client).contains("accepted is nobody"));
    assert!(call(&orders, &payments, Accepted::TrustDomain).await.1.is_ok());
}

#[tokio::test]
async fn neither_end_accepts_another_root() {
    let (mesh, stranger) = (Mesh::new("td"), Mesh::new("td"));
    let (_, client) = call(&live(&mesh, ORDERS), &live(&stranger, PAYMENTS), any_of(&[PAYMENTS])).await;
    assert!(refusal(client).contains("does not lead to a root"));

    // A client that trusts the server, which does not trust the client.
    let (chain, key) = stranger.issue(&[ORDERS], days(-1, 1));
    let both = TrustBundle::new(vec![mesh.root(), stranger.root()]).unwrap();
    let orders = LiveIdentity::new(Credentials::new(chain, key, both).unwrap());
    let (server, client) = call(&orders, &live(&mesh, PAYMENTS), any_of(&[PAYMENTS])).await;
    assert!(refusal(server).contains("does not lead to a root"));
    assert!(client.is_err());
}

/// From and to so many days from now.
fn days(from: i32, to: i32) -> Validity {
    let now = SystemTime::now();
    let moment = |days: i32| if days < 0 { now - DAY * days.unsigned_abs() } else { now + DAY * days.unsigned_abs() };
    Validity { not_before: moment(from), not_after: moment(to) }
}

#[tokio::test]
async fn certificates_that_are_not_valid_now_are_refused() {
    let mesh = Mesh::new("td");
    let good = live(&mesh, ORDERS);
    for (validity, why) in [(days(-2, -1), "expired"), (days(1, 2), "not valid yet")] {
        let bad = LiveIdentity::new(mesh.credentials_for(PAYMENTS, validity));
        let (_, client) = call(&good, &bad, Accepted::TrustDomain).await;
        assert!(refusal(client).contains(why), "the server's");
        let (server, _) = call(&bad, &good, Accepted::TrustDomain).await;
        assert!(refusal(server).contains(why), "the client's");
    }
}

#[tokio::test]
async fn clients_of_other_trust_domains_are_refused_unless_it_is_an_alias() {
    let mesh = Mesh::new("td");
    let (orders, payments) = (live(&mesh, "spiffe://old/ns/shop/sa/orders"), live(&mesh, PAYMENTS));
    let (server, _) = call(&orders, &payments, any_of(&[PAYMENTS])).await;
    let want = "the peer is `spiffe://old/ns/shop/sa/orders`; accepted is any workload of the trust domain `td`";
    assert!(refusal(server).contains(want));

    payments.set_aliases(vec!["old".to_owned()]);
    assert!(call(&orders, &payments, any_of(&[PAYMENTS])).await.0.is_ok());
}

#[tokio::test]
async fn a_certificate_has_exactly_one_name() {
    let mesh = Mesh::new("td");
    let payments = live(&mesh, PAYMENTS);
    for (uris, why) in [
        (vec![], "names 0 URIs"),
        (vec![ORDERS, PAYMENTS], "names 2 URIs"),
        (vec!["spiffe://td/host/a"], "is not of the form"),
        (vec!["https://td/ns/shop/sa/orders"], "does not begin with `spiffe://`"),
    ] {
        let (chain, key) = mesh.issue(&uris, days(-1, 1));
        let bad = rustls::sign::CertifiedKey::from_der(chain, key, &crate::tls::provider()).unwrap();
        let client = ClientConfig::builder_with_provider(crate::tls::provider())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(rustls::RootCertStore::empty())
            .with_client_cert_resolver(Arc::new(rustls::sign::SingleCertAndKey::from(bad)));
        let mut trusting = Arc::unwrap_or_clone(client_config(&payments, Accepted::TrustDomain, &[]));
        trusting.client_auth_cert_resolver = client.client_auth_cert_resolver;
        let (server, _) = handshake(server_config(&payments, Clients::Required, &[]), Arc::new(trusting)).await;
        assert!(refusal(server).contains(why), "{uris:?}");
    }
}

#[tokio::test]
async fn clients_without_a_certificate_get_through_only_where_they_may() {
    let mesh = Mesh::new("td");
    let payments = live(&mesh, PAYMENTS);
    let mut anonymous = Arc::unwrap_or_clone(client_config(&payments, Accepted::TrustDomain, &[]));
    anonymous.client_auth_cert_resolver = Arc::new(NoCertificate);
    let anonymous = Arc::new(anonymous);
    let (server, _) = handshake(server_config(&payments, Clients::Required, &[]), anonymous.clone()).await;
    assert!(refusal(server).contains("peer sent no certificates"));
    let (server, _) = handshake(server_config(&payments, Clients::Optional, &[]), anonymous).await;
    assert_eq!(verified_peer(server.unwrap().get_ref().1), None);

    // One that is shown is verified, even where it is not required.
    let stranger = Mesh::new("td");
    let (chain, key) = stranger.issue(&[ORDERS], days(-1, 1));
    let both = TrustBundle::new(vec![mesh.root(), stranger.root()]).unwrap();
    let orders = LiveIdentity::new(Credentials::new(chain, key, both).unwrap());
    let client = client_config(&orders, Accepted::TrustDomain, &[]);
    let (server, _) = handshake(server_config(&payments, Clients::Optional, &[]), client).await;
    assert!(refusal(server).contains("does not lead to a root"));
}

#[derive(Debug)]
struct NoCertificate;

impl rustls::client::ResolvesClientCert for NoCertificate {
    fn resolve(&self, _: &[&[u8]], _: &[rustls::SignatureScheme]) -> Option<Arc<rustls::sign::CertifiedKey>> {
        None
    }

    fn has_certs(&self) -> bool {
        false
    }
}

#[tokio::test]
async fn plaintext_is_refused() {
    let payments = live(&Mesh::new("td"), PAYMENTS);
    let (one, mut other) = duplex(1024);
    other.write_all(b"GET / HTTP/1.1\r\nhost: payments\r\n\r\n").await.unwrap();
    let accepted = TlsAcceptor::from(server_config(&payments, Clients::Optional, &[])).accept(one).await;
    assert!(refusal(accepted).contains("does not speak TLS"));
}

#[tokio::test]
async fn protocols_are_agreed_on() {
    let mesh = Mesh::new("td");
    let server = server_config(&live(&mesh, PAYMENTS), Clients::Required, &[b"h2", b"http/1.1"]);
    let client = client_config(&live(&mesh, ORDERS), any_of(&[PAYMENTS]), &[b"istio", b"h2"]);
    let (server, client) = handshake(server, client).await;
    assert_eq!(server.unwrap().get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    assert_eq!(client.unwrap().get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
}

#[tokio::test]
async fn tls_1_2_is_spoken_too() {
    const OLD: &[&rustls::SupportedProtocolVersion] = &[&rustls::version::TLS12];
    let mesh = Mesh::new("td");
    let (orders, payments) = (live(&mesh, ORDERS), live(&mesh, PAYMENTS));
    let (server, client) =
        (server_config(&payments, Clients::Required, &[]), client_config(&orders, any_of(&[PAYMENTS]), &[]));
    let old_server = ServerConfig::builder_with_provider(crate::tls::provider())
        .with_protocol_versions(OLD)
        .unwrap()
        .with_no_client_auth()
        .with_cert_resolver(server.cert_resolver.clone());
    let (_, end) = handshake(Arc::new(old_server), client.clone()).await;
    assert_eq!(verified_peer(end.unwrap().get_ref().1).unwrap().id().as_str(), PAYMENTS);

    let (mut chain, key) = mesh.issue(&[PAYMENTS], days(-1, 1));
    chain.push(mesh.root());
    payments.swap(Credentials::new(chain, key, mesh.bundle()).unwrap());
    let root = Fingerprint::of(&mesh.root());
    let old_client = ClientConfig::builder_with_provider(crate::tls::provider())
        .with_protocol_versions(OLD)
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(FirstContact {
            root,
            namespace: "shop",
            service_account: "payments",
        }))
        .with_client_cert_resolver(client.client_auth_cert_resolver.clone());
    let (end, _) = handshake(server, Arc::new(old_client)).await;
    assert_eq!(verified_peer(end.unwrap().get_ref().1).unwrap().id().as_str(), ORDERS);
}

/// Either of our ends is enough to keep a session from being resumed, whatever the other would do.
#[tokio::test]
async fn every_connection_is_a_full_handshake() {
    let mesh = Mesh::new("td");
    let server = server_config(&live(&mesh, PAYMENTS), Clients::Required, &[]);
    let client = client_config(&live(&mesh, ORDERS), any_of(&[PAYMENTS]), &[]);
    let mut resuming_server = (*server).clone();
    resuming_server.session_storage = rustls::server::ServerSessionMemoryCache::new(8);
    let mut resuming_client = (*client).clone();
    resuming_client.resumption = rustls::client::Resumption::default();
    let (resuming_server, resuming_client) = (Arc::new(resuming_server), Arc::new(resuming_client));
    for (server, client, resumes) in [
        (&server, &client, false),
        (&server, &resuming_client, false),
        (&resuming_server, &client, false),
        (&resuming_server, &resuming_client, true), // or this test would prove nothing
    ] {
        let mut last = None;
        for _ in 0..2 {
            let (_, end) = handshake(server.clone(), client.clone()).await;
            last = end.unwrap().get_ref().1.handshake_kind();
        }
        assert_eq!(last == Some(rustls::HandshakeKind::Resumed), resumes, "{last:?}");
    }
}

#[tokio::test]
async fn a_swap_of_credentials_counts_from_the_next_handshake_and_open_connections_live_on() {
    let mesh = Mesh::new("td");
    let (orders, payments) = (live(&mesh, ORDERS), live(&mesh, PAYMENTS));
    let server = server_config(&payments, Clients::Required, &[]);
    let client = client_config(&orders, any_of(&[PAYMENTS]), &[]);
    let (old_server, old_client) = handshake(server.clone(), client.clone()).await;
    let (mut old_server, mut old_client) = (old_server.unwrap(), old_client.unwrap());

    for identity in [&orders, &payments] {
        identity.swap(mesh.credentials(identity.current().id().as_str()));
    }
    let (new_server, new_client) = handshake(server, client).await;
    let serial = |session: &rustls::CommonState| verified_peer(session).unwrap().serial().to_owned();
    assert_eq!(serial(new_server.unwrap().get_ref().1), orders.current().serial());
    assert_eq!(serial(new_client.unwrap().get_ref().1), payments.current().serial());
    assert_ne!(serial(old_client.get_ref().1), payments.current().serial());

    let (echoed, answer) = tokio::join!(echo_once(&mut old_server), async {
        old_client.write_all(b"?").await?;
        old_client.read_u8().await
    });
    echoed.unwrap();
    assert_eq!(answer.unwrap(), b'?');
}

#[tokio::test]
async fn a_swap_of_roots_counts_from_the_next_handshake() {
    let (old, new) = (Mesh::new("td"), Mesh::new("td"));
    let with = |issuer: &Mesh, id: &str, roots: &[CertificateDer<'static>]| {
        let (chain, key) = issuer.issue(&[id], days(-1, 1));
        Credentials::new(chain, key, TrustBundle::new(roots.to_vec()).unwrap()).unwrap()
    };
    let orders = LiveIdentity::new(with(&old, ORDERS, &[old.root()]));
    let payments = LiveIdentity::new(with(&old, PAYMENTS, &[old.root()]));
    let server = server_config(&payments, Clients::Required, &[]);
    let client = client_config(&orders, any_of(&[PAYMENTS]), &[]);
    let both = [old.root(), new.root()];
    // A rotation of the root: everyone trusts both, then everyone is issued for by the new one, then the old one goes.
    for (orders_has, payments_has, works) in [
        (with(&old, ORDERS, &both), with(&old, PAYMENTS, &[old.root()]), true),
        (with(&old, ORDERS, &both), with(&new, PAYMENTS, &both), true),
        (with(&new, ORDERS, &both), with(&new, PAYMENTS, &both), true),
        (with(&new, ORDERS, &[new.root()]), with(&new, PAYMENTS, &both), true),
        (with(&new, ORDERS, &[new.root()]), with(&old, PAYMENTS, &both), false),
    ] {
        orders.swap(orders_has);
        payments.swap(payments_has);
        let (server, client) = handshake(server.clone(), client.clone()).await;
        assert_eq!((server.is_ok(), client.is_ok()), (works, works));
    }
}

#[tokio::test]
async fn the_first_contact_goes_by_the_fingerprint_of_the_root() {
    let mesh = Mesh::new("td");
    let authority = |mesh: &Mesh, id: &str| {
        let (mut chain, key) = mesh.issue(&[id], days(-1, 1));
        chain.push(mesh.root());
        let identity = LiveIdentity::new(Credentials::new(chain, key, mesh.bundle()).unwrap());
        server_config(&identity, Clients::Optional, &[])
    };
    let client = first_contact_config(
        FirstContact { root: Fingerprint::of(&mesh.root()), namespace: "taut-system", service_account: "ca" },
        &[],
    );
    const CA: &str = "spiffe://td/ns/taut-system/sa/ca";
    let (_, end) = handshake(authority(&mesh, CA), client.clone()).await;
    assert_eq!(verified_peer(end.unwrap().get_ref().1).unwrap().id().as_str(), CA);

    let (_, end) = handshake(authority(&Mesh::new("td"), CA), client.clone()).await;
    assert!(refusal(end).contains("does not end in the root with the fingerprint"));

    let (_, end) = handshake(authority(&mesh, ORDERS), client.clone()).await;
    assert!(refusal(end).contains("accepted is the account `ca` of the namespace `taut-system`"));

    // The right root, shown by someone whom it did not certify.
    let stranger = Mesh::new("td");
    let (mut chain, key) = stranger.issue(&[CA], days(-1, 1));
    chain.push(mesh.root());
    let identity = LiveIdentity::new(Credentials::new(chain, key, stranger.bundle()).unwrap());
    let (_, end) = handshake(server_config(&identity, Clients::Optional, &[]), client).await;
    assert!(refusal(end).contains("does not lead to a root"));
}

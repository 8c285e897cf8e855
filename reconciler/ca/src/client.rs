//! How a member gets its certificate from the authority, and a new one before that expires.
//!
//! Owns: the member's end of the conversation, and the proof that whoever answers is the authority: at first by the
//! fingerprint in the join token, then by the roots and the authority's SPIFFE id.
//! Invariant: a join token's secret is only sent to an authority below its root; keys never leave the process that made
//! them, except to its own folder.

use std::collections::BTreeSet;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use taut_identity::{
    Accepted, Credentials, FirstContact, LiveIdentity, PeerRefused, SpiffeId, TrustBundle, VerifiedPeer, client_config,
    explain_handshake, first_contact_config, peer_refused, store, verified_peer,
};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tonic::transport::{Channel, Endpoint, Uri};
use tower::service_fn;

use crate::csr::KeyRequest;
use crate::issuer::OWN_ACCOUNT;
use crate::rotate::{blocking, rotate, stopped};
use crate::wire::{self, Ask, NoAnswer};
use crate::{ClientError, JoinToken, SYSTEM_NAMESPACE};

/// The most that one attempt may take, from the first packet to the answer.
const ATTEMPT_MAX: Duration = Duration::from_secs(15);

/// The server name of the connection. It is for whoever forwards connections; what is verified is the SPIFFE id.
const SERVER_NAME: &str = "ca.taut-system";

const ALPN: &[&[u8]] = &[b"h2"];

/// Gets the first certificate, with a new key, for the identity that a join token was made for. `address` is a host and
/// a port; `lifetime` how long it is to be valid, by default as long as the authority thinks right.
///
/// # Errors
/// [`ClientError::OtherAuthority`] before the secret is sent, if whoever answers is not the authority that made the
/// token; [`ClientError::Refused`] if the token cannot be used.
pub async fn join(address: &str, token: &JoinToken, lifetime: Option<Duration>) -> Result<Credentials, ClientError> {
    let authority = FirstContact { root: token.root(), namespace: SYSTEM_NAMESPACE, service_account: OWN_ACCOUNT };
    let config = first_contact_config(authority, ALPN);
    let (credentials, peer) = ask(address, config, Some(token), lifetime).await?;
    match fits_token(&credentials, token, peer.id()) {
        Ok(()) => Ok(credentials),
        Err(why) => Err(ClientError::Answer { address: address.to_owned(), why }),
    }
}

/// What a token promises of the credentials that it is exchanged for.
fn fits_token(credentials: &Credentials, token: &JoinToken, authority: &SpiffeId) -> Result<(), String> {
    if !credentials.bundle().has(&token.root()) {
        return Err("its roots are without the one in the join token".to_owned());
    }
    match credentials.id().trust_domain() == authority.trust_domain() {
        true => Ok(()),
        false => Err(format!("`{authority}` cannot issue for `{}`", credentials.id())),
    }
}

/// Gets a new certificate, with a new key, for the identity that one has.
///
/// # Errors
/// [`ClientError::Refused`] if the authority will not issue for this identity any more.
pub async fn renew(
    address: &str,
    identity: &LiveIdentity,
    lifetime: Option<Duration>,
) -> Result<Credentials, ClientError> {
    let id = identity.current().id().clone();
    let authority = SpiffeId::workload(id.trust_domain(), SYSTEM_NAMESPACE, OWN_ACCOUNT)
        .expect("the trust domain is that of an id, and both names are constants");
    let config = client_config(identity, Accepted::AnyOf(BTreeSet::from([authority])), ALPN);
    let (credentials, _) = ask(address, config, None, lifetime).await?;
    match *credentials.id() == id {
        true => Ok(credentials),
        false => {
            let why = format!("it is for `{}`, and we are `{id}`", credentials.id());
            Err(ClientError::Answer { address: address.to_owned(), why })
        }
    }
}

/// How an identity is kept fresh.
#[derive(Clone, Debug)]
pub struct KeepFresh {
    /// The authority: a host and a port.
    pub address: String,
    /// The folder of the identity (`taut_identity::store`), from which the member starts the next time.
    pub folder: PathBuf,
    /// How long certificates are to be valid; by default as long as the authority thinks right.
    pub lifetime: Option<Duration>,
}

/// Renews an identity's certificate whenever it is time, until `shutdown` is true or its sender is gone. It never gives
/// up: what goes wrong is logged, and tried again.
pub async fn keep_fresh(config: KeepFresh, identity: LiveIdentity, shutdown: watch::Receiver<bool>) {
    let renewals = rotate(&identity, || renew_and_save(&config, &identity));
    tokio::select! {
        () = renewals => (),
        () = stopped(shutdown) => (),
    }
}

async fn renew_and_save(config: &KeepFresh, identity: &LiveIdentity) -> Result<Credentials, ClientError> {
    let credentials = renew(&config.address, identity, config.lifetime).await?;
    let folder = config.folder.clone();
    let (credentials, saved) = blocking(move || {
        let saved = store::save(&folder, &credentials);
        (credentials, saved)
    })
    .await;
    if let Err(error) = saved {
        // Better to run with it than to let the old one expire. The next renewal comes before the one on disk expires.
        tracing::error!(
            "the new certificate of `{}` is in use, but a restart will not find it: {error}",
            credentials.id()
        );
    }
    Ok(credentials)
}

/// Asks for a certificate for a new key, and puts the credentials together.
async fn ask(
    address: &str,
    config: Arc<ClientConfig>,
    token: Option<&JoinToken>,
    lifetime: Option<Duration>,
) -> Result<(Credentials, VerifiedPeer), ClientError> {
    match timeout(ATTEMPT_MAX, attempt(address, config, token, lifetime)).await {
        Ok(result) => result,
        Err(_) => Err(ClientError::Late { address: address.to_owned(), after: ATTEMPT_MAX }),
    }
}

async fn attempt(
    address: &str,
    config: Arc<ClientConfig>,
    token: Option<&JoinToken>,
    lifetime: Option<Duration>,
) -> Result<(Credentials, VerifiedPeer), ClientError> {
    let stream = connect(address, config).await?;
    let peer = verified_peer(stream.get_ref().1).expect("the verifier lets nobody through without a certificate");
    let request = KeyRequest::generate()?;
    let ask = Ask { token: token.cloned(), request: request.der, lifetime };
    let failed = |why| ClientError::Failed { address: address.to_owned(), why };
    let channel = over(stream).await.map_err(|error| failed(wire::explain(&error)))?;
    let answer = wire::ask(channel, ask).await.map_err(|no| match no {
        NoAnswer::Refused(why) => ClientError::Refused { address: address.to_owned(), why },
        NoAnswer::Failed(why) => failed(why),
    })?;
    let credentials =
        TrustBundle::new(answer.bundle).and_then(|bundle| Credentials::new(answer.chain, request.key, bundle));
    match credentials {
        Ok(credentials) => Ok((credentials, peer)),
        Err(bad) => Err(ClientError::Answer { address: address.to_owned(), why: bad.to_string() }),
    }
}

pub(crate) async fn connect(address: &str, config: Arc<ClientConfig>) -> Result<TlsStream<TcpStream>, ClientError> {
    let unreachable = |source| ClientError::Unreachable { address: address.to_owned(), source };
    let stream = TcpStream::connect(address).await.map_err(unreachable)?;
    let name = ServerName::try_from(SERVER_NAME).expect("a constant that is a name");
    TlsConnector::from(config).connect(name, stream).await.map_err(|error| match peer_refused(&error) {
        Some(PeerRefused::OtherRoot { wanted }) => {
            ClientError::OtherAuthority { address: address.to_owned(), root: *wanted }
        }
        _ => ClientError::Handshake { address: address.to_owned(), why: explain_handshake(&error) },
    })
}

/// HTTP/2 over a stream of our own.
pub(crate) async fn over(stream: TlsStream<TcpStream>) -> Result<Channel, tonic::transport::Error> {
    let mut stream = Some(TokioIo::new(stream));
    let once = service_fn(move |_: Uri| {
        let stream = stream.take().ok_or_else(|| io::Error::other("the connection was closed"));
        async move { stream }
    });
    Endpoint::from_static("http://ca.taut-system").connect_with_connector(once).await
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;
    use crate::Issuer;

    #[test]
    fn an_authority_cannot_hand_out_another_mesh() {
        let now = SystemTime::now();
        let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let ours = Issuer::open(one.path(), "td", now).unwrap();
        let others = Issuer::open(other.path(), "other", now).unwrap();
        let token = JoinToken::generate(taut_identity::Fingerprint::of(&ours.bundle().roots()[0]));
        let (good, bad) = (ours.own_credentials(now).unwrap(), others.own_credentials(now).unwrap());
        assert_eq!(fits_token(&good, &token, good.id()), Ok(()));
        let why = fits_token(&bad, &token, good.id()).unwrap_err();
        assert_eq!(why, "its roots are without the one in the join token");
        let why = fits_token(&good, &token, bad.id()).unwrap_err();
        assert!(why.starts_with("`spiffe://other/ns/taut-system/sa/ca` cannot issue for `spiffe://td/"), "{why}");
    }
}

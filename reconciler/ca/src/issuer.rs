//! The authority as a whole: the folder that it owns, what is active, and the steps from a request to a certificate.
//!
//! Owns: the order of those steps (read the token, decide, use the token up, sign), and the lock of the folder.
//! May not: decide; `issue` does. Hold a key; `sign` does.
//! Invariant: a token is used up, durably, before there is a certificate for it; a refused request uses up nothing.

use std::fmt;
use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use arc_swap::{ArcSwap, ArcSwapOption};
use rustls_pki_types::CertificateDer;
use taut_identity::disk::{self, cannot};
use taut_identity::{Credentials, Fingerprint, SpiffeId, TrustBundle, VerifiedPeer};
use taut_snapshot::object::Authority;

use crate::csr::{KeyRequest, PublicKey};
use crate::issue::{self, Claim, Grant, Rules};
use crate::sign::Signer;
use crate::{CaError, JoinToken, Refusal, SYSTEM_NAMESPACE, tokens};

/// The account of the authority itself, in the system namespace.
pub const OWN_ACCOUNT: &str = "ca";

/// The certificate authority of a mesh. Clones are the same authority.
#[derive(Clone)]
pub struct Issuer {
    inner: Arc<Inner>,
}

struct Inner {
    folder: PathBuf,
    own_id: SpiffeId,
    bundle: TrustBundle,
    signer: ArcSwap<Signer>,
    authority: ArcSwapOption<Authority>,
    /// Held as long as this process is the authority of the folder.
    _lock: File,
}

/// Who asks for a certificate.
#[derive(Clone, Debug)]
pub enum Caller {
    /// Someone who shows a join token.
    Token(JoinToken),
    /// Someone who has a certificate.
    Certificate(VerifiedPeer),
}

impl fmt::Display for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Caller::Token(token) => write!(f, "the holder of the join token {}", token.name().short()),
            Caller::Certificate(peer) => write!(f, "`{}`", peer.id()),
        }
    }
}

/// A certificate, and the roots that its holder is to trust.
#[derive(Clone, Debug)]
pub struct Issued {
    /// Whom it is for.
    pub id: SpiffeId,
    /// The leaf, then whoever issued it.
    pub chain: Vec<CertificateDer<'static>>,
    /// The roots.
    pub bundle: TrustBundle,
}

impl Issuer {
    /// Opens the authority in a folder. The first time, it makes the root; from then on there is no other.
    ///
    /// # Errors
    /// If another process is the authority of that folder, it is for another trust domain, what is there is damaged, or
    /// the disk fails.
    pub fn open(folder: &Path, trust_domain: &str, now: SystemTime) -> Result<Issuer, CaError> {
        let own_id = SpiffeId::workload(trust_domain, SYSTEM_NAMESPACE, OWN_ACCOUNT)?;
        disk::create_folder(folder)?;
        let lock = lock(folder)?;
        let signer = Signer::open(folder, trust_domain, now)?;
        let bundle = TrustBundle::new(vec![signer.root().clone()])?;
        let inner = Inner {
            folder: folder.to_owned(),
            own_id,
            bundle,
            signer: ArcSwap::from_pointee(signer),
            authority: ArcSwapOption::empty(),
            _lock: lock,
        };
        Ok(Issuer { inner: Arc::new(inner) })
    }

    /// Who may have a certificate from now on: what the active snapshot says. `None`, before any was activated, is
    /// everyone of the trust domain who has a join token or a certificate.
    pub fn set_authority(&self, authority: Option<Authority>) {
        self.inner.authority.store(authority.map(Arc::new));
    }

    /// Whether this authority could serve a mesh: asked when a snapshot is staged, so that it is refused there.
    ///
    /// # Errors
    /// If the mesh has another trust domain.
    pub fn can_serve(&self, authority: &Authority) -> Result<(), Refusal> {
        issue::can_serve(self.inner.own_id.trust_domain(), authority)
    }

    /// The roots of the mesh.
    #[must_use]
    pub fn bundle(&self) -> &TrustBundle {
        &self.inner.bundle
    }

    /// Issues a certificate for the key of a request (PKCS#10 in DER), if the caller may have one. `asked` is how long
    /// it is to be valid. It reads and writes files.
    ///
    /// # Errors
    /// [`CaError::Refused`] if the caller may not; anything else is a failure of the authority.
    pub fn issue(
        &self,
        caller: &Caller,
        request: &[u8],
        asked: Option<Duration>,
        now: SystemTime,
    ) -> Result<Issued, CaError> {
        let key = PublicKey::of_request(request)?;
        let grant = self.decide(&self.claim(caller)?, asked, now)?;
        if let Caller::Token(token) = caller
            && !tokens::consume(&self.inner.folder, token.name())?
        {
            return Err(Refusal::UsedToken.into()); // by someone else, since we looked
        }
        let chain = self.inner.signer.load().sign(&grant, &key)?;
        Ok(Issued { id: grant.id, chain, bundle: self.inner.bundle.clone() })
    }

    /// What the authority itself serves with. Its root is at the end of the chain: those who join know nothing of it but
    /// the fingerprint. As this is asked for about twice a day, it is also when what has become old is renewed and
    /// removed.
    ///
    /// # Errors
    /// If the issuing certificate has expired because it could not be renewed for half a year.
    pub fn own_credentials(&self, now: SystemTime) -> Result<Credentials, CaError> {
        if let Err(error) = self.upkeep(now) {
            tracing::error!("{error}; the authority goes on with the issuing certificate that it has");
        }
        let request = KeyRequest::generate()?;
        let grant = self.decide(&Claim::Holder(self.inner.own_id.clone()), None, now)?;
        let signer = self.inner.signer.load();
        let mut chain = signer.sign(&grant, &PublicKey::of_request(&request.der)?)?;
        chain.push(signer.root().clone());
        Ok(Credentials::new(chain, request.key, self.inner.bundle.clone())?)
    }

    fn upkeep(&self, now: SystemTime) -> Result<(), CaError> {
        if let Some(renewed) = self.inner.signer.load().renewed(&self.inner.folder, now)? {
            tracing::info!("made a new issuing certificate");
            self.inner.signer.store(Arc::new(renewed));
        }
        tokens::forget_old(&self.inner.folder, now)
    }

    fn claim(&self, caller: &Caller) -> Result<Claim, CaError> {
        match caller {
            Caller::Certificate(peer) => Ok(Claim::Holder(peer.id().clone())),
            Caller::Token(token) if token.root() != Fingerprint::of(self.inner.signer.load().root()) => {
                Err(Refusal::OtherAuthority.into())
            }
            Caller::Token(token) => match tokens::find(&self.inner.folder, token.name())? {
                Some(entry) => Ok(Claim::Token(entry)),
                None => Err(Refusal::UnknownToken.into()),
            },
        }
    }

    fn decide(&self, claim: &Claim, asked: Option<Duration>, now: SystemTime) -> Result<Grant, Refusal> {
        let (signer, authority) = (self.inner.signer.load(), self.inner.authority.load());
        let rules = Rules {
            trust_domain: self.inner.own_id.trust_domain(),
            authority: authority.as_deref(),
            issuer_ends: signer.ends(),
        };
        issue::decide(claim, asked, &rules, now)
    }
}

/// Two authorities on one folder would use tokens twice, and at the first start make two roots.
fn lock(folder: &Path) -> Result<File, CaError> {
    let file = disk::lock_file(folder)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(CaError::Locked { folder: folder.to_owned() }),
        Err(TryLockError::Error(error)) => Err(cannot("lock", folder)(error).into()),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::create_token;

    const DAY: Duration = Duration::from_secs(24 * 60 * 60);

    fn orders() -> SpiffeId {
        SpiffeId::parse("spiffe://td/ns/shop/sa/orders").unwrap()
    }

    fn root(folder: &Path) -> CertificateDer<'static> {
        Issuer::open(folder, "td", SystemTime::now()).unwrap().bundle().roots()[0].clone()
    }

    fn refusal(folder: &Path) -> String {
        Issuer::open(folder, "td", SystemTime::now()).err().expect("it was opened").to_string()
    }

    #[test]
    fn the_root_is_made_once_and_only_its_owner_can_read_it() {
        let scratch = tempfile::tempdir().unwrap();
        let folder = scratch.path().join("ca");
        let first = root(&folder);
        assert_eq!(root(&folder), first);
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&folder), 0o700);
        for name in ["root.pem", "issuing.pem", "lock"] {
            assert_eq!(mode(&folder.join(name)), 0o600, "{name}");
        }
    }

    /// Every state that the first start can leave behind, one write at a time.
    #[test]
    fn a_first_start_that_crashed_is_completed_by_the_next() {
        let whole = tempfile::tempdir().unwrap();
        let made = root(whole.path());
        let part = |name: &str, folder: &Path, to: &str, whole_file: bool| {
            let content = fs::read(whole.path().join(name)).unwrap();
            let length = if whole_file { content.len() } else { content.len() / 2 };
            fs::write(folder.join(to), &content[..length]).unwrap();
        };
        for step in 0..5 {
            let folder = tempfile::tempdir().unwrap();
            let folder = folder.path();
            match step {
                0 => fs::write(folder.join("lock"), "").unwrap(),
                1 => part("root.pem", folder, "root.pem.unfinished", false),
                2 => part("root.pem", folder, "root.pem.unfinished", true),
                3 => part("root.pem", folder, "root.pem", true),
                _ => {
                    part("root.pem", folder, "root.pem", true);
                    part("issuing.pem", folder, "issuing.pem.unfinished", false);
                }
            }
            let root = root(folder);
            assert_eq!(root == made, 3 <= step, "step {step}: a root that was finished is the root");
            assert_eq!(self::root(folder), root, "step {step}");
        }
    }

    #[test]
    fn a_root_that_was_lost_is_not_replaced_by_another() {
        let folder = tempfile::tempdir().unwrap();
        root(folder.path());
        fs::remove_file(folder.path().join("root.pem")).unwrap();
        assert!(refusal(folder.path()).contains("is missing, but the authority was used: put it back from a backup"));
        assert!(!folder.path().join("root.pem").exists());
    }

    #[test]
    fn a_second_process_on_the_folder_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let first = Issuer::open(folder.path(), "td", SystemTime::now()).unwrap();
        assert!(refusal(folder.path()).starts_with("another process runs the certificate authority in `"));
        drop(first);
        root(folder.path());
    }

    #[test]
    fn files_that_do_not_belong_together_are_refused() {
        let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        root(one.path());
        root(other.path());
        let error = Issuer::open(one.path(), "x", SystemTime::now()).err().unwrap().to_string();
        assert!(error.ends_with("is for the trust domain `td`, not `x`"), "{error}");
        assert!(Issuer::open(one.path(), "X y", SystemTime::now()).is_err());

        let file = |name: &str| fs::read_to_string(one.path().join(name)).unwrap();
        let (own_root, own_issuing) = (file("root.pem"), file("issuing.pem"));
        let others_root = fs::read_to_string(other.path().join("root.pem")).unwrap();
        fs::copy(other.path().join("issuing.pem"), one.path().join("issuing.pem")).unwrap();
        assert!(refusal(one.path()).contains("it was not made by the root beside it"));

        fs::write(one.path().join("issuing.pem"), &own_issuing[..own_issuing.len() / 2]).unwrap();
        assert!(refusal(one.path()).contains("issuing.pem` is damaged: "));
        fs::remove_file(one.path().join("issuing.pem")).unwrap();
        root(one.path()); // as the message says: a new one is made

        let key = others_root.find("-----BEGIN PRIVATE KEY").unwrap();
        let own_key = own_root.find("-----BEGIN PRIVATE KEY").unwrap();
        fs::write(one.path().join("root.pem"), own_root[..own_key].to_owned() + &others_root[key..]).unwrap();
        assert!(refusal(one.path()).contains("its key is not that of its certificate"));
    }

    #[test]
    fn an_expired_root_says_so() {
        let folder = tempfile::tempdir().unwrap();
        let long_ago = SystemTime::now() - 11 * 365 * DAY;
        Issuer::open(folder.path(), "td", long_ago).unwrap();
        assert!(refusal(folder.path()).contains("has expired"));
    }

    #[test]
    fn the_issuing_certificate_is_renewed_at_half_of_its_life_and_what_it_signed_stays_good() {
        let folder = tempfile::tempdir().unwrap();
        let start = SystemTime::now();
        let issuer = Issuer::open(folder.path(), "td", start).unwrap();
        let old = issuer.own_credentials(start).unwrap();
        let same = issuer.own_credentials(start + 180 * DAY).unwrap();
        assert_eq!(same.chain()[1], old.chain()[1]);

        let later = start + 190 * DAY;
        let new = issuer.own_credentials(later).unwrap();
        assert_ne!(new.chain()[1], old.chain()[1]);
        assert_eq!(new.chain()[2], old.chain()[2], "the root is the root");
        let (chain, bundle) = (old.chain_pem(), new.bundle().to_pem());
        Credentials::from_pem(chain.as_bytes(), old.key_pem().as_bytes(), bundle.as_bytes()).unwrap();

        drop(issuer);
        let again = Issuer::open(folder.path(), "td", later).unwrap();
        assert_eq!(again.own_credentials(later).unwrap().chain()[1], new.chain()[1], "it was written down");
    }

    #[test]
    fn a_refused_request_does_not_use_up_the_token() {
        let folder = tempfile::tempdir().unwrap();
        let now = SystemTime::now();
        let issuer = Issuer::open(folder.path(), "td", now).unwrap();
        let token = create_token(folder.path(), &orders(), DAY, now).unwrap();
        let request = KeyRequest::generate().unwrap().der;
        let caller = Caller::Token(token);
        let refused = |result: Result<Issued, CaError>| match result {
            Err(CaError::Refused(refusal)) => refusal,
            other => panic!("{other:?}"),
        };
        assert!(matches!(refused(issuer.issue(&caller, b"?", None, now)), Refusal::Request { .. }));
        let asked = Some(91 * DAY);
        assert!(matches!(refused(issuer.issue(&caller, &request, asked, now)), Refusal::Lifetime { .. }));
        issuer.set_authority(Some(Authority { trust_domain: "td".into(), identities: vec![] }));
        assert!(matches!(refused(issuer.issue(&caller, &request, None, now)), Refusal::NotInMesh { .. }));
        issuer.set_authority(None);
        assert_eq!(refused(issuer.issue(&caller, &request, None, now + 2 * DAY)), Refusal::ExpiredToken);

        let issued = issuer.issue(&caller, &request, None, now).unwrap();
        assert_eq!(issued.id, orders());
        assert_eq!(refused(issuer.issue(&caller, &request, None, now)), Refusal::UsedToken);

        drop(issuer);
        let issuer = Issuer::open(folder.path(), "td", now).unwrap();
        assert_eq!(refused(issuer.issue(&caller, &request, None, now)), Refusal::UsedToken, "after a restart too");
    }

    #[test]
    fn every_certificate_has_a_serial_of_its_own() {
        let folder = tempfile::tempdir().unwrap();
        let now = SystemTime::now();
        let issuer = Issuer::open(folder.path(), "td", now).unwrap();
        let request = KeyRequest::generate().unwrap();
        let mut serials = std::collections::BTreeSet::new();
        for _ in 0..3 {
            let token = create_token(folder.path(), &orders(), DAY, now).unwrap();
            let issued = issuer.issue(&Caller::Token(token), &request.der, None, now).unwrap();
            let credentials = Credentials::new(issued.chain, request.key.clone_key(), issued.bundle).unwrap();
            assert_eq!(credentials.serial().len(), 40, "20 bytes");
            serials.insert(credentials.serial().to_owned());
        }
        assert_eq!(serials.len(), 3, "for one and the same key");
    }
}

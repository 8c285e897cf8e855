//! What a member proves its identity with: a certificate, its key, and the roots that it trusts in turn.
//!
//! Owns: the check that these fit together, and their text form.
//! May not: say whether they are still valid: that depends on when one asks.
//! Invariant: the key is the leaf's; the chain leads to a root of the bundle at the moment at which all of it is valid,
//! as a server's and as a client's; the leaf has one SPIFFE id.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, UnixTime};

use crate::bundle::End;
use crate::leaf::Leaf;
use crate::{BadLeaf, SpiffeId, TrustBundle, Validity, pem, tls};

/// The most certificates of a chain: a leaf, and more issuers than anyone has.
const CHAIN_MAX: usize = 8;

/// A certificate with its key, and the roots that its holder trusts.
pub struct Credentials {
    leaf: Leaf,
    key: PrivateKeyDer<'static>,
    bundle: TrustBundle,
    certified: Arc<CertifiedKey>,
}

/// Why certificates, a key and roots are not credentials. It is never worth a retry: other ones are needed.
#[derive(Clone, Debug, thiserror::Error)]
pub enum BadCredentials {
    /// A part is not PEM.
    #[error("the {part} is not PEM: {why}")]
    Pem {
        /// `chain`, `key` or `bundle`.
        part: &'static str,
        /// What is wrong.
        why: String,
    },
    /// A part has no certificate in it.
    #[error("there is no certificate in the {part}")]
    Empty {
        /// `chain` or `bundle`.
        part: &'static str,
    },
    /// A part has more certificates than are looked at.
    #[error("there are {count} certificates in the {part}: the most is {max}")]
    TooMany {
        /// `chain` or `bundle`.
        part: &'static str,
        /// How many there are.
        count: usize,
        /// How many there may be.
        max: usize,
    },
    /// A root cannot be one.
    #[error("a root of the bundle cannot be used as one: {0}")]
    Root(#[source] rustls::Error),
    /// The first certificate is not a workload's.
    #[error(transparent)]
    Leaf(#[from] BadLeaf),
    /// The key is not the certificate's, or not of a kind that TLS uses.
    #[error("the key does not fit the certificate: {0}")]
    Key(#[source] rustls::Error),
    /// The chain does not lead to a root of the bundle.
    #[error("the chain does not lead to a root of the bundle: {0}")]
    Chain(#[source] rustls::Error),
}

impl Credentials {
    /// Puts credentials together.
    ///
    /// `chain` is what is shown to peers: the leaf, then whoever issued it, and so on. The root need not be in it.
    ///
    /// # Errors
    /// If they do not fit together. That they have expired is no error here: peers refuse them, and renewal, which
    /// is what they may be loaded for, goes by [`Credentials::validity`].
    pub fn new(
        chain: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
        bundle: TrustBundle,
    ) -> Result<Credentials, BadCredentials> {
        if CHAIN_MAX < chain.len() {
            return Err(BadCredentials::TooMany { part: "chain", count: chain.len(), max: CHAIN_MAX });
        }
        let (first, between) = chain.split_first().ok_or(BadCredentials::Empty { part: "chain" })?;
        let leaf = Leaf::read(first)?;
        // The first moment at which all of the chain is valid, so that the answer is the same whenever one asks.
        let mut moment = leaf.validity.not_before;
        for certificate in between {
            moment = moment.max(Validity::of(certificate)?.not_before);
        }
        let moment = UnixTime::since_unix_epoch(moment.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO));
        for end in [End::Server, End::Client] {
            bundle.verify(end, first, between, moment).map_err(BadCredentials::Chain)?;
        }
        let certified =
            CertifiedKey::from_der(chain, key.clone_key(), &tls::provider()).map_err(BadCredentials::Key)?;
        Ok(Credentials { leaf, key, bundle, certified: Arc::new(certified) })
    }

    /// Reads credentials from PEM.
    ///
    /// # Errors
    /// If a part is not PEM, or they do not fit together.
    pub fn from_pem(chain: &[u8], key: &[u8], bundle: &[u8]) -> Result<Credentials, BadCredentials> {
        let bad = |part, error: rustls_pki_types::pem::Error| BadCredentials::Pem { part, why: error.to_string() };
        let certificates = CertificateDer::pem_slice_iter(chain).collect::<Result<_, _>>();
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|error| bad("key", error))?;
        Credentials::new(certificates.map_err(|error| bad("chain", error))?, key, TrustBundle::from_pem(bundle)?)
    }

    /// Whose they are.
    #[must_use]
    pub fn id(&self) -> &SpiffeId {
        &self.leaf.id
    }

    /// What is shown to peers, the leaf first.
    #[must_use]
    pub fn chain(&self) -> &[CertificateDer<'static>] {
        &self.certified.cert
    }

    /// The chain as PEM.
    #[must_use]
    pub fn chain_pem(&self) -> String {
        pem::certificates(self.chain())
    }

    /// The key as PEM. It is a secret.
    #[must_use]
    pub fn key_pem(&self) -> String {
        let label = match &self.key {
            PrivateKeyDer::Pkcs1(_) => "RSA PRIVATE KEY",
            PrivateKeyDer::Sec1(_) => "EC PRIVATE KEY",
            _ => "PRIVATE KEY",
        };
        pem::section(label, self.key.secret_der())
    }

    /// The roots that are trusted.
    #[must_use]
    pub fn bundle(&self) -> &TrustBundle {
        &self.bundle
    }

    /// The leaf's serial number, in lower-case hexadecimal.
    #[must_use]
    pub fn serial(&self) -> &str {
        &self.leaf.serial
    }

    /// From when to when the leaf is valid.
    #[must_use]
    pub fn validity(&self) -> Validity {
        self.leaf.validity
    }

    /// The first moment at which the leaf is valid.
    #[must_use]
    pub fn not_before(&self) -> SystemTime {
        self.leaf.validity.not_before
    }

    /// The last second in which the leaf is valid.
    #[must_use]
    pub fn not_after(&self) -> SystemTime {
        self.leaf.validity.not_after
    }

    /// What TLS signs with.
    pub(crate) fn certified(&self) -> Arc<CertifiedKey> {
        self.certified.clone()
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Everything but the key.
        f.debug_struct("Credentials").field("leaf", &self.leaf).field("bundle", &self.bundle).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{DAY, Mesh};

    #[test]
    fn credentials_survive_their_text_form() {
        let credentials = Mesh::new("td").credentials("spiffe://td/ns/shop/sa/orders");
        let bundle = credentials.bundle().to_pem();
        let again = Credentials::from_pem(
            credentials.chain_pem().as_bytes(),
            credentials.key_pem().as_bytes(),
            bundle.as_bytes(),
        )
        .unwrap();
        assert_eq!(format!("{again:?}"), format!("{credentials:?}"));
        assert_eq!(again.key_pem(), credentials.key_pem());
        assert_eq!(again.chain(), credentials.chain());
        assert!(!format!("{again:?}").to_lowercase().contains("key"), "the key is in no log");
    }

    #[test]
    fn parts_that_do_not_belong_together_are_refused() {
        let (one, other) = (Mesh::new("td"), Mesh::new("td"));
        let orders = one.credentials("spiffe://td/ns/shop/sa/orders");
        let payments = one.credentials("spiffe://td/ns/shop/sa/payments");
        let refusal = |chain: &str, key: &str, bundle: &str| {
            Credentials::from_pem(chain.as_bytes(), key.as_bytes(), bundle.as_bytes()).unwrap_err().to_string()
        };
        let (chain, key, bundle) = (orders.chain_pem(), orders.key_pem(), orders.bundle().to_pem());
        assert!(refusal(&chain, &payments.key_pem(), &bundle).starts_with("the key does not fit the certificate"));
        assert!(refusal(&chain, &key, &other.bundle().to_pem()).starts_with("the chain does not lead to a root"));
        let leaf_alone = pem::certificates(&orders.chain()[..1]);
        assert!(refusal(&leaf_alone, &key, &bundle).starts_with("the chain does not lead to a root"));
        assert_eq!(refusal("", &key, &bundle), "there is no certificate in the chain");
        assert_eq!(refusal(&chain, &key, ""), "there is no certificate in the bundle");
        assert!(refusal(&chain, "", &bundle).starts_with("the key is not PEM"));
        assert!(refusal(&chain.repeat(5), &key, &bundle).starts_with("there are 10 certificates in the chain"));
        let cut = &chain[..chain.len() - 30];
        assert!(refusal(cut, &key, &bundle).starts_with("the chain is not PEM"), "{}", refusal(cut, &key, &bundle));
        assert!(refusal(&one.bundle().to_pem(), &key, &bundle).starts_with("the certificate names 0 URIs"));
    }

    #[test]
    fn expired_credentials_can_still_be_loaded() {
        let now = SystemTime::now();
        let past = Validity { not_before: now - 2 * DAY, not_after: now - DAY };
        let expired = Mesh::new("td").credentials_for("spiffe://td/ns/shop/sa/orders", past);
        assert!(expired.validity().left(now).is_zero());
    }

    #[test]
    fn a_chain_must_have_a_moment_at_which_all_of_it_is_valid() {
        let now = SystemTime::now();
        let mesh = Mesh::since("td", now - DAY);
        let backdated = Validity { not_before: now - 2 * DAY, not_after: now + DAY };
        mesh.credentials_for("spiffe://td/ns/shop/sa/orders", backdated);

        let over = Validity { not_before: now - 3 * DAY, not_after: now - 2 * DAY };
        let (chain, key) = mesh.issue(&["spiffe://td/ns/shop/sa/orders"], over);
        assert!(matches!(Credentials::new(chain, key, mesh.bundle()), Err(BadCredentials::Chain(_))));
    }

    #[test]
    fn no_bytes_make_it_panic() {
        let credentials = Mesh::new("td").credentials("spiffe://td/ns/shop/sa/orders");
        let der = credentials.chain()[0].to_vec();
        for at in 0..der.len() {
            let mut flipped = der.clone();
            flipped[at] ^= 0x81;
            let mut chain = credentials.chain().to_vec();
            for bad in [flipped, der[..at].to_vec()] {
                chain[0] = CertificateDer::from(bad);
                assert!(
                    Credentials::new(chain.clone(), credentials.key.clone_key(), credentials.bundle.clone()).is_err()
                );
            }
        }
    }
}

//! What tokens are signed with: JSON Web Key Sets (RFC 7517, 7518, 8037), by the project's own provider.

use std::sync::Arc;

use arc_swap::ArcSwapOption;
use aws_lc_rs::signature::{self, RsaPublicKeyComponents, UnparsedPublicKey};
use serde_json::Value;
use taut_snapshot::object::TokenKeys;

use super::decode;

/// The algorithms that are taken. Those with a shared secret are not: whoever checks could sign.
pub(super) const ALGORITHMS: &[&str] =
    &["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"];

/// No issuer has more keys than this at a time.
const KEYS_MAX: usize = 256;

/// The keys of an issuer; none until they were fetched. They outlive snapshots.
#[derive(Debug, Default)]
pub(crate) struct Keys {
    set: ArcSwapOption<Vec<Key>>,
}

#[derive(Debug)]
struct Key {
    id: Option<String>,
    /// The only algorithm that it is for, if it says so.
    algorithm: Option<String>,
    public: Public,
}

#[derive(Debug)]
enum Public {
    Rsa { n: Vec<u8>, e: Vec<u8> },
    P256(Vec<u8>),
    P384(Vec<u8>),
    P521(Vec<u8>),
    Ed25519(Vec<u8>),
}

/// What keys say of a signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Match {
    Good,
    /// A key is for it, and it is wrong.
    Wrong,
    /// No key is for it.
    NoKey,
    /// There are no keys yet.
    NoKeys,
}

impl Keys {
    /// Keys from where a rule says.
    ///
    /// # Errors
    /// If those that stand in it are none.
    pub(super) fn of(from: &TokenKeys) -> Result<Keys, String> {
        let keys = Keys::default();
        if let TokenKeys::Inline(text) = from {
            keys.replace(text.as_bytes())?;
        }
        Ok(keys)
    }

    /// Takes the keys of a set in place of those that there were.
    ///
    /// # Errors
    /// If it is no set, or has no key that can be used.
    pub(crate) fn replace(&self, json: &[u8]) -> Result<(), String> {
        let set: Value = serde_json::from_slice(json).map_err(|bad| format!("no JSON: {bad}"))?;
        let list = set.get("keys").and_then(Value::as_array).ok_or("no list called `keys`")?;
        let keys: Vec<Key> = list.iter().take(KEYS_MAX).filter_map(Key::of).collect();
        if keys.is_empty() {
            return Err("no key in it can be used".to_owned());
        }
        self.set.store(Some(Arc::new(keys)));
        Ok(())
    }

    /// Whether some key has made a signature.
    pub(super) fn check(&self, algorithm: &str, id: Option<&str>, signed: &[u8], signature: &[u8]) -> Match {
        let set = self.set.load();
        let Some(keys) = set.as_ref() else { return Match::NoKeys };
        let mut found = Match::NoKey;
        for key in keys.iter() {
            let other_id = matches!((id, &key.id), (Some(wanted), Some(own)) if wanted != own);
            let other_algorithm = key.algorithm.as_ref().is_some_and(|own| own != algorithm);
            if other_id || other_algorithm {
                continue;
            }
            match key.public.verifies(algorithm, signed, signature) {
                Some(true) => return Match::Good,
                Some(false) => found = Match::Wrong,
                None => {}
            }
        }
        found
    }
}

impl Key {
    /// A key that signatures can be checked with. Others in a set are somebody else's business.
    fn of(json: &Value) -> Option<Key> {
        let text = |name: &str| json.get(name).and_then(Value::as_str);
        let bytes = |name: &str| decode(text(name)?.trim_end_matches('='));
        if text("use").is_some_and(|what| what != "sig") {
            return None;
        }
        let point = |width: usize| -> Option<Vec<u8>> {
            // Uncompressed (SEC 1 §2.3.3): each number in full width.
            let mut point = vec![4];
            for number in [bytes("x")?, bytes("y")?] {
                point.extend(std::iter::repeat_n(0, width.checked_sub(number.len())?));
                point.extend(number);
            }
            Some(point)
        };
        let public = match (text("kty")?, text("crv")) {
            ("RSA", _) => Public::Rsa { n: bytes("n")?, e: bytes("e")? },
            ("EC", Some("P-256")) => Public::P256(point(32)?),
            ("EC", Some("P-384")) => Public::P384(point(48)?),
            ("EC", Some("P-521")) => Public::P521(point(66)?),
            ("OKP", Some("Ed25519")) => Public::Ed25519(bytes("x")?),
            _ => return None,
        };
        Some(Key { id: text("kid").map(str::to_owned), algorithm: text("alg").map(str::to_owned), public })
    }
}

impl Public {
    /// Whether it made a signature; none if it is not for this algorithm.
    fn verifies(&self, algorithm: &str, signed: &[u8], signature: &[u8]) -> Option<bool> {
        let plain = |way: &'static dyn signature::VerificationAlgorithm, key: &[u8]| {
            UnparsedPublicKey::new(way, key).verify(signed, signature).is_ok()
        };
        Some(match (self, algorithm) {
            (Public::Rsa { n, e }, _) => {
                let way = match algorithm {
                    "RS256" => &signature::RSA_PKCS1_2048_8192_SHA256,
                    "RS384" => &signature::RSA_PKCS1_2048_8192_SHA384,
                    "RS512" => &signature::RSA_PKCS1_2048_8192_SHA512,
                    "PS256" => &signature::RSA_PSS_2048_8192_SHA256,
                    "PS384" => &signature::RSA_PSS_2048_8192_SHA384,
                    "PS512" => &signature::RSA_PSS_2048_8192_SHA512,
                    _ => return None,
                };
                RsaPublicKeyComponents { n, e }.verify(way, signed, signature).is_ok()
            }
            (Public::P256(point), "ES256") => plain(&signature::ECDSA_P256_SHA256_FIXED, point),
            (Public::P384(point), "ES384") => plain(&signature::ECDSA_P384_SHA384_FIXED, point),
            (Public::P521(point), "ES512") => plain(&signature::ECDSA_P521_SHA512_FIXED, point),
            (Public::Ed25519(key), "EdDSA") => plain(&signature::ED25519, key),
            _ => return None,
        })
    }
}

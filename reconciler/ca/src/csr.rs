//! Requests for certificates: PKCS#10, in DER.
//!
//! Owns: the making of a key with its request, and the reading of someone else's.
//! May not: give away any name that a request contains. What comes out of it is a public key, and nothing else.
//! Invariant: a `PublicKey` belongs to a key that whoever sent the request holds, of a kind and size that TLS accepts.

use rcgen::{CertificateParams, DistinguishedName, KeyPair, SubjectPublicKeyInfo};
use rustls_pki_types::PrivateKeyDer;
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::prelude::FromDer;
use x509_parser::public_key::PublicKey as Parsed;

use crate::Refusal;

/// The most bytes of a request. One for an RSA key of 8192 bits has 2300.
pub(crate) const CSR_BYTES_MAX: usize = 8 * 1024;

/// The fewest bits of an RSA key: fewer are refused in handshakes.
const RSA_BITS_MIN: usize = 2048;

/// A key that someone has proven to hold.
#[derive(Debug)]
pub(crate) struct PublicKey(SubjectPublicKeyInfo);

impl PublicKey {
    /// Takes the key out of a request, and nothing else.
    pub(crate) fn of_request(der: &[u8]) -> Result<PublicKey, Refusal> {
        let bad = |why: &str| Refusal::Request { why: why.to_owned() };
        if CSR_BYTES_MAX < der.len() {
            return Err(bad("it is longer than any that is accepted"));
        }
        let Ok(([], request)) = X509CertificationRequest::from_der(der) else {
            return Err(bad("it is not PKCS#10 in DER"));
        };
        let key = &request.certification_request_info.subject_pki;
        if let Ok(Parsed::RSA(rsa)) = key.parsed()
            && rsa.key_size() < RSA_BITS_MIN
        {
            return Err(bad("its RSA key is shorter than 2048 bits"));
        }
        request.verify_signature().map_err(|_| bad("its signature is not that of its key"))?;
        let key = SubjectPublicKeyInfo::from_der(key.raw);
        key.map(PublicKey).map_err(|_| bad("its key is not ECDSA (P-256, P-384), Ed25519 or RSA"))
    }

    pub(crate) fn info(&self) -> &SubjectPublicKeyInfo {
        &self.0
    }
}

/// A new key, and the request for a certificate for it.
pub(crate) struct KeyRequest {
    pub(crate) key: PrivateKeyDer<'static>,
    pub(crate) der: Vec<u8>,
}

impl KeyRequest {
    /// Makes a P-256 key: the smallest and fastest that every TLS stack knows.
    pub(crate) fn generate() -> Result<KeyRequest, rcgen::Error> {
        let key = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256)?;
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        let request = params.serialize_request(&key)?;
        Ok(KeyRequest { der: request.der().to_vec(), key: key.into() })
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{CustomExtension, PublicKeyData, SanType};

    use super::*;

    fn refusal(der: &[u8]) -> String {
        PublicKey::of_request(der).unwrap_err().to_string()
    }

    #[test]
    fn the_key_comes_out_and_no_name() {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.subject_alt_names = vec![SanType::URI("spiffe://td/ns/taut-system/sa/ca".try_into().unwrap())];
        params.custom_extensions = vec![CustomExtension::from_oid_content(&[1, 2, 3], vec![5, 0])];
        let request = params.serialize_request(&key).unwrap();
        let public = PublicKey::of_request(request.der()).unwrap();
        assert_eq!(public.info().der_bytes(), key.der_bytes());
    }

    #[test]
    fn keys_of_every_kind_that_tls_uses_are_taken() {
        for algorithm in [
            &rcgen::PKCS_ECDSA_P256_SHA256,
            &rcgen::PKCS_ECDSA_P384_SHA384,
            &rcgen::PKCS_ED25519,
            &rcgen::PKCS_RSA_SHA256,
        ] {
            let key = KeyPair::generate_for(algorithm).unwrap();
            let request = CertificateParams::default().serialize_request(&key).unwrap();
            assert!(PublicKey::of_request(request.der()).is_ok(), "{algorithm:?}");
        }
    }

    /// What a request comes to, if it is accepted: the parser is lenient about the bytes around what is signed.
    fn key(der: &[u8]) -> Option<Vec<u8>> {
        PublicKey::of_request(der).ok().map(|key| key.info().der_bytes().to_vec())
    }

    #[test]
    fn no_change_to_a_request_puts_another_key_into_it() {
        let der = KeyRequest::generate().unwrap().der;
        let own = key(&der).unwrap();
        let mut refused = 0;
        for at in 0..der.len() {
            for mask in [0x01, 0x80, 0xff] {
                let mut changed = der.clone();
                changed[at] ^= mask;
                match key(&changed) {
                    Some(key) => assert_eq!(key, own, "byte {at} ^ {mask:#x}"),
                    None => refused += 1,
                }
            }
            assert_eq!(key(&der[..at]), None, "the first {at} bytes");
        }
        assert!(der.len() * 3 - refused < 10, "{refused} of {} changes were refused", der.len() * 3);
    }

    #[test]
    fn garbage_is_refused_and_told_what_was_expected() {
        let der = KeyRequest::generate().unwrap().der;
        let own = key(&der).unwrap();
        assert!(refusal(b"").ends_with("it is not PKCS#10 in DER"));
        assert!(refusal(&[&der[..], b"x"].concat()).ends_with("it is not PKCS#10 in DER"));
        assert!(refusal(&vec![0x30; CSR_BYTES_MAX + 1]).ends_with("it is longer than any that is accepted"));
        let mut draw = 1_u64;
        for _ in 0..20_000 {
            let mut random = || {
                draw = draw.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                (draw >> 33) as usize
            };
            let mut garbage = der.clone();
            for _ in 0..=random() % 8 {
                let (at, byte) = (random() % garbage.len(), random() as u8);
                match random() % 3 {
                    0 => garbage[at] = byte,
                    1 => garbage.insert(at, byte),
                    _ => garbage.truncate(at.max(1)),
                }
            }
            assert!(key(&garbage).is_none_or(|key| key == own));
        }
    }
}

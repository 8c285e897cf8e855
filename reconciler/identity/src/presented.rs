//! What a certificate of the world outside the mesh says of its holder.
//!
//! Owns: the reading of a subject and of alternative names.
//! May not: believe any of it; whoever verified the chain may.

use std::net::IpAddr;

use rustls_pki_types::CertificateDer;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::X509Name;

use crate::BadLeaf;
use crate::leaf::{encoding, read};

/// What a certificate says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Presented {
    /// Its subject (RFC 2253 §2: the last part first).
    pub subject: String,
    /// Its alternative names that are URIs.
    pub uris: Vec<String>,
    /// Its alternative names that are hosts.
    pub hosts: Vec<String>,
    /// Those of other kinds: addresses of machines, and of mail.
    pub others: Vec<String>,
}

impl Presented {
    /// Reads a certificate.
    ///
    /// # Errors
    /// If it is none.
    pub fn read(certificate: &CertificateDer<'_>) -> Result<Presented, BadLeaf> {
        let certificate = read(certificate)?;
        let mut presented = Presented { subject: subject(certificate.subject()), ..Presented::default() };
        let names = certificate.subject_alternative_name().map_err(encoding)?;
        for name in names.iter().flat_map(|names| &names.value.general_names) {
            match name {
                GeneralName::URI(uri) => presented.uris.push((*uri).to_owned()),
                GeneralName::DNSName(host) => presented.hosts.push((*host).to_owned()),
                GeneralName::RFC822Name(mail) => presented.others.push((*mail).to_owned()),
                GeneralName::IPAddress(bytes) => {
                    let four = <[u8; 4]>::try_from(*bytes).map(IpAddr::from);
                    let address = four.or_else(|_| <[u8; 16]>::try_from(*bytes).map(IpAddr::from));
                    presented.others.extend(address.map(|address| address.to_string()));
                }
                _ => {}
            }
        }
        Ok(presented)
    }

    /// Whether one of its alternative names is this one.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        let listed = |list: &[String]| list.iter().any(|it| it == name);
        listed(&self.uris) || listed(&self.others) || self.hosts.iter().any(|host| host.eq_ignore_ascii_case(name))
    }
}

fn subject(name: &X509Name<'_>) -> String {
    let registry = x509_parser::objects::oid_registry();
    let part = |attribute: &x509_parser::x509::AttributeTypeAndValue<'_>| {
        let oid = attribute.attr_type();
        let short = x509_parser::objects::oid2abbrev(oid, registry).map_or_else(|_| oid.to_id_string(), str::to_owned);
        let value = attribute.as_str().unwrap_or_default();
        let escaped = value.chars().flat_map(|letter| {
            let escape = matches!(letter, ',' | '+' | '"' | '\\' | '<' | '>' | ';').then_some('\\');
            escape.into_iter().chain([letter])
        });
        format!("{short}={}", escaped.collect::<String>())
    };
    let mut parts: Vec<String> = name.iter().map(|one| one.iter().map(part).collect::<Vec<_>>().join("+")).collect();
    parts.reverse();
    parts.join(",")
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DnType, KeyPair, SanType};

    use super::*;

    #[test]
    fn what_a_certificate_says_is_read_and_nothing_is_made_up() {
        let mut params = CertificateParams::new(["a.example".to_owned(), "10.0.0.1".to_owned()]).unwrap();
        params.subject_alt_names.push(SanType::URI("urn:x".try_into().unwrap()));
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::CountryName, "DE");
        params.distinguished_name.push(DnType::CommonName, "a, \"b\"");
        let made = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
        let presented = Presented::read(made.der()).unwrap();
        assert_eq!(presented.subject, r#"CN=a\, \"b\",C=DE"#);
        for (name, has) in
            [("A.example", true), ("10.0.0.1", true), ("urn:x", true), ("URN:x", false), ("b.example", false)]
        {
            assert_eq!(presented.has(name), has, "{name}");
        }
        assert!(Presented::read(&CertificateDer::from(b"no".to_vec())).is_err());
    }
}

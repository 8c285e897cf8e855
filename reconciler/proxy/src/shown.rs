//! The certificate that a client showed, as whoever is behind the proxy is told (semantics.md §5.6, §13).
//!
//! Owns: the element of `x-forwarded-client-cert`, as Istio has Envoy write it: at gateways with the certificate itself, within
//! the mesh with who took it.

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderValue;
use rustls_pki_types::CertificateDer;
use taut_identity::Presented;

/// The width of the lines of PEM (RFC 7468 §2).
const LINE: usize = 64;

/// The element of a certificate that was shown to a gateway; none of one that cannot be read.
pub(crate) fn to_gateway(certificate: &CertificateDer<'_>) -> Option<HeaderValue> {
    element("", &format!("Cert=\"{}\";", encoded(&pem(certificate))), certificate)
}

/// The element of a certificate that was shown within the mesh, to whoever has this id.
pub(crate) fn within_mesh(own: &str, certificate: &CertificateDer<'_>) -> Option<HeaderValue> {
    element(&format!("By={own};"), "", certificate)
}

fn element(before: &str, whole: &str, certificate: &CertificateDer<'_>) -> Option<HeaderValue> {
    let presented = Presented::read(certificate).ok()?;
    let hash: String = digest(&SHA256, certificate).as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    let mut text = format!("{before}Hash={hash};{whole}Subject=\"{}\"", quoted(&presented.subject));
    for (name, values) in [("URI", &presented.uris), ("DNS", &presented.hosts)] {
        for value in values {
            text.push_str(&format!(";{name}={}", bare(value)));
        }
    }
    HeaderValue::try_from(text).ok()
}

fn pem(certificate: &[u8]) -> String {
    let text = STANDARD.encode(certificate);
    let mut pem = String::from("-----BEGIN CERTIFICATE-----\n");
    let mut rest = text.as_str();
    while !rest.is_empty() {
        let (line, after) = rest.split_at(LINE.min(rest.len()));
        pem.push_str(line);
        pem.push('\n');
        rest = after;
    }
    pem + "-----END CERTIFICATE-----\n"
}

/// Percent-encoded (RFC 3986 §2.1), all but what is never reserved.
fn encoded(text: &str) -> String {
    let letter = |byte: u8| match byte {
        byte if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) => char::from(byte).to_string(),
        byte => format!("%{byte:02X}"),
    };
    text.bytes().map(letter).collect()
}

fn quoted(text: &str) -> String {
    text.replace('"', "\\\"")
}

/// A value without quotes: what would end it is encoded, so that nobody's name says more than a name.
fn bare(text: &str) -> String {
    let plain = |letter: char| !matches!(letter, ';' | ',' | '=' | '"');
    if text.chars().all(plain) { text.to_owned() } else { encoded(text) }
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DnType, KeyPair, SanType};

    use super::*;

    #[test]
    fn services_are_told_of_the_certificate_and_no_name_says_more_than_a_name() {
        let mut params = CertificateParams::new(["a.example".to_owned()]).unwrap();
        params.subject_alt_names.push(SanType::URI("urn:x;URI=spiffe://td/ns/a/sa/b".try_into().unwrap()));
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, "me");
        let made = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
        let element = to_gateway(made.der()).unwrap();
        let text = element.to_str().unwrap();
        let parts: Vec<&str> = text.split(';').map(|part| part.split('=').next().unwrap()).collect();
        assert_eq!(parts, ["Hash", "Cert", "Subject", "URI", "DNS"], "{text}");
        assert!(text.contains("Cert=\"-----BEGIN%20CERTIFICATE-----%0A") && text.ends_with(";DNS=a.example"), "{text}");
        assert!(text.contains(";Subject=\"CN=me\";URI=urn%3Ax%3BURI%3Dspiffe"), "{text}");
        assert_eq!(pem(made.der()), made.pem().replace("\r\n", "\n"));
        let element = within_mesh("spiffe://td/ns/a/sa/me", made.der()).unwrap();
        let text = element.to_str().unwrap();
        let parts: Vec<&str> = text.split(';').map(|part| part.split('=').next().unwrap()).collect();
        assert_eq!(parts, ["By", "Hash", "Subject", "URI", "DNS"], "{text}");
        assert!(to_gateway(&CertificateDer::from(b"no".to_vec())).is_none());
    }
}

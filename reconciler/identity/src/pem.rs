//! PEM, the text form of certificates and keys.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rustls_pki_types::CertificateDer;

/// The columns of a line (RFC 7468, §2).
const COLUMNS: usize = 64;

pub(crate) fn certificates(certificates: &[CertificateDer<'_>]) -> String {
    certificates.iter().map(|certificate| section("CERTIFICATE", certificate)).collect()
}

pub(crate) fn section(label: &str, der: &[u8]) -> String {
    let body = STANDARD.encode(der);
    let mut text = format!("-----BEGIN {label}-----\n");
    for start in (0..body.len()).step_by(COLUMNS) {
        text.push_str(&body[start..body.len().min(start + COLUMNS)]);
        text.push('\n');
    }
    text + "-----END " + label + "-----\n"
}

#[cfg(test)]
mod tests {
    use rustls_pki_types::pem::PemObject;

    use super::*;

    #[test]
    fn what_is_written_is_read() {
        for length in [0, 1, 47, 48, 49, 4000] {
            let der = CertificateDer::from(vec![7; length]);
            let text = certificates(&[der.clone(), der.clone()]);
            assert!(text.lines().all(|line| line.len() <= COLUMNS));
            let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text.as_bytes()).collect();
            assert_eq!(read.unwrap(), [der.clone(), der], "{length} bytes");
        }
    }
}

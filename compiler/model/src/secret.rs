//! The certificate in a Secret (semantics.md §5.7).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use taut_resources::{Secret, ServerTls};

use crate::Text;
use crate::mesh::Mesh;

/// A certificate chain and its key, both PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyPair {
    /// The certificate, and those between it and a root.
    pub chain: Vec<u8>,
    /// The private key.
    pub key: Vec<u8>,
}

/// The name of the Secret that a `credentialName` means: `kubernetes://` before it is the default.
#[must_use]
pub fn secret_name(credential: &str) -> &str {
    credential.strip_prefix("kubernetes://").unwrap_or(credential)
}

/// The pair of a Secret, or why there is none. Of the two namings the first that is complete counts.
///
/// # Errors
/// A sentence that says what is missing or wrong.
pub fn key_pair(secret: &Secret) -> Result<KeyPair, String> {
    for (chain, key) in [("cert", "key"), ("tls.crt", "tls.key")] {
        if let (Some(chain), Some(key)) = (value(secret, chain), value(secret, key)) {
            return Ok(KeyPair { chain: pem(chain?, "CERTIFICATE")?, key: pem(key?, "PRIVATE KEY")? });
        }
    }
    Err("it has neither `tls.crt` and `tls.key` nor `cert` and `key`".into())
}

/// The Secret that a credential means, `namespace/name`: where nothing else is said, it is where the workload is.
#[must_use]
pub fn secret_of(credential: &str, namespace: &str) -> (Text, Text) {
    match credential.strip_prefix("kubernetes-gateway://").and_then(|it| it.split_once('/')) {
        Some((namespace, name)) => (namespace.into(), name.into()),
        None => (namespace.into(), secret_name(credential).into()),
    }
}

/// The roots beside a credential: those of a Secret `NAME-cacert`, or of the credential's own.
///
/// # Errors
/// A sentence that says what is missing.
pub fn roots_beside(mesh: &Mesh<'_>, (namespace, name): &(Text, Text)) -> Result<Vec<u8>, String> {
    let apart: Text = format!("{name}-cacert").into();
    let secrets = [&apart, name].map(|name| mesh.secrets.get(&(namespace.clone(), name.clone())));
    let found = secrets.into_iter().flatten().find_map(|secret| roots_in(secret.spec));
    found.unwrap_or_else(|| {
        Err(format!("there is no `ca.crt` in the Secret `{namespace}/{name}`, nor one in `{apart}`"))
    })
}

fn roots_in(secret: &Secret) -> Option<Result<Vec<u8>, String>> {
    let found = ["cacert", "ca.crt"].into_iter().find_map(|key| value(secret, key))?;
    Some(found.and_then(|bytes| pem(bytes, "CERTIFICATE")))
}

/// Who certifies the clients of a gateway's server (semantics.md §5.7).
///
/// # Errors
/// A sentence that says what is missing.
pub fn client_roots(mesh: &Mesh<'_>, tls: &ServerTls, namespace: &str) -> Result<Vec<u8>, String> {
    let Some(named) = &tls.ca_cert_credential_name else {
        let credential = tls.credential_name.as_ref().or(tls.credential_names.first());
        let credential = credential.ok_or("nothing names a Secret")?;
        return roots_beside(mesh, &secret_of(credential, namespace));
    };
    // As routes of the Gateway API name a ConfigMap.
    if let Some((namespace, name)) = named.strip_prefix("configmap://").and_then(|it| it.split_once('/')) {
        let name = name.strip_suffix("-cacert").unwrap_or(name);
        let mut maps = mesh.inventory.config_maps.iter();
        let map = maps.find(|map| *map.namespace() == namespace && *map.name() == name);
        let text = map.and_then(|map| map.spec.data.get("ca.crt"));
        return text
            .map(|text| text.as_bytes().to_vec())
            .ok_or_else(|| format!("there is no `ca.crt` in the ConfigMap `{namespace}/{name}`"));
    }
    let (namespace, name) = secret_of(named, namespace);
    let secret = mesh.secrets.get(&(namespace.clone(), name.clone()));
    let found = secret.and_then(|secret| roots_in(secret.spec));
    found.unwrap_or_else(|| Err(format!("there is no `ca.crt` in the Secret `{namespace}/{name}`")))
}

/// When the first certificate of a PEM begins and ends to be valid, in seconds since 1970.
///
/// # Errors
/// A sentence that says what is wrong with it.
pub(crate) fn validity(pem: &[u8]) -> Result<(i64, i64), String> {
    let unreadable = || "its certificate cannot be read".to_owned();
    let (_, pem) = x509_parser::pem::parse_x509_pem(pem).map_err(|_| unreadable())?;
    let certificate = pem.parse_x509().map_err(|_| unreadable())?;
    let validity = certificate.validity();
    Ok((validity.not_before.timestamp(), validity.not_after.timestamp()))
}

fn value(secret: &Secret, name: &str) -> Option<Result<Vec<u8>, String>> {
    if let Some(text) = secret.string_data.get(name) {
        return Some(Ok(text.as_bytes().to_vec()));
    }
    let text = secret.data.get(name)?;
    let compact: String = text.chars().filter(|c| !c.is_ascii_whitespace()).collect();
    Some(STANDARD.decode(compact).map_err(|_| format!("`{name}` is not base64")))
}

fn pem(bytes: Vec<u8>, what: &str) -> Result<Vec<u8>, String> {
    let text = std::str::from_utf8(&bytes).map_err(|_| format!("its {} is not text", what.to_lowercase()))?;
    let begins = text.lines().any(|line| line.starts_with("-----BEGIN ") && line.contains(what));
    if begins { Ok(bytes) } else { Err(format!("its {} is not PEM", what.to_lowercase())) }
}

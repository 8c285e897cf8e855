//! Whether a token is good: its form, its issuer, its time, for whom it is, and its signature, in Envoy's order.

use serde_json::Value;
use taut_snapshot::object::TokenRule;

use super::decode;
use super::keys::{Keys, Match};

/// How far clocks may differ, in seconds: Envoy's `clock_skew_seconds`.
const SKEW_S: u64 = 60;

/// No honest token is longer: heads of requests are not.
const TOKEN_MAX: usize = 60 << 10;

/// What is wrong with a token, in the words of Envoy's `jwt_verify_lib`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bad {
    Missing,
    Form,
    /// The claim of a time is no number.
    ExpiryKind,
    BeginningKind,
    HeaderBase64,
    HeaderJson,
    Algorithm,
    AlgorithmUnknown,
    PayloadBase64,
    PayloadJson,
    SignatureBase64,
    UnknownIssuer,
    NotYetValid,
    Expired,
    Audience,
    NoKey,
    NoKeys,
    Signature,
}

impl Bad {
    /// What the client is told.
    pub(crate) fn text(self) -> &'static str {
        match self {
            Bad::Missing => "Jwt is missing",
            Bad::Form => "Jwt is not in the form of Header.Payload.Signature with two dots and 3 sections",
            Bad::ExpiryKind => "Jwt payload [exp] field is not an integer",
            Bad::BeginningKind => "Jwt payload [nbf] field is not an integer",
            Bad::HeaderBase64 => "Jwt header is an invalid Base64url encoded",
            Bad::HeaderJson => "Jwt header is an invalid JSON",
            Bad::Algorithm => "Jwt header [alg] field is required and must be a string",
            Bad::AlgorithmUnknown => "Jwt header [alg] is not supported",
            Bad::PayloadBase64 => "Jwt payload is an invalid Base64url encoded",
            Bad::PayloadJson => "Jwt payload is an invalid JSON",
            Bad::SignatureBase64 => "Jwt signature is an invalid Base64url encoded",
            Bad::UnknownIssuer => "Jwt issuer is not configured",
            Bad::NotYetValid => "Jwt not yet valid",
            Bad::Expired => "Jwt is expired",
            Bad::Audience => "Audiences in Jwt are not allowed",
            Bad::NoKey => "Jwks doesn't have key to match kid or alg from Jwt",
            Bad::NoKeys => "Jwks remote fetch is failed",
            Bad::Signature => "Jwt verification fails",
        }
    }

    /// The same, as the access log names it (Envoy's `generateRcDetails`).
    pub(crate) fn details(self) -> &'static str {
        match self {
            Bad::Missing => "jwt_authn_access_denied{Jwt_is_missing}",
            Bad::Expired => "jwt_authn_access_denied{Jwt_is_expired}",
            Bad::UnknownIssuer => "jwt_authn_access_denied{Jwt_issuer_is_not_configured}",
            Bad::Audience => "jwt_authn_access_denied{Audiences_in_Jwt_are_not_allowed}",
            Bad::NotYetValid => "jwt_authn_access_denied{Jwt_not_yet_valid}",
            Bad::NoKeys => "jwt_authn_access_denied{Jwks_remote_fetch_is_failed}",
            Bad::NoKey => "jwt_authn_access_denied{Jwks_doesn't_have_key_to_match_kid_or_alg_from_Jwt}",
            Bad::Signature => "jwt_authn_access_denied{Jwt_verification_fails}",
            _ => "jwt_authn_access_denied{Jwt_is_malformed}",
        }
    }
}

/// The claims of a token, if it is good.
pub(super) fn verify(token: &str, rule: &TokenRule, keys: &Keys, now_s: u64) -> Result<Value, Bad> {
    let mut sections = token.split('.');
    let (Some(head), Some(payload), Some(signature), None) =
        (sections.next(), sections.next(), sections.next(), sections.next())
    else {
        return Err(Bad::Form);
    };
    // An empty section is none.
    if TOKEN_MAX < token.len() || head.is_empty() || payload.is_empty() || signature.is_empty() {
        return Err(Bad::Form);
    }
    let object = |text: &str, base64: Bad, json: Bad| {
        let bytes = decode(text).ok_or(base64)?;
        serde_json::from_slice::<Value>(&bytes).ok().filter(Value::is_object).ok_or(json)
    };
    let header = object(head, Bad::HeaderBase64, Bad::HeaderJson)?;
    let algorithm = header.get("alg").and_then(Value::as_str).ok_or(Bad::Algorithm)?;
    if !super::keys::ALGORITHMS.contains(&algorithm) {
        return Err(Bad::AlgorithmUnknown);
    }
    let claims = object(payload, Bad::PayloadBase64, Bad::PayloadJson)?;
    let seconds = |name: &str, bad: Bad| claims.get(name).map(|value| value.as_f64().ok_or(bad)).transpose();
    let begins = seconds("nbf", Bad::BeginningKind)?;
    let ends = seconds("exp", Bad::ExpiryKind)?;
    let signature = decode(signature).ok_or(Bad::SignatureBase64)?;
    if !rule.issuer.is_empty() && claims.get("iss").and_then(Value::as_str) != Some(rule.issuer.as_str()) {
        return Err(Bad::UnknownIssuer);
    }
    let (now, skew) = (now_s as f64, SKEW_S as f64);
    if begins.is_some_and(|begins| now + skew < begins) {
        return Err(Bad::NotYetValid);
    }
    if ends.is_some_and(|ends| ends + skew < now) {
        return Err(Bad::Expired);
    }
    let audience = |text: &str| rule.audiences.iter().any(|audience| same_audience(audience, text));
    let meant = match claims.get("aud") {
        Some(Value::String(text)) => audience(text),
        Some(Value::Array(list)) => list.iter().filter_map(Value::as_str).any(audience),
        _ => false,
    };
    if !rule.audiences.is_empty() && !meant {
        return Err(Bad::Audience);
    }
    let signed = &token.as_bytes()[..head.len() + 1 + payload.len()];
    match keys.check(algorithm, header.get("kid").and_then(Value::as_str), signed, &signature) {
        Match::Good => Ok(claims),
        Match::Wrong => Err(Bad::Signature),
        Match::NoKey => Err(Bad::NoKey),
        Match::NoKeys => Err(Bad::NoKeys),
    }
}

/// Audiences are compared without a scheme and a slash at the end (`jwt_verify_lib`'s `CheckAudience`).
fn same_audience(a: &str, b: &str) -> bool {
    let bare = |text: &str| {
        let text = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://")).unwrap_or(text);
        text.strip_suffix('/').unwrap_or(text).to_owned()
    };
    a == b || bare(a) == bare(b)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn audiences_are_alike_with_and_without_a_scheme() {
        assert!(same_audience("shop", "shop") && same_audience("https://shop/", "http://shop"));
        assert!(!same_audience("shop", "shop2") && !same_audience("https://shop", "ftp://shop"));
    }
}

//! Tokens of requests (semantics.md §10): found, checked, and made known to rules, policies and the application.
//!
//! Owns: where a token may stand, which of several counts, and what is told when one is no good.
//! May not: decide who may ask for what; policies do, which see what a token says.
//! Invariant: claims that anybody sees come from a token whose signature was checked.

mod fetch;
mod keys;
mod verify;

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use http::request::Parts;
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use serde_json::Value;
use taut_snapshot::object::{TokenRule, TokenSet};

pub(crate) use fetch::{Fetch, keep_fetched};
pub(crate) use keys::Keys;
pub(crate) use verify::Bad;

/// A token that was checked.
#[derive(Debug)]
pub(crate) struct Token {
    claims: Value,
    /// `issuer/subject`; empty if either is missing.
    principal: String,
    /// Claims that are lists, separated by spaces.
    spaced: Vec<taut_snapshot::Text>,
}

/// What a workload takes, ready to be asked.
pub(crate) struct Tokens {
    rules: Vec<Rule>,
}

struct Rule {
    rule: TokenRule,
    headers: Vec<(HeaderName, String)>,
    payload_header: Option<HeaderName>,
    claim_headers: Vec<(HeaderName, String)>,
    keys: Arc<Keys>,
}

/// Where a token was found.
enum Place {
    Header(HeaderName),
    Param(String),
    Cookie,
}

impl Tokens {
    /// Makes rules ready. Keys that were fetched before are used again.
    ///
    /// # Errors
    /// If keys that stand in a rule are none.
    pub(crate) fn new(set: &TokenSet, before: Option<&Tokens>) -> Result<Tokens, String> {
        let name = |name: &str| {
            HeaderName::from_bytes(name.as_bytes()).map_err(|_| format!("`{name}` cannot be the name of a header"))
        };
        let rule = |rule: &TokenRule| -> Result<Rule, String> {
            let same = |old: &&Rule| old.rule.keys == rule.keys && old.rule.issuer == rule.issuer;
            let known = before.and_then(|before| before.rules.iter().find(same)).map(|old| old.keys.clone());
            let keys = match known {
                Some(known) => known,
                None => Arc::new(Keys::of(&rule.keys).map_err(|why| format!("the keys of `{}`: {why}", rule.issuer))?),
            };
            let headers = rule.headers.iter().map(|(at, prefix)| Ok((name(at)?, prefix.to_string())));
            let claims = rule.claim_headers.iter().map(|(to, claim)| Ok((name(to)?, claim.to_string())));
            Ok(Rule {
                headers: headers.collect::<Result<_, String>>()?,
                claim_headers: claims.collect::<Result<_, String>>()?,
                payload_header: Some(&rule.payload_header)
                    .filter(|it| !it.is_empty())
                    .map(|it| name(it))
                    .transpose()?,
                keys,
                rule: rule.clone(),
            })
        };
        Ok(Tokens { rules: set.rules.iter().map(rule).collect::<Result<_, _>>()? })
    }

    /// The keys that must be fetched, and how.
    pub(crate) fn fetches(&self) -> impl Iterator<Item = Fetch> {
        self.rules.iter().filter_map(|rule| Fetch::of(&rule.rule, &rule.keys))
    }

    /// Checks the tokens of a request. What it says goes to headers, and the token is taken away, as its rule says.
    ///
    /// # Errors
    /// With what is wrong, if there are tokens and no rule whose tokens are all good.
    pub(crate) fn check(&self, parts: &mut Parts) -> Result<Option<Token>, Bad> {
        // Nobody but the proxy says what a token says.
        for rule in &self.rules {
            for name in rule.payload_header.iter().chain(rule.claim_headers.iter().map(|(name, _)| name)) {
                parts.headers.remove(name);
            }
        }
        let preflight = parts.method == Method::OPTIONS
            && parts.headers.contains_key(header::ORIGIN)
            && parts.headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
        if preflight {
            return Ok(None);
        }
        let now_s = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_secs());
        let mut bad: Option<Bad> = None;
        for rule in &self.rules {
            let found = rule.find(parts);
            let verify = |(_, text): &(Place, String)| verify::verify(text, &rule.rule, &rule.keys, now_s);
            // Where a rule finds several tokens, all of them must be good (Envoy's `Authenticator`); the last is who asks.
            match found.iter().map(verify).collect::<Result<Vec<Value>, Bad>>() {
                Ok(all) => {
                    let mut last = None;
                    for ((place, text), claims) in found.iter().zip(all) {
                        let token = Token::new(claims, rule.rule.spaced.clone());
                        rule.tell(parts, place, text, &token);
                        last = Some(token);
                    }
                    if last.is_some() {
                        return Ok(last);
                    }
                }
                // That a token is somebody else's says less than what is wrong with one (Envoy's `AnyVerifier`).
                Err(worse) if bad.as_ref().is_none_or(|bad| *bad == Bad::UnknownIssuer) => bad = Some(worse),
                Err(_) => {}
            }
        }
        match bad {
            Some(bad) => Err(bad),
            None if self.rules.iter().any(|rule| rule.rule.required) => Err(Bad::Missing),
            None => Ok(None),
        }
    }
}

impl Rule {
    /// The tokens of a request, in the order in which Envoy looks for them.
    fn find(&self, parts: &Parts) -> Vec<(Place, String)> {
        let mut found = Vec::new();
        for (name, prefix) in &self.headers {
            for value in parts.headers.get_all(name).iter().filter_map(|value| value.to_str().ok()) {
                if let Some(text) = value.strip_prefix(prefix.as_str()) {
                    found.push((Place::Header(name.clone()), text.trim().to_owned()));
                }
            }
        }
        let pairs = parts.uri.query().into_iter().flat_map(|query| query.split('&'));
        for (name, value) in pairs.filter_map(|pair| pair.split_once('=')) {
            if self.rule.params.iter().any(|param| param == name) {
                found.push((Place::Param(name.to_owned()), value.to_owned()));
            }
        }
        let cookies = parts.headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
        for (name, value) in cookies.flat_map(|value| value.split(';')).filter_map(|pair| pair.trim().split_once('=')) {
            if self.rule.cookies.iter().any(|cookie| cookie == name) {
                found.push((Place::Cookie, value.trim_matches('"').to_owned()));
            }
        }
        found
    }

    /// Makes known what a token says, and takes it away unless the service is to see it.
    fn tell(&self, parts: &mut Parts, place: &Place, text: &str, token: &Token) {
        if let Some(name) = &self.payload_header
            && let Some(payload) = text.split('.').nth(1).and_then(|payload| HeaderValue::from_str(payload).ok())
        {
            parts.headers.insert(name, payload);
        }
        for (name, claim) in &self.claim_headers {
            if let Some(value) = token.written(claim).and_then(|text| HeaderValue::from_str(&text).ok()) {
                parts.headers.insert(name, value);
            }
        }
        if self.rule.forward {
            return;
        }
        match place {
            Place::Header(name) => {
                parts.headers.remove(name);
            }
            Place::Param(name) => drop_parameter(parts, name),
            // Envoy leaves cookies as they are.
            Place::Cookie => {}
        }
    }
}

/// Takes a query parameter out of a request's target.
fn drop_parameter(parts: &mut Parts, name: &str) {
    let Some(query) = parts.uri.query() else { return };
    let named = |pair: &&str| pair.split_once('=').is_some_and(|(key, _)| key == name);
    let rest: Vec<&str> = query.split('&').filter(|pair| !named(pair)).collect();
    let path = parts.uri.path();
    let target = if rest.is_empty() { path.to_owned() } else { format!("{path}?{}", rest.join("&")) };
    let mut uri = parts.uri.clone().into_parts();
    uri.path_and_query = PathAndQuery::try_from(target).ok();
    if let Ok(uri) = http::Uri::from_parts(uri) {
        parts.uri = uri;
    }
}

impl Token {
    fn new(claims: Value, spaced: Vec<taut_snapshot::Text>) -> Token {
        let text = |name: &str| claims.get(name).and_then(Value::as_str).unwrap_or_default();
        let (issuer, subject) = (text("iss"), text("sub"));
        let principal = match issuer.is_empty() || subject.is_empty() {
            true => String::new(),
            false => format!("{issuer}/{subject}"),
        };
        Token { principal, claims, spaced }
    }

    /// Calls `test` with the values under a name, as rules and policies have it: `@request.auth.claims[a][b]` and so on.
    /// None if there are none. Values that are neither texts nor lists of texts match nothing (semantics.md §11.4).
    pub(crate) fn any(&self, name: &str, test: &mut dyn FnMut(&[u8]) -> bool) -> Option<bool> {
        let what = name.strip_prefix("@request.auth.")?;
        let value = match what {
            "principal" => {
                return Some(self.principal.as_str()).filter(|it| !it.is_empty()).map(|it| test(it.as_bytes()));
            }
            "audiences" => self.claims.get("aud")?,
            "presenter" => self.claims.get("azp")?,
            _ => {
                let path = what.strip_prefix("claims[")?.strip_suffix(']')?;
                let value = path.split("][").try_fold(&self.claims, |claims, part| claims.get(part))?;
                let spaced = self.spaced.iter().any(|claim| claim == path);
                if let Some(text) = value.as_str().filter(|_| spaced) {
                    return Some(text.split(' ').any(|part| test(part.as_bytes())));
                }
                value
            }
        };
        match value {
            Value::String(text) => Some(test(text.as_bytes())),
            Value::Array(list) => Some(list.iter().filter_map(Value::as_str).any(|text| test(text.as_bytes()))),
            _ => Some(false),
        }
    }

    /// A claim as text; dots lead into it. One of several values is its JSON in base64, as Envoy writes it.
    fn written(&self, path: &str) -> Option<String> {
        match path.split('.').try_fold(&self.claims, |claims, part| claims.get(part))? {
            Value::String(text) => Some(text.clone()),
            Value::Bool(value) => Some(value.to_string()),
            Value::Number(value) => Some(value.to_string()),
            Value::Null => None,
            several @ (Value::Array(_) | Value::Object(_)) => Some(STANDARD.encode(several.to_string())),
        }
    }
}

/// Bytes in base64url, without padding.
fn decode(text: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text).ok()
}

/// What an answer says of the token that it asks for (RFC 6750 §3; Envoy's `jwt_authn`).
pub(crate) fn challenge(headers: &HeaderMap, uri: &http::Uri, scheme: &str, bad: &Bad) -> Option<HeaderValue> {
    /// Envoy's `MaxUriLength`, which is that of the path alone.
    const PATH_MAX: usize = 256;
    let host = uri.authority().map(|it| it.as_str()).or_else(|| headers.get(header::HOST)?.to_str().ok())?;
    let path = uri.path_and_query().map_or("/", |it| it.as_str());
    let path: String = path.chars().take(PATH_MAX).collect();
    let mut realm = format!("{scheme}://{host}{path}");
    realm.retain(|c| c != '"');
    let error = if *bad == Bad::Missing { "" } else { ", error=\"invalid_token\"" };
    HeaderValue::try_from(format!("Bearer realm=\"{realm}\"{error}")).ok()
}

//! Tokens of requests: which are believed, where they are found, and what is seen of them.

use std::sync::OnceLock;
use std::time::{SystemTime, UNIX_EPOCH};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use crate::compare::{Ask, Case, ask, case};
use crate::config::{filter, with};
use crate::inbound::run;
use crate::policies::rbac;

/// Who signs in these tests; the second is nobody's issuer.
fn keys() -> &'static [EcdsaKeyPair; 2] {
    static KEYS: OnceLock<[EcdsaKeyPair; 2]> = OnceLock::new();
    KEYS.get_or_init(|| [(); 2].map(|()| EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap()))
}

fn base64(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

fn jwks() -> String {
    let (x, y) = keys()[0].public_key().as_ref()[1..].split_at(32);
    let key = json!({"kty": "EC", "kid": "one", "alg": "ES256", "crv": "P-256", "x": base64(x), "y": base64(y)});
    json!({"keys": [key]}).to_string()
}

fn signed(claims: &Value, kid: &str, key: &EcdsaKeyPair) -> String {
    let head = json!({"alg": "ES256", "kid": kid, "typ": "JWT"});
    let text = format!("{}.{}", base64(head.to_string()), base64(claims.to_string()));
    let signature = key.sign(&SystemRandom::new(), text.as_bytes()).unwrap();
    format!("{text}.{}", base64(signature))
}

/// A token with some claims changed; null takes one away.
fn token(changes: Value) -> String {
    let mut claims = with(
        json!({"iss": "https://issuer.example", "sub": "ann", "aud": ["shop", "web"], "exp": now() + 3_600, "level": 7,
            "admin": true, "scope": "read write", "groups": ["staff"], "deep": {"er": "value"}}),
        changes,
    );
    claims.as_object_mut().unwrap().retain(|_, value| !value.is_null());
    signed(&claims, "one", &keys()[0])
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

fn authentication(rules: &[String]) -> String {
    let rules: String = rules.iter().map(|rule| format!("  - {rule}\n")).collect();
    format!(
        "apiVersion: security.istio.io/v1\nkind: RequestAuthentication\nmetadata: {{name: users, namespace: shop}}\n\
         spec:\n  jwtRules:\n{rules}---\n"
    )
}

/// A rule of Istio for an issuer, with more in it.
fn rule(issuer: &str, more: &str) -> String {
    format!("{{issuer: 'https://{issuer}', jwks: '{}'{more}}}", jwks())
}

/// What Istio makes of it.
fn provider(issuer: &str, more: Value) -> Value {
    let usual = json!({"issuer": format!("https://{issuer}"), "local_jwks": {"inline_string": jwks()},
        "payload_in_metadata": "payload"});
    with(usual, more)
}

/// The filter that Istio makes of all rules.
fn filter_of(providers: &[Value]) -> Value {
    let names: Vec<String> = (0..providers.len()).map(|at| format!("origins-{at}")).collect();
    let named: serde_json::Map<String, Value> = names.iter().cloned().zip(providers.iter().cloned()).collect();
    let one = |name: &String| json!({"provider_name": name});
    let or_missing = |name: &String| json!({"requires_any": {"requirements": [one(name), {"allow_missing": {}}]}});
    let requires = match names.as_slice() {
        [name] => or_missing(name),
        names => {
            let mut any: Vec<Value> = names.iter().map(one).collect();
            any.push(json!({"requires_all": {"requirements": names.iter().map(or_missing).collect::<Vec<_>>()}}));
            json!({"requires_any": {"requirements": any}})
        }
    };
    filter(
        "jwt_authn",
        "jwt_authn.v3.JwtAuthentication",
        json!({"providers": named, "bypass_cors_preflight": true,
        "rules": [{"match": {"prefix": "/"}, "requires": requires}]}),
    )
}

/// A case of one rule.
fn issuer(name: &'static str, istio: &str, envoy: Value, asks: Vec<Ask>) -> Case {
    let filters = vec![filter_of(&[provider("issuer.example", envoy)])];
    case(name, authentication(&[rule("issuer.example", istio)]), filters, asks)
}

fn bearing(line: &'static str, want: &'static str, token: &str) -> Ask {
    ask(line, want).with("authorization", format!("Bearer {token}"))
}

/// A request line is static: those with a token in them live as long as the test.
fn line(text: String) -> &'static str {
    Box::leak(text.into_boxed_str())
}

#[test]
fn which_tokens_are_believed() {
    let good = token(json!({}));
    let mut forged: Vec<&str> = good.split('.').collect();
    let eve = base64(json!({"iss": "https://issuer.example", "sub": "eve", "exp": now() + 3_600}).to_string());
    forged[1] = &eve;
    let unsigned = format!("{}.{}.", base64(r#"{"alg":"none"}"#), forged[1]);
    let cases = [
        issuer(
            "tokens",
            "",
            json!({}),
            vec![
                bearing("GET /a?b", "200 app", &good),
                ask("GET /", "200 app"),
                bearing("GET /", "401", &token(json!({"exp": now() - 120}))),
                bearing("GET /", "200 app", &token(json!({"exp": now() - 30}))),
                bearing("GET /", "401", &token(json!({"nbf": now() + 120}))),
                bearing("GET /", "200 app", &token(json!({"nbf": now() + 30}))),
                bearing("GET /", "401", &token(json!({"iss": "https://other.example"}))),
                bearing("GET /", "401", &token(json!({"iss": null}))),
                bearing("GET /", "200 app", &token(json!({"exp": null}))),
                bearing("GET /", "401", &token(json!({"exp": "soon"}))),
                bearing("GET /", "401", &forged.join(".")),
                bearing("GET /", "401", &unsigned),
                bearing("GET /", "401", &signed(&json!({"iss": "https://issuer.example"}), "one", &keys()[1])),
                bearing("GET /", "401", &signed(&json!({"iss": "https://issuer.example"}), "two", &keys()[1])),
                bearing("GET /", "401", "nonsense"),
                bearing("GET /", "401", "a.b.c"),
                bearing("GET /", "401", &format!("{good}.x")),
                bearing("HEAD /", "401", "nonsense"),
                bearing("POST /a.B/C", "200", "nonsense").with("content-type", "application/grpc"),
                ask("GET /", "200 app").with("authorization", "Basic abc"),
                ask("GET /", "200 app").with("authorization", "bearer nonsense"),
                ask("GET /", "200 app").with("authorization", format!("bearer {good}")),
                ask("GET /", "200 app").with("authorization", "Bearer "),
                ask("GET /", "200 app").with("authorization", "Bearer"),
                ask("OPTIONS /", "200 app")
                    .with("origin", "https://a")
                    .with("access-control-request-method", "GET")
                    .with("authorization", "Bearer nonsense"),
            ],
        ),
        issuer(
            "audiences",
            ", audiences: [web, other]",
            json!({"audiences": ["web", "other"]}),
            vec![
                bearing("GET /", "200 app", &good),
                bearing("GET /", "403", &token(json!({"aud": "shop"}))),
                bearing("GET /", "200 app", &token(json!({"aud": "web"}))),
                bearing("GET /", "403", &token(json!({"aud": null}))),
                bearing("GET /", "200 app", &token(json!({"aud": "https://web/"}))).with("x", "1"),
            ],
        ),
    ];
    run(&cases);
}

#[test]
fn where_tokens_are_found() {
    let (good, bad) = (token(json!({})), "nonsense");
    let cases = [
        issuer(
            "usual-places",
            "",
            json!({}),
            vec![
                ask(line(format!("GET /?a=1&access_token={good}&b=2")), "200 app"),
                ask(line(format!("GET /?access_token={good}")), "200 app"),
                ask("GET /?access_token=nonsense", "401"),
                bearing("GET /?access_token=nonsense", "401", &good),
                bearing(line(format!("GET /?access_token={good}")), "401", "nonsense"),
                bearing(line(format!("GET /?access_token={good}")), "200 app", &good),
                ask(line(format!("GET /?access_token=nonsense&access_token={good}")), "401"),
                bearing("GET /", "401", &good).with("authorization", "Bearer nonsense"),
            ],
        ),
        issuer(
            "own-header",
            ", fromHeaders: [{name: X-Token, prefix: 'T '}, {name: x-other}]",
            json!({"from_headers": [{"name": "X-Token", "value_prefix": "T "}, {"name": "x-other"}]}),
            vec![
                ask("GET /", "200 app").with("x-token", format!("T {good}")),
                ask("GET /", "401").with("x-token", "T nonsense"),
                ask("GET /", "200 app").with("x-token", bad),
                ask("GET /", "200 app").with("x-other", good.as_str()),
                ask("GET /", "401").with("x-other", bad),
                bearing("GET /", "200 app", bad),
                ask("GET /?access_token=nonsense", "200 app"),
            ],
        ),
        issuer(
            "own-parameter",
            ", fromParams: [t]",
            json!({"from_params": ["t"]}),
            vec![
                ask(line(format!("GET /?t={good}&u=1")), "200 app"),
                ask("GET /?t=nonsense", "401"),
                bearing("GET /", "200 app", bad),
            ],
        ),
        issuer(
            "own-cookie",
            ", fromCookies: [session]",
            json!({"from_cookies": ["session"]}),
            vec![
                ask("GET /", "200 app").with("cookie", format!("a=1; session={good}; b=2")),
                ask("GET /", "401").with("cookie", "a=1; session=nonsense"),
            ],
        ),
        issuer(
            "kept",
            ", forwardOriginalToken: true",
            json!({"forward": true}),
            vec![bearing("GET /", "200 app", &good), ask(line(format!("GET /?access_token={good}")), "200 app")],
        ),
        issuer(
            "as-headers",
            ", outputPayloadToHeader: x-payload, outputClaimToHeaders: [{header: x-sub, claim: sub}, {header: x-level, claim: level}, {header: x-admin, claim: admin}, {header: x-deep, claim: deep.er}, {header: x-groups, claim: groups}, {header: x-none, claim: none}, {header: x-whole, claim: deep}]",
            json!({"forward_payload_header": "x-payload", "claim_to_headers": [
                {"header_name": "x-sub", "claim_name": "sub"}, {"header_name": "x-level", "claim_name": "level"},
                {"header_name": "x-admin", "claim_name": "admin"}, {"header_name": "x-deep", "claim_name": "deep.er"},
                {"header_name": "x-groups", "claim_name": "groups"}, {"header_name": "x-none", "claim_name": "none"},
                {"header_name": "x-whole", "claim_name": "deep"}]}),
            vec![
                bearing("GET /", "200 app", &good)
                    .with("x-sub", "eve")
                    .with("x-payload", "mine")
                    .with("x-none", "n")
                    .with("x-groups", "g"),
                ask("GET /", "200 app").with("x-sub", "eve").with("x-payload", "mine"),
            ],
        ),
    ];
    run(&cases);
}

#[test]
fn several_issuers_and_policies_on_tokens() {
    let second = |changes: Value| token(with(json!({"iss": "https://second.example"}), changes));
    let providers = [
        provider("issuer.example", json!({})),
        provider("second.example", json!({"from_headers": [{"name": "x-second"}]})),
    ];
    let rules = [rule("issuer.example", ""), rule("second.example", ", fromHeaders: [{name: x-second}]")];
    let claim = |path: &[&str], value: Value| {
        let path: Vec<Value> = ["payload"].iter().chain(path).map(|key| json!({"key": key})).collect();
        json!({"metadata": {"filter": "envoy.filters.http.jwt_authn", "path": path, "value": value}})
    };
    let text = |value: &str| json!({"string_match": {"exact": value}});
    let one_of = |value: Value| json!({"list_match": {"one_of": value}});
    let allow = |name: &'static str, istio: &str, by: Value, asks: Vec<Ask>| {
        let policy = format!(
            "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {{name: only, namespace: shop}}\nspec: {{rules: [{istio}]}}\n---\n"
        );
        let istio = format!("{}{policy}", authentication(&[rule("issuer.example", "")]));
        case(
            name,
            istio,
            vec![filter_of(&[provider("issuer.example", json!({}))]), rbac("ALLOW", &[(json!({"any": true}), by)])],
            asks,
        )
    };
    let principal =
        json!({"and_ids": {"ids": [claim(&["iss"], text("https://issuer.example")), claim(&["sub"], text("ann"))]}});
    let cases = [
        case(
            "two-issuers",
            authentication(&rules),
            vec![filter_of(&providers)],
            vec![
                ask("GET /", "200 app"),
                bearing("GET /", "200 app", &token(json!({}))),
                ask("GET /", "200 app").with("x-second", second(json!({}))),
                ask("GET /", "401").with("x-second", "nonsense"),
                bearing("GET /", "200 app", &token(json!({}))).with("x-second", "nonsense"),
                bearing("GET /", "401", "nonsense"),
                bearing("GET /", "200 app", "nonsense").with("x-second", second(json!({}))),
                ask("GET /", "401").with("x-second", token(json!({}))),
                bearing("GET /?access_token=nonsense", "401", &token(json!({}))),
                bearing(line(format!("GET /?access_token={}", token(json!({})))), "401", "nonsense"),
                bearing("GET /?access_token=nonsense", "200 app", &token(json!({})))
                    .with("x-second", second(json!({}))),
                bearing("GET /", "200 app", &token(json!({}))).with("x-second", second(json!({}))),
            ],
        ),
        allow(
            "principal",
            "{from: [{source: {requestPrincipals: ['https://issuer.example/ann']}}]}",
            principal,
            vec![
                bearing("GET /", "200 app", &token(json!({}))),
                bearing("GET /", "403", &token(json!({"sub": "eve"}))),
                bearing("GET /", "403", &token(json!({"sub": null}))),
                ask("GET /", "403"),
                bearing("GET /", "401", "nonsense"),
            ],
        ),
        allow(
            "claim",
            "{when: [{key: 'request.auth.claims[groups]', values: [staff]}]}",
            json!({"or_ids": {"ids": [claim(&["groups"], one_of(text("staff"))), claim(&["groups"], text("staff"))]}}),
            vec![
                bearing("GET /", "200 app", &token(json!({}))),
                bearing("GET /", "403", &token(json!({"groups": ["night"]}))),
                bearing("GET /", "200 app", &token(json!({"groups": "staff"}))),
                ask("GET /", "403"),
            ],
        ),
        allow(
            "nested-claim",
            "{when: [{key: 'request.auth.claims[deep][er]', values: ['val*']}]}",
            claim(&["deep", "er"], json!({"string_match": {"prefix": "val"}})),
            vec![
                bearing("GET /", "200 app", &token(json!({}))),
                bearing("GET /", "403", &token(json!({"deep": {"er": "other"}}))),
                bearing("GET /", "403", &token(json!({"deep": "value"}))),
            ],
        ),
        allow(
            "audience",
            "{when: [{key: request.auth.audiences, values: [shop]}]}",
            json!({"or_ids": {"ids": [claim(&["aud"], one_of(text("shop"))), claim(&["aud"], text("shop"))]}}),
            vec![
                bearing("GET /", "200 app", &token(json!({}))),
                bearing("GET /", "403", &token(json!({"aud": "other"}))),
            ],
        ),
    ];
    run(&cases);
}

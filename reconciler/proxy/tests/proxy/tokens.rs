//! Tokens of requests: who is believed, and what rules, policies and applications see of it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair as RsaKeyPair, KeySize};
use aws_lc_rs::signature::{self, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use taut_proxy::{ProxyConfig, Refresh, Role};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::time::timeout;

use crate::client::{Answer, get_with, send};
use crate::connections::{GATEWAY, activate_with, entry};
use crate::fixture::{Issuer, PORT, Running, config};
use crate::mesh::SHOP;
use crate::server::App;

fn base64(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Signs a message.
type Sign = Box<dyn Fn(&[u8]) -> Vec<u8>>;

/// A key that signs tokens.
struct Signer {
    algorithm: &'static str,
    jwk: Value,
    sign: Sign,
}

impl Signer {
    fn rsa(algorithm: &'static str, padding: &'static dyn signature::RsaEncoding) -> Signer {
        let key = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
        let public = key.public_key();
        let n = base64(public.modulus().big_endian_without_leading_zero());
        let e = base64(public.exponent().big_endian_without_leading_zero());
        let sign = move |message: &[u8]| {
            let mut signature = vec![0; key.public_modulus_len()];
            key.sign(padding, &SystemRandom::new(), message, &mut signature).unwrap();
            signature
        };
        Signer { algorithm, jwk: json!({"kty": "RSA", "kid": algorithm, "n": n, "e": e}), sign: Box::new(sign) }
    }

    fn ec(algorithm: &'static str, curve: &str, way: &'static signature::EcdsaSigningAlgorithm) -> Signer {
        let key = EcdsaKeyPair::generate(way).unwrap();
        let point = key.public_key().as_ref()[1..].to_vec();
        let (x, y) = point.split_at(point.len() / 2);
        let jwk = json!({"kty": "EC", "kid": algorithm, "crv": curve, "x": base64(x), "y": base64(y)});
        let sign = move |message: &[u8]| key.sign(&SystemRandom::new(), message).unwrap().as_ref().to_vec();
        Signer { algorithm, jwk, sign: Box::new(sign) }
    }

    fn ed() -> Signer {
        let key = Ed25519KeyPair::generate().unwrap();
        let jwk = json!({"kty": "OKP", "kid": "EdDSA", "crv": "Ed25519", "x": base64(key.public_key())});
        Signer { algorithm: "EdDSA", jwk, sign: Box::new(move |message| key.sign(message).as_ref().to_vec()) }
    }

    fn jwks(signers: &[&Signer]) -> String {
        json!({"keys": signers.iter().map(|signer| signer.jwk.clone()).collect::<Vec<_>>()}).to_string()
    }

    fn token(&self, claims: &Value) -> String {
        let header = json!({"alg": self.algorithm, "kid": self.jwk["kid"], "typ": "JWT"});
        let signed = format!("{}.{}", base64(header.to_string()), base64(claims.to_string()));
        let signature = base64((self.sign)(signed.as_bytes()));
        format!("{signed}.{signature}")
    }
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

fn claims() -> Value {
    json!({"iss": "https://issuer.example", "sub": "ann", "aud": ["shop"], "azp": "web", "exp": now() + 3_600,
        "groups": ["staff", "night"], "scope": "read write", "deep": {"er": "value"}, "level": 7})
}

/// A proxy in front of `orders` that runs these resources.
async fn serving(yaml: &str) -> (Running, App) {
    let app = App::start("v1").await;
    let server = Running::serving(app.address, &Issuer::new());
    server.activate_mesh(&format!("{SHOP}{yaml}"));
    (server, app)
}

/// A request authentication of one rule.
fn authentication(rule: &str) -> String {
    format!(
        "apiVersion: security.istio.io/v1\nkind: RequestAuthentication\nmetadata: {{name: users, namespace: shop}}\n\
         spec:\n  selector: {{matchLabels: {{app: orders}}}}\n  jwtRules:\n  - {rule}\n---\n"
    )
}

fn issuer(signer: &Signer, rest: &str) -> String {
    authentication(&format!("{{issuer: 'https://issuer.example', jwks: '{}'{rest}}}", Signer::jwks(&[signer])))
}

async fn bearer(server: &Running, token: &str) -> Answer {
    get_with(server.address(), "orders:8080", "/", &[("authorization", &format!("Bearer {token}"))]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_of_every_algorithm_are_believed_and_forged_ones_are_not() {
    let signers = [
        Signer::rsa("RS256", &signature::RSA_PKCS1_SHA256),
        Signer::rsa("RS512", &signature::RSA_PKCS1_SHA512),
        Signer::rsa("PS256", &signature::RSA_PSS_SHA256),
        Signer::rsa("PS384", &signature::RSA_PSS_SHA384),
        Signer::ec("ES256", "P-256", &signature::ECDSA_P256_SHA256_FIXED_SIGNING),
        Signer::ec("ES384", "P-384", &signature::ECDSA_P384_SHA384_FIXED_SIGNING),
        Signer::ec("ES512", "P-521", &signature::ECDSA_P521_SHA512_FIXED_SIGNING),
        Signer::ed(),
    ];
    let all: Vec<&Signer> = signers.iter().collect();
    let rule = format!("{{issuer: 'https://issuer.example', jwks: '{}'}}", Signer::jwks(&all));
    let (server, _app) = serving(&authentication(&rule)).await;
    for signer in &signers {
        let token = signer.token(&claims());
        assert_eq!(bearer(&server, &token).await.status, 200, "{}", signer.algorithm);
        let mut forged = claims();
        forged["sub"] = "eve".into();
        let sections: Vec<&str> = token.split('.').collect();
        let forged = format!("{}.{}.{}", sections[0], base64(forged.to_string()), sections[2]);
        let refused = bearer(&server, &forged).await;
        assert_eq!((refused.status, refused.body.as_str()), (401, "Jwt verification fails"), "{}", signer.algorithm);
    }
    let unsigned = format!("{}.{}.", base64(r#"{"alg":"none"}"#), base64(claims().to_string()));
    assert_eq!(bearer(&server, &unsigned).await.status, 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_with_a_token_is_said_in_envoys_words() {
    let signer = Signer::ec("ES256", "P-256", &signature::ECDSA_P256_SHA256_FIXED_SIGNING);
    let other = Signer::ed();
    let (server, app) = serving(&issuer(&signer, ", audiences: [shop]")).await;
    let with = |name: &str, value: Value| {
        let mut claims = claims();
        claims[name] = value;
        signer.token(&claims)
    };
    let table = [
        (with("exp", (now() - 120).into()), 401, "Jwt is expired"),
        (with("exp", (now() - 30).into()), 200, ""),
        (with("nbf", (now() + 120).into()), 401, "Jwt not yet valid"),
        (with("iss", "https://other.example".into()), 401, "Jwt issuer is not configured"),
        (with("aud", "other".into()), 403, "Audiences in Jwt are not allowed"),
        (other.token(&claims()), 401, "Jwks doesn't have key to match kid or alg from Jwt"),
        ("nonsense".into(), 401, "Jwt is not in the form of Header.Payload.Signature with two dots and 3 sections"),
        ("a.b.c".into(), 401, "Jwt header is an invalid Base64url encoded"),
    ];
    for (token, status, body) in table {
        let answer = bearer(&server, &token).await;
        assert_eq!(answer.status, status, "{body}");
        if status != 200 {
            assert_eq!(answer.body, body);
            let challenge = answer.header("www-authenticate").unwrap();
            assert_eq!(challenge, "Bearer realm=\"http://orders:8080/\", error=\"invalid_token\"");
        }
    }
    assert_eq!(app.asked(), 1);
    assert_eq!(get_with(server.address(), "orders", "/", &[]).await.status, 200, "without a token one may pass");
    let preflight = [("origin", "https://a"), ("access-control-request-method", "GET"), ("authorization", "Bearer x")];
    let asked = send(server.address(), "OPTIONS", "orders", "/", &preflight, "").await;
    assert_eq!(asked.status, 200, "browsers send no token with these");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_found_where_the_rule_says_and_taken_away() {
    let signer = Signer::ed();
    let token = signer.token(&claims());
    let (server, _app) = serving(&issuer(&signer, "")).await;
    let seen = bearer(&server, &token).await.body;
    assert!(!seen.contains("authorization"), "{seen}");
    let seen = get_with(server.address(), "orders", &format!("/?a=1&access_token={token}&b=2"), &[]).await.body;
    assert!(seen.contains("GET /?a=1&b=2 HTTP/1.1"), "{seen}");
    let bad = get_with(server.address(), "orders", "/?access_token=x", &[]).await;
    assert_eq!(bad.status, 401);

    let places = ", fromHeaders: [{name: X-Token, prefix: 'T '}], fromParams: [t], fromCookies: [session]";
    let (server, _app) = serving(&issuer(&signer, places)).await;
    let forged = format!("{token}x");
    for (path, header) in [
        ("/".to_owned(), Some(("x-token", format!("T {forged}")))),
        (format!("/?t={forged}"), None),
        ("/".to_owned(), Some(("cookie", format!("a=1; session={forged}")))),
    ] {
        let headers: Vec<(&str, &str)> = header.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let refused = get_with(server.address(), "orders", &path, &headers).await;
        assert_eq!(refused.status, 401, "{path} {headers:?}");
    }
    let elsewhere = get_with(server.address(), "orders", "/", &[("authorization", &format!("Bearer {forged}"))]).await;
    assert_eq!(elsewhere.status, 200, "any place of one's own takes the usual ones away");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_application_sees_of_a_token_what_the_rule_says() {
    let signer = Signer::ed();
    let rest = ", forwardOriginalToken: true, outputPayloadToHeader: x-payload,
        outputClaimToHeaders: [{header: x-sub, claim: sub}, {header: x-deep, claim: deep.er}, {header: x-level, claim: level}]";
    let (server, _app) = serving(&issuer(&signer, rest)).await;
    let token = signer.token(&claims());
    let seen = bearer(&server, &token).await.body;
    let payload = token.split('.').nth(1).unwrap();
    for line in [
        format!("authorization: Bearer {token}"),
        format!("x-payload: {payload}"),
        "x-sub: ann".into(),
        "x-deep: value".into(),
        "x-level: 7".into(),
    ] {
        assert!(seen.lines().any(|one| one == line), "{line} in {seen}");
    }
    let forged = get_with(server.address(), "orders", "/", &[("x-sub", "root"), ("x-payload", "e30")]).await.body;
    assert!(!forged.contains("x-sub") && !forged.contains("x-payload"), "nobody else says so: {forged}");
}

#[tokio::test(flavor = "multi_thread")]
async fn policies_look_at_what_a_token_says() {
    let signer = Signer::ed();
    let policy = |rule: &str| {
        format!(
            "{}apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {{name: users, namespace: shop}}\n\
             spec:\n  selector: {{matchLabels: {{app: orders}}}}\n  rules:\n  - {rule}\n",
            issuer(&signer, "")
        )
    };
    let token = signer.token(&claims());
    let table = [
        ("{from: [{source: {requestPrincipals: ['https://issuer.example/ann']}}]}", true),
        ("{from: [{source: {requestPrincipals: ['https://issuer.example/*']}}]}", true),
        ("{from: [{source: {requestPrincipals: ['*']}}]}", true),
        ("{from: [{source: {requestPrincipals: ['https://issuer.example/eve']}}]}", false),
        ("{from: [{source: {notRequestPrincipals: ['*']}}]}", false),
        ("{when: [{key: request.auth.audiences, values: [shop]}]}", true),
        ("{when: [{key: request.auth.presenter, values: [web]}]}", true),
        ("{when: [{key: 'request.auth.claims[groups]', values: [night]}]}", true),
        ("{when: [{key: 'request.auth.claims[groups]', values: [day]}]}", false),
        ("{when: [{key: 'request.auth.claims[scope]', values: [write]}]}", true),
        ("{when: [{key: 'request.auth.claims[deep][er]', values: ['val*']}]}", true),
        ("{when: [{key: 'request.auth.claims[level]', values: ['7']}]}", false),
        ("{when: [{key: 'request.auth.claims[none]', notValues: [x]}]}", true),
    ];
    let (server, _app) = serving("").await;
    for (rule, allowed) in table {
        server.activate_mesh(&format!("{SHOP}{}", policy(rule)));
        let answer = bearer(&server, &token).await;
        assert_eq!(answer.status, if allowed { 200 } else { 403 }, "{rule}");
        if rule.contains("requestPrincipals") {
            let nobody = get_with(server.address(), "orders", "/", &[]).await;
            assert_eq!((nobody.status, nobody.body.as_str()), (403, "RBAC: access denied"), "{rule}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_fetched_before_the_first_request() {
    let signer = Signer::rsa("RS256", &signature::RSA_PKCS1_SHA256);
    let keys = App::serving_text(Signer::jwks(&[&signer])).await;
    let uri = format!("http://{}/keys", keys.address);
    let (server, _app) =
        serving(&authentication(&format!("{{issuer: 'https://issuer.example', jwksUri: '{uri}'}}"))).await;
    assert_eq!(bearer(&server, &signer.token(&claims())).await.status, 200);
    let asked = keys.asked();
    server.activate_mesh(&format!(
        "{SHOP}{}",
        authentication(&format!("{{issuer: 'https://issuer.example', jwksUri: '{uri}', audiences: [shop]}}"))
    ));
    assert_eq!(bearer(&server, &signer.token(&claims())).await.status, 200);
    assert_eq!((asked, keys.asked()), (1, 1), "another snapshot with the same keys does not ask again");

    let nowhere = crate::server::nobody().await;
    let rule = format!("{{issuer: 'https://issuer.example', jwksUri: 'http://{nowhere}/'}}");
    server.activate_mesh(&format!("{SHOP}{}", authentication(&rule)));
    let refused = bearer(&server, &signer.token(&claims())).await;
    assert_eq!((refused.status, refused.body.as_str()), (401, "Jwks remote fetch is failed"));
}

#[tokio::test(flavor = "multi_thread")]
async fn with_two_issuers_one_good_token_is_enough() {
    let (one, two) = (Signer::ed(), Signer::ec("ES256", "P-256", &signature::ECDSA_P256_SHA256_FIXED_SIGNING));
    let rules = format!(
        "{{issuer: 'https://issuer.example', jwks: '{}'}}\n  - {{issuer: 'https://second.example', jwks: '{}', fromHeaders: [{{name: x-second}}]}}",
        Signer::jwks(&[&one]),
        Signer::jwks(&[&two])
    );
    let (server, _app) = serving(&authentication(&rules)).await;
    let mut second = claims();
    second["iss"] = "https://second.example".into();
    assert_eq!(bearer(&server, &one.token(&claims())).await.status, 200);
    assert_eq!(get_with(server.address(), "orders", "/", &[("x-second", &two.token(&second))]).await.status, 200);
    let refused = get_with(server.address(), "orders", "/", &[("x-second", "x.y.z")]).await;
    assert_eq!(refused.status, 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_issuer_says_where_its_keys_are() {
    let signer = Signer::ed();
    let keys = App::serving_text(Signer::jwks(&[&signer])).await;
    let uri = format!("http://{}/keys", keys.address);
    let issuer = App::serving_text(json!({"issuer": "whoever", "jwks_uri": uri}).to_string()).await;
    let name = format!("http://{}", issuer.address);
    let (server, _app) = serving(&authentication(&format!("{{issuer: '{name}'}}"))).await;
    let mut claims = claims();
    claims["iss"] = name.into();
    assert_eq!(bearer(&server, &signer.token(&claims)).await.status, 200);
    assert_eq!((issuer.asked(), keys.asked()), (1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_routes_by_what_a_token_says() {
    let (one, two, signer) = (App::start("one").await, App::start("two").await, Signer::ed());
    let gateway = Running::start("web", &[Role::Gateway { port: 80 }], Issuer::new().identity("web"));
    let yaml = entry("one", "10.1.0.1", "HTTP", &[(one.address, "a")])
        + &entry("two", "10.1.0.2", "HTTP", &[(two.address, "a")])
        + GATEWAY
        + "  - {port: {number: 80, name: http, protocol: HTTP}, hosts: ['*']}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: web, namespace: shop}
spec:
  hosts: [shop.example]
  gateways: [web]
  http:
  - match: [{headers: {'@request.auth.claims.groups': {exact: staff}}}]
    route: [{destination: {host: one.example}}]
  - route: [{destination: {host: two.example}}]
---
" + &issuer(&signer, "").replace("app: orders", "app: web");
    activate_with(&gateway, "{}", &yaml, vec![]);
    let mut guest = claims();
    guest["groups"] = json!(["guests"]);
    let ask = async |token: Option<String>| {
        let bearer = token.map(|token| format!("Bearer {token}"));
        let headers: Vec<(&str, &str)> = bearer.iter().map(|bearer| ("authorization", bearer.as_str())).collect();
        get_with(gateway.address(), "shop.example", "/", &headers).await.app().to_owned()
    };
    assert_eq!(ask(Some(signer.token(&claims()))).await, "one");
    assert_eq!(ask(Some(signer.token(&guest))).await, "two");
    assert_eq!(ask(None).await, "two");
}

/// An issuer's page of keys, which changes: without a text, it answers that it cannot. Counts how often it was asked.
async fn changing_page() -> (SocketAddr, watch::Sender<Option<String>>, Arc<AtomicU32>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (page, shown) = watch::channel(None::<String>);
    let asked = Arc::new(AtomicU32::new(0));
    let count = asked.clone();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut head = [0; 4096];
            let _ = stream.read(&mut head).await;
            let shown = shown.borrow().clone();
            let (status, text) = shown.map_or(("503 No", String::new()), |text| ("200 OK", text));
            let answer = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n\r\n{text}", text.len());
            let _ = stream.write_all(answer.as_bytes()).await;
            count.fetch_add(1, Ordering::SeqCst);
        }
    });
    (address, page, asked)
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_renewed_while_requests_run_and_the_last_good_ones_stay() {
    let (one, two) = (Signer::ed(), Signer::ec("ES256", "P-256", &signature::ECDSA_P256_SHA256_FIXED_SIGNING));
    let (address, page, asked) = changing_page().await;
    page.send_replace(Some(Signer::jwks(&[&one])));
    let app = App::start("v1").await;
    let often = Duration::from_millis(50);
    let refresh = Refresh { keys: often, keys_after_failure: often, ..Refresh::USUAL };
    let role = Role::Inbound { port: PORT, application: app.address };
    let server =
        Running::start_with(ProxyConfig { refresh, ..config("orders", &[role]) }, Issuer::new().identity("orders"));
    let rule = format!("{{issuer: 'https://issuer.example', jwksUri: 'http://{address}/'}}");
    server.activate_mesh(&format!("{SHOP}{}", authentication(&rule)));
    let status = async |signer: &Signer| bearer(&server, &signer.token(&claims())).await.status;
    assert_eq!((status(&one).await, status(&two).await), (200, 401));

    // From one set to the next there is no moment without one: whoever is not believed by the first is by the second.
    page.send_replace(Some(Signer::jwks(&[&two])));
    let renewed = async {
        while status(&one).await == 200 {}
        assert_eq!(status(&two).await, 200);
    };
    timeout(Duration::from_secs(20), renewed).await.expect("the keys are fetched again");
    assert_eq!(status(&one).await, 401, "a key that is withdrawn counts no longer");

    for bad in [None, Some(String::new()), Some("{\"keys\": []}".to_owned()), Some("{\"keys\": 1}".to_owned())] {
        page.send_replace(bad.clone());
        let before = asked.load(Ordering::SeqCst);
        let looked = async {
            while asked.load(Ordering::SeqCst) < before + 3 {
                assert_eq!(status(&two).await, 200, "{bad:?}");
            }
        };
        timeout(Duration::from_secs(20), looked).await.expect("it is asked again and again");
    }
    page.send_replace(Some(Signer::jwks(&[&one, &two])));
    let both = async { while status(&one).await != 200 {} };
    timeout(Duration::from_secs(20), both).await.expect("it is looked at again after failures");
    assert_eq!(status(&two).await, 200);
}

//! Every target of `tests/fuzz`, by seed: what nobody wrote stops no parser and no decoder.

use harness::fuzz::TARGETS;
use harness::{Draws, compile_folder, mutate, near_yaml, root};
use taut_snapshot::format::{codec::Encode as _, file};

/// Inputs for each target: enough to meet each branch of the small ones, and little enough for every run of the tests.
const ROUNDS: u64 = 400;

/// What the targets take, or nearly.
const TEXTS: &[&str] = &[
    "spec:\n  hosts: [orders]\n  http:\n  - match: [{uri: {prefix: /a}}]\n    route: [{destination: {host: orders}}]\n",
    "[[suppress]]\ncode = \"IST0118\"\nresource = \"Service shop/*\"\nowner = \"a\"\nuntil = 2030-06-30\nreason = \"b\"\n",
    "GET\norders.shop\n/api/v1?q=1\nx-canary: a1\n",
    "(?i)^[[:alpha:]]+(a|b){2,3}\\pL[^\\d\\s]*?$",
    "spiffe://cluster.local/ns/shop/sa/orders",
    "10.0.0.0/8",
    "*.orders.example.com",
    "/a?token=a.b.c&x=1\nauthorization: Bearer eyJhbGciOiJFZERTQSJ9.eyJhIjp7ImIiOjF9fQ.AAAA\ncookie: token=\"a.b.c\"; x=y",
    "/\nb3: 80f198ee56343ba864fe8b2a57d3eff7-e457b5a2e4d86bd1-1-05e3ac9a4f6e3b90\nx-b3-traceid: 463ac35c9f6413ad\nx-b3-spanid: a2fb4a1d1a96d312\nx-b3-flags: 1",
    "/\ntraceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\nupgrade: websocket\nconnection: upgrade",
    "{\"keys\": [{\"kty\": \"RSA\", \"n\": \"AQAB\", \"e\": \"AQAB\"}, {\"kty\": \"EC\", \"crv\": \"P-256\", \"x\": \"AA\", \"y\": \"AA\"}]}",
    "[%START_TIME%] \"%REQ(:METHOD):3% %REQ(X-A?:PATH)%\" %RESPONSE_CODE% %DURATION% 100%%",
    "response.code >= 500 || (request.headers['x-a'] == 'b' && !connection.mtls)",
    "\u{3}PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "\u{1}\u{16}\u{3}\u{1}\0\u{5}\u{1}\0\0\u{1}\u{3}",
    "taut1.AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA.0000000000000000000000000000000000000000000000000000000000000000",
    "-----BEGIN CERTIFICATE-----\nMAAwAA==\n-----END CERTIFICATE-----\n",
];

#[test]
fn no_bytes_stop_a_parser_or_a_decoder() {
    let (_, compiled) = compile_folder(&root().join("golden/cases/demo/shop"));
    let snapshot = compiled.snapshot.unwrap();
    let mut map = Vec::new();
    compiled.source_map.encode(&mut map);
    // Without the digest at its end: the target adds the one that fits.
    let mut written = file::write(&snapshot);
    written.truncate(written.len() - 32);
    let mut samples = vec![map, written];
    samples.extend(snapshot.objects.iter().map(|(_, bytes)| bytes.to_vec()));
    let texts: Vec<String> = TEXTS.iter().map(|text| (*text).to_owned()).collect();
    let mut wrong = Vec::new();
    for (name, run) in TARGETS {
        for seed in 0..ROUNDS {
            let mut draws = Draws::new(seed);
            let mut bytes = match draws.below(4) {
                0 => draws.pick(&samples).clone(),
                1 => near_yaml(&mut draws).into_bytes(),
                _ => (0..draws.below(3))
                    .fold(draws.pick(&texts).clone(), |text, _| mutate(&text, &texts, &mut draws))
                    .into(),
            };
            for _ in 0..draws.below(3) {
                let at = draws.below(bytes.len());
                if let Some(byte) = bytes.get_mut(at) {
                    *byte ^= 1 << draws.below(8);
                }
            }
            // The panic of a target says what is wrong; this, with which input.
            if std::panic::catch_unwind(|| run(&bytes)).is_err() {
                wrong.push(format!("{name}, seed {seed}: {:?}", String::from_utf8_lossy(&bytes)));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// A target that is not built is not run.
#[test]
fn every_target_has_its_program() {
    let manifest = std::fs::read_to_string(root().join("tests/fuzz/Cargo.toml")).unwrap();
    for (name, _) in TARGETS {
        assert!(manifest.contains(&format!("name = \"{name}\"\npath = \"targets/{name}.rs\"")), "{name}");
        let program = std::fs::read_to_string(root().join(format!("tests/fuzz/targets/{name}.rs"))).unwrap();
        assert!(program.contains(&format!("harness::fuzz::{name}(bytes)")), "{name}");
    }
}

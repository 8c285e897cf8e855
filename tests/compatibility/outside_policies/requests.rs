//! Requests made up from the very words of some policies, so that each condition is met now and then.

use std::net::{IpAddr, Ipv4Addr};

use harness::Draws;
use serde_json::Value;
use taut_compile::explain::{Bytes, Claims, Direction, ProxyOf, Question, Tls, labels};
use taut_snapshot::Text;

/// The words of some policies, by the field that they stand in.
pub(super) struct Pools {
    words: Vec<(String, String)>,
    claims: Vec<Vec<Text>>,
    headers: Vec<String>,
}

impl Pools {
    pub(super) fn of(policies: &str) -> Pools {
        let mut pools = Pools { words: Vec::new(), claims: Vec::new(), headers: Vec::new() };
        for document in policies.split("\n---") {
            let policy: Value = serde_yaml::from_str(document).unwrap();
            pools.add("", &policy["spec"]["rules"]);
        }
        pools
    }

    fn add(&mut self, field: &str, value: &Value) {
        match value {
            Value::Array(items) => items.iter().for_each(|item| self.add(field, item)),
            Value::String(word) => {
                self.words.push((field.trim_start_matches("not").to_ascii_lowercase(), word.clone()))
            }
            Value::Object(fields) => {
                let key = fields.get("key").and_then(Value::as_str);
                if let Some(path) = key.and_then(|key| key.strip_prefix("request.auth.claims")) {
                    self.claims.push(path.split(['[', ']']).filter(|it| !it.is_empty()).map(Text::new).collect());
                }
                if let Some(name) = key.and_then(|key| key.strip_prefix("request.headers[")) {
                    self.headers.push(name.trim_end_matches(']').to_owned());
                }
                for (name, value) in fields.iter().filter(|(name, _)| *name != "key") {
                    self.add(key.unwrap_or(name), value);
                }
            }
            _ => {}
        }
    }

    /// A value that meets some word of these fields, or nearly.
    fn word(&self, fields: &[&str], draws: &mut Draws) -> String {
        let words: Vec<&String> =
            self.words.iter().filter(|(field, _)| fields.contains(&&**field)).map(|(_, word)| word).collect();
        if words.is_empty() || draws.below(8) == 0 {
            return (*draws.pick(&["other", "x", ""])).to_owned();
        }
        let any = ["x", "y/z", ""][draws.below(3)];
        let word = draws.pick(&words).replace("{**}", "a/b").replace("{*}", "a").replace('*', any);
        match draws.below(12) {
            0 => word.to_ascii_uppercase(),
            1 => format!("{word}x"),
            _ => word,
        }
    }

    fn address(&self, fields: &[&str], draws: &mut Draws) -> IpAddr {
        let word = self.word(fields, draws);
        let base = word.split('/').next().and_then(|word| word.parse().ok()).unwrap_or(Ipv4Addr::new(172, 16, 0, 1));
        let moved = if draws.below(2) == 0 { base.to_bits() } else { base.to_bits() ^ (1 << draws.below(20)) };
        IpAddr::V4(Ipv4Addr::from_bits(moved))
    }

    pub(super) fn question(&self, proxy: &Value, draws: &mut Draws) -> Question {
        let pairs = proxy["labels"].as_object().unwrap().iter();
        let pairs = pairs.map(|(name, value)| (Text::new(name), Text::new(value.as_str().unwrap())));
        let namespace = proxy["namespace"].as_str().unwrap();
        let port = self.word(&["ports", "destination.port"], draws).parse().unwrap_or(8080);
        let peer = (draws.below(5) != 0).then(|| self.peer(namespace, draws));
        let path = self.word(&["paths"], draws);
        let token = draws.below(3) != 0;
        Question {
            proxy: ProxyOf {
                gateway: false,
                namespace: namespace.into(),
                labels: labels(pairs),
                addresses: Vec::new(),
            },
            direction: Direction::Inbound,
            address: self.address(&["destination.ip"], draws),
            source: Some(self.address(&["ipblocks", "remoteipblocks", "source.ip", "remote.ip"], draws)),
            port,
            bytes: Bytes::Http,
            tls: if peer.is_some() { Tls::Mesh } else { Tls::Plaintext },
            server_name: peer.is_some().then(|| self.word(&["connection.sni"], draws).into()),
            alpn: None,
            peer: peer.map(Text::from),
            method: self.word(&["methods"], draws).into(),
            host: self.word(&["hosts"], draws).into(),
            path: if path.starts_with('/') { path.into() } else { format!("/{path}").into() },
            headers: self
                .headers
                .iter()
                .map(|name| {
                    (name.clone(), self.word(&[&format!("request.headers[{name}]").to_ascii_lowercase()], draws))
                })
                .collect(),
            jwt: token.then(|| self.token(draws)),
        }
    }

    fn peer(&self, own: &str, draws: &mut Draws) -> String {
        let namespace = match self.word(&["namespaces", "source.namespace"], draws) {
            empty if empty.is_empty() => own.to_owned(),
            namespace => namespace,
        };
        let domain = draws.pick(&["cluster.local", "td1", "some-td", "other", "trust.example"]);
        match draws.below(3) {
            0 => format!("spiffe://{}", self.word(&["principals", "source.principal"], draws)),
            1 => format!("spiffe://{domain}/ns/{namespace}/sa/sleep"),
            _ => {
                let account = self.word(&["serviceaccounts", "source.serviceaccount"], draws);
                let (namespace, account) = account.split_once('/').unwrap_or((own, &account));
                format!("spiffe://{domain}/ns/{namespace}/sa/{account}")
            }
        }
    }

    fn token(&self, draws: &mut Draws) -> Claims {
        let one = |name: &str, text: String| (vec![Text::new(name)], vec![Text::from(text)]);
        let principal = self.word(&["requestprincipals", "request.auth.principal"], draws);
        // No token has an empty subject: see `exceptions.md`.
        let (issuer, subject) = principal.rsplit_once('/').unwrap_or((&principal, "x"));
        let subject = if subject.is_empty() { "x" } else { subject };
        let mut claims = vec![one("iss", issuer.into()), one("sub", subject.into())];
        claims.push(one("aud", self.word(&["request.auth.audiences"], draws)));
        claims.push(one("azp", self.word(&["request.auth.presenter"], draws)));
        for path in self.claims.iter().filter(|path| path.len() != 1 || path[0] != "iss") {
            let field: String = path.iter().map(|name| format!("[{name}]")).collect();
            claims.push((
                path.clone(),
                vec![self.word(&[&format!("request.auth.claims{field}").to_ascii_lowercase()], draws).into()],
            ));
        }
        claims
    }
}

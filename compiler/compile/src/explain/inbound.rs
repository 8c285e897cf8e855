//! A request that comes to a workload, and what its policies say.

use taut_snapshot::decide::{Noted, Peer, Verdict, normalize};

use super::{Answer, Asked, Because, Fault, Security, Tls};

impl Asked<'_> {
    pub(super) fn inbound(&self) -> Answer {
        let incoming = match self.tables.incoming(&self.connection()) {
            Ok(incoming) => incoming,
            Err(refusal) => return Answer::fault(refusal),
        };
        if incoming.circular {
            return Answer::to("BlackHoleCluster");
        }
        let port = self.question.port;
        let mut answer = match incoming.port {
            Some(_) => Answer::to(&format!("inbound|{port}||")),
            None => Answer::to("InboundPassthroughCluster"),
        };
        answer.tls = Some(match (incoming.mtls, self.question.tls) {
            (true, _) => Security::Mtls,
            (false, Tls::Plaintext) => Security::Plaintext,
            (false, _) => Security::Passthrough,
        });
        if incoming.requests {
            answer.virtual_host = Some(match incoming.port {
                Some(_) => format!("inbound|http|{port}"),
                None => "inbound|http|0".into(),
            });
            answer.route = Some("default".into());
        }
        self.authorize(incoming.requests, &mut answer);
        answer
    }

    /// What the workload's policies say.
    pub(super) fn authorize(&self, requests: bool, into: &mut Answer) {
        let question = self.question;
        let unspecified = std::net::IpAddr::from([0, 0, 0, 0]);
        let peer = Peer {
            identity: question.peer.as_deref().filter(|_| question.tls != Tls::Tls),
            source: question.source.unwrap_or(unspecified),
            remote: question.source.unwrap_or(unspecified),
            destination: question.address,
            port: question.port,
            server_name: question.server_name.as_deref(),
        };
        let path = normalize(question.split_path().0, &self.tables.mesh.path_normalization);
        let path = path.unwrap_or_default();
        let request = question.request(&path);
        let verdict = self.tables.policies.authorize(&peer, requests.then_some(&request));
        let (word, policy) = match verdict {
            Verdict::NotApplicable => ("not_applicable", None),
            Verdict::Allow(policy) => ("allow", policy),
            Verdict::Deny(policy) => ("deny", policy),
        };
        let asked = self.tables.policies.asked(&peer, requests.then_some(&request));
        into.authz.notes.extend(asked.map(|(policy, provider)| format!("{policy} asks {provider} first")));
        let noted = self.tables.policies.noted(&peer, requests.then_some(&request));
        into.authz.notes.extend(noted.map(|(policy, noted)| match noted {
            Noted::Audit => format!("{policy} notes it"),
            Noted::WouldDeny => format!("{policy} would deny it"),
            Noted::WouldAllow => format!("{policy} would allow it"),
        }));
        into.authz.verdict = word;
        into.authz.policy = policy.cloned();
        if !verdict.allowed() {
            into.fault = Some(Fault::Denied);
        }
        let mut all = Answer::default();
        if let Some(policies) = self.tables.view.policies {
            self.because(policies.digest, 0, &mut all);
        }
        // Of a rejection by nobody in particular, every ALLOW policy is the reason.
        let named = |it: &Because| policy.is_none_or(|name| *name == format!("{}/{}", it.namespace, it.name));
        into.because.extend(all.because.into_iter().filter(named));
    }
}

//! A request that comes to a gateway.

use taut_snapshot::decide::{Arriving, GatewayServer, normalize};

use super::{Answer, Asked, Fault, Tls};

impl Asked<'_> {
    pub(super) fn gateway(&self) -> Answer {
        let arriving = match self.tables.arriving(&self.connection()) {
            Ok(arriving) => arriving,
            Err(refusal) => return Answer::fault(refusal),
        };
        let mut answer = match arriving {
            Arriving::Requests(server) => self.at_server(server),
            Arriving::Targets(server, targets, digest, rule) => {
                let mut answer = Answer::new();
                self.because(digest, rule + 1, &mut answer);
                self.targets(targets.iter().map(|(target, weight)| (target, *weight)), &mut answer);
                if server.passes_tls() {
                    answer.tls = Some(super::Security::Passthrough);
                }
                answer
            }
        };
        if matches!(answer.fault, None | Some(Fault::NoRoute)) {
            self.authorize(matches!(arriving, Arriving::Requests(_)), &mut answer);
        }
        answer
    }

    fn at_server(&self, server: &GatewayServer) -> Answer {
        let mut answer = Answer::new();
        if server.entries.is_empty() {
            // Istio's name for a table that is there only to say no.
            answer.virtual_host = Some(format!("blackhole:{}", server.number));
            answer.fault = Some(Fault::NoRoute);
            return answer;
        }
        let Some(host) = server.host(&self.question.host) else { return Answer::fault(Fault::NoVirtualHost) };
        answer.virtual_host = Some(server.name_of(host));
        if host.https_only && self.question.tls == Tls::Plaintext {
            answer.fault = Some(Fault::TlsRedirect);
            return answer;
        }
        let path = normalize(self.question.split_path().0, &self.tables.mesh.path_normalization);
        let hit = match (path, self.tables.gateway_router(host)) {
            (Ok(path), Some(router)) => self.ask(router, &path, &mut answer),
            _ => None,
        };
        match hit {
            Some(hit) => {
                self.act(hit.todo, &mut answer);
                self.make(&hit, &mut answer);
            }
            None => answer.fault = Some(Fault::NoRoute),
        }
        answer
    }
}

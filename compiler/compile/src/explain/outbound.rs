//! A request on its way out of a workload.

use taut_snapshot::decide::{Hit, Outgoing, Requests, ToDo, VirtualHost, normalize};

use super::{Answer, Asked, Fault, made};

impl Asked<'_> {
    pub(super) fn outbound(&self) -> Answer {
        let is_endpoint = |host: &VirtualHost<'_>, address| self.is_endpoint(host, address);
        let mut answer = Answer::new();
        match self.tables.outgoing(&self.connection(), &is_endpoint) {
            Err(refusal) => return Answer::fault(refusal),
            Ok(Outgoing::Loop) => return Answer::to("BlackHoleCluster"),
            Ok(Outgoing::Unknown) => return self.unknown(),
            Ok(Outgoing::Requests(requests)) => return self.out_request(requests),
            Ok(Outgoing::Cluster(cluster, service)) => {
                self.because(service, 0, &mut answer);
                self.targets([(&Ok(cluster), 1)].into_iter(), &mut answer);
            }
            Ok(Outgoing::Targets(targets, digest, rule)) => {
                self.because(digest, rule + 1, &mut answer);
                self.targets(targets.iter().map(|(target, weight)| (target, *weight)), &mut answer);
            }
        }
        answer
    }

    /// What becomes of bytes for nobody that the workload knows.
    fn unknown(&self) -> Answer {
        if self.tables.registry_only() {
            return Answer { tls: None, ..Answer::to("BlackHoleCluster") };
        }
        match self.tables.through() {
            Some(proxy) => {
                let mut answer = Answer::new();
                self.targets([(&Ok(proxy), 1)].into_iter(), &mut answer);
                answer
            }
            None => Answer::to("PassthroughCluster"),
        }
    }

    fn out_request(&self, requests: Requests<'_>) -> Answer {
        let Some(host) = requests.host(&self.question.host) else {
            if self.tables.registry_only() {
                let (name, route) = (Some("block_all".into()), Some("block_all".into()));
                return Answer { virtual_host: name, route, status: Some(502), ..Answer::new() };
            }
            let (name, route) = (Some("allow_any".into()), Some("allow_any".into()));
            return Answer { virtual_host: name, route, ..self.unknown() };
        };
        let mut answer = Answer { virtual_host: Some(host.name()), ..Answer::new() };
        if let Some(entry) = self.tables.services.iter().find(|it| it.service.host == host.service.host) {
            self.because(entry.digest, 0, &mut answer);
        }
        let Ok(path) = normalize(self.question.split_path().0, &self.tables.mesh.path_normalization) else {
            return Answer { fault: Some(Fault::Protocol), ..answer };
        };
        let todo = match host.router {
            Some(router) => match self.ask(router, &path, &mut answer) {
                Some(hit) => {
                    self.act(hit.todo, &mut answer);
                    self.make(&hit, &mut answer);
                    return answer;
                }
                None => return Answer { fault: Some(Fault::NoRoute), ..answer },
            },
            None => match host.otherwise {
                Some(todo) => {
                    answer.route = Some("default".into());
                    todo
                }
                None => return Answer { fault: Some(Fault::NoRoute), ..answer },
            },
        };
        self.act(todo, &mut answer);
        answer
    }

    /// What the request would get in headers that are made for it.
    pub(super) fn make(&self, hit: &Hit<'_>, into: &mut Answer) {
        let forward = match hit.todo {
            ToDo::Forward(forward) => Some(forward),
            ToDo::Redirect(_) | ToDo::Respond(_) => None,
        };
        made::add(self.question, hit, forward, into);
    }

    pub(super) fn act(&self, todo: &ToDo, into: &mut Answer) {
        match todo {
            ToDo::Forward(forward) => self.forward(forward, into),
            ToDo::Redirect(redirect) => into.status = Some(redirect.status),
            ToDo::Respond(respond) => into.status = Some(respond.status),
        }
    }
}

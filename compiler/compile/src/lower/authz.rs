//! Authorization policies become tests (semantics.md §11.4).

use std::collections::BTreeSet;
use std::net::IpAddr;

use taut_model::policies_of;
use taut_resources::{Action, At, AuthorizationPolicy, AuthzSource, Condition, ExtAuthzHttp, Operation};
use taut_snapshot::Text;
use taut_snapshot::format::codec::{Blob, Link};
use taut_snapshot::object::{
    Asks, Authorizer, AuthzRule, Clause, Conjunction, CustomPolicy, HeaderTest, HttpAsk, IpBlock, Policy, PolicySet,
    ServiceAccountTest, Test, TextTest,
};

use super::Lowering;
use crate::origins::Source;

/// How long whoever is asked may take (Istio's default).
const ANSWER_MS: u64 = 600_000;

/// The status when nobody answers.
const FORBIDDEN: u16 = 403;

impl Lowering<'_, '_> {
    /// The policies of a workload; none if it has none.
    pub(super) fn policies(&mut self, namespace: &str, labels: &taut_model::LabelSet) -> Option<Link<PolicySet>> {
        let mut set = PolicySet {
            deny: Vec::new(),
            allow: Vec::new(),
            custom: Vec::new(),
            audit: Vec::new(),
            authorizers: Vec::new(),
        };
        let mut sources = Vec::new();
        let mesh = self.mesh;
        for policy in policies_of(mesh, namespace, labels) {
            let context = Context { namespace: policy.namespace(), settings: &mesh.settings };
            let lowered = Policy {
                name: format!("{}/{}", policy.namespace(), policy.name()).into(),
                rules: policy.spec.rules.iter().flatten().map(|rule| context.rule(rule)).collect(),
                dry_run: dry_run(policy.resource),
            };
            sources.push(Source::new(0, policy.resource, policy.spec.span));
            match action(policy.spec) {
                Action::Deny => set.deny.push(lowered),
                Action::Allow => set.allow.push(lowered),
                Action::Audit => set.audit.push(lowered),
                Action::Custom => {
                    let name = policy.spec.provider.as_ref().and_then(|it| it.name.as_ref());
                    let provider = name.map(|name| name.value.clone()).unwrap_or_default();
                    let unknown = !mesh.settings.authorizers.contains(&provider);
                    set.custom.push(CustomPolicy { policy: lowered, provider, unknown });
                }
            }
        }
        if sources.is_empty() {
            return None;
        }
        set.deny.sort();
        set.allow.sort();
        set.audit.sort();
        set.custom.sort();
        let names: BTreeSet<Text> = set.custom.iter().map(|it| it.provider.clone()).collect();
        set.authorizers = names.iter().filter_map(|name| self.authorizer(name, namespace)).collect();
        let link = self.objects.insert(&set);
        self.origins.add(link.digest, sources);
        Some(link)
    }
}

impl Lowering<'_, '_> {
    /// Whoever is asked under a name, for a client of this namespace; none if the mesh has no such service.
    fn authorizer(&mut self, name: &Text, namespace: &str) -> Option<Authorizer> {
        let mesh = self.mesh;
        let provider = mesh.settings.providers.iter().find(|provider| provider.name.value == *name)?;
        let (service, port, timeout, fail_open, status, clear_route, how) =
            match (&provider.envoy_ext_authz_http, &provider.envoy_ext_authz_grpc) {
                (Some(it), _) => {
                    let how = Asks::Http(http_ask(it));
                    let status = &it.status_on_error;
                    (&it.service, &it.port, it.timeout, it.fail_open, status, it.clear_route_cache, how)
                }
                (None, Some(it)) => {
                    let status = &it.status_on_error;
                    (&it.service, &it.port, it.timeout, it.fail_open, status, it.clear_route_cache, Asks::Grpc)
                }
                (None, None) => return None,
            };
        let clusters = self.provider_clusters(service, port.value.0, namespace)?;
        let on = |flag: Option<At<bool>>| flag.is_some_and(|flag| flag.value);
        Some(Authorizer {
            name: name.clone(),
            clusters,
            how,
            timeout_ms: timeout.map_or(ANSWER_MS, |timeout| timeout.value.0.as_millis()),
            fail_open: on(fail_open),
            status_on_error: status.as_ref().and_then(|status| status.parse().ok()).unwrap_or(FORBIDDEN),
            clear_route: on(clear_route),
        })
    }
}

fn http_ask(from: &ExtAuthzHttp) -> HttpAsk {
    let names = |names: &[At<Text>]| names.iter().map(|name| name.to_ascii_lowercase().into()).collect::<Vec<Text>>();
    let old = &from.include_headers_in_check;
    let shown =
        if from.include_request_headers_in_check.is_empty() { old } else { &from.include_request_headers_in_check };
    let added = from.include_additional_headers_in_check.iter();
    HttpAsk {
        path_prefix: from.path_prefix.as_ref().map(|prefix| prefix.value.clone()).unwrap_or_default(),
        request_headers: names(shown),
        added: added.map(|(name, value)| (name.to_ascii_lowercase().into(), value.clone())).collect(),
        upstream_headers: names(&from.headers_to_upstream_on_allow),
        deny_headers: names(&from.headers_to_downstream_on_deny),
        allow_headers: names(&from.headers_to_downstream_on_allow),
    }
}

fn action(policy: &AuthorizationPolicy) -> Action {
    policy.action.as_ref().map_or(Action::Allow, |action| action.value)
}

fn dry_run(resource: &taut_resources::Resource) -> bool {
    resource.meta.annotations.get("istio.io/dry-run").is_some_and(|value| value == "true")
}

/// What the values of a policy are read against.
struct Context<'c> {
    namespace: &'c Text,
    settings: &'c taut_model::Settings,
}

impl Context<'_> {
    fn rule(&self, rule: &taut_resources::AuthzRule) -> AuthzRule {
        let sources = rule.from.iter().flatten().filter_map(|from| from.source.as_ref());
        let operations = rule.to.iter().flatten().filter_map(|to| to.operation.as_ref());
        AuthzRule {
            from: sources.map(|source| self.source(source)).collect(),
            to: operations.map(operation).collect(),
            when: rule.when.iter().flatten().flat_map(|condition| self.condition(condition)).collect(),
        }
    }

    fn source(&self, source: &AuthzSource) -> Conjunction {
        let mut clauses = Vec::new();
        let mut add = |negated, values: &[At<Text>], test: &dyn Fn(&Text) -> Vec<Test>| {
            clauses.extend(clause(negated, values, test));
        };
        let principal = |value: &Text| self.principal(value);
        let namespace = |value: &Text| vec![Test::Namespace(value.clone())];
        let account = |value: &Text| vec![self.service_account(value)];
        let domain = |value: &Text| self.trust_domain(value);
        let remote = |value: &Text| ip_block(value).map(Test::RemoteIp).into_iter().collect();
        let subject = |value: &Text| vec![of_token("principal", value)];
        let block = |value: &Text| ip_block(value).map(Test::SourceIp).into_iter().collect();
        add(false, &source.principals, &principal);
        add(true, &source.not_principals, &principal);
        add(false, &source.namespaces, &namespace);
        add(true, &source.not_namespaces, &namespace);
        add(false, &source.service_accounts, &account);
        add(true, &source.not_service_accounts, &account);
        add(false, &source.trust_domains, &domain);
        add(true, &source.not_trust_domains, &domain);
        add(false, &source.request_principals, &subject);
        add(true, &source.not_request_principals, &subject);
        add(false, &source.ip_blocks, &block);
        add(true, &source.not_ip_blocks, &block);
        add(false, &source.remote_ip_blocks, &remote);
        add(true, &source.not_remote_ip_blocks, &remote);
        Conjunction { clauses }
    }

    /// A principal of the mesh's own trust domain is one of its aliases' too.
    fn principal(&self, value: &Text) -> Vec<Test> {
        let settings = self.settings;
        let own = |domain: &str| {
            domain == settings.trust_domain
                || domain == "cluster.local"
                || settings.trust_domain_aliases.iter().any(|it| it == domain)
        };
        match value.split_once('/') {
            Some((domain, rest)) if rest.split('/').count() == 4 && own(domain) => self
                .domains()
                .map(|domain| Test::Principal(TextTest::Exact([domain.as_str(), "/", rest].concat().into())))
                .collect(),
            _ => vec![Test::Principal(text(value))],
        }
    }

    fn trust_domain(&self, value: &Text) -> Vec<Test> {
        if self.domains().any(|domain| domain == value) {
            return self.domains().map(|domain| Test::TrustDomain(TextTest::Exact(domain.clone()))).collect();
        }
        vec![Test::TrustDomain(text(value))]
    }

    fn domains(&self) -> impl Iterator<Item = &Text> {
        std::iter::once(&self.settings.trust_domain).chain(&self.settings.trust_domain_aliases)
    }

    /// `namespace/name`, or `name` in the policy's own namespace, even if that is the root namespace.
    fn service_account(&self, value: &Text) -> Test {
        let (namespace, name) = value.split_once('/').unwrap_or((self.namespace, value));
        Test::ServiceAccount(ServiceAccountTest { namespace: namespace.into(), name: name.into() })
    }

    fn condition(&self, condition: &Condition) -> Vec<Clause> {
        let key = condition.key.as_str();
        let test = |value: &Text| -> Vec<Test> {
            match key {
                "source.ip" => ip_block(value).map(Test::SourceIp).into_iter().collect(),
                "remote.ip" => ip_block(value).map(Test::RemoteIp).into_iter().collect(),
                "destination.ip" => ip_block(value).map(Test::DestinationIp).into_iter().collect(),
                "source.namespace" => vec![Test::Namespace(value.clone())],
                "source.principal" => self.principal(value),
                "source.serviceAccount" => vec![self.service_account(value)],
                "source.trustDomain" => self.trust_domain(value),
                "destination.port" => value.parse().map(Test::Port).into_iter().collect(),
                "connection.sni" => vec![Test::ServerName(text(value))],
                "request.auth.principal" | "request.auth.audiences" | "request.auth.presenter" => {
                    vec![of_token(key.trim_start_matches("request.auth."), value)]
                }
                _ if key.starts_with("request.auth.claims[") => {
                    vec![of_token(key.trim_start_matches("request.auth."), value)]
                }
                _ => match key.strip_prefix("request.headers[").and_then(|rest| rest.strip_suffix(']')) {
                    Some(name) => {
                        vec![Test::Header(HeaderTest { name: name.to_ascii_lowercase().into(), value: text(value) })]
                    }
                    None => Vec::new(),
                },
            }
        };
        clause(false, &condition.values, &test).into_iter().chain(clause(true, &condition.not_values, &test)).collect()
    }
}

/// What a token says is compared like a header, under a name that no header can have.
fn of_token(what: &str, value: &Text) -> Test {
    Test::Header(HeaderTest { name: format!("@request.auth.{what}").into(), value: text(value) })
}

fn operation(operation: &Operation) -> Conjunction {
    let mut clauses = Vec::new();
    let mut add = |negated, values: &[At<Text>], test: &dyn Fn(&Text) -> Vec<Test>| {
        clauses.extend(clause(negated, values, test));
    };
    let host = |value: &Text| vec![Test::Host(text(value))];
    let port = |value: &Text| value.parse().map(Test::Port).into_iter().collect();
    let method = |value: &Text| vec![Test::Method(text(value))];
    let path = |value: &Text| {
        let template = value.contains("{*}") || value.contains("{**}");
        vec![Test::Path(if template { TextTest::Template(value.clone()) } else { text(value) })]
    };
    add(false, &operation.hosts, &host);
    add(true, &operation.not_hosts, &host);
    add(false, &operation.ports, &port);
    add(true, &operation.not_ports, &port);
    add(false, &operation.methods, &method);
    add(true, &operation.not_methods, &method);
    add(false, &operation.paths, &path);
    add(true, &operation.not_paths, &path);
    Conjunction { clauses }
}

fn clause(negated: bool, values: &[At<Text>], test: &dyn Fn(&Text) -> Vec<Test>) -> Option<Clause> {
    if values.is_empty() {
        return None;
    }
    let mut any: Vec<Test> = values.iter().flat_map(|value| test(&value.value)).collect();
    any.sort();
    any.dedup();
    Some(Clause { negated, any })
}

/// `*` is any value that is not empty; a star at one end is a prefix or suffix; anywhere else it is a star.
fn text(value: &Text) -> TextTest {
    if value == "*" {
        TextTest::Present
    } else if let Some(prefix) = value.strip_suffix('*') {
        TextTest::Prefix(prefix.into())
    } else if let Some(suffix) = value.strip_prefix('*') {
        TextTest::Suffix(suffix.into())
    } else {
        TextTest::Exact(value.clone())
    }
}

pub(super) fn ip_block(value: &str) -> Option<IpBlock> {
    let (address, bits) = value.split_once('/').map_or((value, None), |(address, bits)| (address, Some(bits)));
    let address: IpAddr = address.parse().ok()?;
    let bytes = match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    };
    let all = if address.is_ipv4() { 32 } else { 128 };
    Some(IpBlock { address: Blob(bytes.into()), bits: bits.map_or(Some(all), |bits| bits.parse().ok())? })
}

//! AuthorizationPolicy (semantics.md §11): who may ask a workload for what.

use taut_source::Text;

use crate::kind::CheckedRead;
use crate::message::{keyword, message};
use crate::meta::Selector;
use crate::read::{At, Reader};
use crate::rules;
use crate::scalar::Unread;

keyword! {
    /// What happens to a request that a rule matches.
    pub enum Action {
        /// It may pass; without a match by any ALLOW policy of the workload it may not.
        Allow = "ALLOW";
        /// It is rejected.
        Deny = "DENY";
        /// It is noted.
        Audit = "AUDIT", refused("use ALLOW or DENY: requests are counted with their policy in the metrics");
        /// Another service is asked.
        Custom = "CUSTOM", refused("use ALLOW or DENY");
    }
}

message! {
    /// Who may ask a workload for what.
    pub struct AuthorizationPolicy {
        /// The workloads; all of the namespace if missing, all of the mesh in the root namespace.
        selector: Option<Selector> = "selector";
        /// A gateway or service instead of workloads.
        target_ref: Option<At<Unread>> = "targetRef", refused("use `selector`");
        /// Gateways or services instead of workloads.
        target_refs: Option<At<Unread>> = "targetRefs", refused("use `selector`");
        /// What happens; ALLOW if missing.
        action: Option<At<Action>> = "action";
        /// Any of these matches. None at all match nothing; an empty rule matches everything.
        rules: Option<Vec<AuthzRule>> = "rules";
        /// Who is asked by CUSTOM.
        provider: Option<At<Unread>> = "provider", refused("use ALLOW or DENY");
    }
}

message! {
    /// All of its parts match; a part that is missing matches everything.
    pub struct AuthzRule {
        /// Any of these.
        from: Option<Vec<From>> = "from";
        /// Any of these.
        to: Option<Vec<To>> = "to";
        /// All of these.
        when: Option<Vec<Condition>> = "when";
    }
}

message! {
    /// A source.
    pub struct From {
        /// The source.
        source: Option<AuthzSource> = "source";
    }
}

message! {
    /// An operation.
    pub struct To {
        /// The operation.
        operation: Option<Operation> = "operation";
    }
}

message! {
    /// Who asks: every list that is there matches.
    pub struct AuthzSource {
        /// Mesh identities, `TRUST_DOMAIN/ns/NAMESPACE/sa/NAME`.
        principals: Vec<At<Text>> = "principals";
        /// None of these.
        not_principals: Vec<At<Text>> = "notPrincipals";
        /// Token identities.
        request_principals: Option<At<Unread>> = "requestPrincipals", refused("use `principals`");
        /// None of these.
        not_request_principals: Option<At<Unread>> = "notRequestPrincipals", refused("use `notPrincipals`");
        /// Namespaces of mesh identities.
        namespaces: Vec<At<Text>> = "namespaces";
        /// None of these.
        not_namespaces: Vec<At<Text>> = "notNamespaces";
        /// Service accounts, `NAMESPACE/NAME` or `NAME`.
        service_accounts: Vec<At<Text>> = "serviceAccounts";
        /// None of these.
        not_service_accounts: Vec<At<Text>> = "notServiceAccounts";
        /// Trust domains of mesh identities.
        trust_domains: Vec<At<Text>> = "trustDomains";
        /// None of these.
        not_trust_domains: Vec<At<Text>> = "notTrustDomains";
        /// Addresses of the connection.
        ip_blocks: Vec<At<Text>> = "ipBlocks";
        /// None of these.
        not_ip_blocks: Vec<At<Text>> = "notIpBlocks";
        /// Addresses of the original client.
        remote_ip_blocks: Option<At<Unread>> = "remoteIpBlocks", refused("use `ipBlocks`");
        /// None of these.
        not_remote_ip_blocks: Option<At<Unread>> = "notRemoteIpBlocks", refused("use `notIpBlocks`");
    }
}

message! {
    /// What is asked for: every list that is there matches.
    pub struct Operation {
        /// The Host header, port included.
        hosts: Vec<At<Text>> = "hosts";
        /// None of these.
        not_hosts: Vec<At<Text>> = "notHosts";
        /// Ports of the workload.
        ports: Vec<At<Text>> = "ports";
        /// None of these.
        not_ports: Vec<At<Text>> = "notPorts";
        /// Methods.
        methods: Vec<At<Text>> = "methods";
        /// None of these.
        not_methods: Vec<At<Text>> = "notMethods";
        /// Paths without the query.
        paths: Vec<At<Text>> = "paths";
        /// None of these.
        not_paths: Vec<At<Text>> = "notPaths";
    }
}

message! {
    /// A further condition.
    pub struct Condition {
        /// What is looked at, such as `request.headers[x-env]`.
        key: At<Text> = "key";
        /// Any of these.
        values: Vec<At<Text>> = "values";
        /// None of these.
        not_values: Vec<At<Text>> = "notValues";
    }
}

impl CheckedRead for AuthorizationPolicy {
    fn check(&self, cx: &mut Reader<'_>) {
        let action = self.action.as_ref().map_or(Action::Allow, |action| action.value);
        if action == Action::Deny && self.rules.as_ref().is_none_or(Vec::is_empty) {
            let message = "a DENY policy without rules denies nothing".into();
            cx.report(&rules::MISSING_FIELD, self.span, message, "add `rules: [{}]` to deny everything".into());
        }
        for rule in self.rules.iter().flatten() {
            check_rule(rule, cx);
        }
    }
}

fn check_rule(rule: &AuthzRule, cx: &mut Reader<'_>) {
    let empty = |part: &str| format!("`{part}` is empty: it would match nothing and everything at once");
    let help = || "leave it out to match everything".to_owned();
    for (part, list) in [("from", rule.from.as_ref().map(Vec::len)), ("to", rule.to.as_ref().map(Vec::len))] {
        if list == Some(0) {
            cx.report(&rules::MISSING_FIELD, rule.span, empty(part), help());
        }
    }
    for from in rule.from.iter().flatten() {
        let Some(source) = &from.source else {
            cx.report(&rules::MISSING_FIELD, from.span, empty("from"), help());
            continue;
        };
        if source.lists().iter().all(|(_, list)| list.is_empty()) && !source.has_refused() {
            cx.report(&rules::MISSING_FIELD, source.span, empty("source"), help());
        }
        check_lists(&source.lists(), cx);
        for block in source.ip_blocks.iter().chain(&source.not_ip_blocks) {
            if !is_ip_block(block) {
                let message = format!("`{}` is no address and no block of addresses", block.value);
                cx.report(&rules::BAD_VALUE, block.span, message, "write `10.0.0.1` or `10.0.0.0/8`".into());
            }
        }
    }
    for to in rule.to.iter().flatten() {
        let Some(operation) = &to.operation else {
            cx.report(&rules::MISSING_FIELD, to.span, empty("to"), help());
            continue;
        };
        if operation.lists().iter().all(|(_, list)| list.is_empty()) {
            cx.report(&rules::MISSING_FIELD, operation.span, empty("operation"), help());
        }
        check_lists(&operation.lists(), cx);
        for port in operation.ports.iter().chain(&operation.not_ports) {
            if port.parse::<u16>().is_err() {
                let message = format!("`{}` is no port", port.value);
                cx.report(&rules::BAD_VALUE, port.span, message, "write a number from 0 to 65535, quoted".into());
            }
        }
    }
    for condition in rule.when.iter().flatten() {
        check_condition(condition, cx);
    }
}

fn check_condition(condition: &Condition, cx: &mut Reader<'_>) {
    if condition.values.is_empty() && condition.not_values.is_empty() {
        cx.report(
            &rules::MISSING_FIELD,
            condition.span,
            "a condition needs values".into(),
            "add `values:` or `notValues:`".into(),
        );
    }
    check_lists(&[("values", &condition.values), ("notValues", &condition.not_values)], cx);
    let key = condition.key.as_str();
    let known = [
        "source.ip",
        "source.namespace",
        "source.principal",
        "source.serviceAccount",
        "source.trustDomain",
        "destination.ip",
        "destination.port",
        "connection.sni",
    ];
    let header = key.strip_prefix("request.headers[").and_then(|rest| rest.strip_suffix(']'));
    if known.contains(&key) || header.is_some_and(|name| !name.is_empty()) {
        return;
    }
    let later = key == "remote.ip" || key.starts_with("request.auth.") || key.starts_with("experimental.");
    let (rule, message) = if later {
        (&rules::UNSUPPORTED_VALUE, format!("the condition `{key}` is not carried to the data plane"))
    } else {
        (&rules::BAD_VALUE, format!("`{key}` is nothing that a condition can look at"))
    };
    cx.report(
        rule,
        condition.key.span,
        message,
        format!("use `request.headers[NAME]` or one of: {}", known.join(", ")),
    );
}

fn check_lists(lists: &[(&str, &Vec<At<Text>>)], cx: &mut Reader<'_>) {
    for (name, list) in lists {
        for value in list.iter().filter(|value| value.is_empty()) {
            cx.report(
                &rules::BAD_VALUE,
                value.span,
                format!("an empty string in `{name}` matches nothing"),
                "write a value".into(),
            );
        }
    }
}

fn is_ip_block(text: &str) -> bool {
    let (address, bits) = text.split_once('/').map_or((text, None), |(address, bits)| (address, Some(bits)));
    let Ok(address) = address.parse::<std::net::IpAddr>() else { return false };
    let most = if address.is_ipv4() { 32 } else { 128 };
    bits.is_none_or(|bits| bits.parse::<u8>().is_ok_and(|bits| bits <= most))
}

impl AuthzSource {
    fn lists(&self) -> [(&'static str, &Vec<At<Text>>); 10] {
        [
            ("principals", &self.principals),
            ("notPrincipals", &self.not_principals),
            ("namespaces", &self.namespaces),
            ("notNamespaces", &self.not_namespaces),
            ("serviceAccounts", &self.service_accounts),
            ("notServiceAccounts", &self.not_service_accounts),
            ("trustDomains", &self.trust_domains),
            ("notTrustDomains", &self.not_trust_domains),
            ("ipBlocks", &self.ip_blocks),
            ("notIpBlocks", &self.not_ip_blocks),
        ]
    }

    fn has_refused(&self) -> bool {
        self.request_principals.is_some()
            || self.not_request_principals.is_some()
            || self.remote_ip_blocks.is_some()
            || self.not_remote_ip_blocks.is_some()
    }
}

impl Operation {
    fn lists(&self) -> [(&'static str, &Vec<At<Text>>); 8] {
        [
            ("hosts", &self.hosts),
            ("notHosts", &self.not_hosts),
            ("ports", &self.ports),
            ("notPorts", &self.not_ports),
            ("methods", &self.methods),
            ("notMethods", &self.not_methods),
            ("paths", &self.paths),
            ("notPaths", &self.not_paths),
        ]
    }
}

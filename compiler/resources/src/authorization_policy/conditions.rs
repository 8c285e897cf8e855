//! Rules over the parts of an AuthorizationPolicy (semantics.md §11.2).

use taut_source::{Node, Span, Text};

use super::*;
use crate::grammar::{is_ip_or_block, is_port_text};
use crate::read::Reader;
use crate::rules;

/// What a condition can look at by an exact name, and whether the data plane does so.
const KEYS: &[(&str, bool)] = &[
    ("source.ip", true),
    ("source.namespace", true),
    ("source.principal", true),
    ("source.serviceAccount", true),
    ("source.trustDomain", true),
    ("destination.ip", true),
    ("destination.port", true),
    ("connection.sni", true),
    ("remote.ip", true),
    ("request.auth.principal", true),
    ("request.auth.audiences", true),
    ("request.auth.presenter", true),
];

impl AuthorizationPolicy {
    /// Whether `istio.io/dry-run` may stand on it.
    pub(crate) fn can_be_tried_out(&self) -> bool {
        matches!(self.effective_action(), Action::Allow | Action::Deny)
    }

    fn effective_action(&self) -> Action {
        self.action.map_or(Action::Allow, |action| action.value)
    }

    pub(super) fn check(&self, _: Node<'_>, cx: &mut Reader<'_>) {
        let action = self.effective_action();
        let named = self.provider.as_ref().and_then(|provider| provider.name.as_ref()).is_some_and(|it| !it.is_empty());
        match (&self.provider, action) {
            (_, Action::Custom) if !named => {
                cx.say(&rules::NEEDED, self.span, "CUSTOM needs a provider to ask", "add `provider: {name: ...}`");
            }
            (Some(provider), Action::Allow | Action::Deny | Action::Audit) => {
                let message = format!("`provider` is for CUSTOM, and the action is {}", action.word());
                cx.say(&rules::EXCLUSIVE, provider.span, message, "write `action: CUSTOM`, or take it away");
            }
            _ => {}
        }
        match (&self.rules, action) {
            (None, Action::Deny) => {
                let message = "a DENY policy without rules denies nothing";
                cx.say(&rules::NEEDED, self.span, message, "add `rules: [{}]` to deny everything");
            }
            (None, Action::Custom) => {
                let message = "a CUSTOM policy without rules asks about nothing";
                cx.say(&rules::NEEDED, self.span, message, "add `rules: [{}]` to ask about everything");
            }
            (Some(list), Action::Deny) if list.is_empty() => {
                let message = "a DENY policy with an empty list of rules denies nothing";
                cx.say(&rules::DOUBTFUL, self.span, message, "write `rules: [{}]` to deny everything");
            }
            _ => {}
        }
        for rule in self.rules.iter().flatten() {
            match action {
                Action::Custom => rule.check_custom(cx),
                Action::Deny => rule.check_deny(cx),
                Action::Allow | Action::Audit => {}
            }
        }
    }
}

impl AuthzRule {
    /// CUSTOM runs before anyone knows who asks (semantics.md §11.3).
    fn check_custom(&self, cx: &mut Reader<'_>) {
        let help = "use `ipBlocks`, or a policy with ALLOW or DENY";
        let mut refuse = |what: &str, span: Span| {
            cx.say(&rules::EXCLUSIVE, span, format!("CUSTOM runs before `{what}` is known"), help);
        };
        for source in self.sources() {
            for (name, list) in source.lists() {
                if let Some(value) = list.first().filter(|_| !name.to_ascii_lowercase().contains("ipblocks")) {
                    refuse(name, value.span);
                }
            }
        }
        const UNKNOWN: &[&str] =
            &["source.namespace", "source.serviceAccount", "source.principal", "source.trustDomain"];
        for condition in self.when.iter().flatten() {
            let key = condition.key.as_str();
            if UNKNOWN.contains(&key) || key.starts_with("request.auth.") {
                refuse(key, condition.key.span);
            }
        }
    }

    /// On TCP, what only HTTP has is left out of a DENY rule, which then denies more (semantics.md §11.5).
    fn check_deny(&self, cx: &mut Reader<'_>) {
        let tcp_source = |source: &AuthzSource| {
            source
                .lists()
                .iter()
                .any(|(name, list)| !name.to_ascii_lowercase().contains("requestprincipals") && !list.is_empty())
        };
        let tcp_operation = |operation: &Operation| !operation.ports.is_empty() || !operation.not_ports.is_empty();
        let from = self.from.is_some() && !self.sources().any(tcp_source);
        let to = self.to.is_some() && !self.operations().any(tcp_operation);
        if from || to {
            let message = "this rule denies every connection to a TCP port, which has none of what it looks at";
            cx.say(&rules::DOUBTFUL, self.span, message, "add `ports:` to say which ports it is for");
        }
    }

    fn sources(&self) -> impl Iterator<Item = &AuthzSource> {
        self.from.iter().flatten().filter_map(|from| from.source.as_ref())
    }

    fn operations(&self) -> impl Iterator<Item = &Operation> {
        self.to.iter().flatten().filter_map(|to| to.operation.as_ref())
    }
}

impl AuthzSource {
    pub(super) fn check(&self, _: Node<'_>, cx: &mut Reader<'_>) {
        let first = |lists: [&List<At<Text>>; 4]| lists.into_iter().find_map(|list| list.first()).map(|it| it.span);
        let accounts = self.service_accounts.first().or(self.not_service_accounts.first());
        let broader = first([&self.principals, &self.not_principals, &self.namespaces, &self.not_namespaces]);
        if let (Some(_), Some(span)) = (accounts, broader) {
            let message = "service accounts say the namespace and the principal: neither can stand beside them";
            cx.say(&rules::EXCLUSIVE, span, message, "write a second source, or take one of them away");
        }
        check_any(&self.lists(), self.span, "source", cx);
    }

    fn lists(&self) -> [(&'static str, &List<At<Text>>); 14] {
        [
            ("principals", &self.principals),
            ("notPrincipals", &self.not_principals),
            ("requestPrincipals", &self.request_principals),
            ("notRequestPrincipals", &self.not_request_principals),
            ("namespaces", &self.namespaces),
            ("notNamespaces", &self.not_namespaces),
            ("serviceAccounts", &self.service_accounts),
            ("notServiceAccounts", &self.not_service_accounts),
            ("trustDomains", &self.trust_domains),
            ("notTrustDomains", &self.not_trust_domains),
            ("ipBlocks", &self.ip_blocks),
            ("notIpBlocks", &self.not_ip_blocks),
            ("remoteIpBlocks", &self.remote_ip_blocks),
            ("notRemoteIpBlocks", &self.not_remote_ip_blocks),
        ]
    }
}

impl Operation {
    pub(super) fn check(&self, _: Node<'_>, cx: &mut Reader<'_>) {
        check_any(&self.lists(), self.span, "operation", cx);
    }

    fn lists(&self) -> [(&'static str, &List<At<Text>>); 8] {
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

fn check_any(lists: &[(&str, &List<At<Text>>)], span: Span, what: &str, cx: &mut Reader<'_>) {
    if lists.iter().all(|(_, list)| list.is_empty()) {
        let message = format!("`{what}` is empty: it would match nothing and everything at once");
        cx.say(&rules::NEEDED, span, message, "leave it out to match everything");
    }
}

impl Condition {
    pub(super) fn check(&self, _: Node<'_>, cx: &mut Reader<'_>) {
        if self.values.is_empty() && self.not_values.is_empty() {
            cx.say(&rules::NEEDED, self.span, "a condition needs values", "add `values:` or `notValues:`");
        }
        let key = self.key.as_str();
        if key.is_empty() {
            return; // reported as too short
        }
        let carried = match KEYS.iter().find(|(name, _)| *name == key) {
            Some((_, carried)) => Some(*carried),
            None if is_map_key(key, "request.headers") => Some(true),
            None if is_map_key(key, "request.auth.claims") => Some(true),
            None if key.starts_with("experimental.envoy.filters.") => Some(false),
            None => None,
        };
        let known = || {
            let names: Vec<&str> = KEYS.iter().filter(|(_, carried)| *carried).map(|(name, _)| *name).collect();
            format!("use `request.headers[NAME]` or one of: {}", names.join(", "))
        };
        match carried {
            None => {
                let message = format!("`{key}` is nothing that a condition can look at");
                cx.say(&rules::BAD_VALUE, self.key.span, message, known());
            }
            Some(false) => {
                let message = format!("the condition `{key}` is not carried to the data plane");
                cx.say(&rules::UNSUPPORTED_VALUE, self.key.span, message, known());
            }
            Some(true) => {}
        }
        for value in self.values.iter().chain(&self.not_values) {
            if key.ends_with(".ip") && !is_ip_or_block(value) {
                let message = format!("`{}` is no address and no block of addresses", value.value);
                cx.say(&rules::BAD_VALUE, value.span, message, "write `10.0.0.1` or `10.0.0.0/8`");
            } else if key == "destination.port" && !is_port_text(value) {
                let message = format!("`{}` is no port", value.value);
                cx.say(&rules::BAD_VALUE, value.span, message, "write a number from 0 to 65535, quoted");
            }
        }
    }
}

/// `name[key]`, and for claims `name[a][b]`.
fn is_map_key(text: &str, name: &str) -> bool {
    let inner = text.strip_prefix(name).and_then(|rest| rest.strip_prefix('[')?.strip_suffix(']'));
    inner.is_some_and(|inner| !inner.is_empty() && inner.split("][").all(|key| !key.is_empty()))
}

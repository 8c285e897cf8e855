//! AuthorizationPolicy (semantics.md §11): who may ask a workload for what.
//!
//! Owns: the fields of the kind. The rules over several fields are in `conditions`.

mod conditions;

use taut_source::Text;

use crate::grammar::{IP_OR_BLOCK, PATH_TEMPLATE, PORT_TEXT, SERVICE_ACCOUNT, TRUST_DOMAIN_MATCH};
use crate::message::{keyword, message};
use crate::read::{At, List};
use crate::selector::{Selector, TargetRef};

keyword! {
    /// What happens to a request that a rule matches.
    pub enum Action {
        /// It may pass; without a match by any ALLOW policy of the workload it may not.
        Allow = "ALLOW";
        /// It is rejected.
        Deny = "DENY";
        /// It is noted.
        Audit = "AUDIT";
        /// Another service is asked.
        Custom = "CUSTOM";
    }
}

message! {
    /// Who may ask a workload for what.
    pub struct AuthorizationPolicy {
        /// The workloads; all of the namespace if missing, all of the mesh in the root namespace.
        selector: Option<Selector> = "selector";
        /// A Gateway instead of workloads.
        target_ref: Option<Box<TargetRef>> = "targetRef";
        /// Gateways instead of workloads.
        target_refs: List<TargetRef> = "targetRefs", items(..=16);
        /// What happens; ALLOW if missing.
        action: Option<At<Action>> = "action";
        /// Any of these matches. None at all match nothing; an empty rule matches everything.
        rules: Option<List<AuthzRule>> = "rules", items(..=512);
        /// Who is asked by CUSTOM.
        provider: Option<Box<AuthzProvider>> = "provider";
    }
    where at_most_one("selector", "targetRef", "targetRefs"), check(AuthorizationPolicy::check);
}

message! {
    /// A provider that MeshConfig declares.
    pub struct AuthzProvider {
        /// Its name.
        name: Option<At<Text>> = "name";
    }
}

message! {
    /// All of its parts match; a part that is missing matches everything.
    pub struct AuthzRule {
        /// Any of these.
        from: Option<List<From>> = "from", items(1..=512);
        /// Any of these.
        to: Option<List<To>> = "to", items(1..);
        /// All of these.
        when: Option<List<Condition>> = "when";
    }
}

message! {
    /// A source.
    pub struct From {
        /// The source.
        source: Option<AuthzSource> = "source";
    }
    where at_least_one("source");
}

message! {
    /// An operation.
    pub struct To {
        /// The operation.
        operation: Option<Operation> = "operation";
    }
    where at_least_one("operation");
}

message! {
    /// Who asks: every list that is there matches.
    pub struct AuthzSource {
        /// Mesh identities, `TRUST_DOMAIN/ns/NAMESPACE/sa/NAME`.
        principals: List<At<Text>> = "principals", chars(1..);
        /// None of these.
        not_principals: List<At<Text>> = "notPrincipals", chars(1..);
        /// Token identities.
        request_principals: List<At<Text>> = "requestPrincipals", chars(1..);
        /// None of these.
        not_request_principals: List<At<Text>> = "notRequestPrincipals", chars(1..);
        /// Namespaces of mesh identities.
        namespaces: List<At<Text>> = "namespaces", chars(1..);
        /// None of these.
        not_namespaces: List<At<Text>> = "notNamespaces", chars(1..);
        /// Service accounts, `NAMESPACE/NAME` or `NAME`.
        service_accounts: List<At<Text>> = "serviceAccounts", items(..=16), chars(1..=320), is(SERVICE_ACCOUNT);
        /// None of these.
        not_service_accounts: List<At<Text>> = "notServiceAccounts", items(..=16), chars(1..=320), is(SERVICE_ACCOUNT);
        /// Trust domains of mesh identities.
        trust_domains: List<At<Text>> = "trustDomains", chars(1..), is(TRUST_DOMAIN_MATCH);
        /// None of these.
        not_trust_domains: List<At<Text>> = "notTrustDomains", chars(1..), is(TRUST_DOMAIN_MATCH);
        /// Addresses of the connection.
        ip_blocks: List<At<Text>> = "ipBlocks", chars(1..), is(IP_OR_BLOCK);
        /// None of these.
        not_ip_blocks: List<At<Text>> = "notIpBlocks", chars(1..), is(IP_OR_BLOCK);
        /// Addresses of the original client.
        remote_ip_blocks: List<At<Text>> = "remoteIpBlocks", chars(1..), is(IP_OR_BLOCK);
        /// None of these.
        not_remote_ip_blocks: List<At<Text>> = "notRemoteIpBlocks", chars(1..), is(IP_OR_BLOCK);
    }
    where check(AuthzSource::check);
}

message! {
    /// What is asked for: every list that is there matches.
    pub struct Operation {
        /// The Host header, port included.
        hosts: List<At<Text>> = "hosts", chars(1..);
        /// None of these.
        not_hosts: List<At<Text>> = "notHosts", chars(1..);
        /// Ports of the workload.
        ports: List<At<Text>> = "ports", chars(1..), is(PORT_TEXT);
        /// None of these.
        not_ports: List<At<Text>> = "notPorts", chars(1..), is(PORT_TEXT);
        /// Methods.
        methods: List<At<Text>> = "methods", chars(1..);
        /// None of these.
        not_methods: List<At<Text>> = "notMethods", chars(1..);
        /// Paths without the query.
        paths: List<At<Text>> = "paths", chars(1..), is(PATH_TEMPLATE);
        /// None of these.
        not_paths: List<At<Text>> = "notPaths", chars(1..), is(PATH_TEMPLATE);
    }
    where check(Operation::check);
}

message! {
    /// A further condition.
    pub struct Condition {
        /// What is looked at, such as `request.headers[x-env]`.
        key: At<Text> = "key", chars(1..);
        /// Any of these.
        values: List<At<Text>> = "values", chars(1..);
        /// None of these.
        not_values: List<At<Text>> = "notValues", chars(1..);
    }
    where check(Condition::check);
}

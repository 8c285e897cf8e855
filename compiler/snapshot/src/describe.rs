//! A snapshot in words: what `taut inspect` prints, and what the goldens hold.
//!
//! Everything is written where it is used, so that a view can be read from top to bottom; digests stay out, since they
//! say nothing to people that the content does not.

use std::fmt::Write as _;

use crate::decide::Tables;
use crate::format::codec::Link;
use crate::object::{
    Action, Alternative, AuthzRule, ClusterSet, ClusterTls, DnsName, EndpointSource, Forward, HeaderOps, LogPiece,
    Matcher, MtlsMode, PathRewrite, Policy, Roots, RouteTable, Rule, Target, TargetPort, Test, TextTest, TlsTerms,
    TokenKeys,
};
use crate::snapshot::{BadSnapshot, Objects, Snapshot, base_of, services_of};
use crate::source_map::SourceMap;
use crate::{Digest, Text};

/// The whole snapshot, or the view of one workload (`namespace/name`), with the origins of its objects if they are known.
///
/// # Errors
/// If an object is missing or wrong.
pub fn describe(
    snapshot: &Snapshot,
    workload: Option<&str>,
    origins: Option<&SourceMap>,
) -> Result<String, BadSnapshot> {
    let mut page = Page { snapshot: snapshot.id, objects: &snapshot.objects, origins, text: String::new() };
    for (name, view) in snapshot.workloads()? {
        if workload.is_none_or(|wanted| wanted == name) {
            page.view(&name, view)?;
        }
    }
    if workload.is_none() {
        page.authority(snapshot)?;
    }
    Ok(page.text)
}

struct Page<'s> {
    snapshot: Digest,
    objects: &'s Objects,
    origins: Option<&'s SourceMap>,
    text: String,
}

impl Page<'_> {
    fn line(&mut self, depth: usize, text: impl AsRef<str>) {
        for part in text.as_ref().lines() {
            let _ = writeln!(self.text, "{}{part}", "  ".repeat(depth));
        }
    }

    /// ` (VirtualService shop/orders, routes.yaml:14)`, where it is known.
    fn from(&self, digest: Digest, part: usize) -> String {
        let Some(map) = self.origins else { return String::new() };
        let origins = map.origins(digest).iter().filter(|origin| origin.part as usize == part);
        let words: Vec<String> = origins
            .map(|origin| format!("{} {}/{}, {}", origin.kind, origin.namespace, origin.name, map.place(origin)))
            .collect();
        if words.is_empty() { String::new() } else { format!("  ({})", words.join("; ")) }
    }

    fn view(&mut self, name: &str, link: Link<crate::object::View>) -> Result<(), BadSnapshot> {
        let view = self.objects.read(link)?;
        let tables = Tables::load(self.objects, self.snapshot, link)?; // what cannot be run is not described as if it could
        let kind = if view.gateway { "gateway" } else { "sidecar" };
        let id = format!("spiffe://{}/ns/{}/sa/{}", tables.mesh.trust_domain, view.namespace, view.service_account);
        let origin = self.from(link.digest, 0);
        self.line(0, format!("{kind} {name} {id}{origin}"));
        let labels: Vec<String> = view.labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
        self.line(1, format!("labels {}", labels.join(",")));
        for port in &view.inbound {
            let speaks = format!("{:?}", port.protocol).to_lowercase();
            self.line(1, format!("accepts port {} {speaks}, {}, for {}", port.port, mode(&port.mtls), port.service));
        }
        if !view.gateway {
            self.line(1, format!("accepts other ports, {}", mode(&view.other_ports)));
        }
        for port in &view.port_modes {
            self.line(1, format!("accepts port {}, {}, for no service", port.port, mode(&port.mtls)));
        }
        if let Some(egress) = &view.egress {
            let word = if egress.registry_only { "refuses" } else { "passes" };
            self.line(1, format!("{word} traffic for unknown hosts"));
        }
        for port in &view.egress_ports {
            let services: usize =
                port.layers.iter().map(|link| services_of(self.objects, *link).map_or(0, |it| it.len())).sum();
            self.line(
                1,
                format!(
                    "knows {services} services on port {}{}",
                    port.port,
                    if port.bind.is_empty() { String::new() } else { format!(" of {}", port.bind) }
                ),
            );
        }
        if let Some(policies) = view.policies {
            let set = self.objects.read(policies)?;
            for custom in &set.custom {
                self.line(1, format!("asks {} about requests by {}", custom.provider, custom.policy.name));
            }
            for (word, list) in [("denies", &set.deny), ("allows", &set.allow), ("notes", &set.audit)] {
                for policy in list {
                    self.policy(word, policy);
                }
            }
        }
        for rule in view.tokens.map(|link| self.objects.read(link)).transpose()?.iter().flat_map(|set| &set.rules) {
            let keys = match &rule.keys {
                TokenKeys::Inline(_) => "keys of its own".to_owned(),
                TokenKeys::Fetched(uri) => format!("keys from {uri}"),
                TokenKeys::Discovered => "keys that the issuer names".to_owned(),
            };
            self.line(1, format!("takes tokens of {} with {keys}", rule.issuer));
        }
        if let Some(telemetry) = view.telemetry.map(|link| self.objects.read(link)).transpose()? {
            for (what, tracing) in [("sends", &telemetry.client), ("takes", &telemetry.server)] {
                let Some(it) = tracing else { continue };
                let (whole, rest) = (it.sampling / 100, it.sampling % 100);
                self.line(1, format!("traces {whole}.{rest:02} % of what it {what} to {}", it.exporter.name));
            }
        }
        if let Some(telemetry) = view.telemetry.map(|link| self.objects.read(link)).transpose()? {
            for (what, rules) in [("sends", &telemetry.client_metrics), ("takes", &telemetry.server_metrics)] {
                for rule in rules {
                    let how = if rule.disabled { "does not count" } else { "labels" };
                    self.line(1, format!("{how} {:?} of what it {what}", rule.metric));
                }
            }
            for (what, logs) in [("sends", &telemetry.client_logs), ("takes", &telemetry.server_logs)] {
                for log in logs {
                    let which = if log.filter.is_empty() { "all" } else { "some" };
                    self.line(1, format!("logs {which} of what it {what} in {}", log.path));
                }
            }
        }
        if let Some(telemetry) = view.telemetry.map(|link| self.objects.read(link)).transpose()? {
            for (what, services) in [("sends", &telemetry.client_told), ("takes", &telemetry.server_told)] {
                for service in services {
                    let which = if service.filter.is_empty() { "all" } else { "some" };
                    self.line(1, format!("tells {} of {which} of what it {what}", service.name));
                }
            }
        }
        for listener in &view.listeners {
            self.listener(*listener)?;
        }
        let mut seen = std::collections::BTreeSet::new();
        let mut services = Vec::new();
        for layer in view.layers.iter().copied().chain(base_of(self.objects, self.snapshot, link)?) {
            for (_, service) in services_of(self.objects, layer)? {
                if seen.insert(service.host.clone()) {
                    services.push(service);
                }
            }
        }
        services.sort();
        for service in services {
            self.line(1, format!("calls {}", service.host));
            for port in &service.ports {
                let speaks = format!("{:?}", port.protocol).to_lowercase();
                match (port.routes, port.clusters) {
                    (Some(routes), _) => {
                        self.line(2, format!("port {} {speaks}", port.number));
                        self.routes(3, routes)?;
                    }
                    (None, Some(clusters)) => {
                        let words = self.cluster(clusters, "")?;
                        self.line(2, format!("port {} {speaks}: {words}", port.number));
                    }
                    (None, None) => {}
                }
            }
        }
        Ok(())
    }

    fn listener(&mut self, link: Link<crate::object::Listener>) -> Result<(), BadSnapshot> {
        let listener = self.objects.read(link)?;
        let origin = self.from(link.digest, 0);
        self.line(1, format!("listens on {}{origin}", listener.port));
        for server in &listener.servers {
            let names: Vec<&str> = server.names.iter().map(Text::as_str).collect();
            match server.certificate {
                Some(certificate) => {
                    let name = self.objects.read(certificate)?.name;
                    self.line(2, format!("ends TLS for {} with {name}", names.join(", ")));
                }
                None => self.line(2, "without TLS"),
            }
            if let Some(terms) = &server.terms {
                for link in &terms.certificates {
                    let name = self.objects.read(*link)?.name;
                    self.line(3, format!("or with {name}"));
                }
                self.line(3, terms_of(terms));
            }
            for entry in self.objects.read(server.hosts)?.hosts {
                let redirects = if entry.https_only { ", redirected to https" } else { "" };
                self.line(3, format!("host {}{redirects}", entry.host));
                if let Some(routes) = entry.routes {
                    self.routes(4, routes)?;
                }
            }
        }
        Ok(())
    }

    fn routes(&mut self, depth: usize, link: Link<RouteTable>) -> Result<(), BadSnapshot> {
        let table = self.objects.read(link)?;
        for (at, rule) in table.rules.iter().enumerate() {
            let origin = self.from(link.digest, at + 1);
            self.rule(depth, rule, &table.clusters, &origin)?;
        }
        Ok(())
    }

    fn rule(
        &mut self,
        depth: usize,
        rule: &Rule,
        clusters: &[Link<ClusterSet>],
        origin: &str,
    ) -> Result<(), BadSnapshot> {
        let name = if rule.name.is_empty() { String::new() } else { format!("{}: ", rule.name) };
        let mut conditions: Vec<String> = rule.alternatives.iter().map(alternative).collect();
        if conditions.is_empty() {
            conditions.push("any request".into());
        }
        self.line(depth, format!("{name}{}{origin}", conditions.join(" or ")));
        for (what, ops) in [("request", &rule.request_headers), ("response", &rule.response_headers)] {
            self.headers(depth + 1, what, ops.as_ref());
        }
        if let Some(fault) = &rule.fault {
            if let Some(delay) = &fault.delay {
                self.line(depth + 1, format!("{} in a million wait {} ms", delay.share, delay.ms));
            }
            if let Some(abort) = &fault.abort {
                self.line(depth + 1, format!("{} in a million fail with {:?}", abort.share, abort.status));
            }
        }
        if let Some(cors) = &rule.cors {
            let origins: Vec<String> = cors.origins.iter().map(matcher).collect();
            self.line(depth + 1, format!("answers may be read by origins {}", origins.join(" or ")));
        }
        match &rule.action {
            Action::Redirect(redirect) => self.line(depth + 1, format!("redirect {redirect:?}")),
            Action::Respond(respond) => {
                self.line(depth + 1, format!("respond {} with {} bytes", respond.status, respond.body.0.len()));
            }
            Action::Forward(forward) => self.forward(depth + 1, forward, clusters)?,
        }
        Ok(())
    }

    fn forward(&mut self, depth: usize, forward: &Forward, clusters: &[Link<ClusterSet>]) -> Result<(), BadSnapshot> {
        for to in &forward.destinations {
            let cluster = match &to.target {
                Target::Cluster(to) => match clusters.get(to.set as usize) {
                    Some(set) => self.cluster(*set, &to.subset)?,
                    None => format!("clusters {}, which the table does not have", to.set),
                },
                Target::Missing(name) => {
                    let status = if forward.missing_status == 0 { 503 } else { forward.missing_status };
                    let name = if name.is_empty() { "a service" } else { name.as_str() };
                    format!("{name}, which does not exist: {status}")
                }
            };
            self.line(depth, format!("weight {} to {cluster}", to.weight));
            for (what, ops) in [("request", &to.request_headers), ("response", &to.response_headers)] {
                self.headers(depth + 1, what, ops.as_ref());
            }
        }
        for mirror in &forward.mirrors {
            let cluster = match clusters.get(mirror.to.set as usize) {
                Some(set) => self.cluster(*set, &mirror.to.subset)?,
                None => format!("clusters {}, which the table does not have", mirror.to.set),
            };
            self.line(depth, format!("{} in a million copied to {cluster}", mirror.share));
        }
        if forward.timeout_ms != 0 {
            self.line(depth, format!("timeout {} ms", forward.timeout_ms));
        }
        match &forward.retry {
            Some(retry) if *retry == crate::decide::default_retry() => {}
            Some(retry) => {
                let on: Vec<String> = retry.on.iter().map(|on| format!("{on:?}")).collect();
                let per_try = if retry.per_try_timeout_ms == 0 {
                    String::new()
                } else {
                    format!(", each at most {} ms", retry.per_try_timeout_ms)
                };
                self.line(
                    depth,
                    format!("retries {} on {} {:?}{per_try}", retry.attempts, on.join(" "), retry.statuses),
                );
            }
            None => self.line(depth, "no retries"),
        }
        match &forward.path {
            Some(PathRewrite::Matched(to)) => self.line(depth, format!("matched path becomes {to}")),
            Some(other) => self.line(depth, format!("path {other:?}")),
            None => {}
        }
        if !forward.host.is_empty() {
            self.line(depth, format!("host becomes {}", forward.host));
        }
        Ok(())
    }

    fn headers(&mut self, depth: usize, what: &str, ops: Option<&HeaderOps>) {
        let Some(ops) = ops else { return };
        for name in &ops.remove {
            self.line(depth, format!("{what}: remove {name}"));
        }
        for (word, pairs) in [("set", &ops.set), ("add", &ops.add)] {
            for (name, value) in pairs {
                self.line(depth, format!("{what}: {word} {name}: {value}"));
            }
        }
        for made in &ops.made {
            let word = if made.adds { "add" } else { "set" };
            let value: String = made.value.iter().map(LogPiece::to_string).collect();
            self.line(depth, format!("{what}: {word} {}: {value}", made.name));
        }
    }

    fn cluster(&self, link: Link<ClusterSet>, subset: &str) -> Result<String, BadSnapshot> {
        let missing = || BadSnapshot::Meaning(link.digest, format!("it has no subset `{subset}`"));
        let cluster = self.objects.read(link)?.cluster(subset).ok_or_else(missing)?;
        let mut words = vec![cluster.name()];
        words.push(match &cluster.endpoints {
            EndpointSource::Workloads(select) => {
                let labels: Vec<String> = select.labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
                format!("workloads {} in {}, port {}", labels.join(","), select.namespace, port(&select.port))
            }
            EndpointSource::Declared(select) => {
                format!("declared endpoints of {}, port {}", select.host, port(&select.port))
            }
            EndpointSource::Dns(names) => {
                let words = |name: &DnsName| {
                    let only = if name.single { " (the first alone)" } else { "" };
                    format!("{}:{}{only}", name.host, name.port)
                };
                let names: Vec<String> = names.iter().map(words).collect();
                format!("addresses of {}", names.join(", "))
            }
            EndpointSource::Original => "the address that the client asked for".to_owned(),
            EndpointSource::OriginalAt(port) => format!("the address that the client asked for, at port {port}"),
        });
        match &cluster.tls {
            ClusterTls::Plain => words.push("plaintext".into()),
            ClusterTls::Auto(identities) => {
                words.push(format!("mTLS where it is spoken, with {}", accepted(&identities.accepted)))
            }
            ClusterTls::Mutual(identities) => words.push(format!("mTLS with {}", accepted(&identities.accepted))),
            ClusterTls::Outside(tls) => {
                let name = if tls.server_name.is_empty() { &cluster.host } else { &tls.server_name };
                let roots = match &tls.roots {
                    Roots::Pem(pem) => format!("certificates of its own, {} bytes", pem.0.len()),
                    other => format!("{other:?}"),
                };
                let own = if tls.own.is_some() { ", with a certificate of the snapshot" } else { "" };
                words.push(format!("TLS as {name}, believing {roots}{own}"));
            }
        }
        words.push(format!("{:?}", cluster.balancer));
        let limits = &cluster.limits;
        for (what, limit) in [
            ("connections", limits.connections),
            ("waiting", limits.pending),
            ("requests", limits.requests),
            ("retries", limits.retries),
            ("requests a connection", limits.requests_per_connection),
        ] {
            if limit != 0 {
                words.push(format!("at most {limit} {what}"));
            }
        }
        if let Some(budget) = &limits.budget {
            let of = match budget.interval_ms {
                0 => String::new(),
                interval => format!(" of {interval} ms"),
            };
            words.push(format!("retries at most {} in a million{of}, {} always", budget.share, budget.least));
        }
        if let Some(warmup) = &cluster.warmup {
            words.push(format!("from {} % in {} ms", warmup.minimum_percent, warmup.ms));
        }
        if let Some(wire) = &cluster.wire {
            words.push(format!("{wire:?}"));
        }
        if let Some(outlier) = &cluster.outlier {
            words.push(format!(
                "out for {} ms after {} errors, at most {} %",
                outlier.base_ejection_ms, outlier.consecutive_errors, outlier.max_ejection_percent
            ));
        }
        Ok(words.join("; "))
    }

    fn policy(&mut self, word: &str, policy: &Policy) {
        let dry = if policy.dry_run { " (dry run)" } else { "" };
        self.line(1, format!("{word} by {}{dry}", policy.name));
        if policy.rules.is_empty() {
            self.line(2, "nothing");
        }
        for rule in &policy.rules {
            let words = authz_rule(rule);
            self.line(2, words);
        }
    }

    fn authority(&mut self, snapshot: &Snapshot) -> Result<(), BadSnapshot> {
        let authority = self.objects.read(snapshot.root()?.authority)?;
        self.line(0, format!("authority of {}", authority.trust_domain));
        for identity in &authority.identities {
            self.line(1, identity);
        }
        Ok(())
    }
}

fn port(port: &TargetPort) -> String {
    match port {
        TargetPort::Number(number) => number.to_string(),
        TargetPort::Name(name) => name.to_string(),
    }
}

fn accepted(identities: &[Text]) -> String {
    if identities.is_empty() {
        "nobody".into()
    } else {
        identities.iter().map(Text::as_str).collect::<Vec<_>>().join(", ")
    }
}

fn mode(mode: &MtlsMode) -> &'static str {
    match mode {
        MtlsMode::Disable => "plaintext",
        MtlsMode::Permissive => "plaintext or mTLS",
        MtlsMode::Strict => "mTLS",
    }
}

fn matcher(matcher: &Matcher) -> String {
    match matcher {
        Matcher::Present => "is there".into(),
        Matcher::Exact(text) => format!("= {text}"),
        Matcher::Prefix(text) => format!("= {text}..."),
        Matcher::Regex(text) => format!("~ {text}"),
        Matcher::Below(text) => format!("below {text}"),
    }
}

fn alternative(alternative: &Alternative) -> String {
    let mut words = Vec::new();
    for (what, condition) in [
        ("path", &alternative.path),
        ("method", &alternative.method),
        ("scheme", &alternative.scheme),
        ("host", &alternative.authority),
    ] {
        if let Some(condition) = condition {
            words.push(format!("{what} {}", matcher(condition)));
        }
    }
    for (what, list) in [
        ("header", &alternative.headers),
        ("no header", &alternative.without_headers),
        ("parameter", &alternative.query),
    ] {
        words.extend(list.iter().map(|it| format!("{what} {} {}", it.name, matcher(&it.value))));
    }
    if alternative.ignore_case {
        words.push("in any case".into());
    }
    if words.is_empty() { "any request".into() } else { words.join(" and ") }
}

fn authz_rule(rule: &AuthzRule) -> String {
    let clause = |clause: &crate::object::Clause| {
        let tests: Vec<String> = clause.any.iter().map(test).collect();
        format!("{}{}", if clause.negated { "not " } else { "" }, tests.join(" or "))
    };
    let all = |clauses: &[crate::object::Clause]| clauses.iter().map(clause).collect::<Vec<_>>().join(" and ");
    let mut parts = Vec::new();
    for (word, list) in [("from", &rule.from), ("to", &rule.to)] {
        if !list.is_empty() {
            let any: Vec<String> = list.iter().map(|it| all(&it.clauses)).collect();
            parts.push(format!("{word} {}", any.join(", or ")));
        }
    }
    if !rule.when.is_empty() {
        parts.push(format!("when {}", all(&rule.when)));
    }
    if parts.is_empty() { "everything".into() } else { parts.join("; ") }
}

fn test(test: &Test) -> String {
    let text = |text: &TextTest| match text {
        TextTest::Exact(text) => text.to_string(),
        TextTest::Prefix(text) => format!("{text}*"),
        TextTest::Suffix(text) => format!("*{text}"),
        TextTest::Present => "*".to_owned(),
        TextTest::Template(text) => text.to_string(),
    };
    match test {
        Test::Principal(it) => format!("principal {}", text(it)),
        Test::Namespace(it) => format!("namespace {it}"),
        Test::ServiceAccount(it) => format!("account {}/{}", it.namespace, it.name),
        Test::TrustDomain(it) => format!("trust domain {}", text(it)),
        Test::SourceIp(it) => format!("address {}", block(it)),
        Test::RemoteIp(it) => format!("client address {}", block(it)),
        Test::Host(it) => format!("host {}", text(it)),
        Test::Method(it) => format!("method {}", text(it)),
        Test::Path(it) => format!("path {}", text(it)),
        Test::Port(it) => format!("port {it}"),
        Test::Header(it) => format!("header {} = {}", it.name, text(&it.value)),
        Test::DestinationIp(it) => format!("own address {}", block(it)),
        Test::ServerName(it) => format!("server name {}", text(it)),
    }
}

fn block(block: &crate::object::IpBlock) -> String {
    let address = match &*block.address.0 {
        [a, b, c, d] => std::net::IpAddr::from([*a, *b, *c, *d]).to_string(),
        other => <[u8; 16]>::try_from(other).map_or_else(|_| "?".into(), |it| std::net::IpAddr::from(it).to_string()),
    };
    format!("{address}/{}", block.bits)
}

/// On which terms TLS ends, in words.
fn terms_of(terms: &TlsTerms) -> String {
    let mut words = Vec::new();
    match &terms.clients {
        Some(check) if check.unchecked => words.push("clients may show any certificate".to_owned()),
        Some(check) => {
            let names = if check.names.is_empty() { String::new() } else { format!(" as {}", list(&check.names)) };
            words.push(format!("clients are checked{names} by certificates of {} bytes", check.roots.0.len()));
        }
        None => {}
    }
    if !terms.ciphers.is_empty() {
        words.push(format!("ciphers of TLS 1.2: {}", list(&terms.ciphers)));
    }
    if terms.oldest.is_some() || terms.newest.is_some() {
        words.push(format!("versions: {:?} to {:?}", terms.oldest, terms.newest));
    }
    if words.is_empty() { "on the usual terms".into() } else { words.join("; ") }
}

fn list(texts: &[Text]) -> String {
    texts.iter().map(Text::as_str).collect::<Vec<_>>().join(", ")
}

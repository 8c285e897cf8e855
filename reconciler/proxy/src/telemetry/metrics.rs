//! Istio's standard metrics (semantics.md §12.3).
//!
//! Owns: what is counted, and the text that a scrape gets.
//! May not: lock, format or allocate for a request whose series exists.
//! Invariant: each worker counts into series of its own, and a scrape adds them up; so no two workers write to one
//! cache line, and what a worker counted stays when a snapshot goes.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;

use taut_snapshot::object::{Metric, TagFrom, TagRule, Telemetry};

use super::names::{Labels, NameId};
use super::record::Flags;
use super::said::value_in;

/// Upper bounds of the buckets, in thousandths of the unit. One list for all, as Istio's proxies have it.
const BOUNDS: [u64; 19] = [
    500,
    1_000,
    5_000,
    10_000,
    25_000,
    50_000,
    100_000,
    250_000,
    500_000,
    1_000_000,
    2_500_000,
    5_000_000,
    10_000_000,
    30_000_000,
    60_000_000,
    300_000_000,
    600_000_000,
    1_800_000_000,
    3_600_000_000,
];

/// Which end of a call counts it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Reporter {
    /// The client's proxy, or a gateway.
    #[default]
    Source,
    /// The server's proxy.
    Destination,
}

/// What a request is, to its metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Spoken {
    #[default]
    Http,
    Grpc,
    Tcp,
}

/// How the connection was secured, as far as the reporter says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Security {
    /// A source does not say.
    #[default]
    Unknown,
    None,
    MutualTls,
}

/// One end of a call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Party {
    pub(crate) workload: NameId,
    pub(crate) principal: NameId,
}

/// What one series is of: every label, as a number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct SeriesKey {
    pub(crate) reporter: Reporter,
    pub(crate) source: Party,
    pub(crate) destination: Party,
    pub(crate) service: NameId,
    pub(crate) protocol: Spoken,
    pub(crate) status: u16,
    pub(crate) grpc_status: Option<u8>,
    pub(crate) flags: Flags,
    pub(crate) security: Security,
    /// What the request says, where the mesh wants that told.
    pub(crate) said: NameId,
}

/// What one worker counted.
#[derive(Default)]
pub(crate) struct Shard {
    http: Family<HttpSeries>,
    tcp: Family<TcpSeries>,
}

/// Series by key. A new one copies the map, which happens as often as there are series; a known one is found without a lock.
struct Family<S> {
    series: ArcSwap<HashMap<SeriesKey, Arc<S>>>,
}

#[derive(Default)]
struct HttpSeries {
    duration: Histogram,
    request_bytes: Histogram,
    response_bytes: Histogram,
}

#[derive(Default)]
struct TcpSeries {
    opened: AtomicU64,
    closed: AtomicU64,
    sent: AtomicU64,
    received: AtomicU64,
}

#[derive(Default)]
struct Histogram {
    /// How many values fell into each bucket alone; the last one is for those above all bounds.
    buckets: [AtomicU64; BOUNDS.len() + 1],
    /// In thousandths of the unit.
    sum: AtomicU64,
}

impl<S> Default for Family<S> {
    fn default() -> Family<S> {
        Family { series: ArcSwap::default() }
    }
}

impl<S: Default> Family<S> {
    fn with<T>(&self, key: &SeriesKey, count: impl FnOnce(&S) -> T) -> T {
        if let Some(series) = self.series.load().get(key) {
            return count(series);
        }
        self.series.rcu(|known| {
            let mut more = HashMap::clone(known);
            more.entry(*key).or_default();
            more
        });
        count(&self.series.load()[key])
    }
}

impl Histogram {
    fn observe(&self, thousandths: u64) {
        let bucket = BOUNDS.partition_point(|bound| *bound < thousandths);
        self.buckets[bucket].fetch_add(1, Ordering::Relaxed);
        self.sum.fetch_add(thousandths, Ordering::Relaxed);
    }
}

impl Shard {
    /// Counts a request that is over.
    pub(crate) fn request(&self, key: &SeriesKey, took: Duration, request_bytes: u64, response_bytes: u64) {
        self.http.with(key, |series| {
            series.duration.observe(u64::try_from(took.as_micros()).unwrap_or(u64::MAX));
            series.request_bytes.observe(request_bytes.saturating_mul(1_000));
            series.response_bytes.observe(response_bytes.saturating_mul(1_000));
        });
    }

    /// Counts a connection that carries bytes.
    pub(crate) fn tcp_opened(&self, key: &SeriesKey) {
        self.tcp.with(key, |series| series.opened.fetch_add(1, Ordering::Relaxed));
    }

    /// Counts its end, and the bytes that went each way; `sent` are those of the answer.
    pub(crate) fn tcp_closed(&self, key: &SeriesKey, sent: u64, received: u64) {
        self.tcp.with(key, |series| {
            series.closed.fetch_add(1, Ordering::Relaxed);
            series.sent.fetch_add(sent, Ordering::Relaxed);
            series.received.fetch_add(received, Ordering::Relaxed);
        });
    }
}

/// The sum of one histogram over all workers.
#[derive(Clone, Default)]
struct Counted {
    buckets: [u64; BOUNDS.len() + 1],
    sum: u64,
}

impl Counted {
    fn add(&mut self, histogram: &Histogram) {
        for (sum, bucket) in self.buckets.iter_mut().zip(&histogram.buckets) {
            *sum += bucket.load(Ordering::Relaxed);
        }
        self.sum += histogram.sum.load(Ordering::Relaxed);
    }

    fn join(&mut self, other: &Counted) {
        self.buckets.iter_mut().zip(other.buckets).for_each(|(sum, bucket)| *sum += bucket);
        self.sum += other.sum;
    }

    fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }

    fn render(&self, out: &mut String, name: &str, labels: &str) {
        let mut below = 0;
        for (count, bound) in self.buckets.iter().zip(BOUNDS) {
            below += count;
            line(out, name, "_bucket", &format!("{labels},le=\"{}\"", thousandths(bound)), below);
        }
        line(out, name, "_bucket", &format!("{labels},le=\"+Inf\""), self.count());
        line(out, name, "_sum", labels, thousandths(self.sum));
        line(out, name, "_count", labels, self.count());
    }
}

/// The standard metrics of all workers together, in Prometheus's text format.
pub(crate) fn render<'s>(
    shards: impl IntoIterator<Item = &'s Shard>,
    labels: &Labels,
    rules: MetricRules<'_>,
) -> String {
    let mut http: BTreeMap<SeriesKey, [Counted; 3]> = BTreeMap::new();
    let mut tcp: BTreeMap<SeriesKey, [u64; 4]> = BTreeMap::new();
    for shard in shards {
        shard.http.series.load().iter().for_each(|(key, series)| {
            let sums = http.entry(*key).or_default();
            let parts = [&series.duration, &series.request_bytes, &series.response_bytes];
            sums.iter_mut().zip(parts).for_each(|(sum, part)| sum.add(part));
        });
        shard.tcp.series.load().iter().for_each(|(key, series)| {
            let sums = tcp.entry(*key).or_default();
            let parts = [&series.opened, &series.closed, &series.sent, &series.received];
            sums.iter_mut().zip(parts).for_each(|(sum, part)| *sum += part.load(Ordering::Relaxed));
        });
    }
    let mut out = String::new();
    let text = |key: &SeriesKey, metric: Metric| rules.labels(key, &metric, labels);
    head(&mut out, "istio_requests_total", "counter");
    let mut counts: BTreeMap<String, u64> = BTreeMap::new();
    for (key, [duration, ..]) in &http {
        text(key, Metric::Requests).into_iter().for_each(|text| *counts.entry(text).or_default() += duration.count());
    }
    counts.iter().for_each(|(labels, count)| line(&mut out, "istio_requests_total", "", labels, count));
    let histograms = [
        ("istio_request_duration_milliseconds", Metric::Duration),
        ("istio_request_bytes", Metric::RequestBytes),
        ("istio_response_bytes", Metric::ResponseBytes),
    ];
    for (index, (name, metric)) in histograms.into_iter().enumerate() {
        head(&mut out, name, "histogram");
        let mut alike: BTreeMap<String, Counted> = BTreeMap::new();
        for (key, sums) in &http {
            let text = text(key, metric.clone());
            text.into_iter().for_each(|text| alike.entry(text).or_default().join(&sums[index]));
        }
        alike.iter().for_each(|(labels, sum)| sum.render(&mut out, name, labels));
    }
    let counters = [
        ("istio_tcp_connections_opened_total", Metric::TcpOpened),
        ("istio_tcp_connections_closed_total", Metric::TcpClosed),
        ("istio_tcp_sent_bytes_total", Metric::TcpSent),
        ("istio_tcp_received_bytes_total", Metric::TcpReceived),
    ];
    for (index, (name, metric)) in counters.into_iter().enumerate() {
        head(&mut out, name, "counter");
        let mut alike: BTreeMap<String, u64> = BTreeMap::new();
        for (key, sums) in &tcp {
            let text = text(key, metric.clone());
            text.into_iter().for_each(|text| *alike.entry(text).or_default() += sums[index]);
        }
        alike.iter().for_each(|(labels, sum)| line(&mut out, name, "", labels, sum));
    }
    out
}

/// What the mesh wants different of the standard metrics. It changes what is shown, not what is counted: series that differ
/// in labels alone that are taken away are added up.
#[derive(Clone, Copy, Default)]
pub(crate) struct MetricRules<'t>(pub(crate) Option<&'t Telemetry>);

impl MetricRules<'_> {
    /// The labels of a series in one metric; none if that is not shown.
    fn labels(self, key: &SeriesKey, metric: &Metric, labels: &Labels) -> Option<String> {
        let rule = self.0.and_then(|it| {
            let of_side = if key.reporter == Reporter::Source { &it.client_metrics } else { &it.server_metrics };
            of_side.iter().find(|rule| rule.metric == *metric)
        });
        if rule.is_some_and(|rule| rule.disabled) {
            return None;
        }
        Some(label_text(key, labels, rule.map_or(&[], |rule| &rule.tags)))
    }
}

/// The line before a metric.
pub(crate) fn head(out: &mut String, name: &str, kind: &str) {
    let _ = writeln!(out, "# TYPE {name} {kind}");
}

/// One sample.
pub(crate) fn line(out: &mut String, name: &str, suffix: &str, labels: &str, value: impl std::fmt::Display) {
    let _ = match labels {
        "" => writeln!(out, "{name}{suffix} {value}"),
        labels => writeln!(out, "{name}{suffix}{{{labels}}} {value}"),
    };
}

fn thousandths(value: u64) -> String {
    match value % 1_000 {
        0 => (value / 1_000).to_string(),
        rest => format!("{}.{rest:03}", value / 1_000).trim_end_matches('0').to_owned(),
    }
}

/// Every label of Istio's, in Istio's order, as the mesh wants them. What is not known is `unknown`.
fn label_text(key: &SeriesKey, labels: &Labels, rules: &[TagRule]) -> String {
    let (source, destination) =
        (labels.workloads.value(key.source.workload), labels.workloads.value(key.destination.workload));
    let (from, to) =
        (labels.principals.value(key.source.principal), labels.principals.value(key.destination.principal));
    let service = labels.services.value(key.service);
    let reporter = match key.reporter {
        Reporter::Source => "source",
        Reporter::Destination => "destination",
    };
    let protocol = match key.protocol {
        Spoken::Http => "http",
        Spoken::Grpc => "grpc",
        Spoken::Tcp => "tcp",
    };
    let security = match key.security {
        Security::Unknown => "unknown",
        Security::None => "none",
        Security::MutualTls => "mutual_tls",
    };
    let flags = key.flags.to_string();
    let mut pairs: Vec<(&str, &str)> = vec![
        ("reporter", reporter),
        ("source_workload", &source.name),
        ("source_canonical_service", &source.canonical_service),
        ("source_canonical_revision", &source.canonical_revision),
        ("source_workload_namespace", &source.namespace),
        ("source_principal", &from),
        ("source_app", &source.app),
        ("source_version", &source.version),
        ("source_cluster", &source.cluster),
        ("destination_workload", &destination.name),
        ("destination_workload_namespace", &destination.namespace),
        ("destination_principal", &to),
        ("destination_app", &destination.app),
        ("destination_version", &destination.version),
        ("destination_service", &service.host),
        ("destination_canonical_service", &destination.canonical_service),
        ("destination_canonical_revision", &destination.canonical_revision),
        ("destination_service_name", &service.name),
        ("destination_service_namespace", &service.namespace),
        ("destination_cluster", &destination.cluster),
        ("request_protocol", protocol),
    ];
    let status = key.status.to_string();
    let grpc_status = key.grpc_status.map(|status| status.to_string()).unwrap_or_default();
    if key.protocol != Spoken::Tcp {
        pairs.extend([("response_code", status.as_str()), ("grpc_response_status", grpc_status.as_str())]);
    }
    pairs.extend([("response_flags", flags.as_str()), ("connection_security_policy", security)]);
    let (own, said) = (pairs.clone(), labels.said.value(key.said));
    for rule in rules {
        let value = match &rule.value {
            None => {
                pairs.retain(|(name, _)| *name != rule.name);
                continue;
            }
            Some(TagFrom::Literal(text)) => text.as_str(),
            Some(TagFrom::Label(from)) => own.iter().find(|(name, _)| *name == from).map_or("", |(_, value)| value),
            Some(TagFrom::Request(attribute)) => value_in(&said, attribute).unwrap_or_default(),
        };
        match pairs.iter_mut().find(|(name, _)| *name == rule.name) {
            Some(pair) => pair.1 = value,
            None => pairs.push((&rule.name, value)),
        }
    }
    let mut out = String::new();
    for (index, (name, value)) in pairs.into_iter().enumerate() {
        let value = if value.is_empty() && name != "grpc_response_status" { "unknown" } else { value };
        let comma = if index == 0 { "" } else { "," };
        let _ = write!(out, "{comma}{name}=\"{}\"", escaped(value));
    }
    out
}

/// A label's value as the text format wants it.
pub(crate) fn escaped(value: &str) -> String {
    value.replace('\\', r"\\").replace('"', r#"\""#).replace('\n', r"\n")
}

#[cfg(test)]
mod tests {
    use taut_snapshot::object::FilterAttribute;

    use super::*;
    use crate::telemetry::names::{ServiceName, Workload};

    fn key(labels: &Labels) -> SeriesKey {
        let workload = |namespace: &str, name: &str, version: &str| {
            let list = [("app".into(), name.into()), ("version".into(), version.into())];
            labels.workloads.number(Workload::new(&namespace.into(), &format!("{name}-{version}").into(), &list))
        };
        SeriesKey {
            reporter: Reporter::Destination,
            source: Party {
                workload: workload("shop", "frontend", "v1"),
                principal: labels.principals.number("spiffe://cluster.local/ns/shop/sa/frontend".into()),
            },
            destination: Party {
                workload: workload("shop", "orders", "v2"),
                principal: labels.principals.number("spiffe://cluster.local/ns/shop/sa/orders".into()),
            },
            service: labels.services.number(ServiceName::new(&"orders.shop.svc.cluster.local".into(), &"shop".into())),
            protocol: Spoken::Http,
            status: 200,
            grpc_status: None,
            flags: Flags::NONE,
            security: Security::MutualTls,
            said: NameId::UNKNOWN,
        }
    }

    #[test]
    fn labels_are_istios() {
        let labels = Labels::default();
        assert_eq!(
            label_text(&key(&labels), &labels, &[]).replace(',', "\n"),
            r#"reporter="destination"
source_workload="frontend-v1"
source_canonical_service="frontend"
source_canonical_revision="v1"
source_workload_namespace="shop"
source_principal="spiffe://cluster.local/ns/shop/sa/frontend"
source_app="frontend"
source_version="v1"
source_cluster="unknown"
destination_workload="orders-v2"
destination_workload_namespace="shop"
destination_principal="spiffe://cluster.local/ns/shop/sa/orders"
destination_app="orders"
destination_version="v2"
destination_service="orders.shop.svc.cluster.local"
destination_canonical_service="orders"
destination_canonical_revision="v2"
destination_service_name="orders"
destination_service_namespace="shop"
destination_cluster="unknown"
request_protocol="http"
response_code="200"
grpc_response_status=""
response_flags="-"
connection_security_policy="mutual_tls""#
        );
    }

    #[test]
    fn workers_are_added_up() {
        let labels = Labels::default();
        let (one, two) = (Shard::default(), Shard::default());
        let key = key(&labels);
        one.request(&key, Duration::from_micros(700), 0, 10);
        two.request(&key, Duration::from_millis(30), 5, 20);
        two.request(&SeriesKey { status: 503, ..key }, Duration::from_millis(1), 0, 0);
        let text = render([&one, &two], &labels, MetricRules::default());
        let value = |start: &str, with: &str| -> Vec<&str> {
            let lines = text.lines().filter(|line| line.starts_with(start) && line.contains(with));
            lines.filter_map(|line| line.rsplit(' ').next()).collect()
        };
        assert_eq!(value("istio_requests_total{", "response_code=\"200\""), ["2"]);
        assert_eq!(value("istio_requests_total{", "response_code=\"503\""), ["1"]);
        assert_eq!(value("istio_request_duration_milliseconds_sum", "\"200\""), ["30.7"]);
        let ok = "response_code=\"200\"";
        let buckets: Vec<&str> = value("istio_request_duration_milliseconds_bucket", ok);
        assert_eq!(buckets[..7], ["0", "1", "1", "1", "1", "2", "2"]);
        assert_eq!(buckets.len(), 20);
        assert_eq!(value("istio_response_bytes_sum", ok), ["30"]);
        assert!(text.contains("le=\"0.5\"") && text.contains("le=\"3600000\"") && text.contains("le=\"+Inf\""));
    }

    #[test]
    fn series_that_differ_in_what_is_taken_away_are_one() {
        let labels = Labels::default();
        let shard = Shard::default();
        let key = key(&labels);
        shard.request(&key, Duration::from_millis(1), 0, 0);
        shard.request(&SeriesKey { status: 503, ..key }, Duration::from_millis(2), 0, 0);
        let rule = |metric| {
            let tag = TagRule { name: "response_code".into(), value: None };
            taut_snapshot::object::MetricRule { metric, disabled: false, tags: vec![tag] }
        };
        let telemetry =
            Telemetry { server_metrics: vec![rule(Metric::Requests), rule(Metric::Duration)], ..Telemetry::default() };
        let text = render([&shard], &labels, MetricRules(Some(&telemetry)));
        let of = |start: &str| {
            let lines = text.lines().filter(|line| line.starts_with(start));
            lines.filter_map(|line| line.rsplit(' ').next()).collect::<Vec<&str>>()
        };
        assert_eq!(of("istio_requests_total{"), ["2"]);
        assert_eq!(
            (of("istio_request_duration_milliseconds_sum"), of("istio_request_bytes_count").len()),
            (vec!["3"], 2)
        );
    }

    #[test]
    fn what_requests_say_is_told_only_where_it_is_wanted() {
        let labels = Labels::default();
        let (shard, key) = (Shard::default(), key(&labels));
        let said = |path: &str| labels.said.number(vec![(FilterAttribute::RequestUrlPath, path.into())]);
        for said in [said("/a"), said("/b"), said("/a"), NameId::UNKNOWN] {
            shard.request(&SeriesKey { said, ..key }, Duration::from_millis(1), 0, 0);
        }
        let tag = TagRule { name: "path".into(), value: Some(TagFrom::Request(FilterAttribute::RequestUrlPath)) };
        let rule = taut_snapshot::object::MetricRule { metric: Metric::Requests, disabled: false, tags: vec![tag] };
        let telemetry = Telemetry { server_metrics: vec![rule], ..Telemetry::default() };
        let text = render([&shard], &labels, MetricRules(Some(&telemetry)));
        let counts = |start: &str| -> Vec<String> {
            let lines = text.lines().filter(|line| line.starts_with(start));
            lines.filter_map(|line| line.rsplit(',').next()).map(str::to_owned).collect()
        };
        assert_eq!(counts("istio_requests_total{"), ["path=\"/a\"} 2", "path=\"/b\"} 1", "path=\"unknown\"} 1"]);
        assert_eq!(counts("istio_response_bytes_count").len(), 1, "others are added up");
    }

    #[test]
    fn values_of_labels_are_escaped() {
        assert_eq!(escaped("a\"b\\c\nd"), r#"a\"b\\c\nd"#);
    }
}

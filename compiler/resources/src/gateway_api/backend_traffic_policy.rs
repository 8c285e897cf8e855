//! XBackendTrafficPolicy: limits on retries towards a service, and sessions (semantics.md §18.5; the experimental channel).

use taut_source::{Node, Text};

use super::SessionPersistence;
use crate::ShortDuration;
use crate::grammar::{API_GROUP, API_KIND};
use crate::message::message;
use crate::read::{At, List, Reader};
use crate::rules;

message! {
    /// How clients talk to some services.
    pub struct BackendTrafficPolicy {
        /// The services.
        target_refs: List<TrafficTarget> = "targetRefs", required, items(1..=16);
        /// Limits retries in proportion to requests.
        retry_constraint: Option<RetryConstraint> = "retryConstraint";
        /// Whether requests of one client go to one endpoint.
        session_persistence: Option<SessionPersistence> = "sessionPersistence", refused("use `loadBalancer.consistentHash` in a DestinationRule for the service");
    }
    where check(BackendTrafficPolicy::check);
}

message! {
    /// A service.
    pub struct TrafficTarget {
        /// The group of its kind; empty for the core one.
        group: At<Text> = "group", chars(..=253), is(API_GROUP);
        /// Its kind.
        kind: At<Text> = "kind", chars(1..=63), is(API_KIND);
        /// Its name.
        name: At<Text> = "name", chars(1..=253);
    }
}

message! {
    /// How many retries there may be.
    pub struct RetryConstraint {
        /// In proportion to requests; 20 percent of those of ten seconds if missing.
        budget: Option<RetryShare> = "budget";
        /// So many always may; ten if missing.
        min_retry_rate: Option<RetryRate> = "minRetryRate";
    }
}

message! {
    /// A share of the requests.
    pub struct RetryShare {
        /// In percent.
        percent: At<u32> = "percent", range(0..=100), default(20);
        /// How long requests count; ten seconds if missing.
        interval: Option<At<ShortDuration>> = "interval";
    }
    where check(RetryShare::check);
}

message! {
    /// Retries in some time.
    pub struct RetryRate {
        /// How many.
        count: At<u32> = "count", range(1..=1000000), default(10);
        /// In which time.
        interval: Option<At<ShortDuration>> = "interval", inert("Istio takes `count` as retries under way, in whatever time");
    }
    where check(RetryRate::check);
}

/// The longest time that requests or retries are counted for.
const INTERVAL_MAX: std::time::Duration = std::time::Duration::from_secs(3600);

impl BackendTrafficPolicy {
    fn check(&self, _: Node<'_>, cx: &mut Reader<'_>) {
        let whole = |it: &TrafficTarget| (it.group.value.clone(), it.kind.value.clone(), it.name.value.clone());
        for (index, target) in self.target_refs.iter().enumerate() {
            if self.target_refs[..index].iter().any(|other| whole(other) == whole(target)) {
                let message = format!("`{}` is a target already", target.name.value);
                cx.say(&rules::DUPLICATE, target.span, message, "name each target once");
            }
        }
    }
}

impl RetryShare {
    fn check(&self, _: Node<'_>, cx: &mut Reader<'_>) {
        let least = std::time::Duration::from_secs(1);
        if let Some(interval) = self.interval.filter(|it| !(least..=INTERVAL_MAX).contains(&it.value.0.0)) {
            cx.say(&rules::OUT_OF_RANGE, interval.span, "requests count for one second up to one hour", "write `10s`");
        }
    }
}

impl RetryRate {
    fn check(&self, _: Node<'_>, cx: &mut Reader<'_>) {
        let bad = |it: &At<ShortDuration>| it.value.0.0.is_zero() || INTERVAL_MAX < it.value.0.0;
        if let Some(interval) = self.interval.filter(bad) {
            cx.say(&rules::OUT_OF_RANGE, interval.span, "retries are counted for up to one hour", "write `1s`");
        }
    }
}

//! Balancing by region, zone and subzone (semantics.md §4.1, §4.6).

use taut_source::{Node, Text};

use crate::grammar::is_locality;
use crate::message::message;
use crate::read::{At, List, Named, Reader};
use crate::rules;

message! {
    /// Where traffic goes, by locality.
    pub struct LocalityBalancing {
        /// Shares of other localities, by the client's.
        distribute: List<Distribute> = "distribute";
        /// Where a region's traffic goes when its endpoints are gone.
        failover: List<Failover> = "failover";
        /// Labels that endpoint and client have in common, the most important first.
        failover_priority: List<At<Text>> = "failoverPriority";
        /// Whether this counts at all; true if missing.
        enabled: Option<At<bool>> = "enabled";
    }
    where check(LocalityBalancing::check);
}

message! {
    /// The shares of one locality's traffic.
    pub struct Distribute {
        /// The clients' locality: `region/zone/subzone`, with a star at its end or not.
        from: Option<At<Text>> = "from";
        /// The endpoints' localities, with their shares in percent.
        to: Named<At<u32>> = "to";
    }
}

message! {
    /// A region and the one in whose place it stands.
    pub struct Failover {
        /// The region that fails.
        from: Option<At<Text>> = "from";
        /// The region that takes over.
        to: Option<At<Text>> = "to";
    }
}

message! {
    /// Keeps traffic in its zone as far as the zone's endpoints suffice.
    pub struct ZoneBalancing {
        /// Whether this counts at all; true if missing.
        enabled: Option<At<bool>> = "enabled";
        /// Where a region's traffic goes when its endpoints are gone.
        failover: List<Failover> = "failover";
        /// Labels that endpoint and client have in common, the most important first.
        failover_priority: List<At<Text>> = "failoverPriority";
        /// The fewest endpoints for which zones count.
        min_cluster_size: Option<At<u32>> = "minClusterSize", range(1..);
    }
    where check(ZoneBalancing::check);
}

/// Labels of a place: a list of priorities with them says what `failover` says in another way.
const TOPOLOGY: &[&str] = &[
    "topology.kubernetes.io/region",
    "topology.kubernetes.io/zone",
    "topology.istio.io/subzone",
    "failure-domain.beta.kubernetes.io/region",
    "failure-domain.beta.kubernetes.io/zone",
];

impl LocalityBalancing {
    /// Whether endpoints of another locality take over when those of the first are left out.
    pub(crate) fn fails_over(&self) -> bool {
        !self.failover.is_empty() || !self.failover_priority.is_empty()
    }

    fn check(&self, _: Node<'_>, cx: &mut Reader<'_>) {
        if let (Some(_), Some(failover)) = (self.distribute.first(), self.failover.first()) {
            cx.say(
                &rules::EXCLUSIVE,
                failover.span,
                "`distribute` and `failover` exclude each other",
                "keep one of them",
            );
        }
        let mut seen: Vec<&str> = Vec::new();
        for distribute in &self.distribute {
            distribute.check(&mut seen, cx);
        }
        check_failover(&self.failover, &self.failover_priority, cx);
    }
}

impl ZoneBalancing {
    fn check(&self, _: Node<'_>, cx: &mut Reader<'_>) {
        check_failover(&self.failover, &self.failover_priority, cx);
    }
}

const LOCALITY_HELP: &str = "write `region`, `region/zone` or `region/zone/subzone`, with a star at the end or not";

impl Distribute {
    fn check<'d>(&'d self, seen: &mut Vec<&'d str>, cx: &mut Reader<'_>) {
        let from = self.from.as_ref().map_or("", |from| from.as_str());
        let span = self.from.as_ref().map_or(self.span, |from| from.span);
        if !is_locality(from) {
            cx.say(&rules::BAD_VALUE, span, format!("`{from}` is no locality"), LOCALITY_HELP);
        } else if let Some(other) = seen.iter().find(|other| overlap(other, from)) {
            cx.say(
                &rules::DUPLICATE,
                span,
                format!("`{from}` is within `{other}`, which stands here too"),
                "keep one of them",
            );
        }
        seen.push(from);
        let mut targets: Vec<&str> = Vec::new();
        for (place, share) in &self.to.0 {
            if !is_locality(&place.value) {
                cx.say(&rules::BAD_VALUE, place.span, format!("`{}` is no locality", place.value), LOCALITY_HELP);
            } else if let Some(other) = targets.iter().find(|other| overlap(other, &place.value)) {
                let message = format!("`{}` is within `{other}`, which stands here too", place.value);
                cx.say(&rules::DUPLICATE, place.span, message, "keep one of them");
            }
            targets.push(&place.value);
            if !(1..=100).contains(&share.value) {
                cx.say(
                    &rules::OUT_OF_RANGE,
                    share.span,
                    format!("the share {} is outside 1 to 100", share.value),
                    "write a number from 1 to 100",
                );
            }
        }
        let sum: u64 = self.to.0.iter().map(|(_, share)| u64::from(share.value)).sum();
        if sum != 100 {
            cx.say(
                &rules::OUT_OF_RANGE,
                self.to.0.first().map_or(self.span, |(place, _)| place.span),
                format!("the shares of `{from}` add up to {sum}, not 100"),
                "raise or lower one of them",
            );
        }
    }
}

/// Whether some place is in both. `a/*` has all that `a/b` has.
fn overlap(a: &str, b: &str) -> bool {
    let within = |inner: &str, outer: &str| match outer.strip_suffix('*') {
        Some(prefix) => inner.starts_with(prefix),
        None => inner == outer,
    };
    within(a, b) || within(b, a)
}

fn check_failover(failover: &[Failover], priority: &[At<Text>], cx: &mut Reader<'_>) {
    for each in failover {
        let [from, to] = [&each.from, &each.to].map(|region| region.as_ref().map_or("", |region| region.as_str()));
        if from == to {
            cx.say(&rules::BAD_VALUE, each.span, format!("`{from}` fails over to itself"), "name two regions");
        }
        for region in [&each.from, &each.to].into_iter().flatten() {
            if region.is_empty() || region.contains(['/', '*']) {
                cx.say(
                    &rules::BAD_VALUE,
                    region.span,
                    format!("`{}` is no region", region.value),
                    "write the name of a region alone",
                );
            }
        }
    }
    let topology = priority.iter().find(|label| TOPOLOGY.contains(&label.split('=').next().unwrap_or_default()));
    if let (Some(label), Some(_)) = (topology, failover.first()) {
        let message = format!("`failover` and the priority `{}` both say which place comes next", label.value);
        cx.say(&rules::EXCLUSIVE, label.span, message, "keep one of them");
    }
}

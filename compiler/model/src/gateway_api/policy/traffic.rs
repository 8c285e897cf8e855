//! XBackendTrafficPolicy: limits on retries, as Istio takes them: a budget, of which `minRetryRate` is the least.

use std::collections::BTreeSet;

use taut_resources::gateway_api::RetryConstraint;
use taut_resources::{Duration, DurationOrZero, List, RetryBudget};

use super::{Saying, Target, destination_rule, hosts, ignored, is_ignored};
use crate::Host;
use crate::gateway_api::made::at;
use crate::gateway_api::status::{Fault, ParentStatus, Status, condition};
use crate::gateway_api::world::World;
use crate::gateway_api::{Converted, MadeTraffic};

/// What the API server fills in: so many retries, whatever the share.
const LEAST: u32 = 10;

/// What the API server fills in: a share of the requests.
const PERCENT: u32 = 20;

/// What the API server fills in: of those of this time.
const INTERVAL: std::time::Duration = std::time::Duration::from_secs(10);

/// Converts every policy. Of several for one service the oldest counts.
pub(super) fn convert(world: &World<'_>, made: &mut Converted) {
    let mut taken: BTreeSet<Host> = BTreeSet::new();
    for policy in &world.traffic_policies {
        let spec = policy.of.spec;
        let mut status =
            Status { resource: policy.number, conditions: Vec::new(), listeners: Vec::new(), parents: Vec::new() };
        for (number, target) in spec.target_refs.iter().enumerate() {
            let span = target.name.span;
            let named = Target {
                namespace: policy.of.namespace(),
                group: &target.group,
                kind: &target.kind,
                name: &target.name,
                section: None,
            };
            let fault = if is_ignored(policy.of.resource) {
                Some(ignored(span))
            } else {
                match hosts(world, named) {
                    Err(what) => Some(Fault::new("TargetNotFound", span, what)),
                    Ok(hosts) => {
                        for (host, _) in hosts {
                            let Some(constraint) = &spec.retry_constraint else { continue };
                            if !taken.insert(host.clone()) {
                                let message = format!("an older policy for `{host}` counts");
                                made.unused.push((policy.number, constraint.span, message));
                                continue;
                            }
                            let retry_budget = Some(Box::new(budget(constraint)));
                            let saying = Saying { tls: None, retry_budget, ports: List::new() };
                            made.traffic.push(MadeTraffic {
                                resource: policy.number,
                                spec: destination_rule(spec.span, target.span, at(host.clone(), span), saying),
                                host,
                            });
                        }
                        None
                    }
                }
            };
            let conditions = vec![condition("Accepted", "Accepted", span, fault.as_ref())];
            status.parents.push(ParentStatus { number, conditions });
        }
        made.statuses.push(status);
    }
}

fn budget(constraint: &RetryConstraint) -> RetryBudget {
    let span = constraint.span;
    let share = constraint.budget.as_ref();
    let percent = share.map_or(PERCENT, |share| share.percent.value);
    let interval = share.and_then(|share| share.interval).map_or(INTERVAL, |it| it.value.0.0);
    RetryBudget {
        span,
        percent: Some(at(f64::from(percent), span)),
        min_retry_concurrency: Some(at(constraint.min_retry_rate.as_ref().map_or(LEAST, |it| it.count.value), span)),
        budget_interval: Some(at(DurationOrZero(Duration(interval)), span)),
    }
}

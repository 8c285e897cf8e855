//! When an endpoint is left out, and for how long (semantics.md §4.1).

use taut_source::Node;

use crate::Duration;
use crate::message::message;
use crate::read::{At, List, Reader};
use crate::rules;

message! {
    /// When to leave an endpoint out, and for how long.
    pub struct OutlierDetection {
        /// Errors in a row; 5 if missing, 0 switches it off.
        consecutive_5xx_errors: Option<At<u32>> = "consecutive5xxErrors";
        /// 502, 503 and 504 in a row; off if missing or 0.
        consecutive_gateway_errors: Option<At<u32>> = "consecutiveGatewayErrors";
        /// The old name.
        consecutive_errors: Option<At<i32>> = "consecutiveErrors", deprecated("use `consecutive5xxErrors`: this one has no effect"), inert("it has no effect in Istio either");
        /// Counts failures to connect apart from errors of the service.
        split_external_local_origin_errors: Option<At<bool>> = "splitExternalLocalOriginErrors";
        /// Failures to connect in a row; 5 if missing.
        consecutive_local_origin_failures: Option<At<u32>> = "consecutiveLocalOriginFailures";
        /// How often the ejected are looked at; 10s if missing.
        interval: Option<At<Duration>> = "interval";
        /// How long one is out the first time; 30s if missing.
        base_ejection_time: Option<At<Duration>> = "baseEjectionTime";
        /// How many percent may be out at once; 10 if missing or 0, and always one.
        max_ejection_percent: Option<At<i32>> = "maxEjectionPercent", range(0..=100);
        /// Below this share of healthy endpoints, all are used; 0 if missing.
        min_health_percent: Option<At<i32>> = "minHealthPercent", range(0..=100);
        /// The statuses that count as errors, in place of 5xx.
        outlier_detection_http_error_codes: List<At<u32>> = "outlierDetectionHttpErrorCodes", range(100..=599);
    }
    where check(OutlierDetection::check);
}

impl OutlierDetection {
    fn check(&self, _: Node<'_>, cx: &mut Reader<'_>) {
        let split = self.split_external_local_origin_errors.is_some_and(|split| split.value);
        if let Some(local) = self.consecutive_local_origin_failures.filter(|local| 0 < local.value && !split) {
            let message = "`consecutiveLocalOriginFailures` needs `splitExternalLocalOriginErrors: true`";
            cx.say(&rules::EXCLUSIVE, local.span, message, "add `splitExternalLocalOriginErrors: true`");
        }
    }
}

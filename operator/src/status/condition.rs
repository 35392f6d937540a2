//! Conditions: how one is built, and when its `lastTransitionTime` moves.
//!
//! `desired` knows no clock, so it leaves the time open; `keep_times` fills it in: the old time as long as the status is the
//! same, else now.

use crds::conditions::{ConditionType, Reason};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use k8s_openapi::jiff::Timestamp;

/// Builds a condition whose time is still open.
pub(super) fn condition(
    kind: ConditionType,
    status: bool,
    reason: Reason,
    message: String,
    generation: i64,
) -> Condition {
    Condition {
        type_: kind.to_string(),
        status: if status { "True" } else { "False" }.to_owned(),
        reason: reason.to_string(),
        message,
        observed_generation: (generation > 0).then_some(generation),
        last_transition_time: Time(Timestamp::UNIX_EPOCH),
    }
}

/// Fills in the times.
pub(super) fn keep_times(before: &[Condition], conditions: &mut [Condition], now: Timestamp) {
    for condition in &mut *conditions {
        condition.last_transition_time = Time(now);
    }
    adopt_times(before, conditions);
}

/// Takes over the times of conditions whose status is the same.
pub(super) fn adopt_times(before: &[Condition], conditions: &mut [Condition]) {
    for condition in conditions {
        let same = before
            .iter()
            .find(|old| old.type_ == condition.type_ && old.status == condition.status);
        if let Some(old) = same {
            condition.last_transition_time = old.last_transition_time.clone();
        }
    }
}

//! What is really in force, in the words of the kinds' status fields.
//!
//! `desired` is pure: an engine view, the ends of certificates and what other replicas report in, typed statuses out. A handle computes it when somebody
//! asks, and lets `lastTransitionTime` move only when a condition flips. Nothing here decides what is served.

mod certificates;
mod condition;
mod counts;
mod fleet;
pub mod kubernetes;
mod mesh;
mod objects;
mod policy;
mod report;
mod task;
mod workload;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::SystemTime;

use config::ObjectRef;
use config::model::Key;
use crds::PolicyStatus;
use crds::mesh::MeshSummary;
use crds::meshstatus::MeshStatusStatus;
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

use crate::engine::EngineView;

pub use certificates::CertificateBook;
pub use objects::{StatusView, finding, objects};
pub use policy::CONTROLLER;
pub use report::{Mark, Report, Reported};
pub use task::{StatusHandle, start};
pub(crate) use workload::human;

/// The status of everything.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Statuses {
    /// Of each policy and route.
    pub policies: BTreeMap<Arc<ObjectRef>, PolicyStatus>,
    /// Of each workload group.
    pub workloads: BTreeMap<Key, MeshStatusStatus>,
    /// Of the mesh.
    pub mesh: MeshSummary,
}

/// What is known beside the engine's own view.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Beside {
    /// What other replicas report of their own streams, by the replica's name.
    pub reports: BTreeMap<Arc<str>, Arc<Report>>,
    /// Pods without a proxy in meshed namespaces, by the group that they belong to.
    pub unmeshed: Arc<BTreeMap<Key, Vec<String>>>,
}

/// What every status should say. Times of conditions are left open.
pub fn desired(view: &EngineView, certificates: &BTreeMap<Key, SystemTime>, beside: &Beside) -> Statuses {
    let fleet = fleet::Fleet::new(view, certificates, &beside.reports);
    let policies: BTreeMap<_, _> = view
        .model
        .reports
        .iter()
        .map(|(object, report)| (Arc::clone(object), policy::status(&fleet, report)))
        .collect();
    let workloads = workload::statuses(&fleet, &beside.unmeshed);
    let mesh = mesh::summary(view, &workloads);
    Statuses {
        policies,
        workloads,
        mesh,
    }
}

/// Fills in the times of conditions: the old time as long as a condition's status is the same.
pub fn keep_times(before: &Statuses, statuses: &mut Statuses, now: Timestamp) {
    let nothing = PolicyStatus::default();
    for (object, status) in &mut statuses.policies {
        let old = before.policies.get(object).unwrap_or(&nothing);
        each_condition(old, status, |before, conditions| {
            condition::keep_times(before, conditions, now);
        });
    }
}

/// Takes over the times of one object's conditions, as somebody else has written them, where the status is the same.
pub(crate) fn adopt_times(before: &PolicyStatus, status: &mut PolicyStatus) {
    each_condition(before, status, condition::adopt_times);
}

/// The conditions of an object and of its targets, with those that they follow.
fn each_condition(
    before: &PolicyStatus,
    status: &mut PolicyStatus,
    mut visit: impl FnMut(&[Condition], &mut [Condition]),
) {
    visit(&before.conditions, &mut status.conditions);
    for ancestor in &mut status.ancestors {
        let same = before
            .ancestors
            .iter()
            .find(|old| old.path == ancestor.path && old.target == ancestor.target);
        let conditions = same.map(|old| old.conditions.as_slice()).unwrap_or_default();
        visit(conditions, &mut ancestor.conditions);
    }
}

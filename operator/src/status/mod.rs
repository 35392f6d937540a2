//! What is really in force, in the words of the kinds' status fields.
//!
//! `desired` is pure: an engine view and the ends of certificates in, typed statuses out. A handle computes it when somebody
//! asks, and lets `lastTransitionTime` move only when a condition flips. Nothing here decides what is served.

mod certificates;
mod condition;
mod counts;
mod mesh;
mod objects;
mod policy;
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

use crate::engine::EngineView;

pub use certificates::CertificateBook;
pub use objects::{StatusView, finding, objects};
pub use policy::CONTROLLER;
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

/// What every status should say. Times of conditions are left open.
pub fn desired(view: &EngineView, certificates: &BTreeMap<Key, SystemTime>, now: SystemTime) -> Statuses {
    let policies: BTreeMap<_, _> = view
        .model
        .reports
        .iter()
        .map(|(object, report)| (Arc::clone(object), policy::status(view, report)))
        .collect();
    let workloads = workload::statuses(view, certificates, now);
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
        condition::keep_times(&old.conditions, &mut status.conditions, now);
        for ancestor in &mut status.ancestors {
            let same = old
                .ancestors
                .iter()
                .find(|old| old.path == ancestor.path && old.target == ancestor.target);
            let conditions = same.map(|old| old.conditions.as_slice()).unwrap_or_default();
            condition::keep_times(conditions, &mut ancestor.conditions, now);
        }
    }
}

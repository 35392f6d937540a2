//! What changed from one model to the next: policies, and who workloads are.
//!
//! When each policy last changed is the watermark that proxies must have acknowledged before it counts as enforced. An object
//! changes when its text does (another `Arc` from the source) or when what it reaches does (another report).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use config::model::Key;
use config::{Model, ObjectRef};

use crate::source::{Object, SourceView};

/// The revision at which each policy last changed.
pub(super) fn update(
    before: &BTreeMap<Arc<ObjectRef>, u64>,
    (old_model, old_source): (&Model, &SourceView),
    (model, source): (&Model, &SourceView),
    revision: u64,
) -> BTreeMap<Arc<ObjectRef>, u64> {
    let unchanged = |object: &Arc<ObjectRef>| {
        let same_text = match (old_source.by_name.get(object), source.by_name.get(object)) {
            (Some(old), Some(new)) => Object::same(old, new),
            _ => false,
        };
        same_text && old_model.reports.get(object) == model.reports.get(object)
    };
    model
        .reports
        .keys()
        .map(|object| {
            let last = before.get(object).copied().filter(|_| unchanged(object));
            (Arc::clone(object), last.unwrap_or(revision))
        })
        .collect()
}

/// Workloads that came, went, or are not who they were: a stream was let in as one identity at one address, and its
/// certificates would be renewed for that identity for as long as it lasts. Asks nobody who is connected: a stream that is
/// just being let in is not in the books yet.
pub(super) fn strangers(before: &Model, after: &Model) -> BTreeSet<Key> {
    let who = |model: &Model, key: &Key| {
        let workload = model.workloads.get(key)?;
        Some((workload.identity.clone(), workload.address))
    };
    let keys = before.workloads.keys().chain(after.workloads.keys());
    keys.filter(|key| who(before, key) != who(after, key))
        .cloned()
        .collect()
}

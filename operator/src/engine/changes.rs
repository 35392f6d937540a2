//! When each policy last changed: the watermark that proxies must have acknowledged before it counts as enforced.
//!
//! An object changes when its text does (another `Arc` from the source) or when what it reaches does (another report).

use std::collections::BTreeMap;
use std::sync::Arc;

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

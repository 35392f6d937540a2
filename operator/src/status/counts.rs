//! Which proxies an object concerns and what they answered.

use std::collections::BTreeSet;
use std::sync::Arc;

use config::ObjectRef;
use config::model::{Concerned, Key};
use crds::status::ProxyCounts;

use super::fleet::{Fleet, Seen};
use crate::engine::{EngineView, Rejection};

/// The proxies that one object, or one of its targets, concerns.
pub(super) struct Counted<'a> {
    /// For the table.
    pub(super) counts: ProxyCounts,
    /// How many of these proxies were seen since the control plane started.
    pub(super) seen: usize,
    /// Proxies that have neither acknowledged nor refused.
    pub(super) pending: Vec<&'a Key>,
    /// The first refusal.
    pub(super) rejection: Option<(&'a Key, &'a Rejection)>,
    /// The first proxy for which compiling failed.
    pub(super) failed: Option<(&'a Key, &'a str)>,
}

/// Counts. Each workload of the mesh is expected to have a proxy, seen or not: one that was not seen since the control plane
/// started may still be running with what it had, and so may one that left. Both are pending.
pub(super) fn count<'a>(fleet: &Fleet<'a>, object: &Arc<ObjectRef>, of: &BTreeSet<Key>) -> Counted<'a> {
    let mut counted = Counted {
        counts: ProxyCounts::default(),
        seen: 0,
        pending: Vec::new(),
        rejection: None,
        failed: None,
    };
    for key in of
        .iter()
        .filter_map(|key| Some(fleet.view.model.workloads.get_key_value(key)?.0))
    {
        counted.counts.matched += 1;
        let Some(seen) = fleet.get(key) else {
            counted.pending.push(key);
            continue;
        };
        counted.seen += 1;
        if let Some(rejection) = rejection_of(seen, object) {
            counted.counts.rejected += 1;
            counted.rejection = counted.rejection.or(Some((key, rejection)));
        } else if fleet.has(seen, object) {
            counted.counts.acked += 1;
        } else {
            counted.pending.push(key);
        }
        if let Some(reason) = &seen.proxy.failed {
            counted.failed = counted.failed.or(Some((key, reason)));
        }
    }
    counted
}

/// The workloads that an object concerns.
pub(super) fn concerned(view: &EngineView, concerned: &Concerned) -> BTreeSet<Key> {
    let all = view.model.workloads.keys();
    match concerned {
        Concerned::Workloads(keys) => keys.clone(),
        Concerned::Everyone => all.cloned().collect(),
        Concerned::Namespace(namespace) => all.filter(|key| key.namespace == *namespace).cloned().collect(),
    }
}

fn rejection_of<'a>(seen: &Seen<'a>, object: &Arc<ObjectRef>) -> Option<&'a Rejection> {
    seen.proxy
        .rejections
        .iter()
        .find(|rejection| rejection.objects.contains(object))
}

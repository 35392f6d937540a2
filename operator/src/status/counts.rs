//! Which proxies an object concerns and what they answered.

use std::collections::BTreeSet;
use std::sync::Arc;

use config::ObjectRef;
use config::model::{Concerned, Key};
use crds::status::ProxyCounts;

use crate::engine::{EngineView, ProxyView, Rejection};

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
pub(super) fn count<'a>(view: &'a EngineView, object: &Arc<ObjectRef>, of: &BTreeSet<Key>) -> Counted<'a> {
    let changed = view.changed_at.get(object).copied().unwrap_or(view.revision);
    let mut counted = Counted {
        counts: ProxyCounts::default(),
        seen: 0,
        pending: Vec::new(),
        rejection: None,
        failed: None,
    };
    for key in of
        .iter()
        .filter_map(|key| Some(view.model.workloads.get_key_value(key)?.0))
    {
        counted.counts.matched += 1;
        let Some(proxy) = view.proxies.get(key) else {
            counted.pending.push(key);
            continue;
        };
        counted.seen += 1;
        if let Some(rejection) = rejection_of(proxy, object) {
            counted.counts.rejected += 1;
            counted.rejection = counted.rejection.or(Some((key, rejection)));
        } else if proxy.has(changed) {
            counted.counts.acked += 1;
        } else {
            counted.pending.push(key);
        }
        if let Some(reason) = &proxy.failed {
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

fn rejection_of<'a>(proxy: &'a Arc<ProxyView>, object: &Arc<ObjectRef>) -> Option<&'a Rejection> {
    proxy
        .rejections
        .iter()
        .find(|rejection| rejection.objects.contains(object))
}

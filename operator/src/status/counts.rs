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
    /// How many workloads are concerned, with or without a proxy.
    pub(super) workloads: usize,
    /// Proxies that have neither acknowledged nor refused.
    pub(super) pending: Vec<&'a Key>,
    /// The first refusal.
    pub(super) rejection: Option<(&'a Key, &'a Rejection)>,
    /// The first proxy for which compiling failed.
    pub(super) failed: Option<(&'a Key, &'a str)>,
}

/// Counts. Proxies that were never seen are not counted; proxies that left but whose workload is still there are pending,
/// because they may still be running with what they had.
pub(super) fn count<'a>(view: &'a EngineView, object: &Arc<ObjectRef>, of: &BTreeSet<Key>) -> Counted<'a> {
    let changed = view.changed_at.get(object).copied().unwrap_or(view.revision);
    let mut counted = Counted {
        counts: ProxyCounts::default(),
        workloads: of.len(),
        pending: Vec::new(),
        rejection: None,
        failed: None,
    };
    for (key, proxy) in view.proxies.iter().filter(|(key, _)| of.contains(*key)) {
        counted.counts.matched += 1;
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

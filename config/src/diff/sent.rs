//! What proxies would be sent: both models are compiled where they differ, and versions compared.

use std::collections::BTreeMap;
use std::sync::Arc;

use xds::{Kind, Layer, Snapshot};

use crate::compiler::Compiler;
use crate::input::Settings;
use crate::model::{Key, Model};

/// What would be sent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sent {
    /// Proxies that would be sent something.
    pub proxies: Vec<Key>,
    /// Resources that are new or changed, over all proxies.
    pub resources: usize,
    /// Resources that are taken back, over all proxies.
    pub removed: usize,
    /// Bytes of the new and changed ones, over all proxies.
    pub bytes: u64,
    /// New and changed ones by kind, over all proxies.
    pub by_kind: BTreeMap<Kind, usize>,
    /// Workloads of which a snapshot cannot be made, with the reason.
    pub failed: Vec<(Key, String)>,
}

/// What one layer differs in.
#[derive(Clone, Debug, Default)]
struct LayerChange {
    changed: BTreeMap<Kind, usize>,
    removed: usize,
    bytes: u64,
}

/// Compiles and compares.
pub(super) fn sent(before: &Arc<Model>, after: &Arc<Model>, settings: &Settings) -> Sent {
    let shared = before.mesh != after.mesh || before.services != after.services;
    let concerned: Vec<&Key> = after
        .workloads
        .iter()
        .filter(|(key, new)| {
            shared
                || before
                    .workloads
                    .get(*key)
                    .is_none_or(|old| !Arc::ptr_eq(old, new) && old != *new)
        })
        .map(|(key, _)| key)
        .collect();
    let mut sent = Sent::default();
    let mut compiler = Compiler::new();
    let old: Vec<Option<Snapshot>> = concerned
        .iter()
        .map(|key| compiler.snapshot(before, settings, key).ok())
        .collect();
    // Proxies share layers, so each pair of layers is compared once.
    let mut known: BTreeMap<(usize, usize), LayerChange> = BTreeMap::new();
    for (key, old) in concerned.into_iter().zip(old) {
        match compiler.snapshot(after, settings, key) {
            Ok(new) => sent.add(key, old.as_ref(), &new, &mut known),
            Err(error) => sent.failed.push((key.clone(), error.to_string())),
        }
    }
    sent
}

impl Sent {
    fn add(
        &mut self,
        key: &Key,
        old: Option<&Snapshot>,
        new: &Snapshot,
        known: &mut BTreeMap<(usize, usize), LayerChange>,
    ) {
        let nothing = Arc::new(Layer::from_resources([]));
        let mut concerned = false;
        for (index, layer) in new.layers.iter().enumerate() {
            let before = old.and_then(|old| old.layers.get(index)).unwrap_or(&nothing);
            if Arc::ptr_eq(before, layer) {
                continue;
            }
            let pair = (Arc::as_ptr(before).addr(), Arc::as_ptr(layer).addr());
            let change = if old.is_some() {
                known.entry(pair).or_insert_with(|| compare(before, layer)).clone()
            } else {
                compare(before, layer)
            };
            concerned |= !change.changed.is_empty() || change.removed > 0;
            self.removed += change.removed;
            self.bytes += change.bytes;
            for (kind, count) in change.changed {
                self.resources += count;
                *self.by_kind.entry(kind).or_default() += count;
            }
        }
        if concerned {
            self.proxies.push(key.clone());
        }
    }
}

fn compare(before: &Layer, after: &Layer) -> LayerChange {
    let mut change = LayerChange::default();
    for kind in Kind::ALL {
        for resource in after.iter(kind) {
            if before
                .get(kind, &resource.name)
                .is_none_or(|old| old.version != resource.version)
            {
                *change.changed.entry(kind).or_default() += 1;
                change.bytes += u64::try_from(resource.body.len()).unwrap_or_default();
            }
        }
        change.removed += before
            .iter(kind)
            .filter(|old| after.get(kind, &old.name).is_none())
            .count();
    }
    change
}

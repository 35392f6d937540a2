//! What proxies would be sent: both models are compiled where they differ, and versions compared.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use xds::{Kind, Layer, Snapshot};

use crate::compiler::Compiler;
use crate::input::Settings;
use crate::model::{Key, Model};
use crate::scope::Scope;

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
    let asked = asked(before, after);
    let mut sent = Sent::default();
    let mut compiler = Compiler::new();
    let old: Vec<Option<Snapshot>> = asked
        .iter()
        .map(|group| compiler.snapshot(before, settings, group.first).ok())
        .collect();
    // Proxies share layers, so each pair of layers is compared once.
    let mut known: BTreeMap<(usize, usize), LayerChange> = BTreeMap::new();
    for (group, old) in asked.into_iter().zip(old) {
        match compiler.snapshot(after, settings, group.first) {
            Ok(new) => sent.add(&group, &change(old.as_ref(), &new, &mut known)),
            Err(error) => sent.failed.push((group.first.clone(), error.to_string())),
        }
    }
    sent.proxies.sort();
    sent
}

/// Proxies to which the same happens: one is compiled for.
struct Group<'a> {
    first: &'a Key,
    others: Vec<&'a Key>,
}

/// The proxies whose snapshots may differ. A proxy's own layer follows from its workload, the Mesh, who there is and where;
/// where that is the same, all proxies of a scope differ in the same.
fn asked<'a>(before: &Model, after: &'a Model) -> Vec<Group<'a>> {
    let same_services = before.services == after.services;
    let same_world =
        before.mesh == after.mesh && before.identities == after.identities && places(before) == places(after);
    let mut groups: Vec<Group<'a>> = Vec::new();
    let mut scopes: BTreeMap<(Scope, Scope), usize> = BTreeMap::new();
    for (key, new) in &after.workloads {
        let old = before.workloads.get(key);
        let alone = || Group {
            first: key,
            others: Vec::new(),
        };
        match old.filter(|old| same_world && *old == new) {
            Some(_) if same_services => {}
            Some(old) => {
                let scope = (Scope::of(old), Scope::of(new));
                let place = *scopes.entry(scope).or_insert(groups.len());
                match groups.get_mut(place) {
                    Some(group) => group.others.push(key),
                    None => groups.push(alone()),
                }
            }
            None => groups.push(alone()),
        }
    }
    groups
}

/// Where the replicas of each group are.
fn places(model: &Model) -> BTreeSet<(&str, &str, IpAddr)> {
    let workloads = model.workloads.values();
    workloads
        .map(|workload| (&*workload.key.namespace, &*workload.group, workload.address))
        .collect()
}

fn change(old: Option<&Snapshot>, new: &Snapshot, known: &mut BTreeMap<(usize, usize), LayerChange>) -> LayerChange {
    let nothing = Arc::new(Layer::from_resources([]));
    let mut whole = LayerChange::default();
    for (index, layer) in new.layers.iter().enumerate() {
        let change = match old.and_then(|old| old.layers.get(index)) {
            Some(before) if Arc::ptr_eq(before, layer) => continue,
            Some(before) => {
                let pair = (Arc::as_ptr(before).addr(), Arc::as_ptr(layer).addr());
                known.entry(pair).or_insert_with(|| compare(before, layer)).clone()
            }
            None => compare(&nothing, layer),
        };
        whole.removed += change.removed;
        whole.bytes += change.bytes;
        for (kind, count) in change.changed {
            *whole.changed.entry(kind).or_default() += count;
        }
    }
    whole
}

impl Sent {
    fn add(&mut self, group: &Group<'_>, change: &LayerChange) {
        if change.changed.is_empty() && change.removed == 0 {
            return;
        }
        let proxies = 1 + group.others.len();
        self.proxies.push(group.first.clone());
        self.proxies.extend(group.others.iter().map(|key| (*key).clone()));
        self.removed += change.removed * proxies;
        self.bytes += change.bytes * u64::try_from(proxies).unwrap_or_default();
        for (kind, count) in &change.changed {
            self.resources += count * proxies;
            *self.by_kind.entry(*kind).or_default() += count * proxies;
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

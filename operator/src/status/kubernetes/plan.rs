//! What status should say and what the API server holds -> the writes that make them equal. Pure.
//!
//! Nothing is written that says the same, and a condition keeps the time that the API server has for it as long as its status is
//! the same, whoever wrote that. Objects in a namespace that is being deleted are left alone: the API server would refuse.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use config::ObjectRef;
use config::model::Key;
use crds::PolicyStatus;
use crds::mesh::MeshSummary;
use crds::meshstatus::MeshStatusStatus;
use kube::core::DynamicObject;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use xxhash_rust::xxh3::xxh3_64;

use super::super::{StatusView, adopt_times};
use crate::source::Object;

/// The kind of rows.
const ROW: &str = "MeshStatus";
/// Names of objects are no longer.
const LONGEST_NAME: usize = 200;

/// An object whose status is ours.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Id {
    pub(super) kind: String,
    /// Empty for the Mesh.
    pub(super) namespace: String,
    pub(super) name: String,
}

/// What to write.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Write {
    /// The status of an object that exists.
    Status { uid: String, status: Value },
    /// A row that does not exist yet.
    Row { status: Value },
    /// A row that nothing stands behind any more.
    Delete { uid: String },
}

/// The objects as the API server holds them, without their specs.
pub(super) type Stored = BTreeMap<Id, Arc<DynamicObject>>;

/// What has to be written.
pub(super) fn plan(view: &StatusView, stored: &Stored) -> BTreeMap<Id, Write> {
    let ending = ending(view);
    let mut writes = BTreeMap::new();
    for (object, status) in &view.statuses.policies {
        let id = Id::of(object);
        let known = stored.get(&id).filter(|_| !ending.contains(&*object.namespace));
        let source = view.engine.source.by_name.get(object).map(Object::uid);
        // An object of the same name may be another one by now; the next look shows both alike.
        let Some(known) = known.filter(|known| known.metadata.uid.as_deref() == source) else {
            continue;
        };
        let mut status = status.clone();
        if let Some(before) = read::<PolicyStatus>(known) {
            adopt_times(&before, &mut status);
        }
        writes.extend(correction(known, &status).map(|write| (id, write)));
    }
    let mesh = Id::of(&ObjectRef::new("Mesh", "", "default"));
    if let Some(known) = stored.get(&mesh) {
        let summary: &MeshSummary = &view.statuses.mesh;
        writes.extend(correction(known, summary).map(|write| (mesh, write)));
    }
    rows(view, stored, &ending, &mut writes);
    writes
}

fn rows(view: &StatusView, stored: &Stored, ending: &BTreeSet<&str>, writes: &mut BTreeMap<Id, Write>) {
    let mut wanted = BTreeSet::new();
    for (group, status) in &view.statuses.workloads {
        if ending.contains(&*group.namespace) {
            continue;
        }
        let id = Id {
            kind: ROW.to_owned(),
            namespace: group.namespace.to_string(),
            name: row_name(group),
        };
        // A number of this process, which means nothing to readers of another one's objects.
        let status = MeshStatusStatus {
            last_acked_revision: None,
            ..status.clone()
        };
        let write = match stored.get(&id) {
            Some(known) => correction(known, &status),
            None => json(&status).map(|status| Write::Row { status }),
        };
        writes.extend(write.map(|write| (id.clone(), write)));
        wanted.insert(id);
    }
    for (id, known) in stored.iter().filter(|(id, _)| id.kind == ROW && !wanted.contains(id)) {
        if !ending.contains(id.namespace.as_str()) {
            let uid = known.metadata.uid.clone().unwrap_or_default();
            writes.insert(id.clone(), Write::Delete { uid });
        }
    }
}

/// What corrects the status of an object that exists, if it needs that.
fn correction<S: Serialize + DeserializeOwned + PartialEq>(known: &DynamicObject, status: &S) -> Option<Write> {
    if known.metadata.deletion_timestamp.is_some() || read::<S>(known).as_ref() == Some(status) {
        return None;
    }
    let uid = known.metadata.uid.clone()?;
    Some(Write::Status {
        uid,
        status: json(status)?,
    })
}

fn json(status: &impl Serialize) -> Option<Value> {
    serde_json::to_value(status).ok()
}

fn read<S: DeserializeOwned>(known: &DynamicObject) -> Option<S> {
    S::deserialize(known.data.get("status")?).ok()
}

/// Namespaces that are being deleted, or are gone.
fn ending(view: &StatusView) -> BTreeSet<&str> {
    let namespaces = view.engine.source.objects.namespaces.iter();
    namespaces
        .filter(|namespace| namespace.metadata.deletion_timestamp.is_some())
        .filter_map(|namespace| namespace.metadata.name.as_deref())
        .collect()
}

impl Id {
    fn of(object: &ObjectRef) -> Self {
        Self {
            kind: object.kind.to_string(),
            namespace: object.namespace.to_string(),
            name: object.name.to_string(),
        }
    }
}

impl std::fmt::Display for Id {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        ObjectRef::new(&self.kind, &self.namespace, &self.name).fmt(f)
    }
}

/// The name of a group's row: the group's, if an object can be called that, else one made of it. Labels may hold what names may not.
fn row_name(group: &Key) -> String {
    let name = &*group.name;
    let part = |part: &str| {
        let ends = |c: Option<char>| c.is_some_and(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
        ends(part.chars().next())
            && ends(part.chars().next_back())
            && part
                .chars()
                .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
    };
    if name.len() <= LONGEST_NAME && name.split('.').all(part) {
        return name.to_owned();
    }
    let plain: String = name
        .chars()
        .take(LONGEST_NAME)
        .map(|c| {
            if c.is_ascii_alphanumeric() {
                c.to_ascii_lowercase()
            } else {
                '-'
            }
        })
        .collect();
    let hash = xxh3_64(name.as_bytes()) & 0xffff_ffff;
    format!("{}-{hash:08x}", plain.trim_matches('-'))
        .trim_start_matches('-')
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_have_names_that_objects_can_have() {
        let name = |group: &str| row_name(&Key::new("shop", group));
        assert_eq!(name("orders"), "orders");
        assert_eq!(name("orders.v2"), "orders.v2");
        for group in ["Orders", "orders_v2", "a.-b", "_"] {
            let made = name(group);
            assert!(
                made != group && row_name(&Key::new("shop", &made)) == made,
                "{group}: {made}"
            );
        }
        assert_ne!(name("Orders"), name("oRders"));
    }
}

//! The statuses as the API server holds them: watches of our kinds, kept without specs, while this replica writes.
//!
//! What was just written is known from the answer before a watch tells it, so that nothing is written twice. A status that
//! somebody else changed, or a row that somebody deleted, is seen here and corrected.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use kube::api::ApiResource;
use kube::core::{DynamicObject, GroupVersionKind};
use kube::runtime::reflector::Store;
use kube::{Api, Client};
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::plan::{Id, Stored};
use crate::source::kubernetes::{Feeds, configuration};

/// The kinds with a status of ours and their plurals.
const KINDS: [(&str, &str); 6] = [
    ("Mesh", "meshes"),
    ("MeshStatus", "meshstatuses"),
    ("TrafficPermission", "trafficpermissions"),
    ("TrafficRoute", "trafficroutes"),
    ("RateLimit", "ratelimits"),
    ("FaultInjection", "faultinjections"),
];
/// A watch tells of a write much sooner; afterwards it is right in any case.
const KEPT: Duration = Duration::from_secs(10);

/// How the API server calls a kind.
pub(super) fn resource(kind: &str) -> ApiResource {
    let plural = KINDS
        .iter()
        .find(|(known, _)| *known == kind)
        .map_or(kind, |(_, plural)| *plural);
    ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(crds::GROUP, crds::VERSION, kind), plural)
}

/// What a write left behind: the object, or nothing after a deletion.
struct Answer {
    at: Instant,
    uid: String,
    object: Option<Arc<DynamicObject>>,
}

/// The watches.
pub(super) struct Watched {
    stores: Vec<(&'static str, Store<DynamicObject>)>,
    answers: BTreeMap<Id, Answer>,
    dirty: Arc<Notify>,
    _tasks: JoinSet<()>,
}

impl Watched {
    /// Begins to watch, and returns once everything was listed.
    pub(super) async fn start(client: &Client) -> Self {
        let mut feeds = Feeds {
            tasks: JoinSet::new(),
            dirty: Arc::new(Notify::new()),
            config: configuration(client).await,
        };
        let mut stores = Vec::new();
        for (kind, _) in KINDS {
            let resource = resource(kind);
            let api = Api::all_with(client.clone(), &resource);
            stores.push((kind, feeds.watch(kind, api, resource, prune)));
        }
        for (_, store) in &stores {
            // It fails only if the watch ended, and then nothing is written.
            if store.wait_until_ready().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
        Self {
            stores,
            answers: BTreeMap::new(),
            dirty: feeds.dirty,
            _tasks: feeds.tasks,
        }
    }

    /// Waits until anything changes there.
    pub(super) async fn changed(&self) {
        self.dirty.notified().await;
    }

    /// An object was written, or deleted.
    pub(super) fn written(&mut self, id: Id, uid: String, object: Option<DynamicObject>) {
        let object = object.map(|mut object| {
            prune(&mut object);
            Arc::new(object)
        });
        let at = Instant::now();
        self.answers.insert(id, Answer { at, uid, object });
    }

    /// Everything, as new as it is known.
    pub(super) fn all(&mut self) -> Stored {
        let objects = self.stores.iter().flat_map(|(kind, store)| {
            let with_id = |object: Arc<DynamicObject>| (id(kind, &object), object);
            store.state().into_iter().map(with_id)
        });
        let mut all: Stored = objects.collect();
        self.answers
            .retain(|id, answer| answer.at.elapsed() < KEPT && overlay(&mut all, id, answer));
        all
    }
}

/// Puts an answer over what the watch told; false once the watch has told it too.
fn overlay(all: &mut Stored, id: &Id, answer: &Answer) -> bool {
    let told = all.get(id);
    let same = told.is_some_and(|told| told.metadata.uid.as_deref() == Some(&answer.uid));
    match (&answer.object, told) {
        (None, _) if same => drop(all.remove(id)),
        (None, _) => return false,
        (Some(_), Some(_)) if !same => return false,
        (Some(object), Some(told)) if version(told) >= version(object) => return false,
        // Of other kinds the watch knows what exists.
        (Some(_), None) if id.kind != "MeshStatus" => return false,
        (Some(object), _) => drop(all.insert(id.clone(), Arc::clone(object))),
    }
    true
}

/// Versions of objects of one kind are numbers that grow (Kubernetes 1.35 says so); a missing one is older than any.
fn version(object: &DynamicObject) -> Option<u128> {
    object.metadata.resource_version.as_ref()?.parse().ok()
}

fn id(kind: &str, object: &DynamicObject) -> Id {
    Id {
        kind: kind.to_owned(),
        namespace: object.metadata.namespace.clone().unwrap_or_default(),
        name: object.metadata.name.clone().unwrap_or_default(),
    }
}

/// Keeps the status and who the object is.
fn prune(object: &mut DynamicObject) {
    let metadata = std::mem::take(&mut object.metadata);
    object.metadata.name = metadata.name;
    object.metadata.namespace = metadata.namespace;
    object.metadata.uid = metadata.uid;
    object.metadata.resource_version = metadata.resource_version;
    object.metadata.deletion_timestamp = metadata.deletion_timestamp;
    if let Some(fields) = object.data.as_object_mut() {
        fields.retain(|name, _| name == "status");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(kind: &str, version: &str, uid: &str) -> (Id, Arc<DynamicObject>) {
        let mut object = DynamicObject::new("one", &resource(kind)).within("shop");
        object.metadata.resource_version = Some(version.to_owned());
        object.metadata.uid = Some(uid.to_owned());
        (id(kind, &object), Arc::new(object))
    }

    fn answer(uid: &str, object: Option<Arc<DynamicObject>>) -> Answer {
        Answer {
            at: Instant::now(),
            uid: uid.to_owned(),
            object,
        }
    }

    #[test]
    fn an_answer_counts_until_the_watch_has_told_it() {
        let (id, old) = object("MeshStatus", "9", "u");
        let (_, new) = object("MeshStatus", "10", "u");
        let (_, other) = object("MeshStatus", "8", "v");
        let told = |object: Option<&Arc<DynamicObject>>| -> Stored {
            object
                .map(|object| (id.clone(), Arc::clone(object)))
                .into_iter()
                .collect()
        };
        let over = |before: Option<&Arc<DynamicObject>>, answer: &Answer| {
            let mut all = told(before);
            let kept = overlay(&mut all, &id, answer);
            (kept, all.get(&id).cloned())
        };
        let written = answer("u", Some(Arc::clone(&new)));
        assert_eq!(over(Some(&old), &written), (true, Some(Arc::clone(&new))));
        assert_eq!(over(None, &written), (true, Some(Arc::clone(&new))));
        assert_eq!(over(Some(&new), &written), (false, Some(Arc::clone(&new))));
        assert_eq!(over(Some(&other), &written), (false, Some(Arc::clone(&other))));
        let deleted = answer("u", None);
        assert_eq!(over(Some(&old), &deleted), (true, None));
        assert_eq!(over(None, &deleted), (false, None));
        assert_eq!(over(Some(&other), &deleted), (false, Some(other)));
    }

    #[test]
    fn a_policy_that_is_gone_stays_gone() {
        let (id, policy) = object("RateLimit", "10", "u");
        let mut all = Stored::new();
        assert!(!overlay(&mut all, &id, &answer("u", Some(policy))));
        assert!(all.is_empty());
    }
}

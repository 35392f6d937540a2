//! The `ConfigMap` with the mesh's root certificate in every namespace of the mesh.
//!
//! Namespaces are those of the source; `ConfigMap`s are watched by their one name, so that nothing else of them is read. One
//! goes again when its namespace leaves the mesh and the last Pod of the mesh there has ended: a Pod that mounts it could not be restarted without.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use crds::workload::POD;
use futures::StreamExt;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{DeleteParams, Patch, PatchParams, Preconditions};
use kube::runtime::reflector::{self, Store};
use kube::runtime::watcher::{self, Event};
use kube::runtime::{WatchStreamExt, watcher as watch_all};
use kube::{Api, Client};
use serde_json::{Value, json};
use tokio::sync::watch;

use super::{MANAGER, pause};
use crate::inject::names::{CA_CONFIG_MAP, CA_KEY, INJECT_LABEL};
use crate::source::SourceView;

/// Somebody who undoes our writes does not keep the API server busy with us.
const REST: Duration = Duration::from_millis(200);
/// The label by which we know ours.
const MANAGED_BY: &str = "app.kubernetes.io/managed-by";

/// Keeps them, for ever.
pub(super) async fn keep(client: Client, bundle: Arc<str>, mut views: watch::Receiver<Arc<SourceView>>) {
    let (store, writer) = reflector::store();
    let config = watcher::Config::default().fields(&format!("metadata.name={CA_CONFIG_MAP}"));
    let events = watch_all(Api::<ConfigMap>::all(client.clone()), config)
        .default_backoff()
        .modify(prune)
        .reflect(writer);
    let mut events = std::pin::pin!(events);
    let (mut listed, mut told, mut failures) = (false, false, 0);
    loop {
        let again = async move {
            match failures {
                0 => std::future::pending().await,
                failures => tokio::time::sleep(pause(failures)).await,
            }
        };
        tokio::select! {
            event = events.next() => match event {
                Some(Ok(Event::InitDone)) => listed = true,
                Some(Ok(_)) => {}
                Some(Err(error)) => {
                    tracing::debug!(%error, "the API server does not tell of ConfigMaps");
                    continue;
                }
                None => return,
            },
            // Without the source nothing changes any more.
            changed = views.changed() => if changed.is_err() { return },
            () = again => {}
        }
        if listed {
            let wanted = wanted(&views.borrow_and_update());
            let right = work(&client, &changes(&wanted, &store, &bundle), &bundle).await;
            if right && !told {
                told = true;
                let namespaces = wanted.needed.len();
                tracing::info!(namespaces, "every namespace of the mesh has the root certificate");
            }
            failures = if right { 0 } else { failures + 1 };
        }
    }
}

/// Only what is compared.
fn prune(map: &mut ConfigMap) {
    map.metadata.managed_fields = None;
    map.metadata.annotations = None;
    map.binary_data = None;
    if let Some(data) = &mut map.data {
        data.retain(|key, _| key == CA_KEY);
    }
}

/// The namespaces that need one, and those that may keep theirs.
#[derive(Debug, Default, PartialEq, Eq)]
struct Wanted {
    needed: BTreeSet<String>,
    kept: BTreeSet<String>,
}

fn wanted(view: &SourceView) -> Wanted {
    let objects = &view.objects;
    let mut wanted = Wanted::default();
    for namespace in &objects.namespaces {
        let metadata = &namespace.metadata;
        let Some(name) = &metadata.name else { continue };
        let labels = metadata.labels.as_ref();
        if metadata.deletion_timestamp.is_some() {
            // Nothing can be made there, and all goes by itself.
            wanted.kept.insert(name.clone());
        } else if labels.is_some_and(|labels| labels.get(INJECT_LABEL).is_some_and(|value| value == "true")) {
            wanted.needed.insert(name.clone());
        }
    }
    let pods = objects.workloads.iter().filter(|workload| {
        let annotations = workload.metadata.annotations.as_ref();
        annotations.is_some_and(|annotations| annotations.contains_key(POD))
    });
    wanted
        .kept
        .extend(pods.filter_map(|workload| workload.metadata.namespace.clone()));
    wanted
}

/// What to write.
#[derive(Debug, PartialEq, Eq)]
enum Change {
    Apply(String),
    /// Namespace and UID: another one of that name is not ours to remove.
    Remove(String, Option<String>),
}

fn changes(wanted: &Wanted, store: &Store<ConfigMap>, bundle: &str) -> Vec<Change> {
    let mut missing = wanted.needed.clone();
    let mut changes = Vec::new();
    for map in store.state() {
        let namespace = map.metadata.namespace.clone().unwrap_or_default();
        let root = map.data.as_ref().and_then(|data| data.get(CA_KEY));
        let labels = map.metadata.labels.as_ref();
        let ours = labels.is_some_and(|labels| labels.get(MANAGED_BY).is_some_and(|by| by == MANAGER));
        if wanted.needed.contains(&namespace) {
            if ours && root.is_some_and(|root| root == bundle) {
                missing.remove(&namespace);
            }
        } else if ours && !wanted.kept.contains(&namespace) {
            changes.push(Change::Remove(namespace, map.metadata.uid.clone()));
        }
    }
    changes.extend(missing.into_iter().map(Change::Apply));
    changes
}

/// Whether all of it was done.
async fn work(client: &Client, changes: &[Change], bundle: &str) -> bool {
    let mut right = true;
    for change in changes {
        let (namespace, result) = match change {
            Change::Apply(namespace) => (namespace, apply(client, namespace, bundle).await),
            Change::Remove(namespace, uid) => (namespace, remove(client, namespace, uid.clone()).await),
        };
        match result {
            Ok(()) => tracing::info!(namespace, ?change, "the ConfigMap {CA_CONFIG_MAP} was put right"),
            Err(error) => {
                right = false;
                tracing::warn!(namespace, %error, "cannot write the ConfigMap {CA_CONFIG_MAP}: new Pods of the mesh wait for it; trying again");
            }
        }
    }
    if !changes.is_empty() {
        tokio::time::sleep(REST).await;
    }
    right
}

async fn apply(client: &Client, namespace: &str, bundle: &str) -> kube::Result<()> {
    let api: Api<ConfigMap> = Api::namespaced(client.clone(), namespace);
    let parameters = PatchParams::apply(MANAGER).force();
    api.patch(CA_CONFIG_MAP, &parameters, &Patch::Apply(map(bundle)))
        .await
        .map(drop)
}

fn map(bundle: &str) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": CA_CONFIG_MAP, "labels": {MANAGED_BY: MANAGER}},
        "data": {CA_KEY: bundle},
    })
}

async fn remove(client: &Client, namespace: &str, uid: Option<String>) -> kube::Result<()> {
    let api: Api<ConfigMap> = Api::namespaced(client.clone(), namespace);
    let parameters = DeleteParams::default().preconditions(Preconditions {
        uid,
        resource_version: None,
    });
    match api.delete(CA_CONFIG_MAP, &parameters).await {
        // Another replica was faster.
        Err(kube::Error::Api(status)) if status.is_not_found() || status.is_conflict() => Ok(()),
        result => result.map(drop),
    }
}

#[cfg(test)]
mod tests {
    use config::Objects;
    use k8s_openapi::api::core::v1::Namespace;
    use kube::runtime::reflector::store::Writer;

    use super::*;

    fn view(namespaces: &[Value], workloads: &[Value]) -> SourceView {
        let objects = Objects {
            namespaces: namespaces
                .iter()
                .map(|one| Arc::new(parsed::<Namespace>(one)))
                .collect(),
            workloads: workloads.iter().map(|one| Arc::new(parsed(one))).collect(),
            ..Objects::default()
        };
        SourceView {
            objects: Arc::new(objects),
            ..SourceView::default()
        }
    }

    fn parsed<T: serde::de::DeserializeOwned>(value: &Value) -> T {
        serde_json::from_value(value.clone()).unwrap()
    }

    fn store(maps: &[Value]) -> Store<ConfigMap> {
        let mut writer = Writer::default();
        for one in maps {
            writer.apply_watcher_event(&Event::Apply(parsed(one)));
        }
        writer.as_reader()
    }

    fn config_map(namespace: &str, by: &str, root: &str) -> Value {
        json!({"metadata": {"name": CA_CONFIG_MAP, "namespace": namespace, "uid": "1", "labels": {MANAGED_BY: by}}, "data": {CA_KEY: root}})
    }

    #[test]
    fn namespaces_of_the_mesh_have_one_and_others_keep_it_while_they_need_it() {
        let labelled = |name: &str, value: &str| json!({"metadata": {"name": name, "labels": {INJECT_LABEL: value}}});
        let mut leaving = labelled("leaving", "true");
        leaving["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z".into();
        let namespaces = [
            labelled("a", "true"),
            labelled("b", "true"),
            labelled("no", "false"),
            leaving,
        ];
        let workload = json!({
            "metadata": {"name": "p", "namespace": "was", "annotations": {POD: "uid"}},
            "spec": {"serviceAccount": "p"},
        });
        let wanted = wanted(&view(&namespaces, &[workload]));
        let maps = [
            config_map("a", MANAGER, "root"),
            config_map("b", MANAGER, "edited"),
            config_map("was", MANAGER, "root"),
            config_map("leaving", MANAGER, "root"),
            config_map("no", MANAGER, "root"),
            config_map("foreign", "somebody", "root"),
        ];
        let expected = [
            Change::Remove("no".to_owned(), Some("1".to_owned())),
            Change::Apply("b".to_owned()),
        ];
        assert_eq!(changes(&wanted, &store(&maps), "root"), expected);
        let expected = [Change::Apply("a".to_owned()), Change::Apply("b".to_owned())];
        assert_eq!(changes(&wanted, &store(&[]), "root"), expected);
        let foreign = [config_map("a", "somebody", "root"), config_map("b", MANAGER, "root")];
        assert_eq!(
            changes(&wanted, &store(&foreign), "root"),
            [Change::Apply("a".to_owned())]
        );
    }
}

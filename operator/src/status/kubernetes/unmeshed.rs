//! Pods without a proxy in namespaces that are meshed: opted out, on the host's network, or older than the namespace's label.
//!
//! Each is listed at the group that it belongs to by its labels, as meshed Pods are; a group without any proxy has a row of its
//! own.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use config::model::{Key, group_of};
use k8s_openapi::api::core::v1::{Namespace, Pod};

use crate::inject::names::INJECT_LABEL;
use crate::source::kubernetes::{controller, ended, injected};

/// The names of such Pods, by group.
pub(super) fn unmeshed(pods: &[Arc<Pod>], namespaces: &[Arc<Namespace>]) -> BTreeMap<Key, Vec<String>> {
    let meshed: BTreeSet<&str> = namespaces.iter().filter_map(|namespace| meshed(namespace)).collect();
    let nothing = BTreeMap::new();
    let mut groups: BTreeMap<Key, Vec<String>> = BTreeMap::new();
    for pod in pods {
        let (Some(namespace), Some(name)) = (pod.metadata.namespace.as_deref(), pod.metadata.name.as_deref()) else {
            continue;
        };
        if meshed.contains(namespace) && !injected(pod) && !ended(pod) {
            let group = group_of(
                pod.metadata.labels.as_ref().unwrap_or(&nothing),
                controller(pod).unwrap_or(name),
            );
            groups
                .entry(Key::new(namespace, group))
                .or_default()
                .push(name.to_owned());
        }
    }
    for names in groups.values_mut() {
        names.sort();
    }
    groups
}

/// The name of a meshed namespace.
fn meshed(namespace: &Namespace) -> Option<&str> {
    let labels = namespace.metadata.labels.as_ref()?;
    let meshed = labels.get(INJECT_LABEL).is_some_and(|value| value == "true");
    namespace.metadata.name.as_deref().filter(|_| meshed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pods_without_a_proxy_are_listed_at_their_group() {
        let namespace = |name: &str, label: &str| -> Arc<Namespace> {
            let json = serde_json::json!({"metadata": {"name": name, "labels": {"mesh.tulle.dev/inject": label}}});
            Arc::new(serde_json::from_value(json).unwrap())
        };
        let pod = |namespace: &str, name: &str, labels: serde_json::Value, phase: &str| -> Arc<Pod> {
            let json = serde_json::json!({
                "metadata": {"namespace": namespace, "name": name, "labels": labels},
                "status": {"phase": phase},
            });
            Arc::new(serde_json::from_value(json).unwrap())
        };
        let pods = [
            pod("shop", "b-2", serde_json::json!({"app": "b"}), "Running"),
            pod(
                "shop",
                "b-1",
                serde_json::json!({"app": "b", "mesh.tulle.dev/inject": "false"}),
                "Pending",
            ),
            pod(
                "shop",
                "b-3",
                serde_json::json!({"app": "b", "mesh.tulle.dev/injected": "1"}),
                "Running",
            ),
            pod("shop", "job", serde_json::json!({"app": "b"}), "Succeeded"),
            pod("shop", "alone", serde_json::json!({}), "Running"),
            pod("plain", "c-1", serde_json::json!({"app": "c"}), "Running"),
        ];
        let found = unmeshed(&pods, &[namespace("shop", "true"), namespace("plain", "false")]);
        let expected = BTreeMap::from([
            (Key::new("shop", "alone"), vec!["alone".to_owned()]),
            (Key::new("shop", "b"), vec!["b-1".to_owned(), "b-2".to_owned()]),
        ]);
        assert_eq!(found, expected);
    }
}

//! `EndpointSlice`s, without endpoints whose Pod is not known to be there, and with those that only their node is doubted for.
//!
//! Watches of two kinds are not in step. An endpoint that names a Pod which was not heard of yet would pass for one without a
//! sidecar, and one whose Pod is gone for whoever has its address now. Both are left out until the other watch has caught up.
//!
//! When a kubelet is not heard of, the node controller takes `Ready` from all Pods of its node at once; after the API server was
//! away that happens to healthy nodes. The kubelet's own word, `ContainersReady`, stays. Such endpoints count as draining: they
//! serve if nothing else is left, instead of nobody.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::discovery::v1::{Endpoint, EndpointSlice};

use super::pod;

/// Pods by namespace and name.
pub(super) type Pods<'a> = BTreeMap<(&'a str, &'a str), &'a Pod>;

/// The slice as it can be used now.
pub(super) fn known(slice: &EndpointSlice, pods: &Pods<'_>) -> EndpointSlice {
    let mut slice = slice.clone();
    let namespace = slice.metadata.namespace.clone().unwrap_or_default();
    slice
        .endpoints
        .retain_mut(|endpoint| is_known(endpoint, &namespace, pods));
    slice
}

fn is_known(endpoint: &mut Endpoint, namespace: &str, pods: &Pods<'_>) -> bool {
    let Some(target) = endpoint
        .target_ref
        .as_ref()
        .filter(|target| target.kind.as_deref() == Some("Pod"))
    else {
        return true;
    };
    let namespace = target.namespace.as_deref().unwrap_or(namespace);
    let Some(pod) = pods.get(&(namespace, target.name.as_deref().unwrap_or_default())) else {
        return false;
    };
    if let Some(conditions) = &mut endpoint.conditions
        && conditions.ready == Some(false)
        && conditions.terminating != Some(true)
        && pod::kubelet_says_ready(pod)
    {
        (conditions.serving, conditions.terminating) = (Some(true), Some(true));
    }
    let mut addresses = pod::addresses(pod);
    if pod::injected(pod) {
        // Its workload has one address. An endpoint at another one would be dialled in plaintext.
        addresses.truncate(1);
    }
    let lives_there = |text: &String| text.parse().is_ok_and(|address| addresses.contains(&address));
    (target.uid.is_none() || target.uid == pod.metadata.uid) && endpoint.addresses.iter().all(lives_there)
}

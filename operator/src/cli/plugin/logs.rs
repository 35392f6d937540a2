//! Access logs of the proxies of Pods, as `kubectl logs` reads them.

use std::time::Duration;

use anyhow::ensure;
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::{ListParams, LogParams};

use super::cluster::Cluster;
use crate::inject::names::{INJECTED_LABEL, PROXY_CONTAINER};

/// The logs of all proxies of a namespace, or of all namespaces.
pub(super) async fn read(
    cluster: &Cluster,
    namespace: Option<&str>,
    since: Option<Duration>,
) -> anyhow::Result<String> {
    let of = |namespace: &str| -> Api<Pod> { Api::namespaced(cluster.client.clone(), namespace) };
    let api = namespace.map_or_else(|| Api::all(cluster.client.clone()), of);
    let pods = api.list(&ListParams::default().labels(INJECTED_LABEL)).await;
    let pods = pods.map_err(|error| cluster.why("list pods", &error))?.items;
    ensure!(
        !pods.is_empty(),
        "no Pod with a proxy{}; -n NAMESPACE or -A shows others",
        namespace.map_or_else(String::new, |namespace| format!(" in {namespace} namespace"))
    );
    let params = LogParams {
        container: Some(PROXY_CONTAINER.to_owned()),
        since_seconds: since.and_then(|since| i64::try_from(since.as_secs()).ok()),
        ..LogParams::default()
    };
    let mut logs = String::new();
    for pod in pods {
        let (name, namespace) = (
            pod.metadata.name.unwrap_or_default(),
            pod.metadata.namespace.unwrap_or_default(),
        );
        match of(&namespace).logs(&name, &params).await {
            Ok(text) => {
                logs.push_str(&text);
                logs.push('\n');
            }
            // One that is just starting or gone has none; the others count.
            Err(error) => eprintln!("warning: no log of {namespace}/{name}: {error}"),
        }
    }
    Ok(logs)
}

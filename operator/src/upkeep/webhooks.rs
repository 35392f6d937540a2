//! `caBundle` of our webhook configurations: by which certificate the API server knows us.
//!
//! The chart makes the configurations without it; this sets it, and nothing else of them. One that is not there is no error: an
//! installation may go without the webhooks.

use std::fmt::Debug;
use std::sync::Arc;

use futures::StreamExt;
use k8s_openapi::ByteString;
use k8s_openapi::api::admissionregistration::v1::{MutatingWebhookConfiguration, ValidatingWebhookConfiguration};
use kube::api::{Patch, PatchParams};
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::watch_object;
use kube::{Api, Client, Resource};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::{MANAGER, pause};

/// A webhook's name and what the API server trusts when it calls it.
type Trusted<'a> = (&'a str, Option<&'a ByteString>);

/// Both kinds are alike.
trait Configuration: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + Sync + 'static {
    fn webhooks(&self) -> Vec<Trusted<'_>>;
}

impl Configuration for MutatingWebhookConfiguration {
    fn webhooks(&self) -> Vec<Trusted<'_>> {
        let webhooks = self.webhooks.iter().flatten();
        webhooks
            .map(|one| (one.name.as_str(), one.client_config.ca_bundle.as_ref()))
            .collect()
    }
}

impl Configuration for ValidatingWebhookConfiguration {
    fn webhooks(&self) -> Vec<Trusted<'_>> {
        let webhooks = self.webhooks.iter().flatten();
        webhooks
            .map(|one| (one.name.as_str(), one.client_config.ca_bundle.as_ref()))
            .collect()
    }
}

/// Keeps both, for ever.
pub(super) fn keep(tasks: &mut JoinSet<()>, client: &Client, bundle: &Arc<str>, name: &str) {
    let (name, bundle): (Arc<str>, _) = (name.into(), ByteString(bundle.as_bytes().to_vec()));
    tasks.spawn(one::<MutatingWebhookConfiguration>(
        client.clone(),
        bundle.clone(),
        Arc::clone(&name),
    ));
    tasks.spawn(one::<ValidatingWebhookConfiguration>(client.clone(), bundle, name));
}

async fn one<K: Configuration>(client: Client, bundle: ByteString, name: Arc<str>) {
    let api: Api<K> = Api::all(client);
    let mut events = std::pin::pin!(watch_object(api.clone(), &name).default_backoff());
    let (mut current, mut told, mut failures): (Option<K>, _, _) = (None, None, 0);
    loop {
        let again = async move {
            match failures {
                0 => std::future::pending().await,
                failures => tokio::time::sleep(pause(failures)).await,
            }
        };
        tokio::select! {
            event = events.next() => match event {
                Some(Ok(found)) => current = found,
                Some(Err(error)) => {
                    tracing::debug!(%error, kind = %K::kind(&()), "the API server does not tell");
                    continue;
                }
                None => return,
            },
            () = again => {}
        }
        let Some(found) = &current else {
            if told != Some(false) {
                tracing::info!(kind = %K::kind(&()), %name, "there is no such configuration: the API server does not ask us");
            }
            (told, failures) = (Some(false), 0);
            continue;
        };
        failures = match put_right(&api, found, &bundle).await {
            Ok(()) => {
                if told != Some(true) {
                    tracing::info!(kind = %K::kind(&()), %name, "the API server asks us, and knows us");
                }
                told = Some(true);
                0
            }
            Err(error) => {
                tracing::warn!(%error, kind = %K::kind(&()), %name, "cannot write caBundle: the API server may not reach us; trying again");
                failures + 1
            }
        };
    }
}

async fn put_right<K: Configuration>(api: &Api<K>, found: &K, bundle: &ByteString) -> kube::Result<()> {
    let Some(name) = found.meta().name.as_deref() else {
        return Ok(());
    };
    let Some(patch) = patch(found, bundle) else {
        return Ok(());
    };
    let parameters = PatchParams::apply(MANAGER).force();
    api.patch(name, &parameters, &Patch::Apply(patch)).await?;
    tracing::info!(kind = %K::kind(&()), name, "caBundle was written");
    Ok(())
}

/// The fields that we own, if they are not right.
fn patch<K: Configuration>(found: &K, bundle: &ByteString) -> Option<Value> {
    let webhooks = found.webhooks();
    if webhooks.iter().all(|(_, trusted)| *trusted == Some(bundle)) {
        return None;
    }
    let webhooks: Vec<Value> = webhooks
        .iter()
        .map(|(name, _)| json!({"name": name, "clientConfig": {"caBundle": bundle}}))
        .collect();
    Some(json!({
        "apiVersion": K::api_version(&()),
        "kind": K::kind(&()),
        // With the UID, so that nothing is made anew that was just removed.
        "metadata": {"name": found.meta().name, "uid": found.meta().uid},
        "webhooks": webhooks,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_differs_is_written() {
        let configuration = |first: Value, second: Value| -> MutatingWebhookConfiguration {
            let webhook = |name: &str, config: Value| json!({"name": name, "clientConfig": config, "sideEffects": "None", "admissionReviewVersions": ["v1"]});
            let webhooks = [webhook("a", first), webhook("b", second)];
            serde_json::from_value(json!({"metadata": {"name": "tulle", "uid": "u"}, "webhooks": webhooks})).unwrap()
        };
        let bundle = ByteString(b"root".to_vec());
        let right = json!({"url": "https://x", "caBundle": "cm9vdA=="});
        assert_eq!(patch(&configuration(right.clone(), right.clone()), &bundle), None);
        for wrong in [
            json!({"url": "https://x"}),
            json!({"url": "https://x", "caBundle": "eA=="}),
        ] {
            let patch = patch(&configuration(right.clone(), wrong), &bundle).unwrap();
            let expected = json!({
                "apiVersion": "admissionregistration.k8s.io/v1",
                "kind": "MutatingWebhookConfiguration",
                "metadata": {"name": "tulle", "uid": "u"},
                "webhooks": [
                    {"name": "a", "clientConfig": {"caBundle": "cm9vdA=="}},
                    {"name": "b", "clientConfig": {"caBundle": "cm9vdA=="}},
                ],
            });
            assert_eq!(patch, expected);
        }
    }
}

//! What the API server holds now, read once: for commands that ask about a cluster from outside of it.

use std::fmt::Debug;
use std::sync::Arc;

use k8s_openapi::api::core::v1::{Namespace, Pod, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::api::{ApiResource, ListParams};
use kube::core::{DynamicObject, GroupVersionKind};
use kube::{Api, Client};
use serde::de::DeserializeOwned;

use super::super::view::SourceView;
use super::gather::Gather;
use super::prune;
use super::raw::Raw;
use super::watch::OURS;

/// So many objects are asked for at once.
const PAGE: u32 = 500;

/// A kind that could not be listed.
#[derive(Debug, thiserror::Error)]
#[error("cannot list {what}: {source}")]
pub struct ReadError {
    /// The plural.
    pub what: &'static str,
    /// What the API server said.
    pub source: kube::Error,
}

/// Reads everything that the control plane would read.
pub async fn read_once(client: &Client, system_namespace: &str) -> Result<Arc<SourceView>, ReadError> {
    let mut raws = Vec::new();
    for (kind, plural) in OURS {
        let resource = resource(crds::GROUP, crds::VERSION, kind, plural);
        let api: Api<DynamicObject> = Api::all_with(client.clone(), &resource);
        let objects = all(&api, plural, prune::ours).await?;
        raws.extend(objects.into_iter().map(|object| Raw::Ours(kind, object)));
    }
    let services: Api<Service> = Api::all(client.clone());
    let slices: Api<EndpointSlice> = Api::all(client.clone());
    let namespaces: Api<Namespace> = Api::all(client.clone());
    let pods: Api<Pod> = Api::all(client.clone());
    raws.extend(
        all(&services, "services", prune::service)
            .await?
            .into_iter()
            .map(Raw::Service),
    );
    raws.extend(
        all(&slices, "endpointslices", prune::slice)
            .await?
            .into_iter()
            .map(Raw::Slice),
    );
    raws.extend(
        all(&namespaces, "namespaces", prune::namespace)
            .await?
            .into_iter()
            .map(Raw::Namespace),
    );
    raws.extend(all(&pods, "pods", prune::pod).await?.into_iter().map(Raw::Pod));
    Ok(Gather::new(system_namespace).update(raws))
}

/// The objects of one kind as they are, with their status.
pub async fn list(
    client: &Client,
    group: &str,
    version: &str,
    kind: &str,
    plural: &str,
) -> Result<Vec<DynamicObject>, kube::Error> {
    let api: Api<DynamicObject> = Api::all_with(client.clone(), &resource(group, version, kind, plural));
    pages(&api).await
}

fn resource(group: &str, version: &str, kind: &str, plural: &str) -> ApiResource {
    ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(group, version, kind), plural)
}

async fn all<K>(api: &Api<K>, what: &'static str, prune: fn(&mut K)) -> Result<Vec<Arc<K>>, ReadError>
where
    K: Clone + Debug + DeserializeOwned,
{
    let objects = pages(api).await.map_err(|source| ReadError { what, source })?;
    let pruned = |mut object: K| {
        prune(&mut object);
        Arc::new(object)
    };
    Ok(objects.into_iter().map(pruned).collect())
}

async fn pages<K: Clone + Debug + DeserializeOwned>(api: &Api<K>) -> Result<Vec<K>, kube::Error> {
    let mut params = ListParams::default().limit(PAGE);
    let mut objects = Vec::new();
    loop {
        let page = api.list(&params).await?;
        objects.extend(page.items);
        match page.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => params = params.continue_token(&token),
            None => return Ok(objects),
        }
    }
}

//! One review: bytes in, the answer out. Pure.

use k8s_openapi::api::core::v1::Pod;
use kube::core::DynamicObject;
use kube::core::admission::{AdmissionRequest, AdmissionResponse, AdmissionReview, Operation};

use crate::inject::{InjectSettings, Injection, inject};

/// What is no review of a pod.
#[derive(Debug, thiserror::Error)]
pub enum BadReview {
    /// Not the JSON that was expected.
    #[error(
        "this is no AdmissionReview of a pod: {0}; send POST requests of a MutatingWebhookConfiguration for pods here"
    )]
    NotReadable(#[from] serde_json::Error),
    /// A review that asks nothing.
    #[error("the AdmissionReview has no request")]
    NoRequest,
    /// The patch has no JSON form.
    #[error("the patch cannot be written: {0}")]
    Patch(String),
}

/// Answers a review.
pub fn answer(body: &[u8], settings: &InjectSettings) -> Result<AdmissionReview<DynamicObject>, BadReview> {
    let review: AdmissionReview<Pod> = serde_json::from_slice(body)?;
    let request: AdmissionRequest<Pod> = review.try_into().map_err(|_| BadReview::NoRequest)?;
    let response = AdmissionResponse::from(&request);
    // A pod's containers cannot change later.
    let Some(pod) = request
        .object
        .as_ref()
        .filter(|_| request.operation == Operation::Create)
    else {
        return Ok(response.into_review());
    };
    let name = pod.metadata.name.as_ref().or(pod.metadata.generate_name.as_ref());
    let (name, namespace) = (
        name.map_or("", String::as_str),
        request.namespace.as_deref().unwrap_or_default(),
    );
    let response = match inject(pod, settings) {
        Ok(Injection::Patched(patch)) if patch.0.is_empty() => response,
        Ok(Injection::Patched(patch)) => {
            tracing::debug!(namespace, name, operations = patch.0.len(), "pod injected");
            response
                .with_patch(patch)
                .map_err(|error| BadReview::Patch(error.to_string()))?
        }
        Ok(Injection::LeftAlone) => {
            tracing::info!(namespace, name, "pod stays out of the mesh, as its label says");
            response
        }
        Err(refusal) => {
            tracing::warn!(namespace, name, %refusal, "pod refused");
            response.deny(refusal)
        }
    };
    Ok(response.into_review())
}

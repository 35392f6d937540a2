//! One object as a watch keeps it.

use std::sync::Arc;

use k8s_openapi::api::core::v1::{Namespace, Pod, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::core::DynamicObject;

/// An object of a store.
#[derive(Clone, Debug)]
pub(super) enum Raw {
    /// An object of ours and its kind.
    Ours(&'static str, Arc<DynamicObject>),
    Service(Arc<Service>),
    Slice(Arc<EndpointSlice>),
    Namespace(Arc<Namespace>),
    Pod(Arc<Pod>),
}

/// Kind, namespace, name.
pub(super) type RawKey = (&'static str, String, String);

impl Raw {
    /// What it is.
    pub(super) fn key(&self) -> RawKey {
        let (kind, metadata): (_, &ObjectMeta) = match self {
            Self::Ours(kind, object) => (*kind, &object.metadata),
            Self::Service(object) => ("Service", &object.metadata),
            Self::Slice(object) => ("EndpointSlice", &object.metadata),
            Self::Namespace(object) => ("Namespace", &object.metadata),
            Self::Pod(object) => ("Pod", &object.metadata),
        };
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        (kind, text(&metadata.namespace), text(&metadata.name))
    }

    /// Whether both are the same allocation: then nothing changed.
    pub(super) fn same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Ours(_, a), Self::Ours(_, b)) => Arc::ptr_eq(a, b),
            (Self::Service(a), Self::Service(b)) => Arc::ptr_eq(a, b),
            (Self::Slice(a), Self::Slice(b)) => Arc::ptr_eq(a, b),
            (Self::Namespace(a), Self::Namespace(b)) => Arc::ptr_eq(a, b),
            (Self::Pod(a), Self::Pod(b)) => Arc::ptr_eq(a, b),
            _ => false,
        }
    }
}

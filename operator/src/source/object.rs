//! One object of any kind that a folder may hold, typed and shared.
//!
//! The list of kinds stands once, in `object_kinds!`: from it follow the closed enum, how a kind is recognised, and
//! where its objects go in `config::Objects`.

use std::sync::Arc;

use config::{ObjectRef, Objects};
use k8s_openapi::api::core::v1::{Namespace, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::Serialize;

/// Where an object stands.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Place {
    /// The file, as in `FileProblem`.
    pub file: std::path::PathBuf,
    /// The first line of its document, counted from 1.
    pub line: u64,
}

macro_rules! object_kinds {
    ($($variant:ident($type:ty), $group:literal, $kind:literal, $namespaced:literal, $list:ident;)*) => {
        /// An object of a folder.
        #[derive(Clone, Debug, PartialEq)]
        pub enum Object {
            $(#[doc = concat!("`", $kind, "`")] $variant(Arc<$type>),)*
        }

        impl Object {
            /// Whether objects of this kind have a namespace; `None` if no such kind is read.
            pub(super) fn namespaced(api_version: &str, kind: &str) -> Option<bool> {
                match (api_version, kind) {
                    $(($group, $kind) => Some($namespaced),)*
                    _ => None,
                }
            }

            /// `(apiVersion, kind)` of every kind that is read.
            pub fn kinds() -> &'static [(&'static str, &'static str)] {
                &[$(($group, $kind),)*]
            }

            /// Reads an object of a kind that is known to be read.
            pub(super) fn read<R: super::document::Reader>(
                api_version: &str,
                kind: &str,
                reader: &R,
            ) -> Result<Option<Self>, super::problem::Mistake> {
                match (api_version, kind) {
                    $(($group, $kind) => Ok(Some(Self::$variant(Arc::new(reader.read::<$type>(kind)?)))),)*
                    _ => Ok(None),
                }
            }

            /// The kind as users write it.
            pub fn kind(&self) -> &'static str {
                match self { $(Self::$variant(_) => $kind,)* }
            }

            /// The API group and version as users write them.
            pub fn api_version(&self) -> &'static str {
                match self { $(Self::$variant(_) => $group,)* }
            }

            /// The metadata.
            pub fn metadata(&self) -> &ObjectMeta {
                match self { $(Self::$variant(object) => &object.metadata,)* }
            }

            /// The metadata of an object that is not shared yet.
            pub(super) fn metadata_mut(&mut self) -> &mut ObjectMeta {
                match self { $(Self::$variant(object) => &mut Arc::make_mut(object).metadata,)* }
            }

            /// Puts it into the compiler's lists.
            pub(crate) fn insert_into(&self, objects: &mut Objects) {
                match self { $(Self::$variant(object) => objects.$list.push(Arc::clone(object)),)* }
            }

            /// An object as the admin socket shows it; `None` for kinds that nobody writes. Status is left out.
            pub fn from_json(value: serde_json::Value) -> Option<serde_json::Result<Self>> {
                let mut value = value;
                let fields = value.as_object_mut()?;
                fields.remove("status");
                let text = |name: &str| fields.get(name).and_then(serde_json::Value::as_str).map(ToOwned::to_owned);
                match (text("apiVersion")?.as_str(), text("kind")?.as_str()) {
                    $(($group, $kind) => Some(serde_json::from_value(value).map(|object| Self::$variant(Arc::new(object)))),)*
                    _ => None,
                }
            }

            /// The object as JSON, with `apiVersion` and `kind`.
            pub fn to_json(&self) -> serde_json::Value {
                let value = match self { $(Self::$variant(object) => serde_json::to_value(&**object),)* };
                with_type(value.unwrap_or_default(), self.api_version(), self.kind())
            }
        }
    };
}

object_kinds! {
    Mesh(crds::Mesh), "mesh.tulle.dev/v1alpha1", "Mesh", false, meshes;
    Permission(crds::TrafficPermission), "mesh.tulle.dev/v1alpha1", "TrafficPermission", true, permissions;
    Route(crds::TrafficRoute), "mesh.tulle.dev/v1alpha1", "TrafficRoute", true, routes;
    RateLimit(crds::RateLimit), "mesh.tulle.dev/v1alpha1", "RateLimit", true, rate_limits;
    Fault(crds::FaultInjection), "mesh.tulle.dev/v1alpha1", "FaultInjection", true, faults;
    Workload(crds::Workload), "mesh.tulle.dev/v1alpha1", "Workload", true, workloads;
    Service(Service), "v1", "Service", true, services;
    EndpointSlice(EndpointSlice), "discovery.k8s.io/v1", "EndpointSlice", true, endpoint_slices;
    Namespace(Namespace), "v1", "Namespace", false, namespaces;
}

impl Object {
    /// The object's name among all.
    pub fn reference(&self) -> ObjectRef {
        let metadata = self.metadata();
        ObjectRef::new(
            self.kind(),
            metadata.namespace.as_deref().unwrap_or_default(),
            metadata.name.as_deref().unwrap_or_default(),
        )
    }

    /// Its identity at the API server; empty for an object of a file.
    pub fn uid(&self) -> &str {
        self.metadata().uid.as_deref().unwrap_or_default()
    }

    /// Whether both are the same allocation.
    pub fn same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Mesh(a), Self::Mesh(b)) => Arc::ptr_eq(a, b),
            (Self::Permission(a), Self::Permission(b)) => Arc::ptr_eq(a, b),
            (Self::Route(a), Self::Route(b)) => Arc::ptr_eq(a, b),
            (Self::RateLimit(a), Self::RateLimit(b)) => Arc::ptr_eq(a, b),
            (Self::Fault(a), Self::Fault(b)) => Arc::ptr_eq(a, b),
            (Self::Workload(a), Self::Workload(b)) => Arc::ptr_eq(a, b),
            (Self::Service(a), Self::Service(b)) => Arc::ptr_eq(a, b),
            (Self::EndpointSlice(a), Self::EndpointSlice(b)) => Arc::ptr_eq(a, b),
            (Self::Namespace(a), Self::Namespace(b)) => Arc::ptr_eq(a, b),
            _ => false,
        }
    }
}

/// Adds `apiVersion` and `kind` in front.
fn with_type(value: serde_json::Value, api_version: &str, kind: &str) -> serde_json::Value {
    let serde_json::Value::Object(mut fields) = value else {
        return value;
    };
    fields.insert("apiVersion".to_owned(), api_version.into());
    fields.insert("kind".to_owned(), kind.into());
    serde_json::Value::Object(fields)
}

//! What users of Tulle write: the Rust types of every kind, their schemas and their generated YAML.
//!
//! A Gateway API user recognises every field. Objects that hold narrowing fields keep what they do not know in a map named
//! `unknown`, because a field that is silently dropped would widen a rule; parse rejects it, with its path.

#![allow(
    clippy::duplicated_attributes,
    reason = "a false alarm: each printcolumn(...) of kube's derive has a type_ of its own"
)]

pub mod backend;
pub mod conditions;
pub mod duration;
pub mod faultinjection;
pub mod filters;
pub mod http_match;
pub mod mesh;
pub mod meshstatus;
pub mod percent;
pub mod ratelimit;
mod schema;
pub mod source;
pub mod status;
pub mod target_ref;
pub mod trafficpermission;
pub mod trafficroute;
pub mod unknown;
pub mod workload;

pub use faultinjection::{FaultInjection, FaultInjectionSpec};
pub use mesh::{Mesh, MeshSpec};
pub use meshstatus::{MeshStatus, MeshStatusSpec, MeshStatusStatus};
pub use ratelimit::{RateLimit, RateLimitSpec};
pub use status::PolicyStatus;
pub use trafficpermission::{TrafficPermission, TrafficPermissionSpec};
pub use trafficroute::{TrafficRoute, TrafficRouteSpec};
pub use unknown::UnknownFields;
pub use workload::{Workload, WorkloadSpec};

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt;

/// The API group of all kinds.
pub const GROUP: &str = "mesh.tulle.dev";
/// The version of all kinds.
pub const VERSION: &str = "v1alpha1";

/// Every kind's definition, in the order in which documentation lists them, as the API server takes it.
pub fn all() -> Vec<CustomResourceDefinition> {
    let derived = [
        Mesh::crd(),
        TrafficPermission::crd(),
        TrafficRoute::crd(),
        RateLimit::crd(),
        FaultInjection::crd(),
        Workload::crd(),
        MeshStatus::crd(),
    ];
    derived.into_iter().map(schema::structural).collect()
}

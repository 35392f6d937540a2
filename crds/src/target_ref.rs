//! What a policy is about, and which Service a route belongs to.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::unknown::{Unknown, unknown_fields};

/// What a target may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub enum TargetKind {
    /// The workload ports behind a Service, however the caller got there.
    Service,
    /// Pods and Workload objects, by name or by labels.
    Workload,
    /// Every workload of a namespace.
    Namespace,
    /// Every workload; only from the mesh's system namespace.
    Mesh,
    /// A route; only where the policy acts at the source.
    TrafficRoute,
    /// A route; only where the policy acts at the source.
    HTTPRoute,
    /// A route; only where the policy acts at the source.
    GRPCRoute,
}

/// One thing that a policy is about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-preserve-unknown-fields" = true, "x-kubernetes-validations" = [
    {"rule": "self.kind in ['Workload', 'Mesh'] || has(self.name)", "message": "a Service, a Namespace or a route needs a name"},
    {"rule": "self.kind != 'Workload' || has(self.name) != has(self.selector)", "message": "a Workload is either named or selected; give name or selector, not both"},
    {"rule": "self.kind == 'Workload' || !has(self.selector)", "message": "only a Workload is selected by labels"},
    {"rule": "self.kind == 'Service' || !has(self.sectionName)", "message": "sectionName goes with kind Service"},
]))]
pub struct TargetRef {
    /// The API group; empty for Service and Namespace, `mesh.tulle.dev` for ours. It follows from the kind and may be left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub group: Option<String>,
    /// The kind: Service, Workload, Namespace or Mesh.
    pub kind: TargetKind,
    /// The name. A Workload is named or selected, not both.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub name: Option<String>,
    /// Selects Workloads by their labels, in the policy's own namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selector: Option<LabelSelector>,
    /// One port of a Service, by its name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub section_name: Option<String>,
    /// Fields that nobody knows.
    #[serde(flatten)]
    #[schemars(skip)]
    pub unknown: Unknown,
}
unknown_fields!(TargetRef, selector => "selector");

/// Labels that must all be there.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-preserve-unknown-fields" = true, "required" = ["matchLabels"]))]
pub struct LabelSelector {
    /// Labels with their values; at least one, at most 16.
    #[serde(default)]
    #[schemars(extend("minProperties" = 1, "maxProperties" = 16, "additionalProperties" = {"type": "string", "maxLength": 63}))]
    pub match_labels: BTreeMap<String, String>,
    /// Fields that nobody knows.
    #[serde(flatten)]
    #[schemars(skip)]
    pub unknown: Unknown,
}
unknown_fields!(LabelSelector);

/// The Service that a route belongs to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-preserve-unknown-fields" = true))]
pub struct ParentRef {
    /// The API group; empty for Service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub group: Option<String>,
    /// The kind; only Service is known, and may be left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub kind: Option<String>,
    /// The Service's namespace. Absent means the route's; another one makes it a consumer route, for callers in the route's namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub namespace: Option<String>,
    /// The name of the Service whose calls are routed.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// One port of the Service, by its number; absent means all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65535))]
    pub port: Option<u16>,
    /// One port of the Service, by its name; absent means all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub section_name: Option<String>,
    /// Fields that nobody knows.
    #[serde(flatten)]
    #[schemars(skip)]
    pub unknown: Unknown,
}
unknown_fields!(ParentRef);

//! `TrafficPermission`: who may call whom, and which calls.

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::http_match::{GrpcRouteMatch, HttpRouteMatch};
use crate::source::Source;
use crate::status::PolicyStatus;
use crate::target_ref::TargetRef;
use crate::unknown::{Unknown, UnknownFields, unknown_fields};

/// What a matching rule does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub enum PermissionAction {
    /// It lets the caller in, and makes Deny the default of the port (`AllowUntilSelected`).
    Allow,
    /// It refuses the caller; any Deny wins over every Allow.
    Deny,
}

/// Whether a policy acts or only reports.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub enum PolicyMode {
    /// It acts.
    #[default]
    Enforce,
    /// It reports what it would do.
    Shadow,
}

/// Who may call whom, and which calls.
#[derive(Clone, Debug, PartialEq, Eq, CustomResource, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "mesh.tulle.dev",
    version = "v1alpha1",
    kind = "TrafficPermission",
    namespaced,
    status = "PolicyStatus",
    shortname = "tp",
    category = "tulle",
    derive = "PartialEq",
    printcolumn(name = "Action", type_ = "string", json_path = ".spec.action"),
    printcolumn(name = "Mode", type_ = "string", json_path = ".spec.mode"),
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = ".status.conditions[?(@.type=='Ready')].status"
    ),
    printcolumn(
        name = "Reason",
        type_ = "string",
        json_path = ".status.conditions[?(@.type=='Ready')].reason"
    ),
    printcolumn(name = "Acked", type_ = "string", json_path = ".status.acked"),
    printcolumn(
        name = "Enforced",
        type_ = "string",
        json_path = ".status.ancestors[0].conditions[?(@.type=='Enforced')].reason",
        priority = 1
    ),
    printcolumn(
        name = "Message",
        type_ = "string",
        json_path = ".status.conditions[?(@.type=='Ready')].message",
        priority = 1
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-preserve-unknown-fields" = true, "x-kubernetes-validations" = [
    {"rule": "self.action != 'Allow' || self.rules.all(r, has(r.sources))", "message": "an Allow rule must name its sources; {type: Authenticated} is any mesh identity"},
]))]
pub struct TrafficPermissionSpec {
    /// What it protects; absent means every workload of the policy's namespace. 1 to 16.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 16))]
    pub target_refs: Option<Vec<TargetRef>>,
    /// Allow lets the callers in that a rule names; Deny keeps them out, whatever is allowed.
    pub action: PermissionAction,
    /// Enforce acts; Shadow evaluates the complete effective policy as it would be, and reports.
    #[serde(default)]
    pub mode: PolicyMode,
    /// Any rule matches; within a rule everything must match. An empty list in an Allow selects the target and grants nobody.
    #[schemars(length(max = 256))]
    pub rules: Vec<PermissionRule>,
    /// Fields that nobody knows.
    #[serde(flatten)]
    #[schemars(skip)]
    pub unknown: Unknown,
}
unknown_fields!(TrafficPermissionSpec, target_refs => "targetRefs", rules => "rules");

impl TrafficPermission {
    /// The path of each field that nobody knows.
    pub fn unknown_fields(&self) -> Vec<String> {
        self.spec.unknown_fields()
    }
}

/// One rule.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(extend("x-kubernetes-preserve-unknown-fields" = true, "x-kubernetes-validations" = [
    {"rule": "!(has(self.http) && has(self.grpc))", "message": "http and grpc exclude each other in one rule"},
]))]
pub struct PermissionRule {
    /// The name under which 403s, logs and counters report the rule; its index when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub name: Option<String>,
    /// Callers, any of them. Required for Allow; absent in a Deny means every caller; an empty list means nobody.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub sources: Option<Vec<Source>>,
    /// Requests, any of them. Absent means all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64))]
    pub http: Option<Vec<HttpRouteMatch>>,
    /// gRPC calls, any of them. Absent means all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64))]
    pub grpc: Option<Vec<GrpcRouteMatch>>,
    /// Ports by name or number: of the target Service, or of the Workload when that is the target. Absent means all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64), inner(length(min = 1, max = 63)))]
    pub ports: Option<Vec<String>>,
    /// Fields that nobody knows.
    #[serde(flatten)]
    #[schemars(skip)]
    pub unknown: Unknown,
}
unknown_fields!(PermissionRule, sources => "sources", http => "http", grpc => "grpc");

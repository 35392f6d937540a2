//! `MeshStatus`: what is really in force, one for each meshed workload. Written by Tulle only.

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Nobody writes a spec: the object exists for its status.
#[derive(Clone, Debug, Default, PartialEq, Eq, CustomResource, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "mesh.tulle.dev",
    version = "v1alpha1",
    kind = "MeshStatus",
    plural = "meshstatuses",
    singular = "meshstatus",
    namespaced,
    status = "MeshStatusStatus",
    shortname = "ms",
    category = "tulle",
    derive = "PartialEq",
    printcolumn(name = "Proxies", type_ = "integer", json_path = ".status.proxies.total"),
    printcolumn(name = "Synced", type_ = "string", json_path = ".status.synced"),
    printcolumn(name = "mTLS", type_ = "string", json_path = ".status.mtls"),
    printcolumn(name = "Default", type_ = "string", json_path = ".status.defaultAction"),
    printcolumn(name = "Policies", type_ = "integer", json_path = ".status.policyCount"),
    printcolumn(name = "Cert", type_ = "string", json_path = ".status.certificateNotAfter"),
    printcolumn(name = "State", type_ = "string", json_path = ".status.state"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
pub struct MeshStatusSpec {}

/// What is in force at one workload.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MeshStatusStatus {
    /// How many proxies.
    pub proxies: MeshStatusProxies,
    /// `synced/total`.
    #[schemars(length(max = 32))]
    pub synced: String,
    /// Strict, Permissive or Mixed.
    #[schemars(length(max = 16))]
    pub mtls: String,
    /// Allow, Deny or Mixed: what holds for callers that no rule names, over all ports.
    #[schemars(length(max = 16))]
    pub default_action: String,
    /// How many policies are in force.
    pub policy_count: u32,
    /// The policies in force, with their rules; at most 256.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256))]
    pub policies: Vec<PolicyInForce>,
    /// When the certificate that ends first ends, for example `2026-11-24T05:12:00Z`. A time and not what is left of it: that
    /// would change by itself. Text, because `kubectl` shows times to come as `<invalid>`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32))]
    pub certificate_not_after: Option<String>,
    /// Healthy, Progressing, Rejected, Disconnected, or Unmeshed where no Pod has a proxy.
    #[schemars(length(max = 32))]
    pub state: String,
    /// The newest revision that every proxy has acknowledged. Revisions are numbers of one control plane, so this is absent
    /// where there may be several (Kubernetes).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_acked_revision: Option<u64>,
    /// What proxies refused, with Envoy's words; at most 32.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    pub rejections: Vec<Rejection>,
    /// Pods of this workload without a proxy, although their namespace is meshed; at most 64.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(max = 253)))]
    pub unmeshed_pods: Vec<String>,
}

/// How many proxies.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MeshStatusProxies {
    /// That should be there.
    pub total: u32,
    /// That are connected.
    pub connected: u32,
    /// That have acknowledged everything.
    pub synced: u32,
}

/// One policy in force.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PolicyInForce {
    /// `Kind/namespace/name`.
    #[schemars(length(max = 600))]
    pub policy: String,
    /// Its rules; at most 64.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(max = 253)))]
    pub rules: Vec<String>,
}

/// What a proxy refused.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Rejection {
    /// The proxy, `namespace/name`.
    #[schemars(length(max = 512))]
    pub proxy: String,
    /// The resource, `kind name`.
    #[schemars(length(max = 1024))]
    pub resource: String,
    /// The object it came from, `Kind/namespace/name`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 600))]
    pub object: Option<String>,
    /// Envoy's words.
    #[schemars(length(max = 2048))]
    pub message: String,
}

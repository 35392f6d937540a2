//! Mesh: settings of the whole mesh. The one named `default` counts.

use std::collections::BTreeMap;
use std::time::Duration;

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::status::Problem;
use crate::target_ref::LabelSelector;
use crate::unknown::{Unknown, UnknownFields, unknown_fields};

/// Settings of the whole mesh.
#[derive(Clone, Debug, Default, PartialEq, Eq, CustomResource, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "mesh.tulle.dev",
    version = "v1alpha1",
    kind = "Mesh",
    plural = "meshes",
    status = "MeshSummary",
    category = "tulle",
    derive = "PartialEq",
    printcolumn(name = "Proxies", type_ = "string", json_path = ".status.proxies"),
    printcolumn(name = "Synced", type_ = "string", json_path = ".status.synced"),
    printcolumn(name = "mTLS", type_ = "string", json_path = ".status.mtls"),
    printcolumn(name = "Default", type_ = "string", json_path = ".status.defaultAction"),
    printcolumn(name = "Policies", type_ = "integer", json_path = ".status.policies"),
    printcolumn(name = "State", type_ = "string", json_path = ".status.state"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-preserve-unknown-fields" = true))]
pub struct MeshSpec {
    /// The SPIFFE trust domain; `tulle.local` unless said otherwise. Changing it changes every identity.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 255), regex(pattern = "^[a-z0-9._-]+$"))]
    pub trust_domain: Option<String>,
    /// Encryption and authentication between workloads.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mtls: Option<Mtls>,
    /// What holds for callers that no `TrafficPermission` names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub permissions: Option<Permissions>,
    /// What holds for destinations outside the mesh.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub egress: Option<Egress>,
    /// Within this time the connections of a revoked identity end; `10s` unless said otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 24), regex(pattern = crate::duration::PATTERN))]
    pub revocation_time: Option<String>,
    /// How paths are read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub normalization: Option<Normalization>,
    /// The built-in certificate authority.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<Identity>,
    /// What proxies tell about the traffic.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observability: Option<Observability>,
    /// The rate limit service for limits of scope Mesh, `host:port`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 259))]
    pub rate_limit_service: Option<String>,
    /// Fields that nobody knows.
    #[serde(flatten)]
    #[schemars(skip)]
    pub unknown: Unknown,
}
unknown_fields!(
    MeshSpec,
    mtls => "mtls",
    permissions => "permissions",
    egress => "egress",
    normalization => "normalization",
    identity => "identity",
    observability => "observability",
);

impl Mesh {
    /// The path of each field that nobody knows.
    pub fn unknown_fields(&self) -> Vec<String> {
        self.spec.unknown_fields()
    }
}

/// Whether plaintext is accepted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub enum MtlsMode {
    /// Only mTLS.
    #[default]
    Strict,
    /// mTLS and plaintext.
    Permissive,
}

/// Encryption and authentication between workloads.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(extend("x-kubernetes-preserve-unknown-fields" = true))]
pub struct Mtls {
    /// Strict unless said otherwise.
    #[serde(default)]
    pub mode: MtlsMode,
    /// Exceptions, the first that fits counts; at most 64.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub overrides: Vec<MtlsOverride>,
    /// Fields that nobody knows.
    #[serde(flatten)]
    #[schemars(skip)]
    pub unknown: Unknown,
}
unknown_fields!(Mtls, overrides => "overrides");

/// Another mode for some workloads or ports; every field that is given must fit.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(extend("x-kubernetes-preserve-unknown-fields" = true))]
pub struct MtlsOverride {
    /// Workloads of this namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub namespace: Option<String>,
    /// Workloads with these labels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selector: Option<LabelSelector>,
    /// Only this port of the workload, by number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65535))]
    pub port: Option<u16>,
    /// The mode for these workloads and ports.
    pub mode: MtlsMode,
    /// Fields that nobody knows.
    #[serde(flatten)]
    #[schemars(skip)]
    pub unknown: Unknown,
}
unknown_fields!(MtlsOverride, selector => "selector");

/// What holds for callers that no rule names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub enum DefaultAction {
    /// Mesh identities are let in until an enforced Allow targets the port; from then on nobody else is.
    #[default]
    AllowUntilSelected,
    /// Mesh identities are let in.
    Allow,
    /// Nobody is.
    Deny,
}

/// What holds for callers that no `TrafficPermission` names.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-preserve-unknown-fields" = true))]
pub struct Permissions {
    /// `AllowUntilSelected` unless said otherwise.
    #[serde(default)]
    pub default_action: DefaultAction,
    /// Fields that nobody knows.
    #[serde(flatten)]
    #[schemars(skip)]
    pub unknown: Unknown,
}
unknown_fields!(Permissions);

/// What holds for destinations outside the mesh.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub enum EgressAction {
    /// They are reached.
    #[default]
    Allow,
    /// They are not.
    Deny,
}

/// What holds for destinations outside the mesh.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-preserve-unknown-fields" = true))]
pub struct Egress {
    /// Allow unless said otherwise.
    #[serde(default)]
    pub default_action: EgressAction,
    /// Fields that nobody knows.
    #[serde(flatten)]
    #[schemars(skip)]
    pub unknown: Unknown,
}
unknown_fields!(Egress);

/// How paths are read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-preserve-unknown-fields" = true))]
pub struct Normalization {
    /// Serve paths with `;` also where a rule looks at the path. Some servers strip what follows `;`, so this can open a way around.
    #[serde(default)]
    pub allow_path_parameters: bool,
    /// Fields that nobody knows.
    #[serde(flatten)]
    #[schemars(skip)]
    pub unknown: Unknown,
}
unknown_fields!(Normalization);

/// Shorter certificates would end while their proxies wait for a control plane that restarts.
pub const SHORTEST_LEAF_LIFETIME: Duration = Duration::from_mins(10);

/// The built-in certificate authority.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-preserve-unknown-fields" = true))]
pub struct Identity {
    /// How long a certificate is valid, `10m` or more, `24h` unless said otherwise; renewed at half of it. Read at the operator's start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 24), regex(pattern = crate::duration::PATTERN))]
    pub leaf_lifetime: Option<String>,
    /// Fields that nobody knows.
    #[serde(flatten)]
    #[schemars(skip)]
    pub unknown: Unknown,
}
unknown_fields!(Identity);

/// What proxies tell about the traffic.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-preserve-unknown-fields" = true))]
pub struct Observability {
    /// Whether proxies write an access log; they do unless said otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub access_log: Option<bool>,
    /// Whether a 403 carries the deciding rule in a header; it does not unless said otherwise, since it tells callers about rules.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub denial_header: Option<bool>,
    /// Where traces go, OTLP over gRPC, `host:port`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 259))]
    pub tracing: Option<String>,
    /// Extra tags of every trace; at most 16.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 16, "additionalProperties" = {"type": "string", "maxLength": 256}))]
    pub trace_tags: BTreeMap<String, String>,
    /// Fields that nobody knows.
    #[serde(flatten)]
    #[schemars(skip)]
    pub unknown: Unknown,
}
unknown_fields!(Observability);

/// The one-line summary of the mesh; written by Tulle only.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MeshSummary {
    /// Proxies that should be there.
    #[schemars(length(max = 16))]
    pub proxies: String,
    /// `synced/expected`.
    #[schemars(length(max = 32))]
    pub synced: String,
    /// The mode.
    #[schemars(length(max = 16))]
    pub mtls: String,
    /// The default of permissions.
    #[schemars(length(max = 32))]
    pub default_action: String,
    /// Policies and routes in force.
    pub policies: u32,
    /// Healthy, Progressing, Rejected or Disconnected; Empty where nothing is meshed; Invalid where the Mesh itself is wrong.
    #[schemars(length(max = 32))]
    pub state: String,
    /// What is wrong with the object, field by field, and what to do.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub problems: Vec<Problem>,
}

//! `RateLimit`: how often.

use std::collections::BTreeMap;

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::http_match::HttpRouteMatch;
use crate::source::Source;
use crate::status::PolicyStatus;
use crate::target_ref::TargetRef;
use crate::trafficpermission::PolicyMode;
use crate::unknown::{Unknown, UnknownFields, unknown_fields};

/// How often a target may be called.
#[derive(Clone, Debug, PartialEq, Eq, CustomResource, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "mesh.tulle.dev",
    version = "v1alpha1",
    kind = "RateLimit",
    namespaced,
    status = "PolicyStatus",
    shortname = "rl",
    category = "tulle",
    derive = "PartialEq",
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
#[schemars(extend("x-kubernetes-preserve-unknown-fields" = true))]
pub struct RateLimitSpec {
    /// What it protects; absent means every workload of the policy's namespace. 1 to 16.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 16))]
    pub target_refs: Option<Vec<TargetRef>>,
    /// Enforce refuses; Shadow only counts.
    #[serde(default)]
    pub mode: PolicyMode,
    /// The limits; every one that matches counts. At most 64.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub limits: Vec<Limit>,
    /// Limits of new connections, at L4.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connections: Option<ConnectionLimit>,
    /// Fields that nobody knows.
    #[serde(flatten)]
    #[schemars(skip)]
    pub unknown: Unknown,
}
unknown_fields!(RateLimitSpec, target_refs => "targetRefs", limits => "limits", connections => "connections");

impl RateLimit {
    /// The path of each field that nobody knows.
    pub fn unknown_fields(&self) -> Vec<String> {
        self.spec.unknown_fields()
    }
}

/// Who counts together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub enum LimitScope {
    /// Each replica for itself.
    #[default]
    Proxy,
    /// All replicas of a workload together; no store is needed.
    Workload,
    /// The whole mesh, through the rate limit service.
    Mesh,
}

/// What happens when the rate limit service does not answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub enum OnServiceUnavailable {
    /// The request goes through.
    #[default]
    Allow,
    /// The request is refused.
    Deny,
}

/// One limit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-preserve-unknown-fields" = true))]
pub struct Limit {
    /// The name; of limits with one name the most specific target wins.
    #[schemars(length(min = 1, max = 63))]
    pub name: String,
    /// What it counts; absent means every request.
    #[serde(rename = "match", default, skip_serializing_if = "Option::is_none")]
    pub matches: Option<RequestMatch>,
    /// One bucket for each value of these; absent or empty means one bucket. At most 4.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 4))]
    pub key: Vec<LimitKey>,
    /// How many requests in how long, and how many at once.
    pub rate: Rate,
    /// Who counts together; Proxy unless said otherwise.
    #[serde(default)]
    pub scope: LimitScope,
    /// The answer beyond the limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_limit: Option<OnLimit>,
    /// With scope Mesh.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_service_unavailable: Option<OnServiceUnavailable>,
    /// Fields that nobody knows.
    #[serde(flatten)]
    #[schemars(skip)]
    pub unknown: Unknown,
}
unknown_fields!(Limit, matches => "match", key => "key", rate => "rate", on_limit => "onLimit");

/// Which requests an entry is about.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(extend("x-kubernetes-preserve-unknown-fields" = true))]
pub struct RequestMatch {
    /// Callers, any of them; absent means every caller, an empty list nobody.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub sources: Option<Vec<Source>>,
    /// Requests, any of them; absent means all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 16))]
    pub http: Option<Vec<HttpRouteMatch>>,
    /// Fields that nobody knows.
    #[serde(flatten)]
    #[schemars(skip)]
    pub unknown: Unknown,
}
unknown_fields!(RequestMatch, sources => "sources", http => "http");

/// What a bucket is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub enum LimitKeyType {
    /// The caller's identity.
    SourceIdentity,
    /// A header's value.
    Header,
    /// The address of the client.
    #[serde(rename = "ClientIP")]
    ClientIp,
    /// The path.
    Path,
    /// The method.
    Method,
}

/// What a bucket is for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(extend("x-kubernetes-preserve-unknown-fields" = true, "x-kubernetes-validations" = [
    {"rule": "(self.type == 'Header') == has(self.header)", "message": "header goes with type Header"},
]))]
pub struct LimitKey {
    /// What each bucket is for; several keys together make one bucket for each combination.
    #[serde(rename = "type")]
    pub key_type: LimitKeyType,
    /// The header whose value tells buckets apart, with type Header.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub header: Option<HeaderKey>,
    /// Fields that nobody knows.
    #[serde(flatten)]
    #[schemars(skip)]
    pub unknown: Unknown,
}
unknown_fields!(LimitKey, header => "header");

/// A header to count by.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(extend("x-kubernetes-preserve-unknown-fields" = true))]
pub struct HeaderKey {
    /// The header's name, without regard to case.
    #[schemars(length(min = 1, max = 256))]
    pub name: String,
    /// Fields that nobody knows.
    #[serde(flatten)]
    #[schemars(skip)]
    pub unknown: Unknown,
}
unknown_fields!(HeaderKey);

/// A unit of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub enum RateUnit {
    /// A second.
    Second,
    /// A minute.
    Minute,
    /// An hour.
    Hour,
}

/// How many in how long.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(extend("x-kubernetes-preserve-unknown-fields" = true))]
pub struct Rate {
    /// How many requests a `unit`; 1 to 1,000,000.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub requests: u32,
    /// The time for that many: Second, Minute, Hour or Day.
    pub unit: RateUnit,
    /// How many at once after a pause; `requests` unless said otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10_000_000))]
    pub burst: Option<u32>,
    /// Fields that nobody knows.
    #[serde(flatten)]
    #[schemars(skip)]
    pub unknown: Unknown,
}
unknown_fields!(Rate);

/// The answer beyond the limit.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(extend("x-kubernetes-preserve-unknown-fields" = true))]
pub struct OnLimit {
    /// 400 to 599; 429 unless said otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 400, max = 599))]
    pub status: Option<u16>,
    /// Headers of the answer; at most 16.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 16, "additionalProperties" = {"type": "string", "maxLength": 4096}))]
    pub headers: BTreeMap<String, String>,
    /// Fields that nobody knows.
    #[serde(flatten)]
    #[schemars(skip)]
    pub unknown: Unknown,
}
unknown_fields!(OnLimit);

/// Limits of new connections.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(extend("x-kubernetes-preserve-unknown-fields" = true))]
pub struct ConnectionLimit {
    /// How many requests in how long, and how many at once.
    pub rate: Rate,
    /// Fields that nobody knows.
    #[serde(flatten)]
    #[schemars(skip)]
    pub unknown: Unknown,
}
unknown_fields!(ConnectionLimit, rate => "rate");

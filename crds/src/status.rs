//! What became of a policy or a route: GEP-713's conditions, one ancestor for each targetRef or parentRef.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How many proxies a policy concerns, and what they answered.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ProxyCounts {
    /// Proxies that are connected and concerned.
    pub matched: u32,
    /// Those that have acknowledged the newest state of the policy.
    pub acked: u32,
    /// Those that have refused it; `Enforced` says in which words.
    pub rejected: u32,
}

/// What became of one target.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AncestorStatus {
    /// The field, for example `spec.targetRefs[0]`.
    #[schemars(length(max = 256))]
    pub path: String,
    /// The target as people say it.
    #[schemars(length(max = 1024))]
    pub target: String,
    /// Always `mesh.tulle.dev/tulle`.
    #[schemars(length(max = 253))]
    pub controller_name: String,
    /// Accepted, `ResolvedRefs`, Programmed and Enforced.
    #[schemars(length(max = 8))]
    pub conditions: Vec<Condition>,
    /// Ports of the target that no rule of this policy concerns.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(max = 256)))]
    pub not_concerned: Vec<String>,
}

/// One finding about a field.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Problem {
    /// The rule that it took out of force; absent when the whole object is meant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub rule: Option<String>,
    /// The field, for example `spec.rules[0].http[1].path.value`.
    #[schemars(length(max = 512))]
    pub path: String,
    /// A word for programs, for example `UnknownField`.
    #[schemars(length(max = 64))]
    pub reason: String,
    /// What is wrong and what to do.
    #[schemars(length(max = 2048))]
    pub message: String,
}

/// The status of every policy and route; written by Tulle only.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PolicyStatus {
    /// The generation that this status speaks of.
    #[serde(default)]
    #[schemars(range(min = 0, max = 9_007_199_254_740_991i64))]
    pub observed_generation: i64,
    /// The summary, Ready, for `kubectl wait` and GitOps tools.
    #[serde(default)]
    #[schemars(length(max = 8))]
    pub conditions: Vec<Condition>,
    /// One for each targetRef or parentRef.
    #[serde(default)]
    #[schemars(length(max = 16))]
    pub ancestors: Vec<AncestorStatus>,
    /// How many proxies it concerns.
    #[serde(default)]
    pub proxies: ProxyCounts,
    /// `acked/matched`, for the table.
    #[serde(default)]
    #[schemars(length(max = 32))]
    pub acked: String,
    /// Names of the rules that are in force.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 512), inner(length(max = 253)))]
    pub rules_in_force: Vec<String>,
    /// What is wrong with the object, field by field, and what to do.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub problems: Vec<Problem>,
    /// Entries that another object replaces, as `entry: Kind/namespace/name`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(max = 1024)))]
    pub overridden: Vec<String>,
}

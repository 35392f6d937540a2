//! `FaultInjection`: what is broken on purpose, for whom, and until when.

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::ratelimit::RequestMatch;
use crate::status::PolicyStatus;
use crate::target_ref::TargetRef;
use crate::unknown::{Unknown, UnknownFields, unknown_fields};

/// The shape of `until`: a time as RFC 3339 writes it, or `never`. Whether the day exists is for the rule beside it.
const UNTIL: &str =
    r"^(never|[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,9})?(Z|[+-][0-9]{2}:[0-9]{2}))$";

/// Where the fault happens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub enum FaultSide {
    /// At the callee, so that the caller's retries and timeouts see it.
    #[default]
    Destination,
    /// At the caller, for external targets.
    Source,
}

/// What is broken on purpose.
#[derive(Clone, Debug, PartialEq, Eq, CustomResource, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "mesh.tulle.dev",
    version = "v1alpha1",
    kind = "FaultInjection",
    namespaced,
    status = "PolicyStatus",
    shortname = "fi",
    category = "tulle",
    derive = "PartialEq",
    printcolumn(name = "Until", type_ = "string", json_path = ".spec.until"),
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
pub struct FaultInjectionSpec {
    /// What it breaks; absent means every workload of the policy's namespace. 1 to 16.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 16))]
    pub target_refs: Option<Vec<TargetRef>>,
    /// Where the fault happens: Destination (the caller's retries and timeouts see it) or Source.
    #[serde(default)]
    pub at: FaultSide,
    /// When it ends by itself: a time (RFC 3339), or `never`, said out loud.
    #[schemars(length(min = 5, max = 40), regex(pattern = UNTIL), extend("x-kubernetes-validations" = [
        {"rule": "self == 'never' || !format.datetime().validate(self).hasValue()", "message": "until is a time such as 2026-12-01T12:00:00Z, or never"},
    ]))]
    pub until: String,
    /// At most so many requests are faulty at once, in each proxy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub max_active: Option<u32>,
    /// The faults, each with a share of the requests; at most 16.
    #[schemars(length(max = 16))]
    pub faults: Vec<Fault>,
    /// Fields that nobody knows.
    #[serde(flatten)]
    #[schemars(skip)]
    pub unknown: Unknown,
}
unknown_fields!(FaultInjectionSpec, target_refs => "targetRefs", faults => "faults");

impl FaultInjection {
    /// The path of each field that nobody knows.
    pub fn unknown_fields(&self) -> Vec<String> {
        self.spec.unknown_fields()
    }
}

/// Who decides that a request is faulty.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub enum FaultTrigger {
    /// Chance, by `percent`.
    #[default]
    Always,
    /// The caller, by header, at most `percent`.
    OnHeader,
}

/// One fault: a delay, an abort or a bandwidth.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(extend("x-kubernetes-preserve-unknown-fields" = true, "x-kubernetes-validations" = [
    {"rule": "(has(self.delay) ? 1 : 0) + (has(self.abort) ? 1 : 0) + (has(self.bandwidth) ? 1 : 0) == 1", "message": "exactly one of delay, abort and bandwidth"},
]))]
pub struct Fault {
    /// The name; of faults with one name the most specific target wins.
    #[schemars(length(min = 1, max = 63))]
    pub name: String,
    /// Which requests; absent means all.
    #[serde(rename = "match", default, skip_serializing_if = "Option::is_none")]
    pub matches: Option<RequestMatch>,
    /// How many of 100 requests, as decimal text: `"2.5"`. At most four decimals.
    #[schemars(length(min = 1, max = 8), regex(pattern = crate::percent::PATTERN))]
    pub percent: String,
    /// The requests wait before they go on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delay: Option<Delay>,
    /// The requests are answered at once, without the application.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub abort: Option<Abort>,
    /// The answers come slowly.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bandwidth: Option<Bandwidth>,
    /// Who decides that a request is faulty; Always unless said otherwise.
    #[serde(default)]
    pub trigger: FaultTrigger,
    /// Fields that nobody knows.
    #[serde(flatten)]
    #[schemars(skip)]
    pub unknown: Unknown,
}
unknown_fields!(Fault, matches => "match", delay => "delay", abort => "abort", bandwidth => "bandwidth");

/// A wait.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(extend("x-kubernetes-preserve-unknown-fields" = true))]
pub struct Delay {
    /// How long; a duration such as `3s`.
    #[schemars(length(max = 24), regex(pattern = crate::duration::PATTERN))]
    pub fixed: String,
    /// Fields that nobody knows.
    #[serde(flatten)]
    #[schemars(skip)]
    pub unknown: Unknown,
}
unknown_fields!(Delay);

/// An answer without the application: one of the two.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-preserve-unknown-fields" = true, "x-kubernetes-validations" = [
    {"rule": "has(self.httpStatus) != has(self.grpcStatus)", "message": "exactly one of httpStatus and grpcStatus"},
]))]
pub struct Abort {
    /// An HTTP status, 200 to 599.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 200, max = 599))]
    pub http_status: Option<u16>,
    /// A gRPC status by its name, for example UNAVAILABLE.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 2, max = 24))]
    pub grpc_status: Option<String>,
    /// Fields that nobody knows.
    #[serde(flatten)]
    #[schemars(skip)]
    pub unknown: Unknown,
}
unknown_fields!(Abort);

/// A bandwidth.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(extend("x-kubernetes-preserve-unknown-fields" = true))]
pub struct Bandwidth {
    /// Bytes a second as a Kubernetes quantity, for example `64Ki`.
    #[schemars(length(min = 1, max = 16))]
    pub response: String,
    /// Fields that nobody knows.
    #[serde(flatten)]
    #[schemars(skip)]
    pub unknown: Unknown,
}
unknown_fields!(Bandwidth);

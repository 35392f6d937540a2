//! `TrafficRoute`: the superset of `HTTPRoute` and `TCPRoute`, with a Service as parent.

mod upstream;

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use upstream::*;

use crate::backend::BackendRef;
use crate::filters::HttpRouteFilter;
use crate::http_match::HttpRouteMatch;
use crate::source::Source;
use crate::status::PolicyStatus;
use crate::target_ref::ParentRef;
use crate::unknown::{Unknown, UnknownFields, unknown_fields};

/// Where the calls to a Service go, and how callers reach it.
#[derive(Clone, Debug, PartialEq, Eq, CustomResource, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "mesh.tulle.dev",
    version = "v1alpha1",
    kind = "TrafficRoute",
    namespaced,
    status = "PolicyStatus",
    shortname = "tr",
    category = "tulle",
    derive = "PartialEq",
    printcolumn(name = "Parent", type_ = "string", json_path = ".spec.parentRefs[0].name"),
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
pub struct TrafficRouteSpec {
    /// The Services whose calls it routes; 1 to 16.
    #[schemars(length(min = 1, max = 16))]
    pub parent_refs: Vec<ParentRef>,
    /// Rules for requests; a request that none matches is answered 404. At most 64.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub rules: Vec<RouteRule>,
    /// Rules for TCP connections; at most 16.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 16))]
    pub tcp: Option<Vec<TcpRule>>,
    /// How callers reach the parent Service; one owner for each Service port.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upstream: Option<Upstream>,
    /// Fields that nobody knows.
    #[serde(flatten)]
    #[schemars(skip)]
    pub unknown: Unknown,
}
unknown_fields!(TrafficRouteSpec, parent_refs => "parentRefs", rules => "rules", tcp => "tcp", upstream => "upstream");

impl TrafficRoute {
    /// The path of each field that nobody knows.
    pub fn unknown_fields(&self) -> Vec<String> {
        self.spec.unknown_fields()
    }
}

/// One rule: any match, then filters, then a backend.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-preserve-unknown-fields" = true))]
pub struct RouteRule {
    /// The name under which it is reported; its index when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub name: Option<String>,
    /// Any of them; absent or empty matches every request. At most 64.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub matches: Vec<HttpRouteMatch>,
    /// What is done to requests and answers, in this order; at most 16.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub filters: Vec<HttpRouteFilter>,
    /// Where the requests go, by weight; at most 16. Without a valid one they are answered 500.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub backend_refs: Vec<BackendRef>,
    /// How long a request and each try of it may take.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeouts: Option<RouteTimeouts>,
    /// What is tried again; absent means nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry: Option<RouteRetry>,
    /// Keeps a client on one endpoint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_persistence: Option<SessionPersistence>,
    /// Fields that nobody knows.
    #[serde(flatten)]
    #[schemars(skip)]
    pub unknown: Unknown,
}
unknown_fields!(
    RouteRule,
    matches => "matches",
    filters => "filters",
    backend_refs => "backendRefs",
    timeouts => "timeouts",
    retry => "retry",
    session_persistence => "sessionPersistence",
);

/// Limits in time (Gateway API's `HTTPRouteTimeouts`); `0s` means none.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-preserve-unknown-fields" = true, "x-kubernetes-validations" = [
    {"rule": "!(has(self.request) && has(self.backendRequest) && duration(self.request) != duration('0s') && duration(self.backendRequest) > duration(self.request))", "message": "backendRequest must not be longer than request"},
]))]
pub struct RouteTimeouts {
    /// The whole request, retries included; a duration such as `2s`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 24), regex(pattern = crate::duration::PATTERN))]
    pub request: Option<String>,
    /// How long one try may take; at most `request`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 24), regex(pattern = crate::duration::PATTERN))]
    pub backend_request: Option<String>,
    /// Fields that nobody knows.
    #[serde(flatten)]
    #[schemars(skip)]
    pub unknown: Unknown,
}
unknown_fields!(RouteTimeouts);

/// What is tried again (Gateway API's `HTTPRouteRetry`). Connection failures and refused streams always are.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(extend("x-kubernetes-preserve-unknown-fields" = true))]
pub struct RouteRetry {
    /// How often after the first try; 1 unless said otherwise, at most 10.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 10))]
    pub attempts: Option<u32>,
    /// Statuses that are tried again; 400 to 599, at most 32.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), inner(range(min = 400, max = 599)))]
    pub codes: Vec<u16>,
    /// The first wait; 25 ms unless said otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 24), regex(pattern = crate::duration::PATTERN))]
    pub backoff: Option<String>,
    /// The most that retries may be of all requests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub budget: Option<RetryBudget>,
    /// Fields that nobody knows.
    #[serde(flatten)]
    #[schemars(skip)]
    pub unknown: Unknown,
}
unknown_fields!(RouteRetry, budget => "budget");

/// The most that retries may be of all requests.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(extend("x-kubernetes-preserve-unknown-fields" = true))]
pub struct RetryBudget {
    /// Retries as a share of all requests, in per cent.
    #[schemars(range(min = 0, max = 100))]
    pub percent: u32,
    /// Fields that nobody knows.
    #[serde(flatten)]
    #[schemars(skip)]
    pub unknown: Unknown,
}
unknown_fields!(RetryBudget);

/// How a client is recognised.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub enum SessionType {
    /// By a cookie.
    #[default]
    Cookie,
    /// By a header.
    Header,
}

/// Keeps a client on one endpoint (Gateway API's `SessionPersistence`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-preserve-unknown-fields" = true))]
pub struct SessionPersistence {
    /// The cookie's or header's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 128))]
    pub session_name: Option<String>,
    /// Whether a cookie or a header tells which client it is; Cookie unless said otherwise.
    #[serde(rename = "type", default)]
    pub session_type: SessionType,
    /// How long a client stays on one endpoint at the most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 24), regex(pattern = crate::duration::PATTERN))]
    pub absolute_timeout: Option<String>,
    /// Fields that nobody knows.
    #[serde(flatten)]
    #[schemars(skip)]
    pub unknown: Unknown,
}
unknown_fields!(SessionPersistence);

/// A rule for TCP connections.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-preserve-unknown-fields" = true))]
pub struct TcpRule {
    /// The name under which it is reported.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub name: Option<String>,
    /// Any of them; absent matches every connection.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub matches: Vec<TcpMatch>,
    /// Where the connections go, by weight; at most 16.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub backend_refs: Vec<BackendRef>,
    /// Fields that nobody knows.
    #[serde(flatten)]
    #[schemars(skip)]
    pub unknown: Unknown,
}
unknown_fields!(TcpRule, matches => "matches", backend_refs => "backendRefs");

/// A match of TCP connections.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(extend("x-kubernetes-preserve-unknown-fields" = true))]
pub struct TcpMatch {
    /// Callers, any of them; absent means every caller.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub sources: Option<Vec<Source>>,
    /// Fields that nobody knows.
    #[serde(flatten)]
    #[schemars(skip)]
    pub unknown: Unknown,
}
unknown_fields!(TcpMatch, sources => "sources");

//! Matches of requests: the structures, names and defaults of Gateway API's `HTTPRouteMatch` and `GRPCRouteMatch`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::source::Source;
use crate::unknown::{Unknown, unknown_fields};

/// How a path is compared; always with the normalised path, without the query.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub enum PathMatchType {
    /// The whole path, case-sensitive.
    Exact,
    /// Whole segments: `/a` matches `/a` and `/a/b`, never `/ab`.
    #[default]
    PathPrefix,
    /// An RE2 expression over the whole path.
    RegularExpression,
}

/// Matches a path.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(extend("x-kubernetes-preserve-unknown-fields" = true))]
pub struct HttpPathMatch {
    /// How it is compared; `PathPrefix` unless said otherwise.
    #[serde(rename = "type", default)]
    pub match_type: PathMatchType,
    /// The path; `/` unless said otherwise. At most 1024 characters.
    #[serde(default = "root")]
    #[schemars(length(min = 1, max = 1024))]
    pub value: String,
    /// Fields that nobody knows.
    #[serde(flatten)]
    #[schemars(skip)]
    pub unknown: Unknown,
}
unknown_fields!(HttpPathMatch);

fn root() -> String {
    "/".to_owned()
}

/// How a value is compared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub enum ValueMatchType {
    /// The whole value.
    #[default]
    Exact,
    /// An RE2 expression over the whole value.
    RegularExpression,
}

/// Matches a header or a query parameter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(extend("x-kubernetes-preserve-unknown-fields" = true))]
pub struct ValueMatch {
    /// How it is compared; Exact unless said otherwise.
    #[serde(rename = "type", default)]
    pub match_type: ValueMatchType,
    /// The name; of a header without regard to case.
    #[schemars(length(min = 1, max = 256))]
    pub name: String,
    /// The value; at most 4096 characters.
    #[schemars(length(min = 1, max = 4096))]
    pub value: String,
    /// Fields that nobody knows.
    #[serde(flatten)]
    #[schemars(skip)]
    pub unknown: Unknown,
}
unknown_fields!(ValueMatch);

/// Gateway API's `HTTPRouteMatch`: everything in it must match.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-preserve-unknown-fields" = true))]
pub struct HttpRouteMatch {
    /// The path; absent matches all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<HttpPathMatch>,
    /// Headers that must all match; at most 16.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 16))]
    pub headers: Option<Vec<ValueMatch>>,
    /// Query parameters that must all match; at most 16. Routes only: permissions, limits and faults refuse them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 16))]
    pub query_params: Option<Vec<ValueMatch>>,
    /// The method in capitals, for example GET; absent matches all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 32))]
    pub method: Option<String>,
    /// Callers (routes only, an addition to Gateway API): any of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub sources: Option<Vec<Source>>,
    /// Fields that nobody knows.
    #[serde(flatten)]
    #[schemars(skip)]
    pub unknown: Unknown,
}
unknown_fields!(HttpRouteMatch, path => "path", headers => "headers", query_params => "queryParams", sources => "sources");

/// Matches a gRPC method.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(extend("x-kubernetes-preserve-unknown-fields" = true))]
pub struct GrpcMethodMatch {
    /// How both are compared; Exact unless said otherwise.
    #[serde(rename = "type", default)]
    pub match_type: ValueMatchType,
    /// The service, with its package.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024))]
    pub service: Option<String>,
    /// The gRPC method, for example `Charge`; absent matches all of the service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024))]
    pub method: Option<String>,
    /// Fields that nobody knows.
    #[serde(flatten)]
    #[schemars(skip)]
    pub unknown: Unknown,
}
unknown_fields!(GrpcMethodMatch);

/// Gateway API's `GRPCRouteMatch`: everything in it must match.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(extend("x-kubernetes-preserve-unknown-fields" = true))]
pub struct GrpcRouteMatch {
    /// The method; absent matches all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<GrpcMethodMatch>,
    /// Headers that must all match; at most 16.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 16))]
    pub headers: Option<Vec<ValueMatch>>,
    /// Fields that nobody knows.
    #[serde(flatten)]
    #[schemars(skip)]
    pub unknown: Unknown,
}
unknown_fields!(GrpcRouteMatch, method => "method", headers => "headers");

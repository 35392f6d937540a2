//! Gateway API's `HTTPRouteFilter` and its parts.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::backend::MirrorBackendRef;
use crate::unknown::{Unknown, unknown_fields};

/// Which filter it is; the field of that name says more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub enum FilterType {
    /// Edits the request's headers.
    RequestHeaderModifier,
    /// Edits the answer's headers.
    ResponseHeaderModifier,
    /// Answers with a redirect.
    RequestRedirect,
    /// Rewrites host or path towards the backend.
    #[serde(rename = "URLRewrite")]
    UrlRewrite,
    /// Sends a copy elsewhere.
    RequestMirror,
    /// Cross-origin resource sharing.
    #[serde(rename = "CORS")]
    Cors,
}

/// A filter of a rule or of a backend.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-preserve-unknown-fields" = true, "x-kubernetes-validations" = [
    {"rule": "(self.type == 'RequestHeaderModifier') == has(self.requestHeaderModifier)", "message": "requestHeaderModifier goes with type RequestHeaderModifier"},
    {"rule": "(self.type == 'ResponseHeaderModifier') == has(self.responseHeaderModifier)", "message": "responseHeaderModifier goes with type ResponseHeaderModifier"},
    {"rule": "(self.type == 'RequestRedirect') == has(self.requestRedirect)", "message": "requestRedirect goes with type RequestRedirect"},
    {"rule": "(self.type == 'URLRewrite') == has(self.urlRewrite)", "message": "urlRewrite goes with type URLRewrite"},
    {"rule": "(self.type == 'RequestMirror') == has(self.requestMirror)", "message": "requestMirror goes with type RequestMirror"},
    {"rule": "(self.type == 'CORS') == has(self.cors)", "message": "cors goes with type CORS"},
]))]
pub struct HttpRouteFilter {
    /// Which filter it is; the field of the same name says what it does.
    #[serde(rename = "type")]
    pub filter_type: FilterType,
    /// Edits of the request's headers, with type `RequestHeaderModifier`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_header_modifier: Option<HeaderFilter>,
    /// Edits of the answer's headers, with type `ResponseHeaderModifier`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub response_header_modifier: Option<HeaderFilter>,
    /// The redirect that is answered, with type `RequestRedirect`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_redirect: Option<RequestRedirect>,
    /// The host or path that the backend gets, with type `URLRewrite`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url_rewrite: Option<UrlRewrite>,
    /// Where a copy goes, with type `RequestMirror`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_mirror: Option<RequestMirror>,
    /// What browsers of other origins may do, with type CORS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cors: Option<Cors>,
    /// Fields that nobody knows.
    #[serde(flatten)]
    #[schemars(skip)]
    pub unknown: Unknown,
}
unknown_fields!(
    HttpRouteFilter,
    request_header_modifier => "requestHeaderModifier",
    response_header_modifier => "responseHeaderModifier",
    request_redirect => "requestRedirect",
    url_rewrite => "urlRewrite",
    request_mirror => "requestMirror",
    cors => "cors",
);

/// A header with its value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HttpHeader {
    /// The header's name, without regard to case.
    #[schemars(length(min = 1, max = 256))]
    pub name: String,
    /// The header's value, taken as it is written.
    #[schemars(length(min = 1, max = 4096))]
    pub value: String,
}

/// Edits of headers: set, then add, then remove.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(extend("x-kubernetes-preserve-unknown-fields" = true))]
pub struct HeaderFilter {
    /// Replaces or creates; at most 16.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub set: Vec<HttpHeader>,
    /// Headers that are added to those already there; at most 16.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub add: Vec<HttpHeader>,
    /// Names of headers that are removed; at most 16.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), inner(length(min = 1, max = 256)))]
    pub remove: Vec<String>,
    /// Fields that nobody knows.
    #[serde(flatten)]
    #[schemars(skip)]
    pub unknown: Unknown,
}
unknown_fields!(HeaderFilter);

/// How a path is replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub enum PathModifierType {
    /// The whole path.
    ReplaceFullPath,
    /// The prefix that the rule matched.
    ReplacePrefixMatch,
}

/// Replaces a path.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-preserve-unknown-fields" = true, "x-kubernetes-validations" = [
    {"rule": "(self.type == 'ReplaceFullPath') == has(self.replaceFullPath)", "message": "replaceFullPath goes with type ReplaceFullPath"},
    {"rule": "(self.type == 'ReplacePrefixMatch') == has(self.replacePrefixMatch)", "message": "replacePrefixMatch goes with type ReplacePrefixMatch"},
]))]
pub struct PathModifier {
    /// Whether the whole path is replaced, or the prefix that matched.
    #[serde(rename = "type")]
    pub modifier_type: PathModifierType,
    /// The new path, with type `ReplaceFullPath`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub replace_full_path: Option<String>,
    /// What takes the place of the prefix that matched, with type `ReplacePrefixMatch`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub replace_prefix_match: Option<String>,
    /// Fields that nobody knows.
    #[serde(flatten)]
    #[schemars(skip)]
    pub unknown: Unknown,
}
unknown_fields!(PathModifier);

/// A redirect answer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-preserve-unknown-fields" = true))]
pub struct RequestRedirect {
    /// `http` or `https`; absent keeps it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 8))]
    pub scheme: Option<String>,
    /// Another host; absent keeps it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub hostname: Option<String>,
    /// Another path; absent keeps it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<PathModifier>,
    /// Another port; absent follows Gateway API's rules.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65535))]
    pub port: Option<u16>,
    /// 301, 302 (default), 303, 307 or 308.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 301, max = 308))]
    pub status_code: Option<u16>,
    /// Fields that nobody knows.
    #[serde(flatten)]
    #[schemars(skip)]
    pub unknown: Unknown,
}
unknown_fields!(RequestRedirect, path => "path");

/// Rewrites host or path towards the backend.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(extend("x-kubernetes-preserve-unknown-fields" = true))]
pub struct UrlRewrite {
    /// The Host that the backend sees.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub hostname: Option<String>,
    /// The path that the backend sees.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<PathModifier>,
    /// Fields that nobody knows.
    #[serde(flatten)]
    #[schemars(skip)]
    pub unknown: Unknown,
}
unknown_fields!(UrlRewrite, path => "path");

/// Sends a copy elsewhere; its answer is thrown away.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-preserve-unknown-fields" = true))]
pub struct RequestMirror {
    /// The Service that gets the copies; its answers are dropped.
    pub backend_ref: MirrorBackendRef,
    /// How many of 100; absent means all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 100))]
    pub percent: Option<u32>,
    /// Fields that nobody knows.
    #[serde(flatten)]
    #[schemars(skip)]
    pub unknown: Unknown,
}
unknown_fields!(RequestMirror, backend_ref => "backendRef");

/// Cross-origin resource sharing (Gateway API's `HTTPCORSFilter`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-preserve-unknown-fields" = true))]
pub struct Cors {
    /// Origins whose pages may call, for example `https://shop.example`; at most 64.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(min = 1, max = 253)))]
    pub allow_origins: Vec<String>,
    /// Methods that such pages may use; at most 16.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), inner(length(min = 1, max = 32)))]
    pub allow_methods: Vec<String>,
    /// Request headers; at most 64.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(min = 1, max = 256)))]
    pub allow_headers: Vec<String>,
    /// Headers of the answer that such pages may read; at most 64.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(min = 1, max = 256)))]
    pub expose_headers: Vec<String>,
    /// Whether credentials may be sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allow_credentials: Option<bool>,
    /// Seconds that a preflight may be cached.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 86400))]
    pub max_age: Option<u32>,
    /// Fields that nobody knows.
    #[serde(flatten)]
    #[schemars(skip)]
    pub unknown: Unknown,
}
unknown_fields!(Cors);

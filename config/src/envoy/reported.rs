//! What RBAC filters report as dynamic metadata, and under which keys: the access log, the denial header and later filters
//! read it.
//!
//! Each filter has prefixes of its own, since all of a chain share one namespace. A verdict without a name reports only the
//! result.

use super::api::{accesslog, ext, matcher as proto};
use super::matcher;
use super::verdict::{passes, typed};

use super::api::match_tree::matcher::matcher_list::Predicate;

/// The namespace of HTTP filters.
pub(crate) const HTTP: &str = "envoy.filters.http.rbac";
/// The namespace of network filters.
pub(crate) const NETWORK: &str = "envoy.filters.network.rbac";

/// The prefix of what the deny filter reports.
pub(crate) const DENY_PREFIX: &str = "deny_";
/// The prefix of what the allow filter reports.
pub(crate) const ALLOW_PREFIX: &str = "allow_";
/// The prefix of the enforced Deny rule that is about to deny.
pub(crate) const BLAME_PREFIX: &str = "blame_";
/// The prefix of a candidate's Deny rule, for a TCP port of any denial.
pub(crate) const SHADOW_DENY_PREFIX: &str = "shadow_deny_";
/// The prefix of what in a candidate allows.
pub(crate) const SHADOW_ALLOW_PREFIX: &str = "shadow_allow_";
/// The prefix of a candidate's default that denies.
pub(crate) const SHADOW_DEFAULT_PREFIX: &str = "shadow_default_";

/// The result of what lets pass.
pub(crate) const ALLOWED: &str = "allowed";
/// The result of what does not.
pub(crate) const DENIED: &str = "denied";

/// The key under which enforced rules name the one that decided.
pub(crate) fn enforced_rule(prefix: &str) -> String {
    format!("{prefix}enforced_effective_policy_id")
}

/// The key of their result.
pub(crate) fn enforced_result(prefix: &str) -> String {
    format!("{prefix}enforced_engine_result")
}

/// The key under which shadow rules name the one that would have decided.
pub(crate) fn shadow_rule(prefix: &str) -> String {
    format!("{prefix}shadow_effective_policy_id")
}

/// The key of their result.
pub(crate) fn shadow_result(prefix: &str) -> String {
    format!("{prefix}shadow_engine_result")
}

/// In a match tree: an earlier HTTP filter reported this result.
pub(crate) fn is(key: &str, result: &str) -> Predicate {
    compare(key, result, false)
}

/// In a match tree: it reported another result, or none.
pub(crate) fn is_not(key: &str, result: &str) -> Predicate {
    compare(key, result, true)
}

fn compare(key: &str, result: &str, invert: bool) -> Predicate {
    use ext::matching::common_inputs::network::v3::{DynamicMetadataInput, dynamic_metadata_input as within};
    let segment = within::PathSegment {
        segment: Some(within::path_segment::Segment::Key(key.to_owned())),
    };
    let input = DynamicMetadataInput {
        filter: HTTP.to_owned(),
        path: vec![segment],
    };
    let test = ext::matching::input_matchers::metadata::v3::Metadata {
        value: Some(value(result)),
        invert,
    };
    passes(
        typed("envoy.matching.inputs.dynamic_metadata", &input),
        typed("envoy.matching.matchers.metadata_matcher", &test),
    )
}

/// In a filter of logs and replies: what HTTP filters have reported so far. `absent` is the answer while nothing was.
pub(crate) fn so_far(key: &str, result: &str, absent: bool) -> accesslog::MetadataFilter {
    let segment = proto::metadata_matcher::PathSegment {
        segment: Some(proto::metadata_matcher::path_segment::Segment::Key(key.to_owned())),
    };
    accesslog::MetadataFilter {
        matcher: Some(proto::MetadataMatcher {
            filter: HTTP.to_owned(),
            path: vec![segment],
            value: Some(value(result)),
            invert: false,
        }),
        match_if_key_not_found: Some(absent),
    }
}

fn value(text: &str) -> proto::ValueMatcher {
    proto::ValueMatcher {
        match_pattern: Some(proto::value_matcher::MatchPattern::StringMatch(matcher::exact(text))),
    }
}

/// Formats one key as text.
pub(crate) fn format(key: &str) -> String {
    format!("%DYNAMIC_METADATA({HTTP}:{key})%")
}

//! Permissions of an HTTP port as per-route RBAC: one filter for Deny rules, one for Allow rules and the default.
//!
//! Rules reach Envoy under the names by which status calls them. Of several that match the byte-wise smallest is reported.

use std::collections::BTreeMap;

use prost_types::Any;

use super::{allow, deny};
use crate::envoy::access_log::{ALLOW_PREFIX, DENY_PREFIX};
use crate::envoy::api::{any, http_rbac};
use crate::envoy::slots;
use crate::model::PortPermission;

/// Per-route configuration of the deny and the allow filter.
pub(crate) fn per_route(permission: &PortPermission, trust_domain: &str) -> BTreeMap<String, Any> {
    let deny = http_rbac::Rbac {
        rules: Some(deny::rules(permission, trust_domain)),
        rules_stat_prefix: DENY_PREFIX.to_owned(),
        track_per_rule_stats: true,
        ..Default::default()
    };
    let allow = http_rbac::Rbac {
        matcher: Some(allow::matcher(permission, trust_domain)),
        rules_stat_prefix: ALLOW_PREFIX.to_owned(),
        track_per_rule_stats: true,
        ..Default::default()
    };
    let per_route = |rbac| any(&http_rbac::RbacPerRoute { rbac: Some(rbac) });
    BTreeMap::from([
        (slots::DENY.to_owned(), per_route(deny)),
        (slots::ALLOW.to_owned(), per_route(allow)),
    ])
}

/// Per-route configuration that switches filters off.
pub(crate) fn disabled<'a>(filters: impl IntoIterator<Item = &'a str>) -> BTreeMap<String, Any> {
    let off = any(&http_rbac::RbacPerRoute { rbac: None });
    filters.into_iter().map(|name| (name.to_owned(), off.clone())).collect()
}

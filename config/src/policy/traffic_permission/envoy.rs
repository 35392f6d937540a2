//! Permissions of an HTTP port as per-route RBAC: one filter for Deny rules, one for Allow rules and the default, and beside
//! them, as shadows, the candidate policy.
//!
//! Rules reach Envoy under the names by which status calls them. Of several that match the byte-wise smallest is reported.

use std::collections::BTreeMap;

use prost_types::Any;

use super::view::View;
use super::{allow, deny, shadow};
use crate::envoy::api::{any, http_rbac};
use crate::envoy::reported::{
    ALLOW_PREFIX, BLAME_PREFIX, DENY_PREFIX, SHADOW_ALLOW_PREFIX, SHADOW_DEFAULT_PREFIX, SHADOW_DENY_PREFIX,
};
use crate::envoy::slots;
use crate::model::PortPermission;

/// Per-route configuration of the filters for permissions. `blame` finds out beforehand which Deny rule will deny. A port that is
/// not `plaintext` (any more) lets in no caller without a certificate, whatever a rule says: such connections may still be
/// open from the time before.
pub(crate) fn per_route(
    permission: &PortPermission,
    trust_domain: &str,
    blame: bool,
    plaintext: bool,
) -> BTreeMap<String, Any> {
    let view = View::of(permission, plaintext);
    let mut deny = http_rbac::Rbac {
        rules: Some(deny::rules(view.deny, trust_domain)),
        rules_stat_prefix: DENY_PREFIX.to_owned(),
        track_per_rule_stats: true,
        ..Default::default()
    };
    let mut allow = http_rbac::Rbac {
        matcher: Some(allow::matcher(view, trust_domain)),
        rules_stat_prefix: ALLOW_PREFIX.to_owned(),
        track_per_rule_stats: true,
        ..Default::default()
    };
    let shadow = permission.candidate.as_ref().map(|candidate| {
        shadowed(
            View::would_be(candidate, plaintext),
            trust_domain,
            &mut deny,
            &mut allow,
        )
    });
    let blame = (blame && !view.deny.is_empty()).then(|| http_rbac::Rbac {
        shadow_rules: Some(deny::rules(view.deny, trust_domain)),
        shadow_rules_stat_prefix: BLAME_PREFIX.to_owned(),
        ..Default::default()
    });
    let filters = [
        (slots::SHADOW, shadow),
        (slots::BLAME, blame),
        (slots::DENY, Some(deny)),
        (slots::ALLOW, Some(allow)),
    ];
    let per_route = |rbac| any(&http_rbac::RbacPerRoute { rbac: Some(rbac) });
    filters
        .into_iter()
        .filter_map(|(name, rbac)| Some((name.to_owned(), per_route(rbac?))))
        .collect()
}

/// Puts the candidate's verdict beside the rules in force: its Deny rules into a filter of their own, what allows beside the
/// Deny rules in force, its default beside the Allow rules. Whoever the deny filter refuses the candidate refuses as well, by
/// name, so that nothing is missed where the last of them is not reached.
fn shadowed(
    candidate: View<'_>,
    trust_domain: &str,
    deny: &mut http_rbac::Rbac,
    allow: &mut http_rbac::Rbac,
) -> http_rbac::Rbac {
    deny.shadow_matcher = shadow::allowed(candidate, trust_domain);
    SHADOW_ALLOW_PREFIX.clone_into(&mut deny.shadow_rules_stat_prefix);
    allow.shadow_matcher = shadow::default(candidate);
    SHADOW_DEFAULT_PREFIX.clone_into(&mut allow.shadow_rules_stat_prefix);
    http_rbac::Rbac {
        shadow_rules: Some(deny::rules(candidate.deny, trust_domain)),
        shadow_rules_stat_prefix: SHADOW_DENY_PREFIX.to_owned(),
        track_per_rule_stats: true,
        ..Default::default()
    }
}

/// Per-route configuration that switches filters off.
pub(crate) fn disabled<'a>(filters: impl IntoIterator<Item = &'a str>) -> BTreeMap<String, Any> {
    let off = any(&http_rbac::RbacPerRoute { rbac: None });
    filters.into_iter().map(|name| (name.to_owned(), off.clone())).collect()
}

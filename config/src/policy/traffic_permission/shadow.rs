//! What a candidate policy of an HTTP port would do, without doing it.
//!
//! Its Deny rules are RBAC rules, like those in force, since they look at each occurrence of a header. Trees in later filters
//! read what these reported, so that each request gets one verdict of one name: a Deny rule, an Allow rule or the default.

use super::allow;
use super::view::View;
use crate::envoy::api::{match_tree, rbac};
use crate::envoy::reported::{ALLOWED, SHADOW_ALLOW_PREFIX, SHADOW_DENY_PREFIX, is, is_not, shadow_result};
use crate::envoy::verdict::{all_of, only, then, verdict};

use rbac::rbac::Action;

/// Names what allows, if no Deny rule denied; absent when nothing ever does.
pub(super) fn allowed(view: View<'_>, trust_domain: &str) -> Option<match_tree::Matcher> {
    let allowing = only(allow::entries(view, trust_domain))?;
    let not_denied = is(&shadow_result(SHADOW_DENY_PREFIX), ALLOWED);
    only(vec![(not_denied, then(allowing))])
}

/// Names the default that denies, if neither a Deny rule nor anything that allows was named.
pub(super) fn default(view: View<'_>) -> Option<match_tree::Matcher> {
    let undecided = all_of(vec![
        is(&shadow_result(SHADOW_DENY_PREFIX), ALLOWED),
        is_not(&shadow_result(SHADOW_ALLOW_PREFIX), ALLOWED),
    ])?;
    only(vec![(undecided, verdict(&view.default.denied(), Action::Deny))])
}

//! Who can open a connection to a port, as a set of known identities.
//!
//! The L4 view: TCP ports carry it as exact names in the TLS validation context, and each port's revocation filter cuts
//! whoever is not in it. Requests are decided later; an identity with any access at all is in the set.

use std::collections::BTreeSet;

use crate::model::{
    HttpMatch, InboundPort, Model, MtlsMode, PathMatch, PermissionRule, PortPermission, Source, SpiffeId,
};

/// The known identities that have any access to a port: an Allow or the default admits them, and no Deny of every request
/// refuses them. Plaintext callers have no identity and are never in the set, in either mode.
pub fn allowed_identities(model: &Model, permission: &PortPermission) -> BTreeSet<SpiffeId> {
    let trust_domain = &*model.mesh.trust_domain;
    let allowed = |identity: &&SpiffeId| {
        let denied = permission
            .deny
            .iter()
            .any(|rule| whole(rule) && concerns(rule, identity, trust_domain));
        let granted = permission
            .allow
            .iter()
            .any(|rule| concerns(rule, identity, trust_domain));
        !denied && (granted || (permission.default.allow_mesh && in_domain(identity, trust_domain)))
    };
    model.identities.iter().filter(allowed).cloned().collect()
}

/// Whether callers without an identity have any access to a port, by the same measure.
pub fn allows_plaintext(port: &InboundPort) -> bool {
    let permission = &port.permission;
    // A Deny without sources names everybody.
    let named = |rule: &PermissionRule, absent: bool| {
        let sources = rule.sources.as_ref();
        sources.map_or(absent, |sources| sources.contains(&Source::Unauthenticated))
    };
    let denied = permission.deny.iter().any(|rule| whole(rule) && named(rule, true));
    let granted = permission.allow.iter().any(|rule| named(rule, false));
    port.mtls == MtlsMode::Permissive && !denied && (granted || permission.default.allow_plaintext)
}

/// Whether a rule is about every request: it has no matches, or one that demands nothing (`{}`, or the prefix `/`).
fn whole(rule: &PermissionRule) -> bool {
    let everything = |one: &HttpMatch| {
        let path = one.path.as_ref();
        let any_path = path.is_none_or(|path| matches!(path, PathMatch::Prefix(prefix) if prefix.is_empty()));
        any_path && one.method.is_none() && one.headers.is_empty() && one.query.is_empty()
    };
    rule.http.as_ref().is_none_or(|list| list.iter().any(everything))
}

fn concerns(rule: &PermissionRule, identity: &SpiffeId, trust_domain: &str) -> bool {
    rule.sources
        .as_ref()
        .is_none_or(|sources| sources.iter().any(|source| matches(source, identity, trust_domain)))
}

/// Whether a source includes an identity.
pub fn matches(source: &Source, identity: &SpiffeId, trust_domain: &str) -> bool {
    match source {
        Source::Identity(exact) => exact == identity,
        // The prefix ends in `/`; an identity equal to it without the slash is included.
        Source::Prefix(prefix) => {
            identity.as_str().starts_with(&**prefix) || prefix.strip_suffix('/') == Some(identity.as_str())
        }
        Source::Authenticated => in_domain(identity, trust_domain),
        Source::Unauthenticated => false,
    }
}

fn in_domain(identity: &SpiffeId, trust_domain: &str) -> bool {
    let path = identity
        .as_str()
        .strip_prefix("spiffe://")
        .and_then(|rest| rest.strip_prefix(trust_domain));
    path.is_some_and(|path| path.starts_with('/'))
}

//! Who gets in, as sets of identities: for TCP ports, and to know whose connections a withdrawn grant has to cut.
//!
//! Where a Deny meets a broad Allow the answer is computed over the known identities; only an Allow that no Deny meets
//! stays a prefix, so that identities which appear later pass without a change.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::model::{InboundPort, PermissionRule, PortPermission, Source, SpiffeId};

/// A set of identities.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CallerSet {
    /// Exactly these.
    pub identities: BTreeSet<SpiffeId>,
    /// And all below these prefixes.
    pub prefixes: BTreeSet<Arc<str>>,
}

/// Whom a TCP port accepts with mTLS: allowed minus denied. Rules about requests concern no TCP port.
pub fn callers(permission: &PortPermission, known: &BTreeSet<SpiffeId>, trust_domain: &str) -> CallerSet {
    let deny: Vec<&PermissionRule> = permission.deny.iter().map(|rule| &**rule).filter(|r| r.http.is_none()).collect();
    let allow = permission.allow.iter().filter(|rule| rule.http.is_none());
    let mut granted: Vec<Source> = allow.flat_map(|rule| rule.sources.clone().unwrap_or_default()).collect();
    if permission.default.allow_mesh {
        granted.push(Source::Authenticated);
    }
    let mut set = CallerSet::default();
    for source in granted {
        match source {
            Source::Unauthenticated => {}
            Source::Identity(id) => {
                if !deny.iter().any(|rule| names(rule, &id, trust_domain)) {
                    set.identities.insert(id);
                }
            }
            Source::Prefix(prefix) => broad(&mut set, &prefix, &deny, known, trust_domain),
            Source::Authenticated => broad(&mut set, &domain(trust_domain), &deny, known, trust_domain),
        }
    }
    set
}

/// Whether a TCP port of a Permissive workload accepts plaintext callers.
pub fn plaintext_callers(permission: &PortPermission) -> bool {
    let named = |rule: &PermissionRule, absent: bool| {
        rule.http.is_none()
            && rule.sources.as_ref().map_or(absent, |sources| sources.contains(&Source::Unauthenticated))
    };
    let denied = permission.deny.iter().any(|rule| named(rule, true));
    let allowed = permission.default.allow_plaintext || permission.allow.iter().any(|rule| named(rule, false));
    allowed && !denied
}

/// The known identities that may do anything at all on a port, if only some requests.
pub fn with_access(port: &InboundPort, known: &BTreeSet<SpiffeId>, trust_domain: &str) -> BTreeSet<SpiffeId> {
    let permission = &port.permission;
    let concerns = |rule: &PermissionRule| rule.http.is_none() || port.protocol.is_http();
    let has = |id: &&SpiffeId| {
        let denied = permission.deny.iter().any(|rule| rule.http.is_none() && names(rule, id, trust_domain));
        let granted = permission.default.allow_mesh && id.as_str().starts_with(&*domain(trust_domain))
            || permission.allow.iter().any(|rule| concerns(rule) && rule.sources.is_some() && names(rule, id, trust_domain));
        granted && !denied
    };
    known.iter().filter(has).cloned().collect()
}

/// Whether a rule names the identity; a rule without sources names every caller.
fn names(rule: &PermissionRule, id: &SpiffeId, trust_domain: &str) -> bool {
    rule.sources.as_ref().is_none_or(|sources| sources.iter().any(|source| holds(source, id, trust_domain)))
}

fn holds(source: &Source, id: &SpiffeId, trust_domain: &str) -> bool {
    match source {
        Source::Identity(other) => other == id,
        Source::Prefix(prefix) => id.as_str().starts_with(&**prefix),
        Source::Authenticated => id.as_str().starts_with(&*domain(trust_domain)),
        Source::Unauthenticated => false,
    }
}

fn broad(set: &mut CallerSet, prefix: &str, deny: &[&PermissionRule], known: &BTreeSet<SpiffeId>, trust_domain: &str) {
    if !deny.iter().any(|rule| meets(rule, prefix, trust_domain)) {
        set.prefixes.insert(prefix.into());
        return;
    }
    let below = known.iter().filter(|id| id.as_str().starts_with(prefix));
    let left = below.filter(|id| !deny.iter().any(|rule| names(rule, id, trust_domain)));
    set.identities.extend(left.cloned());
}

/// Whether a Deny could name an identity below the prefix.
fn meets(rule: &PermissionRule, prefix: &str, trust_domain: &str) -> bool {
    let overlaps = |other: &str| other.starts_with(prefix) || prefix.starts_with(other);
    rule.sources.as_ref().is_none_or(|sources| {
        sources.iter().any(|source| match source {
            Source::Identity(id) => id.as_str().starts_with(prefix),
            Source::Prefix(other) => overlaps(other),
            Source::Authenticated => overlaps(&domain(trust_domain)),
            Source::Unauthenticated => false,
        })
    })
}

fn domain(trust_domain: &str) -> Arc<str> {
    format!("spiffe://{trust_domain}/").into()
}

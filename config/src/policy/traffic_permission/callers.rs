//! Whom a TCP port accepts: allowed minus denied, as identities and prefixes for a validation context.
//!
//! Where a Deny meets a broad Allow the answer is computed over the known identities; only an Allow that no Deny meets
//! stays a prefix, so that identities which appear later pass without a change. Rules about requests concern no TCP port.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::access::matches;
use crate::model::{PermissionRule, PortPermission, Source, SpiffeId};

/// A set of identities.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct CallerSet {
    /// Exactly these.
    pub(crate) identities: BTreeSet<SpiffeId>,
    /// And all below these prefixes, which end in `/`.
    pub(crate) prefixes: BTreeSet<Arc<str>>,
}

/// Whom a TCP port accepts with mTLS.
pub(crate) fn callers(permission: &PortPermission, known: &BTreeSet<SpiffeId>, trust_domain: &str) -> CallerSet {
    let deny: Vec<&PermissionRule> = permission
        .deny
        .iter()
        .map(|rule| &**rule)
        .filter(|r| r.http.is_none())
        .collect();
    let denied = |id: &SpiffeId| deny.iter().any(|rule| names(rule, id, trust_domain));
    let mut set = CallerSet::default();
    for source in granted(permission) {
        let prefix = match &source {
            Source::Unauthenticated => continue,
            Source::Identity(id) => {
                if !denied(id) {
                    set.identities.insert(id.clone());
                }
                continue;
            }
            Source::Prefix(prefix) => Arc::clone(prefix),
            Source::Authenticated => domain(trust_domain),
        };
        if deny.iter().any(|rule| meets(rule, &prefix, trust_domain)) {
            let below = known
                .iter()
                .filter(|id| matches(&source, id, trust_domain) && !denied(id));
            set.identities.extend(below.cloned());
        } else {
            set.identities.extend(
                prefix
                    .strip_suffix('/')
                    .filter(|_| source != Source::Authenticated)
                    .map(SpiffeId::from_uri),
            );
            set.prefixes.insert(prefix);
        }
    }
    set
}

/// Whether a TCP port of a Permissive workload accepts plaintext callers.
pub(crate) fn plaintext(permission: &PortPermission) -> bool {
    let named = |rule: &PermissionRule, absent: bool| {
        rule.http.is_none()
            && rule
                .sources
                .as_ref()
                .map_or(absent, |sources| sources.contains(&Source::Unauthenticated))
    };
    let denied = permission.deny.iter().any(|rule| named(rule, true));
    let allowed = permission.default.allow_plaintext || permission.allow.iter().any(|rule| named(rule, false));
    allowed && !denied
}

fn granted(permission: &PortPermission) -> impl Iterator<Item = Source> {
    let rules = permission.allow.iter().filter(|rule| rule.http.is_none());
    let default = permission.default.allow_mesh.then_some(Source::Authenticated);
    rules
        .flat_map(|rule| rule.sources.clone().unwrap_or_default())
        .chain(default)
}

/// Whether a rule names the identity; a rule without sources names every caller.
fn names(rule: &PermissionRule, id: &SpiffeId, trust_domain: &str) -> bool {
    rule.sources
        .as_ref()
        .is_none_or(|sources| sources.iter().any(|source| matches(source, id, trust_domain)))
}

/// Whether a Deny could name an identity that the prefix includes.
fn meets(rule: &PermissionRule, prefix: &str, trust_domain: &str) -> bool {
    let overlaps = |other: &str| other.starts_with(prefix) || prefix.starts_with(other);
    rule.sources.as_ref().is_none_or(|sources| {
        sources.iter().any(|source| match source {
            Source::Identity(id) => matches(&Source::Prefix(prefix.into()), id, trust_domain),
            Source::Prefix(other) => overlaps(other),
            Source::Authenticated => overlaps(&domain(trust_domain)),
            Source::Unauthenticated => false,
        })
    })
}

fn domain(trust_domain: &str) -> Arc<str> {
    format!("spiffe://{trust_domain}/").into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::DefaultVerdict;
    use crate::origin::{ObjectRef, Origin};

    const DOMAIN: &str = "tulle.local";

    fn rule(sources: Option<Vec<Source>>) -> Arc<PermissionRule> {
        let object = Arc::new(ObjectRef::new("TrafficPermission", "shop", "p"));
        Arc::new(PermissionRule {
            origin: Origin::object(&object),
            sources,
            http: None,
        })
    }

    fn id(name: &str) -> SpiffeId {
        SpiffeId::of(DOMAIN, "shop", name)
    }

    fn result(deny: Vec<Option<Vec<Source>>>, allow: Vec<Source>, allow_mesh: bool) -> (Vec<String>, Vec<String>) {
        let permission = PortPermission {
            deny: deny.into_iter().map(rule).collect(),
            allow: vec![rule(Some(allow))],
            default: DefaultVerdict {
                allow_mesh,
                allow_plaintext: false,
                name: "default".into(),
            },
            candidate: None,
        };
        let known = BTreeSet::from([id("a"), id("b"), SpiffeId::of(DOMAIN, "other", "c")]);
        let set = callers(&permission, &known, DOMAIN);
        let short = |text: &str| text.rsplit('/').next().unwrap_or_default().to_owned();
        let prefixes = set.prefixes.iter().map(ToString::to_string).collect();
        (set.identities.iter().map(|id| short(id.as_str())).collect(), prefixes)
    }

    #[test]
    fn a_broad_allow_that_no_deny_meets_stays_a_prefix() {
        let (ids, prefixes) = result(
            vec![Some(vec![Source::Identity(SpiffeId::from_uri("spiffe://x/y"))])],
            vec![],
            true,
        );
        assert_eq!((ids, prefixes), (vec![], vec!["spiffe://tulle.local/".to_owned()]));
    }

    #[test]
    fn a_broad_allow_that_a_deny_meets_is_spelled_out() {
        let deny = vec![Some(vec![Source::Identity(id("a"))])];
        assert_eq!(
            result(deny, vec![], true),
            (vec!["c".to_owned(), "b".to_owned()], vec![])
        );
        let deny = vec![Some(vec![Source::Prefix("spiffe://tulle.local/ns/shop/sa/a/".into())])];
        assert_eq!(
            result(
                deny,
                vec![Source::Prefix("spiffe://tulle.local/ns/shop/".into())],
                false
            )
            .0,
            ["b"]
        );
    }

    #[test]
    fn a_deny_of_everyone_leaves_nobody() {
        assert_eq!(
            result(vec![None], vec![Source::Authenticated, Source::Identity(id("a"))], true),
            (vec![], vec![])
        );
    }

    #[test]
    fn a_path_prefix_includes_the_identity_that_it_spells() {
        let (ids, _) = result(
            vec![],
            vec![Source::Prefix("spiffe://tulle.local/ns/shop/sa/a/".into())],
            false,
        );
        assert_eq!(ids, ["a"]);
    }
}

//! Permissions of an HTTP port as per-route RBAC: one filter for Deny rules, one for Allow rules and the default.
//!
//! Policy names are what status and logs call the rules. Of several that match Envoy reports the byte-wise smallest.

use std::collections::BTreeMap;

use prost_types::Any;

use crate::envoy::access_log::{ALLOW_PREFIX, DENY_PREFIX};
use crate::envoy::api::{any, http_rbac, matcher as proto, rbac};
use crate::envoy::{matcher, slots};
use crate::model::{HeaderMatch, HttpMatch, PathMatch, PermissionRule, PortPermission, Source};

use rbac::permission::Rule;
use rbac::principal::Identifier;
use rbac::rbac::Action;

/// Per-route configuration of the deny and the allow filter.
pub(crate) fn per_route(permission: &PortPermission, trust_domain: &str) -> BTreeMap<String, Any> {
    let deny = permission
        .deny
        .iter()
        .filter_map(|rule| policy(rule, Action::Deny, trust_domain));
    let allow = permission
        .allow
        .iter()
        .filter_map(|rule| policy(rule, Action::Allow, trust_domain));
    let allow = allow.chain(default(permission, trust_domain));
    BTreeMap::from([
        (
            slots::DENY.to_owned(),
            filter(DENY_PREFIX, Action::Deny, deny.collect()),
        ),
        (
            slots::ALLOW.to_owned(),
            filter(ALLOW_PREFIX, Action::Allow, allow.collect()),
        ),
    ])
}

/// Per-route configuration that switches filters off.
pub(crate) fn disabled<'a>(filters: impl IntoIterator<Item = &'a str>) -> BTreeMap<String, Any> {
    let off = any(&http_rbac::RbacPerRoute { rbac: None });
    filters.into_iter().map(|name| (name.to_owned(), off.clone())).collect()
}

fn filter(prefix: &str, action: Action, policies: BTreeMap<String, rbac::Policy>) -> Any {
    let rbac = http_rbac::Rbac {
        rules: Some(rbac::Rbac {
            action: action.into(),
            policies,
            ..Default::default()
        }),
        rules_stat_prefix: prefix.to_owned(),
        track_per_rule_stats: true,
        ..Default::default()
    };
    any(&http_rbac::RbacPerRoute { rbac: Some(rbac) })
}

/// One rule; absent when it names nobody. Only a Deny may leave out its sources.
fn policy(rule: &PermissionRule, action: Action, trust_domain: &str) -> Option<(String, rbac::Policy)> {
    let principals = match (&rule.sources, action) {
        (None, Action::Deny) => vec![principal(Identifier::Any(true))],
        (None, _) => return None,
        (Some(sources), _) => sources.iter().map(|source| caller(source, trust_domain)).collect(),
    };
    let permissions = match &rule.http {
        None => vec![permission(Rule::Any(true))],
        Some(matches) => matches.iter().map(|http| request(http, action)).collect(),
    };
    let empty = principals.is_empty() || permissions.is_empty();
    let policy = rbac::Policy {
        permissions,
        principals,
        ..Default::default()
    };
    (!empty).then(|| (rule.origin.to_string(), policy))
}

/// What remains, where it lets anybody in.
fn default(permission: &PortPermission, trust_domain: &str) -> Option<(String, rbac::Policy)> {
    let mut sources = Vec::new();
    if permission.default.allow_mesh {
        sources.push(Source::Authenticated);
    }
    if permission.default.allow_plaintext {
        sources.push(Source::Unauthenticated);
    }
    let principals: Vec<_> = sources.iter().map(|source| caller(source, trust_domain)).collect();
    let name = permission.default.name.to_string();
    let policy = rbac::Policy {
        permissions: vec![self::permission(Rule::Any(true))],
        principals,
        ..Default::default()
    };
    (!sources.is_empty()).then_some((name, policy))
}

fn caller(source: &Source, trust_domain: &str) -> rbac::Principal {
    let verified = |name: Option<proto::StringMatcher>| {
        principal(Identifier::Authenticated(rbac::principal::Authenticated {
            principal_name: name,
        }))
    };
    match source {
        Source::Identity(id) => verified(Some(matcher::exact(id.as_str()))),
        Source::Prefix(prefix) => {
            // Whole segments: the identity that the prefix spells is included.
            let itself = verified(Some(matcher::exact(prefix.trim_end_matches('/'))));
            let ids = vec![itself, verified(Some(matcher::prefix(&**prefix)))];
            principal(Identifier::OrIds(rbac::principal::Set { ids }))
        }
        Source::Authenticated => verified(Some(matcher::prefix(format!("spiffe://{trust_domain}/")))),
        Source::Unauthenticated => principal(Identifier::NotId(Box::new(verified(None)))),
    }
}

fn principal(identifier: Identifier) -> rbac::Principal {
    rbac::Principal {
        identifier: Some(identifier),
    }
}

fn permission(rule: Rule) -> rbac::Permission {
    rbac::Permission { rule: Some(rule) }
}

/// One match: everything in it must hold.
fn request(http: &HttpMatch, action: Action) -> rbac::Permission {
    let mut rules = Vec::new();
    rules.extend(http.path.as_ref().and_then(path));
    if let Some(method) = &http.method {
        rules.push(permission(Rule::Header(matcher::header(
            ":method",
            matcher::exact(&**method),
        ))));
    }
    rules.extend(http.headers.iter().map(|user| header(user, action)));
    match rules.len() {
        0 => permission(Rule::Any(true)),
        1 => rules.remove(0),
        _ => permission(Rule::AndRules(rbac::permission::Set { rules })),
    }
}

fn path(path: &PathMatch) -> Option<rbac::Permission> {
    let url = |path: proto::StringMatcher| {
        let rule = proto::path_matcher::Rule::Path(path);
        permission(Rule::UrlPath(proto::PathMatcher { rule: Some(rule) }))
    };
    match path {
        PathMatch::Exact(path) => Some(url(matcher::exact(&**path))),
        PathMatch::Prefix(prefix) if prefix.is_empty() => None,
        PathMatch::Prefix(prefix) => Some(any_of(vec![
            url(matcher::exact(&**prefix)),
            url(matcher::prefix(format!("{prefix}/"))),
        ])),
        PathMatch::Regex(regex) => Some(url(matcher::regex(&**regex))),
    }
}

/// A Deny holds if any occurrence of the header matches, an Allow only if the whole joined value does.
fn header(user: &HeaderMatch, action: Action) -> rbac::Permission {
    match action {
        Action::Deny => {
            let matchers = matcher::any_occurrence(user).into_iter();
            any_of(matchers.map(|header| permission(Rule::Header(header))).collect())
        }
        _ => permission(Rule::Header(matcher::user_header(user))),
    }
}

fn any_of(rules: Vec<rbac::Permission>) -> rbac::Permission {
    permission(Rule::OrRules(rbac::permission::Set { rules }))
}

//! Deny rules of an HTTP port as RBAC rules. A header that occurs several times matches if any occurrence does.

use std::sync::Arc;

use crate::envoy::api::{matcher as proto, rbac};
use crate::envoy::matcher;
use crate::envoy::spelling::every_spelling;
use crate::model::{HeaderMatch, HttpMatch, PathMatch, PermissionRule, Source};

use rbac::permission::Rule;
use rbac::principal::Identifier;

/// The rules; without any nobody is denied.
pub(super) fn rules(deny: &[Arc<PermissionRule>], trust_domain: &str) -> rbac::Rbac {
    let policies = deny.iter().filter_map(|rule| policy(rule, trust_domain));
    rbac::Rbac {
        action: rbac::rbac::Action::Deny.into(),
        policies: policies.collect(),
        ..Default::default()
    }
}

/// One rule; absent when it names nobody.
fn policy(rule: &PermissionRule, trust_domain: &str) -> Option<(String, rbac::Policy)> {
    let principals = match &rule.sources {
        None => vec![principal(Identifier::Any(true))],
        Some(sources) => sources.iter().map(|source| caller(source, trust_domain)).collect(),
    };
    let permissions = match &rule.http {
        None => vec![permission(Rule::Any(true))],
        Some(matches) => matches.iter().map(request).collect(),
    };
    let empty = principals.is_empty() || permissions.is_empty();
    let policy = rbac::Policy {
        permissions,
        principals,
        ..Default::default()
    };
    (!empty).then(|| (rule.origin.to_string(), policy))
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
fn request(http: &HttpMatch) -> rbac::Permission {
    let mut rules: Vec<_> = http.path.as_ref().and_then(path).into_iter().collect();
    if let Some(method) = &http.method {
        rules.push(permission(Rule::Header(matcher::header(
            ":method",
            matcher::exact(&**method),
        ))));
    }
    rules.extend(http.headers.iter().map(header));
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
    let spelled = |text: &str, before: &str, after: &str| {
        every_spelling(text).map(|regex| url(matcher::regex(format!("{before}{regex}{after}"))))
    };
    let several = match path {
        // Envoy leaves a path of nothing but slashes as it is (measured on 1.40).
        PathMatch::Exact(path) if **path == *"/" => {
            Some(any_of(vec![url(matcher::exact("/")), url(matcher::exact("//"))]))
        }
        PathMatch::Exact(path) => spelled(path, "", ""),
        PathMatch::Prefix(prefix) => spelled(prefix, "", r"(?:/\C*)?"),
        PathMatch::Suffix(suffix) => spelled(suffix, r"\C*", ""),
        PathMatch::Regex(_) => None,
    };
    if several.is_some() {
        return several;
    }
    match path {
        PathMatch::Exact(path) => Some(url(matcher::exact(&**path))),
        PathMatch::Prefix(prefix) if prefix.is_empty() => None,
        PathMatch::Prefix(prefix) => Some(any_of(vec![
            url(matcher::exact(&**prefix)),
            url(matcher::prefix(format!("{prefix}/"))),
        ])),
        PathMatch::Suffix(suffix) => Some(url(matcher::suffix(&**suffix))),
        PathMatch::Regex(regex) => Some(url(matcher::regex(&**regex))),
    }
}

/// Envoy looks at each occurrence by itself; a list in one occurrence is looked through as well.
fn header(user: &HeaderMatch) -> rbac::Permission {
    let matchers = matcher::any_occurrence(user).into_iter();
    any_of(matchers.map(|header| permission(Rule::Header(header))).collect())
}

fn any_of(rules: Vec<rbac::Permission>) -> rbac::Permission {
    permission(Rule::OrRules(rbac::permission::Set { rules }))
}

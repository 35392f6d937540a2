//! Allow rules and the default, as a match tree: the first rule by name that holds allows, else the default has the last word
//! and its name.
//!
//! Not as RBAC rules: those look at each occurrence of a header by itself (measured on 1.40), and an Allow holds only if the
//! whole joined value does. Nor would they name a missing Allow.

use super::view::View;
use crate::envoy::api::{match_tree, rbac};
use crate::envoy::verdict::{all_of, any_of, begins, ends, first_of, header, is, matches, verdict};
use crate::model::{HeaderMatchType, HttpMatch, PathMatch, PermissionRule, Source};
use crate::names::{PATH_HEADER, SOURCE_HEADER};

use match_tree::matcher::OnMatch;
use match_tree::matcher::matcher_list::Predicate;
use rbac::rbac::Action;

/// The tree.
pub(super) fn matcher(view: View<'_>, trust_domain: &str) -> match_tree::Matcher {
    first_of(
        entries(view, trust_domain),
        verdict(&view.default.denied(), Action::Deny),
    )
}

/// Everything that allows, in the order in which it is asked.
pub(super) fn entries(view: View<'_>, trust_domain: &str) -> Vec<(Predicate, OnMatch)> {
    let mut rules: Vec<_> = view
        .allow
        .iter()
        .filter_map(|rule| Some((rule.origin.to_string(), condition(rule, view.plaintext, trust_domain)?)))
        .collect();
    rules.sort_by(|a, b| a.0.cmp(&b.0));
    let default = view.default;
    let mut remaining = Vec::new();
    if default.allow_mesh {
        remaining.push(caller(&Source::Authenticated, trust_domain));
    }
    if default.allow_plaintext {
        remaining.push(caller(&Source::Unauthenticated, trust_domain));
    }
    rules.extend(any_of(remaining).map(|condition| (default.name.to_string(), condition)));
    rules
        .into_iter()
        .map(|(name, condition)| (condition, verdict(&name, Action::Allow)))
        .collect()
}

/// When a rule allows; absent when it allows nobody. An Allow without sources, which parse refuses, allows nobody.
fn condition(rule: &PermissionRule, plaintext: bool, trust_domain: &str) -> Option<Predicate> {
    let named = |source: &&Source| plaintext || **source != Source::Unauthenticated;
    let sources = rule.sources.iter().flatten().filter(named);
    let callers = any_of(sources.map(|source| caller(source, trust_domain)).collect())?;
    let Some(http) = &rule.http else { return Some(callers) };
    let requests: Vec<_> = http.iter().map(request).collect();
    if requests.is_empty() {
        return None;
    }
    // One match that demands nothing makes the others idle.
    let requests = requests.into_iter().collect::<Option<Vec<_>>>();
    all_of(std::iter::once(callers).chain(requests.and_then(any_of)).collect())
}

/// By the carrier, which is the verified identity followed by `/`: a caller without a certificate has no URI SAN to look at,
/// and a tree that looks for one gives no verdict at all (measured on 1.40).
fn caller(source: &Source, trust_domain: &str) -> Predicate {
    let carrier = header(SOURCE_HEADER);
    match source {
        Source::Identity(id) => is(carrier, format!("{id}/")),
        Source::Prefix(prefix) => begins(carrier, &**prefix),
        Source::Authenticated => begins(carrier, format!("spiffe://{trust_domain}/")),
        Source::Unauthenticated => is(carrier, "/"),
    }
}

/// What a match demands; absent when it demands nothing.
fn request(http: &HttpMatch) -> Option<Predicate> {
    let path = http.path.as_ref().and_then(|path| {
        let carrier = header(PATH_HEADER);
        match path {
            PathMatch::Exact(path) => Some(is(carrier, format!("{path}/"))),
            PathMatch::Prefix(prefix) if prefix.is_empty() => None,
            PathMatch::Prefix(prefix) => Some(begins(carrier, format!("{prefix}/"))),
            PathMatch::Suffix(suffix) => Some(ends(carrier, format!("{suffix}/"))),
            // Parse has checked that the regex stands by itself, so the group around it is not left.
            PathMatch::Regex(regex) => Some(matches(carrier, format!("(?:{regex})/"))),
        }
    });
    let method = http.method.as_ref().map(|method| is(header(":method"), &**method));
    let headers = http.headers.iter().map(|user| match &user.value {
        HeaderMatchType::Exact(text) => is(header(&user.name), &**text),
        HeaderMatchType::Regex(regex) => matches(header(&user.name), &**regex),
    });
    all_of(path.into_iter().chain(method).chain(headers).collect())
}

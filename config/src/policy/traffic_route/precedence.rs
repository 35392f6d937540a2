//! Gateway API's precedence of matches, as a key that sorts the most specific match first.
//!
//! Exact path, then regular expression (Gateway API leaves its place open), then the longest prefix; then method, number of
//! headers, number of query parameters; then the oldest object, namespace and name, and the place in the object.

use std::cmp::Reverse;
use std::sync::Arc;

use super::parse::RouteNode;
use crate::model::{HttpMatch, PathMatch};
use crate::origin::ObjectRef;

/// Sorts most specific first.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Precedence {
    path: (u8, Reverse<usize>),
    without_method: bool,
    headers: Reverse<usize>,
    query: Reverse<usize>,
    created: Option<i64>,
    namespace: Arc<str>,
    name: Arc<str>,
    object: Arc<ObjectRef>,
    rule: usize,
    one: usize,
}

/// The precedence of one match of one rule.
pub(super) fn precedence(node: &RouteNode, rule: usize, one: usize, matches: &HttpMatch) -> Precedence {
    let path = match &matches.path {
        Some(PathMatch::Exact(path)) => (0, Reverse(path.len())),
        Some(PathMatch::Regex(regex) | PathMatch::Suffix(regex)) => (1, Reverse(regex.len())),
        Some(PathMatch::Prefix(prefix)) => (2, Reverse(prefix.len())),
        None => (2, Reverse(0)),
    };
    Precedence {
        path,
        without_method: matches.method.is_none(),
        headers: Reverse(matches.headers.len()),
        query: Reverse(matches.query.len()),
        created: node.created,
        namespace: Arc::clone(&node.head.object.namespace),
        name: Arc::clone(&node.head.object.name),
        object: Arc::clone(&node.head.object),
        rule,
        one,
    }
}

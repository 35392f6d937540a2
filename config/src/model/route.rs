//! Routes of one (Service, port) as callers see them.

use std::sync::Arc;
use std::time::Duration;

use super::{HttpMatch, Key};
use crate::origin::Origin;

/// An edit of headers, in Gateway API's order: set, add, remove.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HeaderEdit {
    /// Replaces or creates.
    pub set: Vec<(Arc<str>, Arc<str>)>,
    /// Appends.
    pub add: Vec<(Arc<str>, Arc<str>)>,
    /// Removes.
    pub remove: Vec<Arc<str>>,
}

/// A destination of a split.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backend {
    /// The Service.
    pub service: Key,
    /// Its port.
    pub port: u16,
    /// Its share is weight / sum of weights.
    pub weight: u32,
    /// Edits for this backend only.
    pub request_headers: HeaderEdit,
    /// Edits for this backend only.
    pub response_headers: HeaderEdit,
}

/// A redirect answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Redirect {
    /// `http` or `https`.
    pub scheme: Option<Arc<str>>,
    /// Another host.
    pub hostname: Option<Arc<str>>,
    /// Another port.
    pub port: Option<u16>,
    /// Another path.
    pub path: Option<Rewrite>,
    /// 301, 302, 303, 307 or 308.
    pub status: u16,
}

/// How a path is replaced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rewrite {
    /// The whole path.
    Full(Arc<str>),
    /// The matched prefix; without a trailing slash, so the root is the empty string, as in `PathMatch::Prefix`.
    Prefix(Arc<str>),
}

/// Retries of a route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retry {
    /// How many after the first try.
    pub attempts: u32,
    /// Statuses that are tried again.
    pub codes: Vec<u16>,
    /// The first wait; it doubles up to ten times.
    pub backoff: Option<Duration>,
}

/// What happens to a matched request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RouteAction {
    /// It goes to one of the backends. Weights sum to more than zero.
    Forward(Vec<Backend>),
    /// No valid backend: this share of requests is answered 500. Backends that are valid keep their share (Gateway API).
    ForwardPartly {
        /// The valid ones.
        backends: Vec<Backend>,
        /// The weight that has no valid backend.
        invalid_weight: u32,
    },
    /// It is redirected.
    Redirect(Redirect),
}

/// One match of one rule, in its place of the precedence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteEntry {
    /// Displays as `TrafficRoute/<namespace>/<name>/<rule>`.
    pub origin: Origin,
    /// What it matches.
    pub matches: HttpMatch,
    /// Edits of the request.
    pub request_headers: HeaderEdit,
    /// Edits of the answer.
    pub response_headers: HeaderEdit,
    /// Path rewrite towards the backend.
    pub rewrite_path: Option<Rewrite>,
    /// Host rewrite towards the backend.
    pub rewrite_host: Option<Arc<str>>,
    /// Whole request, retries included; absent means none.
    pub timeout: Option<Duration>,
    /// One try; absent means none.
    pub backend_timeout: Option<Duration>,
    /// Retries; absent means none.
    pub retry: Option<Retry>,
    /// What happens.
    pub action: RouteAction,
}

/// All entries of one (Service, port), most specific first. A request that none matches is answered 404; without any
/// route object the table is absent and everything goes to the Service itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RouteTable {
    /// In order of precedence.
    pub entries: Vec<RouteEntry>,
    /// Whether paths with `;` are refused: an entry looks at the path, and servers that strip `;...` see another one.
    pub refuse_path_parameters: bool,
}

impl RouteTable {
    /// Entries in order of precedence.
    pub(crate) fn new(entries: Vec<RouteEntry>, allow_path_parameters: bool) -> Self {
        let looks = entries.iter().any(|entry| entry.matches.looks_at_path());
        let refuse_path_parameters = !allow_path_parameters && looks;
        Self {
            entries,
            refuse_path_parameters,
        }
    }
}

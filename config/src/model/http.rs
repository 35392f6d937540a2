//! HTTP matches as they mean, after parse: literals and regexes are different types and never mix.

use std::sync::Arc;

/// How a path is matched; always the normalised path without the query.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PathMatch {
    /// The whole path.
    Exact(Arc<str>),
    /// Whole segments: `/a` matches `/a` and `/a/b`, not `/ab`. Without a trailing slash; `/` itself is stored as the empty string
    /// and matches everything.
    Prefix(Arc<str>),
    /// The path ends in this literal, which begins with `/`: a gRPC method of any service. Only permissions have it.
    Suffix(Arc<str>),
    /// An RE2 regex over the whole path.
    Regex(Arc<str>),
}

/// How a header value is matched.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum HeaderMatchType {
    /// The whole value.
    Exact(Arc<str>),
    /// An RE2 regex over the whole value.
    Regex(Arc<str>),
}

/// A header match; the name is lower case.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HeaderMatch {
    /// Lower-case name.
    pub name: Arc<str>,
    /// How the value is matched.
    pub value: HeaderMatchType,
}

/// A query parameter match; only routes have these.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct QueryMatch {
    /// The parameter's name, case-sensitive.
    pub name: Arc<str>,
    /// How the value is matched.
    pub value: HeaderMatchType,
}

/// One HTTP match: everything in it must hold. The default matches every request.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HttpMatch {
    /// Absent matches every path.
    pub path: Option<PathMatch>,
    /// Upper-case method; absent matches every method.
    pub method: Option<Arc<str>>,
    /// All must match.
    pub headers: Vec<HeaderMatch>,
    /// All must match; always empty outside routes.
    pub query: Vec<QueryMatch>,
}

impl HttpMatch {
    /// Whether the path makes a difference: the empty prefix takes every one.
    pub fn looks_at_path(&self) -> bool {
        match &self.path {
            Some(PathMatch::Prefix(prefix)) => !prefix.is_empty(),
            other => other.is_some(),
        }
    }
}

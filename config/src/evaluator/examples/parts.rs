//! What example requests are made of: paths, methods and headers that occur in the matches, and what is close to them.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::sample;
use crate::evaluator::re2;
use crate::model::{HeaderMatchType, HttpMatch, PathMatch};

/// Methods to try where rules name some. The last one is none that a rule may name, so one is always left.
const METHODS: [&str; 9] = [
    "GET", "POST", "DELETE", "PUT", "PATCH", "HEAD", "OPTIONS", "TRACE", "PURGE",
];

/// Paths that are close to nothing that anybody names.
const STRANGERS: [&str; 4] = ["/other.Service/Other", "/0.X/0", "/~", "/-/_/-"];

/// Names and values.
pub(super) type Pairs = Vec<(Arc<str>, Arc<str>)>;

/// A request in parts.
#[derive(Clone, Debug)]
pub(super) struct Draft {
    pub(super) path: Arc<str>,
    pub(super) method: Arc<str>,
    pub(super) headers: Pairs,
    pub(super) query: Pairs,
}

/// What occurs in the matches so far.
pub(super) struct Parts {
    plain: Draft,
    /// A method that no match names, if any match names one.
    other: Option<Arc<str>>,
    pub(super) paths: BTreeSet<Arc<str>>,
    pub(super) methods: BTreeSet<Arc<str>>,
    pub(super) headers: BTreeSet<Pairs>,
}

impl Parts {
    /// Nothing but the plainest request, which is a POST where calls are expected.
    pub(super) fn new(grpc: bool, matches: &[&HttpMatch]) -> Self {
        let (path, method) = if grpc {
            ("/any.Service/Any", "POST")
        } else {
            ("/", "GET")
        };
        let plain = Draft {
            path: path.into(),
            method: method.into(),
            headers: Vec::new(),
            query: Vec::new(),
        };
        let named: BTreeSet<&str> = matches.iter().filter_map(|one| one.method.as_deref()).collect();
        let other = METHODS.into_iter().find(|method| !named.contains(method));
        let other: Option<Arc<str>> = other.filter(|_| !named.is_empty()).map(Arc::from);
        Self {
            paths: BTreeSet::from([Arc::clone(&plain.path)]),
            methods: [&plain.method].into_iter().chain(&other).cloned().collect(),
            headers: BTreeSet::from([Vec::new()]),
            plain,
            other,
        }
    }

    /// Requests about which no match says anything.
    pub(super) fn plainest(&self) -> Vec<Draft> {
        let methods = [&self.plain.method].into_iter().chain(&self.other);
        let with = |method: &Arc<str>| Draft {
            method: Arc::clone(method),
            ..self.plain.clone()
        };
        methods.map(with).collect()
    }

    /// A request that the match takes.
    pub(super) fn hit(&mut self, one: &HttpMatch) -> Draft {
        let path = one.path.as_ref().map_or_else(|| Arc::clone(&self.plain.path), path);
        let method = one.method.as_ref().unwrap_or(&self.plain.method);
        let headers: Pairs = one
            .headers
            .iter()
            .map(|header| (Arc::clone(&header.name), value(&header.value)))
            .collect();
        let query = one
            .query
            .iter()
            .map(|query| (Arc::clone(&query.name), value(&query.value)));
        self.paths.insert(Arc::clone(&path));
        self.methods.insert(Arc::clone(method));
        self.headers.insert(headers.clone());
        Draft {
            path,
            method: Arc::clone(method),
            headers,
            query: query.collect(),
        }
    }

    /// Requests that differ from a hit in one thing.
    pub(super) fn misses(&mut self, one: &HttpMatch, hit: &Draft) -> Vec<Draft> {
        let mut all = Vec::new();
        for path in one.path.iter().flat_map(near) {
            self.paths.insert(Arc::clone(&path));
            all.push(Draft { path, ..hit.clone() });
        }
        if let Some(method) = self.other.as_ref().filter(|_| one.method.is_some()) {
            all.push(Draft {
                method: Arc::clone(method),
                ..hit.clone()
            });
        }
        for without in 0..hit.headers.len() {
            let mut headers = hit.headers.clone();
            headers.remove(without);
            all.push(Draft { headers, ..hit.clone() });
        }
        for without in 0..hit.query.len() {
            let mut query = hit.query.clone();
            query.remove(without);
            all.push(Draft { query, ..hit.clone() });
        }
        all
    }
}

/// A path that is taken.
fn path(one: &PathMatch) -> Arc<str> {
    match one {
        PathMatch::Exact(path) => Arc::clone(path),
        PathMatch::Prefix(prefix) if prefix.is_empty() => "/".into(),
        PathMatch::Prefix(prefix) => Arc::clone(prefix),
        PathMatch::Suffix(suffix) => format!("/any.Service{suffix}").into(),
        PathMatch::Regex(regex) => sample::of(regex)
            .filter(|path| path.starts_with('/'))
            .unwrap_or_else(|| "/".into()),
    }
}

/// Paths close to what is taken; some of them are taken too.
fn near(one: &PathMatch) -> Vec<Arc<str>> {
    let path = path(one);
    let bare = path.trim_end_matches('/');
    if bare.is_empty() {
        return vec!["/x".into()];
    }
    let mut all = vec![
        format!("{bare}/x").into(),
        format!("{bare}x").into(),
        format!("{bare}/").into(),
    ];
    if let PathMatch::Regex(regex) = one {
        all.extend(stranger(regex));
    }
    all
}

/// A path that is not taken: `/a.*` takes all that is close to what it takes.
fn stranger(regex: &str) -> Option<Arc<str>> {
    let regex = re2::compile(regex)?;
    let stranger = STRANGERS.into_iter().find(|path| !regex.is_match(path.as_bytes()));
    stranger.map(Arc::from)
}

fn value(one: &HeaderMatchType) -> Arc<str> {
    match one {
        HeaderMatchType::Exact(value) => Arc::clone(value),
        HeaderMatchType::Regex(regex) => sample::of(regex).unwrap_or_else(|| "x".into()),
    }
}

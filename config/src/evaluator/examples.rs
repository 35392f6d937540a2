//! Requests that tell the rules of a port apart: for each match some that hit it, and near misses.
//!
//! `tulle diff` and `tulle can-i --list` ask the evaluator about these. They are examples, not a proof: rules that differ only
//! inside a regular expression may get the same ones.

mod sample;

use std::collections::BTreeSet;
use std::sync::Arc;

use super::HttpRequest;
use crate::model::{HeaderMatchType, HttpMatch, PathMatch};

/// More than these would make nobody wiser.
const MOST: usize = 400;

/// Requests to a host that tell the matches apart, the plainest first. A gRPC call is always a POST.
pub fn examples<'a>(matches: impl IntoIterator<Item = &'a HttpMatch>, grpc: bool, host: &str) -> Vec<HttpRequest> {
    let mut parts = Parts::new(grpc);
    let mut found = Found {
        host: host.into(),
        seen: BTreeSet::new(),
        list: Vec::new(),
    };
    let plain = parts.plain.clone();
    found.add(&plain);
    for one in matches {
        let hit = parts.hit(one);
        found.add(&hit);
        for miss in parts.misses(one, &hit) {
            found.add(&miss);
        }
    }
    // Rules of several matches meet in requests that hit more than one.
    for path in &parts.paths {
        for method in &parts.methods {
            for headers in &parts.headers {
                found.add(&Draft {
                    path: path.clone(),
                    method: Arc::clone(method),
                    headers: headers.clone(),
                    query: Vec::new(),
                });
            }
        }
    }
    found.list
}

/// Names and values.
type Pairs = Vec<(Arc<str>, Arc<str>)>;

/// A request in parts.
#[derive(Clone, Debug)]
struct Draft {
    path: Arc<str>,
    method: Arc<str>,
    headers: Pairs,
    query: Pairs,
}

/// Requests so far, without repetition.
struct Found {
    host: Arc<str>,
    seen: BTreeSet<HttpRequest>,
    list: Vec<HttpRequest>,
}

impl Found {
    fn add(&mut self, draft: &Draft) {
        if self.list.len() >= MOST {
            return;
        }
        let query: Vec<String> = draft
            .query
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        let target = if query.is_empty() {
            Arc::clone(&draft.path)
        } else {
            format!("{}?{}", draft.path, query.join("&")).into()
        };
        let request = HttpRequest {
            method: Arc::clone(&draft.method),
            target,
            authority: Arc::clone(&self.host),
            headers: draft.headers.clone(),
        };
        if self.seen.insert(request.clone()) {
            self.list.push(request);
        }
    }
}

/// What occurs in the matches so far.
struct Parts {
    plain: Draft,
    paths: BTreeSet<Arc<str>>,
    methods: BTreeSet<Arc<str>>,
    headers: BTreeSet<Pairs>,
}

impl Parts {
    fn new(grpc: bool) -> Self {
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
        Self {
            paths: BTreeSet::from([Arc::clone(&plain.path)]),
            methods: BTreeSet::from([Arc::clone(&plain.method)]),
            headers: BTreeSet::from([Vec::new()]),
            plain,
        }
    }

    /// A request that the match takes.
    fn hit(&mut self, one: &HttpMatch) -> Draft {
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
    fn misses(&mut self, one: &HttpMatch, hit: &Draft) -> Vec<Draft> {
        let mut all = Vec::new();
        for path in one.path.iter().flat_map(near) {
            self.paths.insert(Arc::clone(&path));
            all.push(Draft { path, ..hit.clone() });
        }
        if let Some(method) = &one.method {
            let other: Arc<str> = if &**method == "GET" { "POST" } else { "GET" }.into();
            self.methods.insert(Arc::clone(&other));
            all.push(Draft {
                method: other,
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
    vec![
        format!("{bare}/x").into(),
        format!("{bare}x").into(),
        format!("{bare}/").into(),
    ]
}

fn value(one: &HeaderMatchType) -> Arc<str> {
    match one {
        HeaderMatchType::Exact(value) => Arc::clone(value),
        HeaderMatchType::Regex(regex) => sample::of(regex).unwrap_or_else(|| "x".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::examples;
    use crate::model::{HeaderMatch, HeaderMatchType, HttpMatch, PathMatch};

    fn lines(matches: &[HttpMatch], grpc: bool) -> Vec<String> {
        let headers = |request: &super::HttpRequest| {
            let headers = request.headers.iter().map(|(name, value)| format!(" {name}={value}"));
            headers.collect::<String>()
        };
        let requests = examples(matches, grpc, "payments");
        requests
            .iter()
            .map(|request| format!("{} {}{}", request.method, request.target, headers(request)))
            .collect()
    }

    #[test]
    fn a_prefix_gets_hits_and_near_misses() {
        let charges = HttpMatch {
            path: Some(PathMatch::Prefix("/charges".into())),
            method: Some("POST".into()),
            ..HttpMatch::default()
        };
        let lines = lines(&[charges], false);
        assert_eq!(lines.first().unwrap(), "GET /");
        for wanted in [
            "POST /charges",
            "POST /charges/x",
            "POST /chargesx",
            "GET /charges",
            "POST /",
        ] {
            assert!(lines.iter().any(|line| line == wanted), "{wanted} is not in {lines:?}");
        }
    }

    #[test]
    fn a_header_is_left_out_once_and_matches_meet() {
        let admin = HttpMatch {
            headers: vec![HeaderMatch {
                name: "x-role".into(),
                value: HeaderMatchType::Exact("admin".into()),
            }],
            ..HttpMatch::default()
        };
        let health = HttpMatch {
            path: Some(PathMatch::Exact("/health".into())),
            ..HttpMatch::default()
        };
        let lines = lines(&[admin, health], false);
        for wanted in ["GET / x-role=admin", "GET /", "GET /health", "GET /health x-role=admin"] {
            assert!(lines.iter().any(|line| line == wanted), "{wanted} is not in {lines:?}");
        }
    }

    #[test]
    fn a_grpc_method_of_any_service_is_posted() {
        let charge = HttpMatch {
            path: Some(PathMatch::Suffix("/Charge".into())),
            ..HttpMatch::default()
        };
        let lines = lines(&[charge], true);
        assert!(lines.contains(&"POST /any.Service/Charge".to_owned()), "{lines:?}");
        assert!(lines.contains(&"POST /any.Service/Chargex".to_owned()), "{lines:?}");
    }

    #[test]
    fn their_number_is_bounded() {
        let many: Vec<HttpMatch> = (0..300)
            .map(|number| HttpMatch {
                path: Some(PathMatch::Exact(format!("/{number}").into())),
                method: Some("PUT".into()),
                ..HttpMatch::default()
            })
            .collect();
        assert_eq!(examples(&many, false, "payments").len(), super::MOST);
    }
}

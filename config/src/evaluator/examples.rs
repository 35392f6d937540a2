//! Requests that tell the rules of a port apart: for each match some that hit it, and near misses.
//!
//! `tulle diff` and `tulle can-i --list` ask the evaluator about these. They are examples, not a proof: rules that differ only
//! inside a regular expression may get the same ones. What comes first among the matches is asked about first, and whoever
//! asks is told when there would have been more.

mod parts;
mod sample;

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::sync::Arc;

use super::HttpRequest;
use crate::model::HttpMatch;
use parts::{Draft, Parts};

/// More than these would make nobody wiser.
const MOST: usize = 400;

/// Requests to ask about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Examples {
    /// The plainest first, then in the order of the matches.
    pub requests: Vec<HttpRequest>,
    /// There would have been more.
    pub truncated: bool,
}

/// Requests to a host that tell the matches apart.
pub fn examples<'a>(matches: impl IntoIterator<Item = &'a HttpMatch>, grpc: bool, host: &str) -> Examples {
    let matches: Vec<&HttpMatch> = matches.into_iter().collect();
    let mut found = Found {
        host: host.into(),
        seen: BTreeSet::new(),
        list: Vec::new(),
    };
    let truncated = fill(&mut found, Parts::new(grpc, &matches), &matches).is_break();
    Examples {
        requests: found.list,
        truncated,
    }
}

/// All of them; broken off where the list is full.
fn fill(found: &mut Found, mut parts: Parts, matches: &[&HttpMatch]) -> ControlFlow<()> {
    for plain in parts.plainest() {
        found.add(&plain)?;
    }
    for one in matches {
        let hit = parts.hit(one);
        found.add(&hit)?;
        for miss in parts.misses(one, &hit) {
            found.add(&miss)?;
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
                })?;
            }
        }
    }
    ControlFlow::Continue(())
}

/// Requests so far, without repetition.
struct Found {
    host: Arc<str>,
    seen: BTreeSet<HttpRequest>,
    list: Vec<HttpRequest>,
}

impl Found {
    /// Breaks off at one for which there is no room any more.
    fn add(&mut self, draft: &Draft) -> ControlFlow<()> {
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
        if self.seen.contains(&request) {
            return ControlFlow::Continue(());
        }
        if self.list.len() >= MOST {
            return ControlFlow::Break(());
        }
        self.seen.insert(request.clone());
        self.list.push(request);
        ControlFlow::Continue(())
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
        let found = examples(matches, grpc, "payments");
        let requests = found.requests.iter();
        requests
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
    fn a_regex_that_takes_all_that_is_close_gets_a_path_that_it_does_not_take() {
        let close = HttpMatch {
            path: Some(PathMatch::Regex("/a.*".into())),
            ..HttpMatch::default()
        };
        for grpc in [false, true] {
            let lines = lines(std::slice::from_ref(&close), grpc);
            let misses = lines.iter().filter(|line| !line.contains(" /a"));
            assert!(misses.count() > 0, "{lines:?}");
        }
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
        let found = examples(&many, false, "payments");
        assert!(found.truncated && found.requests.len() == super::MOST);
        assert!(!examples(many.first(), false, "payments").truncated);
    }

    #[test]
    fn a_method_that_no_match_names_is_tried() {
        let methods = |names: &[&str]| {
            let one = |name: &&str| HttpMatch {
                method: Some((*name).into()),
                ..HttpMatch::default()
            };
            lines(&names.iter().map(one).collect::<Vec<_>>(), false)
        };
        assert_eq!(methods(&["DELETE"]), ["GET /", "DELETE /"]);
        assert_eq!(methods(&["GET", "POST"]), ["GET /", "DELETE /", "POST /"]);
        let all = [
            "GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH",
        ];
        assert_eq!(methods(&all).len(), all.len() + 1, "one more than anybody can name");
    }
}

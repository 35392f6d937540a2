//! Matches of requests, shared by all kinds.
//!
//! A value that can never match is refused: in a Deny it would deny nothing. Regexes are checked, never built from user text.

use std::collections::BTreeSet;
use std::sync::Arc;

use crds::conditions::Reason;
use crds::http_match::{HttpPathMatch, HttpRouteMatch, PathMatchType, ValueMatch, ValueMatchType};

use super::findings::{Findings, Part};
use super::{path, regex, report_unknown, value};
use crate::model::{HeaderMatch, HeaderMatchType, HttpMatch, PathMatch, QueryMatch};

const METHODS: [&str; 9] = ["GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"];

/// The `http` list of a permission, limit or fault. One bad match makes the list bad; an empty list is bad.
pub(crate) fn policy_matches(matches: Option<&Vec<HttpRouteMatch>>, at: &str, findings: &mut Findings) -> Part<Vec<HttpMatch>> {
    let Some(matches) = matches else { return Part::Absent };
    if matches.is_empty() {
        findings.error(at, Reason::Invalid, "is empty, which could mean all or nothing; leave it out for all requests");
        return Part::Bad;
    }
    let nodes: Vec<Option<HttpMatch>> =
        matches.iter().enumerate().map(|(index, one)| policy_match(one, &format!("{at}[{index}]"), findings)).collect();
    Part::checked(nodes.into_iter().collect())
}

fn policy_match(one: &HttpRouteMatch, at: &str, findings: &mut Findings) -> Option<HttpMatch> {
    let before = findings.len();
    if one.query_params.is_some() {
        findings.error(&format!("{at}.queryParams"), Reason::Invalid, "query parameters can be matched in routes only; match the path, method or headers");
    }
    if one.sources.is_some() {
        findings.error(&format!("{at}.sources"), Reason::Invalid, "sources stand beside `http`, not in it; move them there");
    }
    let read = common(one, at, findings);
    for header in read.iter().flat_map(|read| &read.headers) {
        if header.name.starts_with("x-envoy-") {
            let message = format!("{} is stripped from every request that comes in, so nothing can match", header.name);
            findings.error(&format!("{at}.headers"), Reason::Invalid, message);
        }
    }
    read.filter(|_| findings.len() == before)
}

/// One match of a route.
pub(crate) fn route_match(one: &HttpRouteMatch, at: &str, findings: &mut Findings) -> Option<HttpMatch> {
    let before = findings.len();
    if one.sources.is_some() {
        findings.error(&format!("{at}.sources"), Reason::NotSupportedYet, "routes cannot match sources yet; use a consumer route in the caller's namespace");
    }
    let mut read = common(one, at, findings);
    let query = unique(one.query_params.as_deref(), &format!("{at}.queryParams"), findings, |one, at, findings| {
        let value = value_match(one, at, findings)?;
        if one.name.is_empty() || value::header_value(&one.name).is_err() {
            findings.error(&format!("{at}.name"), Reason::Invalid, format!("{:?} is not the name of a query parameter", one.name));
            return None;
        }
        Some((Arc::from(one.name.as_str()), value))
    });
    if let (Some(read), Some(query)) = (read.as_mut(), query) {
        read.query = query.into_iter().map(|(name, value)| QueryMatch { name, value }).collect();
    }
    read.filter(|_| findings.len() == before)
}

/// What all kinds have: path, method, headers.
fn common(one: &HttpRouteMatch, at: &str, findings: &mut Findings) -> Option<HttpMatch> {
    let unknown = report_unknown(one, at, findings);
    let path = one.path.as_ref().map(|path| path_match(path, &format!("{at}.path.value"), findings));
    let method = one.method.as_ref().map(|method| {
        let known = METHODS.contains(&method.as_str());
        if !known {
            findings.error(&format!("{at}.method"), Reason::Invalid, format!("{method:?} is not an HTTP method; use one of {}", METHODS.join(", ")));
        }
        known.then(|| Arc::from(method.as_str()))
    });
    let headers = unique(one.headers.as_deref(), &format!("{at}.headers"), findings, |one, at, findings| {
        let value = value_match(one, at, findings);
        match value::header_name(&one.name) {
            Ok(name) => Some((Arc::from(name), value?)),
            Err(problem) => {
                findings.error(&format!("{at}.name"), Reason::Invalid, format!("{:?} {problem}", one.name));
                None
            }
        }
    });
    if unknown {
        return None;
    }
    Some(HttpMatch {
        path: flip(path)?,
        method: flip(method)?,
        headers: headers?.into_iter().map(|(name, value)| HeaderMatch { name, value }).collect(),
        query: Vec::new(),
    })
}

/// `Some(None)` was written and bad, which makes the whole bad.
fn flip<T>(part: Option<Option<T>>) -> Option<Option<T>> {
    match part {
        Some(None) => None,
        Some(value) => Some(value),
        None => Some(None),
    }
}

fn path_match(path: &HttpPathMatch, at: &str, findings: &mut Findings) -> Option<PathMatch> {
    let problem = match path.match_type {
        PathMatchType::RegularExpression => regex::problem(&path.value),
        PathMatchType::Exact | PathMatchType::PathPrefix => path::problem(&path.value),
    };
    if let Some(problem) = problem {
        findings.error(at, Reason::Invalid, format!("{:?} {problem}", path.value));
        return None;
    }
    Some(match path.match_type {
        PathMatchType::Exact => PathMatch::Exact(path.value.as_str().into()),
        PathMatchType::PathPrefix => PathMatch::Prefix(path::prefix(&path.value)),
        PathMatchType::RegularExpression => PathMatch::Regex(path.value.as_str().into()),
    })
}

fn value_match(one: &ValueMatch, at: &str, findings: &mut Findings) -> Option<HeaderMatchType> {
    let at = format!("{at}.value");
    match one.match_type {
        ValueMatchType::Exact => match value::header_value(&one.value) {
            Ok(()) => return Some(HeaderMatchType::Exact(one.value.as_str().into())),
            Err(problem) => findings.error(&at, Reason::Invalid, format!("{:?} {problem}", one.value)),
        },
        ValueMatchType::RegularExpression => match regex::problem(&one.value) {
            None => return Some(HeaderMatchType::Regex(one.value.as_str().into())),
            Some(problem) => findings.error(&at, Reason::Invalid, format!("{:?} {problem}", one.value)),
        },
    }
    None
}

type Named = (Arc<str>, HeaderMatchType);

/// Reads a list in which each name may occur once: Gateway API would ignore the second, which would widen the match.
fn unique(
    list: Option<&[ValueMatch]>,
    at: &str,
    findings: &mut Findings,
    read: impl Fn(&ValueMatch, &str, &mut Findings) -> Option<Named>,
) -> Option<Vec<Named>> {
    let mut names = BTreeSet::new();
    let mut all = Some(Vec::new());
    for (index, one) in list.unwrap_or_default().iter().enumerate() {
        let at = format!("{at}[{index}]");
        let Some((name, value)) = read(one, &at, findings) else {
            all = None;
            continue;
        };
        if !names.insert(Arc::clone(&name)) {
            findings.error(&format!("{at}.name"), Reason::Invalid, format!("{name} is matched twice; use one match, or one regular expression"));
            all = None;
        } else if let Some(all) = all.as_mut() {
            all.push((name, value));
        }
    }
    all
}

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

const METHODS: [&str; 9] = [
    "GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH",
];

/// The `http` list of a permission, limit or fault. One bad match makes the list bad; an empty list is bad.
pub(crate) fn policy_matches(
    matches: Option<&Vec<HttpRouteMatch>>,
    at: &str,
    findings: &mut Findings,
) -> Part<Vec<HttpMatch>> {
    matches_of(matches, at, "leave it out for all requests", findings, policy_match)
}

/// A list of matches, each read by `read`.
pub(super) fn matches_of<T>(
    matches: Option<&Vec<T>>,
    at: &str,
    instead: &str,
    findings: &mut Findings,
    read: impl Fn(&T, &str, &mut Findings) -> Option<HttpMatch>,
) -> Part<Vec<HttpMatch>> {
    let Some(matches) = matches else { return Part::Absent };
    if matches.is_empty() {
        let message = format!("is empty, which could mean all or nothing; {instead}");
        findings.error(at, Reason::Invalid, message);
        return Part::Bad;
    }
    let nodes: Vec<Option<HttpMatch>> = matches
        .iter()
        .enumerate()
        .map(|(index, one)| read(one, &format!("{at}[{index}]"), findings))
        .collect();
    Part::checked(nodes.into_iter().collect())
}

fn policy_match(one: &HttpRouteMatch, at: &str, findings: &mut Findings) -> Option<HttpMatch> {
    let before = findings.len();
    if one.query_params.is_some() {
        let message = "query parameters can be matched in routes only; match the path, method or headers";
        findings.error(&format!("{at}.queryParams"), Reason::Invalid, message);
    }
    if one.sources.is_some() {
        let message = "sources stand beside `http`, not in it; move them there";
        findings.error(&format!("{at}.sources"), Reason::Invalid, message);
    }
    let read = common(one, at, findings);
    stripped(&read.headers, &format!("{at}.headers"), findings);
    (findings.len() == before).then_some(read)
}

/// The headers of a match at the destination.
pub(super) fn policy_headers(list: Option<&[ValueMatch]>, at: &str, findings: &mut Findings) -> Vec<HeaderMatch> {
    let headers = headers(list, at, findings);
    stripped(&headers, at, findings);
    headers
}

/// What belongs to one connection, or is written by proxies only (Envoy's `mutateRequestHeaders`, RFC 9110 section 7.6.1).
const STRIPPED: [&str; 5] = [
    "connection",
    "keep-alive",
    "proxy-connection",
    "upgrade",
    "x-forwarded-client-cert",
];

fn stripped(headers: &[HeaderMatch], at: &str, findings: &mut Findings) {
    let is_stripped = |name: &str| name.starts_with("x-envoy-") || STRIPPED.contains(&name);
    for header in headers.iter().filter(|header| is_stripped(&header.name)) {
        let name = &header.name;
        let message = format!("{name} is not part of the request that rules see, so nothing can match");
        findings.error(at, Reason::Invalid, message);
    }
}

fn headers(list: Option<&[ValueMatch]>, at: &str, findings: &mut Findings) -> Vec<HeaderMatch> {
    let read = unique(list, at, findings, value::header_name);
    read.into_iter()
        .map(|(name, value)| HeaderMatch { name, value })
        .collect()
}

/// One match of a route.
pub(crate) fn route_match(one: &HttpRouteMatch, at: &str, findings: &mut Findings) -> Option<HttpMatch> {
    let before = findings.len();
    if one.sources.is_some() {
        let message = "routes cannot match sources yet; use a consumer route in the caller's namespace";
        findings.error(&format!("{at}.sources"), Reason::NotSupportedYet, message);
    }
    let mut read = common(one, at, findings);
    let query = unique(
        one.query_params.as_deref(),
        &format!("{at}.queryParams"),
        findings,
        |name| {
            let usable = !name.is_empty() && value::header_value(name).is_ok();
            if usable {
                Ok(name.to_owned())
            } else {
                Err("is not the name of a query parameter")
            }
        },
    );
    read.query = query
        .into_iter()
        .map(|(name, value)| QueryMatch { name, value })
        .collect();
    (findings.len() == before).then_some(read)
}

/// What all kinds have: path, method, headers. Of use only if nothing was reported.
fn common(one: &HttpRouteMatch, at: &str, findings: &mut Findings) -> HttpMatch {
    report_unknown(one, at, findings);
    let path = one
        .path
        .as_ref()
        .and_then(|path| path_match(path, &format!("{at}.path.value"), findings));
    if let Some(method) = one.method.as_ref().filter(|method| !METHODS.contains(&method.as_str())) {
        let message = format!("{method:?} is not an HTTP method; use one of {}", METHODS.join(", "));
        findings.error(&format!("{at}.method"), Reason::Invalid, message);
    }
    HttpMatch {
        path,
        method: one.method.as_deref().map(Arc::from),
        headers: headers(one.headers.as_deref(), &format!("{at}.headers"), findings),
        query: Vec::new(),
    }
}

fn path_match(path: &HttpPathMatch, at: &str, findings: &mut Findings) -> Option<PathMatch> {
    let text = path.value.as_str();
    let read = match (path.match_type, path::problem(text)) {
        (PathMatchType::RegularExpression, _) => regex::checked(text).map(|bare| PathMatch::Regex(bare.into())),
        (_, Some(problem)) => Err(problem),
        (PathMatchType::Exact, None) => Ok(PathMatch::Exact(text.into())),
        (PathMatchType::PathPrefix, None) => Ok(PathMatch::Prefix(path::prefix(text))),
    };
    read.map_err(|problem| findings.error(at, Reason::Invalid, format!("{text:?} {problem}")))
        .ok()
}

fn value_match(one: &ValueMatch, at: &str, findings: &mut Findings) -> Option<HeaderMatchType> {
    let text = one.value.as_str();
    let read = match one.match_type {
        ValueMatchType::Exact => value::header_value(text)
            .map(|()| HeaderMatchType::Exact(text.into()))
            .map_err(str::to_owned),
        ValueMatchType::RegularExpression => regex::checked(text).map(|bare| HeaderMatchType::Regex(bare.into())),
    };
    let at = format!("{at}.value");
    read.map_err(|problem| findings.error(&at, Reason::Invalid, format!("{text:?} {problem}")))
        .ok()
}

/// Reads a list in which each name may occur once: Gateway API would ignore the second, which would widen the match.
fn unique(
    list: Option<&[ValueMatch]>,
    at: &str,
    findings: &mut Findings,
    read_name: impl Fn(&str) -> Result<String, &'static str>,
) -> Vec<(Arc<str>, HeaderMatchType)> {
    let mut names = BTreeSet::new();
    let mut all = Vec::new();
    for (index, one) in list.unwrap_or_default().iter().enumerate() {
        let at = format!("{at}[{index}]");
        let value = value_match(one, &at, findings);
        let problem = match read_name(&one.name) {
            Ok(name) => {
                let name: Arc<str> = name.into();
                if names.insert(Arc::clone(&name)) {
                    all.extend(value.map(|value| (name, value)));
                    continue;
                }
                "is matched twice; use one match, or one regular expression"
            }
            Err(problem) => problem,
        };
        findings.error(
            &format!("{at}.name"),
            Reason::Invalid,
            format!("{:?} {problem}", one.name),
        );
    }
    all
}

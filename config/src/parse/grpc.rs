//! gRPC calls as matches of requests: a call is `POST /<package.Service>/<Method>`.
//!
//! Literals stay literals. Where a part is a regex the path becomes one, built of the user's own expressions in groups, each of
//! which stands by itself.

use crds::conditions::Reason;
use crds::http_match::{GrpcMethodMatch, GrpcRouteMatch, ValueMatchType};

use super::findings::{Findings, Part};
use super::{http, path, regex, report_unknown};
use crate::model::{HttpMatch, PathMatch};

/// The HTTP method of a call.
pub(crate) const METHOD: &str = "POST";

/// The `grpc` list of a permission. One bad match makes the list bad; an empty list is bad. With a `method`, only requests of
/// this HTTP method are matched.
pub(crate) fn policy_matches(
    matches: Option<&Vec<GrpcRouteMatch>>,
    at: &str,
    method: Option<&str>,
    findings: &mut Findings,
) -> Part<Vec<HttpMatch>> {
    let read = |one: &_, at: &_, findings: &mut _| policy_match(one, at, method, findings);
    http::matches_of(matches, at, "leave it out for all calls", findings, read)
}

fn policy_match(
    one: &GrpcRouteMatch,
    at: &str,
    http_method: Option<&str>,
    findings: &mut Findings,
) -> Option<HttpMatch> {
    let before = findings.len();
    report_unknown(one, at, findings);
    let path = one
        .method
        .as_ref()
        .and_then(|method| method_match(method, http_method.is_some(), &format!("{at}.method"), findings));
    let headers = http::policy_headers(one.headers.as_deref(), &format!("{at}.headers"), findings);
    let read = HttpMatch {
        path,
        method: http_method.map(Into::into),
        headers,
        query: Vec::new(),
    };
    (findings.len() == before).then_some(read)
}

/// With `calls_only`, a method of every service is that of a path with two segments, as calls have; otherwise it is any path that ends so.
fn method_match<'a>(
    method: &'a GrpcMethodMatch,
    calls_only: bool,
    at: &str,
    findings: &mut Findings,
) -> Option<PathMatch> {
    let mut part = |field: &str, text: Option<&'a String>| -> Option<&'a str> {
        let text = text?.as_str();
        let read = match method.match_type {
            ValueMatchType::Exact => literal(text),
            ValueMatchType::RegularExpression => regex::checked(text),
        };
        read.map_err(|problem| findings.error(&format!("{at}.{field}"), Reason::Invalid, format!("{text:?} {problem}")))
            .ok()
    };
    let service = part("service", method.service.as_ref());
    let name = part("method", method.method.as_ref());
    if method.service.is_none() && method.method.is_none() {
        let message = "names neither a service nor a method; name one, or leave `method` out for all calls";
        findings.error(at, Reason::Invalid, message);
    }
    Some(match (method.match_type, service, name) {
        (_, None, None) => return None,
        (ValueMatchType::Exact, Some(service), Some(name)) => PathMatch::Exact(format!("/{service}/{name}").into()),
        (ValueMatchType::Exact, Some(service), None) => PathMatch::Prefix(format!("/{service}").into()),
        (ValueMatchType::Exact, None, Some(name)) if calls_only => {
            PathMatch::Regex(format!("/[^/]+/{}", regex_syntax::escape(name)).into())
        }
        (ValueMatchType::Exact, None, Some(name)) => PathMatch::Suffix(format!("/{name}").into()),
        (ValueMatchType::RegularExpression, service, name) => {
            let any = "[^/]*".to_owned();
            let group = |regex: Option<&str>| regex.map_or_else(|| any.clone(), |regex| format!("(?:{regex})"));
            let both = format!("/{}/{}", group(service), group(name));
            // Two good expressions may be bad together: by their length, or by groups of one name.
            let checked = regex::checked(&both).map(|both| PathMatch::Regex(both.into()));
            return checked
                .map_err(|problem| findings.error(at, Reason::Invalid, format!("{both:?} {problem}")))
                .ok();
        }
    })
}

/// A service or method as it stands in a normalised path.
fn literal(text: &str) -> Result<&str, String> {
    if text.is_empty() {
        return Err("is empty, which no call has; leave it out to match any".to_owned());
    }
    if text.contains('/') {
        return Err("contains `/`; write the service and the method each in its own field".to_owned());
    }
    path::problem(&format!("/{text}")).map_or(Ok(text), Err)
}

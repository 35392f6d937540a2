//! Callers and requests as matchers on the carrier headers that the destination's proxy sets itself.
//!
//! `x-tulle-source` is the verified identity and `x-tulle-path` the normalised path, both followed by `/`, so that whole
//! segments are compared by literal prefixes. A caller without identity has the source `/`.

use super::api::{matcher as proto, route};
use super::matcher;
use super::spelling::every_spelling;
use crate::model::{HttpMatch, PathMatch, Source};
use crate::names::{PATH_HEADER, SOURCE_HEADER};

/// Everything that must hold for a request of this source with this match; empty means that every request matches.
pub(crate) fn matchers(
    source: Option<&Source>,
    http: Option<&HttpMatch>,
    trust_domain: &str,
) -> Vec<route::HeaderMatcher> {
    let mut all = Vec::new();
    if let Some(source) = source {
        all.push(matcher::header(SOURCE_HEADER, source_value(source, trust_domain)));
    }
    let Some(http) = http else { return all };
    all.extend(
        http.path
            .as_ref()
            .and_then(path_value)
            .map(|value| matcher::header(PATH_HEADER, value)),
    );
    all.extend(
        http.method
            .as_ref()
            .map(|method| matcher::header(":method", matcher::exact(&**method))),
    );
    all.extend(http.headers.iter().map(matcher::user_header));
    all
}

fn source_value(source: &Source, trust_domain: &str) -> proto::StringMatcher {
    match source {
        Source::Identity(id) => matcher::exact(format!("{id}/")),
        Source::Prefix(prefix) => matcher::prefix(&**prefix),
        Source::Authenticated => matcher::prefix(format!("spiffe://{trust_domain}/")),
        Source::Unauthenticated => matcher::exact("/"),
    }
}

/// Literals in every spelling: who writes a path another way is counted, and met by faults, all the same.
fn path_value(path: &PathMatch) -> Option<proto::StringMatcher> {
    let several = match path {
        // Envoy leaves a path of nothing but slashes as it is (measured on 1.40).
        PathMatch::Exact(path) if **path == *"/" => Some("///?".to_owned()),
        PathMatch::Exact(path) => every_spelling(path).map(|regex| format!("{regex}/")),
        PathMatch::Prefix(path) => every_spelling(path).map(|regex| format!(r"{regex}/\C*")),
        PathMatch::Suffix(suffix) => every_spelling(suffix).map(|regex| format!(r"\C*{regex}/")),
        PathMatch::Regex(_) => None,
    };
    if let Some(regex) = several {
        return Some(matcher::regex(regex));
    }
    match path {
        PathMatch::Exact(path) => Some(matcher::exact(format!("{path}/"))),
        PathMatch::Prefix(path) if path.is_empty() => None,
        PathMatch::Prefix(path) => Some(matcher::prefix(format!("{path}/"))),
        // Parse has checked that the regex stands by itself, so the group around it is not left.
        PathMatch::Suffix(suffix) => Some(matcher::suffix(format!("{suffix}/"))),
        PathMatch::Regex(regex) => Some(matcher::regex(format!("(?:{regex})/"))),
    }
}

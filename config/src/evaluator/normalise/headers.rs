//! Headers that rules see and that are passed on.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::Side;

type Headers = Vec<(Arc<str>, Arc<str>)>;

/// What belongs to one connection, or what only our proxies say.
const DROPPED: [&str; 5] = [
    "connection",
    "keep-alive",
    "proxy-connection",
    "upgrade",
    "x-forwarded-client-cert",
];

/// The headers without those that are dropped, or why the request is refused.
pub(super) fn kept(headers: &Headers, side: Side) -> Result<Headers, &'static str> {
    let lower: Vec<(String, &str)> = headers
        .iter()
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim_matches([' ', '\t'])))
        .collect();
    let nominated: BTreeSet<String> = lower
        .iter()
        .filter(|(name, _)| name == "connection")
        .flat_map(|(_, value)| value.split(','))
        .map(|name| name.trim_matches([' ', '\t']).to_ascii_lowercase())
        .collect();
    let mut kept = Headers::new();
    for (name, value) in lower {
        if let Some(problem) = problem(&name, value, side) {
            return Err(problem);
        }
        let steers = name.starts_with("x-envoy-") || name.starts_with("x-tulle-");
        let hop = DROPPED.contains(&&*name) || nominated.contains(&name) || (name == "te" && value != "trailers");
        if !steers && !hop {
            kept.push((name.into(), value.into()));
        }
    }
    Ok(kept)
}

fn problem(name: &str, value: &str, side: Side) -> Option<&'static str> {
    let token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    if name.is_empty() || !name.bytes().all(token) {
        return Some("a header's name is none");
    }
    if value.bytes().any(|b| b != b'\t' && (b < 0x20 || b == 0x7f)) {
        return Some("a header's value contains a control character");
    }
    (side == Side::Inbound && name.contains('_')).then_some("a header's name contains `_`")
}

//! One line of our access log (`config/src/envoy/access_log.rs`).

use config::names::SNI_SUFFIX;
use serde_json::{Map, Value};

use super::CallerRow;

/// Nothing, as rows show it.
const NONE: &str = "-";

/// What a line is.
pub(super) enum Kind {
    /// A request or connection at its destination.
    Inbound(Box<Call>),
    /// The same at its caller.
    Outbound,
    /// Not of our log.
    Foreign,
}

/// One request or connection.
pub(super) struct Call {
    /// The Service port that the caller's proxy announced.
    pub(super) announced: Option<String>,
    /// Where it arrived.
    pub(super) address: String,
    /// The row that it makes alone, without a destination.
    pub(super) row: CallerRow,
}

/// Reads a line.
pub(super) fn parse(line: &[u8]) -> Kind {
    let Ok(Value::Object(fields)) = serde_json::from_slice(line) else {
        return Kind::Foreign;
    };
    let ours = ["time", "listener", "peer", "destination"];
    if !ours.iter().all(|field| fields.contains_key(*field)) {
        return Kind::Foreign;
    }
    match text(&fields, "direction") {
        Some("inbound") => Kind::Inbound(Box::new(call(&fields))),
        Some("outbound") => Kind::Outbound,
        _ => Kind::Foreign,
    }
}

fn call(fields: &Map<String, Value>) -> Call {
    let text = |field| text(fields, field);
    // A connection of a TCP port has no request.
    let is_request = fields.contains_key("method");
    let refusal = [text("details"), text("termination")]
        .into_iter()
        .flatten()
        .find(|why| why.starts_with("rbac_access_denied"));
    let denied = refusal.is_some() || !is_request && text("tls_failure").is_some();
    let decided = text("denied_by")
        .or_else(|| text("allowed_by"))
        .or_else(|| refusal.and_then(named))
        .or_else(|| text("default").filter(|_| is_request));
    let allowed = !denied && (!is_request || text("allowed_by").is_some());
    let row = CallerRow {
        caller: text("peer").unwrap_or(NONE).to_owned(),
        destination: String::new(),
        rule: decided.unwrap_or(NONE).to_owned(),
        requests: 1,
        allowed: u64::from(allowed),
        denied: u64::from(denied),
        would_deny: u64::from(text("shadow_denied_by").is_some()),
        limited: u64::from(text("limited_by").is_some()),
        faulted: u64::from(text("fault").is_some()),
    };
    Call {
        announced: text("sni").and_then(service),
        address: text("destination").unwrap_or(NONE).to_owned(),
        row,
    }
}

/// The rule in `rbac_access_denied_matched_policy[...]`.
fn named(refusal: &str) -> Option<&str> {
    let rule = refusal.split_once('[')?.1.strip_suffix(']')?;
    Some(rule).filter(|rule| *rule != "none")
}

/// `80.payments.shop.tulle.mesh` as `shop/payments:80`.
fn service(sni: &str) -> Option<String> {
    let (port, rest) = sni.strip_suffix(SNI_SUFFIX)?.split_once('.')?;
    let (name, namespace) = rest.rsplit_once('.')?;
    Some(format!("{namespace}/{name}:{port}"))
}

/// A field that says something.
fn text<'a>(fields: &'a Map<String, Value>, field: &str) -> Option<&'a str> {
    fields
        .get(field)?
        .as_str()
        .filter(|text| !text.is_empty() && *text != NONE)
}

//! Header names and values, and names that become part of a SPIFFE ID.
//!
//! Each check answers with the rest of a sentence about the value; the caller knows the field and writes the diagnostic.

use std::time::Duration;

use crds::conditions::Reason;

use super::findings::Findings;

/// A header name in lower case.
pub(crate) fn header_name(name: &str) -> Result<String, &'static str> {
    let token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    if name.is_empty() || name.len() > 256 || !name.bytes().all(token) {
        return Err("is not a header name; use letters, digits and `-`");
    }
    let name = name.to_ascii_lowercase();
    if name == "host" {
        return Err("cannot be used here: a Service's address decides, not the Host header");
    }
    if name.starts_with("x-tulle-") {
        return Err("is reserved; headers that start with x-tulle- belong to the proxies");
    }
    if name.contains('_') {
        return Err("contains `_`; proxies refuse such headers, so nothing can match");
    }
    Ok(name)
}

/// Headers that belong to the connection or to framing: editing them breaks messages or smuggles them.
const FRAMING: [&str; 9] = [
    "connection",
    "content-length",
    "expect",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// The name of a header that is set or removed, in lower case.
pub(crate) fn edited_header_name(name: &str) -> Result<String, &'static str> {
    match header_name(name)? {
        name if FRAMING.contains(&name.as_str()) => Err("belongs to the connection and cannot be edited; remove it"),
        name if name.starts_with("x-envoy-") => Err("steers proxies and cannot be edited; use the object's own fields"),
        name => Ok(name),
    }
}

/// A header value that HTTP can carry.
pub(crate) fn header_value(value: &str) -> Result<(), &'static str> {
    if value.len() > 4096 {
        return Err("is longer than 4096 bytes");
    }
    if value.bytes().any(|b| b != b'\t' && (b < 0x20 || b == 0x7f)) {
        return Err("contains control characters, which no header carries");
    }
    if value.trim_matches([' ', '\t']) != value {
        return Err("begins or ends with white space, which HTTP removes; remove it");
    }
    Ok(())
}

/// A Kubernetes name: it becomes one segment of a SPIFFE ID, so nothing else may pass.
pub(crate) fn is_name(text: &str) -> bool {
    let edge = |b: Option<&u8>| b.is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    let bytes = text.as_bytes();
    (1..=253).contains(&text.len())
        && edge(bytes.first())
        && edge(bytes.last())
        && bytes
            .iter()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'.' | b'-'))
}

/// A trust domain (SPIFFE-ID section 2.1).
pub(crate) fn is_trust_domain(text: &str) -> bool {
    (1..=255).contains(&text.len())
        && text
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'.' | b'-' | b'_'))
}

/// A rule's name: it becomes part of names in Envoy, which a slash or a space would break.
pub(crate) fn is_rule_name(text: &str) -> bool {
    (1..=253).contains(&text.len())
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_'))
}

/// A duration; `None` was reported.
pub(crate) fn duration(text: &str, path: &str, findings: &mut Findings) -> Option<Duration> {
    let read = crds::duration::parse(text);
    if read.is_none() {
        findings.error(
            path,
            Reason::Invalid,
            format!("{text:?} is not a duration; write for example 500ms, 2s or 1m30s"),
        );
    }
    read
}

//! What a proxy does to a request before any rule looks at it.
//!
//! In Envoy's order: fragments refused, escaped slashes refused (inbound) or kept (outbound), dot segments resolved and characters
//! brought to one form, double slashes merged. Hosts lose port and trailing dot; headers that steer proxies go.

use std::borrow::Cow;
use std::sync::Arc;

use super::request::HttpRequest;

/// Whose proxy looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Side {
    /// The caller's: escaped slashes and underscored headers pass, for the destination to refuse.
    Outbound,
    /// The destination's.
    Inbound,
}

/// A request as rules see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// The method, as sent.
    pub method: Arc<str>,
    /// The normalised path without the query.
    pub path: Arc<str>,
    /// What follows the `?`, as sent; absent without one.
    pub query: Option<Arc<str>>,
    /// The host without port and trailing dot.
    pub authority: Arc<str>,
    /// What is left of the headers, names in lower case.
    pub headers: Vec<(Arc<str>, Arc<str>)>,
}

impl Seen {
    /// Each occurrence of a header.
    pub fn values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        let named = self.headers.iter().filter(move |(known, _)| **known == *name);
        named.map(|(_, value)| &**value)
    }

    /// All occurrences as one value, joined by commas without space; absent without any.
    pub fn joined(&self, name: &str) -> Option<String> {
        let all: Vec<&str> = self.values(name).collect();
        (!all.is_empty()).then(|| all.join(","))
    }

    /// The first value of a query parameter, as sent.
    pub fn parameter(&self, name: &str) -> Option<&str> {
        let pairs = self.query.as_deref()?.split('&');
        let mut values = pairs.map(|pair| pair.split_once('=').unwrap_or((pair, "")));
        values.find(|(key, _)| *key == name).map(|(_, value)| value)
    }

    /// The request as it is passed on.
    pub fn to_request(&self) -> HttpRequest {
        let target = match &self.query {
            Some(query) => format!("{}?{query}", self.path).into(),
            None => Arc::clone(&self.path),
        };
        HttpRequest {
            method: Arc::clone(&self.method),
            target,
            authority: Arc::clone(&self.authority),
            headers: self.headers.clone(),
        }
    }
}

/// The request as the proxy's rules see it, or why it is answered 400.
pub fn normalise(request: &HttpRequest, side: Side) -> Result<Seen, &'static str> {
    let (authority, target) = absolute(request);
    let headers = headers(&request.headers, side)?;
    if target.contains('#') {
        return Err("the path contains a fragment");
    }
    let (path, query) = match target.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (target, None),
    };
    Ok(Seen {
        method: Arc::clone(&request.method),
        path: self::path(path, side)?.into(),
        query: query.map(Arc::from),
        authority: host(authority).into(),
        headers,
    })
}

/// The authority and the path; a target in absolute form names both.
fn absolute(request: &HttpRequest) -> (&str, &str) {
    let target = &*request.target;
    let rest = ["http://", "https://"]
        .iter()
        .find_map(|scheme| target.strip_prefix(scheme));
    match rest {
        Some(rest) => match rest.find(['/', '?']) {
            Some(at) if rest[at..].starts_with('/') => rest.split_at(at),
            _ => (rest, "/"),
        },
        None => (&request.authority, target),
    }
}

fn path(path: &str, side: Side) -> Result<String, &'static str> {
    let lower = path.to_ascii_lowercase();
    if side == Side::Inbound && (lower.contains("%2f") || lower.contains("%5c")) {
        return Err("the path contains an escaped slash");
    }
    let one_form = characters(path)?;
    let mut resolved = resolve(&one_form);
    while resolved.contains("//") {
        resolved = resolved.replace("//", "/");
    }
    Ok(resolved)
}

/// Backslashes become slashes; unreserved characters are decoded; what may not stand in a path is escaped.
fn characters(path: &str) -> Result<String, &'static str> {
    let mut out = String::with_capacity(path.len());
    let mut bytes = path.bytes().enumerate();
    while let Some((at, byte)) = bytes.next() {
        match byte {
            b'\\' => out.push('/'),
            b'%' => match escape(path, at) {
                Some(0) => return Err("the path contains an escaped NUL"),
                Some(byte) if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) => {
                    out.push(char::from(byte));
                    bytes.nth(1);
                }
                _ => out.push('%'),
            },
            byte => out.push(char::from(byte)),
        }
    }
    Ok(out)
}

/// The byte that the escape at this place means.
fn escape(path: &str, at: usize) -> Option<u8> {
    let digits = path.get(at + 1..at + 3)?;
    let hexadecimal = digits.bytes().all(|b| b.is_ascii_hexdigit());
    hexadecimal.then(|| u8::from_str_radix(digits, 16).ok()).flatten()
}

/// Resolves dot segments; an empty segment counts as one, since slashes are merged later.
fn resolve(path: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    let segments: Vec<&str> = path.split('/').skip(1).collect();
    for (index, segment) in segments.iter().enumerate() {
        let last = index + 1 == segments.len();
        match *segment {
            "." if last => kept.push(""),
            "." => {}
            ".." => {
                kept.pop();
                if last {
                    kept.push("");
                }
            }
            segment => kept.push(segment),
        }
    }
    format!("/{}", kept.join("/"))
}

/// Lower case, without port and trailing dot.
fn host(authority: &str) -> String {
    let port = authority.rsplit_once(':').filter(|(before, port)| {
        (!before.contains(':') || before.ends_with(']')) && port.bytes().all(|b| b.is_ascii_digit())
    });
    let host = port.map_or(authority, |(host, _)| host);
    host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase()
}

type Headers = Vec<(Arc<str>, Arc<str>)>;

/// Headers that steer proxies or carry what only proxies may say are dropped, whoever sent them.
fn headers(headers: &Headers, side: Side) -> Result<Headers, &'static str> {
    let mut kept = Vec::with_capacity(headers.len());
    for (name, value) in headers {
        let name: Cow<'_, str> = name.to_ascii_lowercase().into();
        if side == Side::Inbound && name.contains('_') {
            return Err("a header's name contains `_`");
        }
        if value.bytes().any(|b| matches!(b, 0 | b'\r' | b'\n')) {
            return Err("a header's value contains a control character");
        }
        if !name.starts_with("x-envoy-") && !name.starts_with("x-tulle-") {
            let value = value.trim_matches([' ', '\t']);
            kept.push((Arc::from(&*name), Arc::from(value)));
        }
    }
    Ok(kept)
}

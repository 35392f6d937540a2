//! What a proxy does to a request before any rule looks at it. Measured with Envoy 1.40; the table is in `tests.rs`.
//!
//! Fragments, escaped slashes (inbound) and what no path carries are refused with 400; paths are brought to one form; hosts
//! lose port and trailing dot; headers that belong to one connection, or that only proxies may say, are dropped.
//! Not modelled: the values that proxies make up (`x-request-id`, `x-forwarded-client-cert`).

mod headers;
mod host;
mod path;
#[cfg(test)]
mod tests;

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
    /// The normalised path without the query. Without a leading `/` it is none (`OPTIONS *`), and no route takes it.
    pub path: Arc<str>,
    /// What follows the `?`, as sent; absent without one.
    pub query: Option<Arc<str>>,
    /// The host without port and trailing dot, in the case in which it was sent.
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

    /// The first value of a query parameter, as sent: nothing is decoded.
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
    if !METHODS.contains(&&*request.method) {
        return Err("the method is none that HTTP/1.1 proxies take");
    }
    let (authority, target) = absolute(request);
    if !target.bytes().all(|b| b.is_ascii_graphic()) {
        return Err("the path contains a character that has to be percent-encoded");
    }
    if target.contains('#') {
        return Err("the path contains a fragment");
    }
    let (path, query) = match target.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (target, None),
    };
    let (method, is_path) = (&request.method, path.starts_with('/'));
    let asterisk = &**method == "OPTIONS" && target == "*";
    if !(is_path || asterisk || in_absolute_form(request)) {
        return Err("the target is no path");
    }
    Ok(Seen {
        method: Arc::clone(method),
        path: if is_path {
            path::normalised(path, side)?
        } else {
            path.to_owned()
        }
        .into(),
        query: query.map(Arc::from),
        authority: host::normalised(authority)?.into(),
        headers: headers::kept(&request.headers, side)?,
    })
}

/// What Envoy's HTTP/1.1 parser takes, but for `CONNECT`, which asks for a tunnel that nobody offers.
const METHODS: [&str; 33] = [
    "ACL",
    "BIND",
    "CHECKOUT",
    "COPY",
    "DELETE",
    "GET",
    "HEAD",
    "LINK",
    "LOCK",
    "MERGE",
    "MKACTIVITY",
    "MKCALENDAR",
    "MKCOL",
    "MOVE",
    "MSEARCH",
    "NOTIFY",
    "OPTIONS",
    "PATCH",
    "POST",
    "PROPFIND",
    "PROPPATCH",
    "PURGE",
    "PUT",
    "REBIND",
    "REPORT",
    "SEARCH",
    "SOURCE",
    "SUBSCRIBE",
    "TRACE",
    "UNBIND",
    "UNLINK",
    "UNLOCK",
    "UNSUBSCRIBE",
];

/// The authority and the path; a target in absolute form names both, and only the first of them may have a user.
fn absolute(request: &HttpRequest) -> (&str, &str) {
    let Some(rest) = after_scheme(&request.target) else {
        return (&request.authority, &request.target);
    };
    let (authority, target) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    (host, if target.is_empty() { "/" } else { target })
}

fn in_absolute_form(request: &HttpRequest) -> bool {
    after_scheme(&request.target).is_some()
}

fn after_scheme(target: &str) -> Option<&str> {
    let (scheme, rest) = target.split_once("://")?;
    (scheme.eq_ignore_ascii_case("http") || scheme.eq_ignore_ascii_case("https")).then_some(rest)
}

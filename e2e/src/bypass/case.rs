//! One attempt, as bytes of HTTP/1.1 and, where it can be said, as a request of HTTP/2.

use std::collections::BTreeSet;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, Request, Uri};
use http_body_util::Full;

/// The header that numbers requests, so that an answer to somebody else's request is noticed.
pub(super) const NUMBER: &str = "x-probe";

/// One attempt.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Case {
    /// What is unusual about it.
    pub classes: BTreeSet<&'static str>,
    /// The method.
    pub method: String,
    /// The request target.
    pub target: Vec<u8>,
    /// `HTTP/1.1`, or something else.
    pub version: &'static str,
    /// Header lines in order. The value `HOST` of `host` stands for the real host.
    pub headers: Vec<(Vec<u8>, Vec<u8>)>,
    /// What follows the header, in any case.
    pub body: Vec<u8>,
}

/// Stands for the real host.
pub(super) const HOST: &[u8] = b"{host}";

impl Case {
    /// A plain GET of a target.
    pub(super) fn get(class: &'static str, target: impl Into<Vec<u8>>) -> Self {
        Self {
            classes: [class].into(),
            method: "GET".to_owned(),
            target: target.into(),
            version: "HTTP/1.1",
            headers: vec![(b"Host".to_vec(), HOST.to_vec())],
            body: Vec::new(),
        }
    }

    /// The same with another method.
    #[must_use]
    pub(super) fn method(mut self, method: &str) -> Self {
        method.clone_into(&mut self.method);
        self
    }

    /// The same with one more header.
    #[must_use]
    pub(super) fn header(mut self, name: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Self {
        self.headers.push((name.as_ref().to_vec(), value.as_ref().to_vec()));
        self
    }

    /// The same with these hosts instead of the usual one.
    #[must_use]
    pub(super) fn hosts(mut self, hosts: &[&str]) -> Self {
        self.headers.retain(|(name, _)| name != b"Host");
        let hosts = hosts
            .iter()
            .map(|host| (b"Host".to_vec(), host.as_bytes().to_vec()))
            .rev();
        hosts.for_each(|host| self.headers.insert(0, host));
        self
    }

    /// The bytes of HTTP/1.1. The connection ends with the answer.
    pub(super) fn bytes(&self, index: usize, host: &str) -> Vec<u8> {
        let mut bytes = self.method.clone().into_bytes();
        bytes.push(b' ');
        bytes.extend(named(&self.target, host));
        bytes.push(b' ');
        bytes.extend_from_slice(self.version.as_bytes());
        bytes.extend_from_slice(b"\r\n");
        for (name, value) in &self.headers {
            bytes.extend_from_slice(name);
            bytes.extend_from_slice(b": ");
            bytes.extend(named(value, host));
            bytes.extend_from_slice(b"\r\n");
        }
        bytes.extend_from_slice(format!("{NUMBER}: {index}\r\nConnection: close\r\n\r\n").as_bytes());
        bytes.extend(named(&self.body, host));
        bytes
    }

    /// The request of HTTP/2, if its client library lets it be said.
    pub(super) fn request(&self, index: usize, host: &str) -> Option<Request<Full<Bytes>>> {
        if !self.body.is_empty() || self.version != "HTTP/1.1" {
            return None;
        }
        let (mut authority, mut more) = (None, Vec::new());
        for (name, value) in &self.headers {
            let name = HeaderName::from_bytes(name).ok()?;
            let value = named(value, host);
            if name == http::header::HOST && authority.is_none() {
                authority = Some(value);
            } else {
                more.push((name, HeaderValue::from_bytes(&value).ok()?));
            }
        }
        let target = String::from_utf8(named(&self.target, host)).ok()?;
        // What the library would cut or change is no longer the attempt.
        let path = target.parse::<http::uri::PathAndQuery>().ok()?;
        if !target.starts_with('/') || path.as_str() != target {
            return None;
        }
        let uri = Uri::builder()
            .scheme("http")
            .authority(authority.unwrap_or_default())
            .path_and_query(path)
            .build()
            .ok()?;
        let mut request = Request::new(Full::default());
        *request.method_mut() = Method::from_bytes(self.method.as_bytes()).ok()?;
        *request.uri_mut() = uri;
        for (name, value) in more {
            request.headers_mut().append(name, value);
        }
        request.headers_mut().insert(NUMBER, HeaderValue::from(index));
        Some(request)
    }
}

/// A text with the real host in the place of its stand-in.
fn named(text: &[u8], host: &str) -> Vec<u8> {
    let mut rest = text;
    let mut whole = Vec::with_capacity(text.len() + host.len());
    while let Some(at) = rest.windows(HOST.len()).position(|window| window == HOST) {
        let (before, after) = rest.split_at(at);
        whole.extend_from_slice(before);
        whole.extend_from_slice(host.as_bytes());
        rest = after.get(HOST.len()..).unwrap_or_default();
    }
    whole.extend_from_slice(rest);
    whole
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_what_was_meant() {
        let case = Case::get("x", "/a\\b")
            .header("X-Role", "user,admin")
            .header("x", "{host}!");
        assert_eq!(
            String::from_utf8(case.bytes(7, "servlet")).unwrap(),
            "GET /a\\b HTTP/1.1\r\nHost: servlet\r\nX-Role: user,admin\r\nx: servlet!\r\nx-probe: 7\r\nConnection: close\r\n\r\n"
        );
    }

    #[test]
    fn http2_says_only_what_it_can() {
        assert!(
            Case::get("x", "/a#b").request(0, "h").is_none(),
            "the library cuts fragments"
        );
        let request = Case::get("x", "/a/%2e%2e;x/b")
            .header("x", "y")
            .request(3, "h")
            .unwrap();
        assert_eq!(request.uri().path(), "/a/%2e%2e;x/b");
        assert_eq!(request.uri().authority().unwrap(), "h");
        assert_eq!(request.headers()[NUMBER], "3");
    }
}

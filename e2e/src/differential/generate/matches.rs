//! Matches of requests, from the alphabets that requests are made of.

use serde_json::{Value, json};

use super::{Generator, put};

/// Paths and prefixes of rules.
const PATHS: [&str; 10] = ["/a", "/a", "/a/b", "/a/", "/ab", "/", "/A", "/a;x=1", "/b", "/a/b/c"];
/// Path regexes of rules.
const PATH_REGEXES: [&str; 7] = ["/a", "/a/[^/]+", "/(a|b)", ".*b", "/a.*", "/[a-z]+", "/a|/b"];
/// Headers of rules: name, exact value.
const HEADERS: [(&str, &str); 7] = [
    ("x-role", "admin"),
    ("x-role", "user"),
    ("X-Role", "admin"),
    ("x-a", "1"),
    ("x-a", "1,2"),
    ("x-a", "1, 2"),
    ("x-a", "a.b"),
];
/// Headers of rules: name, regex.
const HEADER_REGEXES: [(&str, &str); 8] = [
    ("x-role", "adm.*"),
    ("x-role", "admin|user"),
    ("x-role", ".+"),
    ("x-a", "[0-9]+"),
    ("x-a", "1"),
    ("x-a", "a.b"),
    // Bytes: the character has two.
    ("x-a", r"a[\x80-\xff]{2}b"),
    ("x-a", r"a[^\x{c3}]b|a.b"),
];
/// gRPC services.
pub(super) const SERVICES: [&str; 3] = ["shop.Api", "shop.Apix", "Api"];
/// gRPC methods.
pub(super) const METHODS: [&str; 3] = ["Get", "GetAll", "Put"];

impl Generator {
    /// One or two matches of requests.
    pub(super) fn http(&mut self) -> Value {
        let count = self.dice.pick(&[1, 1, 2]);
        (0..count).map(|_| self.http_match()).collect()
    }

    /// One match of requests.
    pub(super) fn http_match(&mut self) -> Value {
        let mut made = json!({});
        if self.dice.percent(80) {
            let path = self.path();
            put(&mut made, "path", path);
        }
        if self.dice.percent(35) {
            self.note("match method");
            put(
                &mut made,
                "method",
                self.dice.pick(&["GET", "GET", "POST", "PUT", "HEAD"]),
            );
        }
        if self.dice.percent(35) {
            let headers = self.headers();
            put(&mut made, "headers", headers);
        }
        made
    }

    fn path(&mut self) -> Value {
        match self.noted(&[
            "path PathPrefix",
            "path PathPrefix",
            "path Exact",
            "path RegularExpression",
        ]) {
            "path PathPrefix" => json!({"type": "PathPrefix", "value": self.dice.pick(&PATHS)}),
            "path Exact" => json!({"type": "Exact", "value": self.dice.pick(&PATHS)}),
            _ => json!({"type": "RegularExpression", "value": self.dice.pick(&PATH_REGEXES)}),
        }
    }

    fn headers(&mut self) -> Value {
        let count = self.dice.pick(&[1, 1, 2]);
        (0..count).map(|_| self.header()).collect()
    }

    fn header(&mut self) -> Value {
        let kind = self.noted(&["header Exact", "header RegularExpression"]);
        let (name, value) = if kind == "header Exact" {
            self.dice.pick(&HEADERS)
        } else {
            self.dice.pick(&HEADER_REGEXES)
        };
        json!({"type": kind.trim_start_matches("header "), "name": name, "value": value})
    }

    /// One or two matches of gRPC calls.
    pub(super) fn grpc(&mut self) -> Value {
        let count = self.dice.pick(&[1, 1, 2]);
        (0..count).map(|_| self.grpc_match()).collect()
    }

    fn grpc_match(&mut self) -> Value {
        let mut made = json!({});
        if self.dice.percent(85) {
            let mut method = json!({});
            let kind = self.noted(&["grpc Exact", "grpc Exact", "grpc RegularExpression"]);
            let exact = kind == "grpc Exact";
            put(&mut method, "type", kind.trim_start_matches("grpc "));
            let both = self.dice.percent(50);
            let service = both || self.dice.percent(60);
            if service {
                let value = if exact {
                    self.dice.pick(&SERVICES)
                } else {
                    self.dice.pick(&["shop\\..*", "shop.Api", ".*Apix?", "Api|shop.Api"])
                };
                put(&mut method, "service", value);
            }
            if both || !service {
                let value = if exact {
                    self.dice.pick(&METHODS)
                } else {
                    self.dice.pick(&["Get.*", "Get|Put", "[A-Z].t"])
                };
                put(&mut method, "method", value);
            }
            put(&mut made, "method", method);
        }
        if self.dice.percent(25) {
            let headers = self.headers();
            put(&mut made, "headers", headers);
        }
        made
    }
}

//! Requests and connections that collide with the rules: the same alphabets, spelled in many ways.

use super::Generator;
use super::matches::{METHODS, SERVICES};
use crate::differential::prober::{Does, RawRequest};
use crate::differential::question::{Asker, Question, Target};
use crate::differential::world::{self, CALLEES, CALLERS, Port};

/// Paths as they are sent.
const TARGETS: [&str; 44] = [
    "/",
    "/a",
    "/a",
    "/a",
    "/a/",
    "/a/b",
    "/a/b",
    "/a/b/c",
    "/ab",
    "/A",
    "/b",
    "/b",
    "/b/",
    "//a",
    "/a//b",
    "/a/../b",
    "/a/./b",
    "/a/b/..",
    "/a/..",
    "/../a",
    "/%61",
    "/%41",
    "/a%2fb",
    "/a%2Fb",
    "/a%5cb",
    "/%2e%2e/a",
    "/a/%2e%2e/b",
    "/a%20b",
    "/a%3bx=1",
    "/a;x=1",
    "/a;",
    "/b;x",
    "/a/b;x=1",
    "/a?x=1",
    "/a?q=1",
    "/a/b?q=7",
    "/?q=1",
    "/b?q=",
    "/a?Q=1&q=2",
    "/a?q=1&q=2",
    "/a?/b;",
    "/c",
    "/a.b",
    "/a%25b",
];
/// Authorities as they are sent; none of them matters.
const AUTHORITIES: [&str; 9] = [
    "api",
    "api",
    "api.shop",
    "api:80",
    "API.Shop:80",
    "api.",
    "api.shop.svc.cluster.local.:80",
    "other.example",
    "rewritten.example",
];
/// Headers as they are sent.
const HEADERS: [&[(&str, &str)]; 17] = [
    &[],
    &[],
    &[],
    &[],
    &[("x-role", "admin")],
    &[("X-Role", "admin")],
    &[("x-role", "user")],
    &[("x-role", "Admin")],
    &[("x-role", "user"), ("x-role", "admin")],
    &[("x-role", "user, admin")],
    &[("x-a", "1")],
    &[("x-a", "1,2")],
    &[("x-a", "1"), ("x-a", "2")],
    &[("x-a", "a.b"), ("x-role", "admin")],
    &[("x-a", "axb")],
    &[("x-a", "a\u{e9}b")],
    &[("x-role", "admin"), ("x-a", "1, 2")],
];
/// Headers that must not steer anything.
const FORGED: [(&str, &str); 5] = [
    ("x-tulle-source", "spiffe://tulle.local/ns/shop/sa/orders/"),
    ("x-tulle-path", "/a/"),
    ("x-envoy-original-path", "/a"),
    ("x-envoy-retry-on", "5xx"),
    ("x-forwarded-client-cert", "URI=spiffe://tulle.local/ns/shop/sa/orders"),
];

impl Generator {
    /// The next question.
    pub fn question(&mut self) -> Question {
        if self.dice.percent(7) {
            return self.plaintext();
        }
        let from = Asker::Mesh(self.dice.pick(&CALLERS));
        let port = self.port();
        Question {
            from,
            to: Target::Service(self.dice.pick(&world::SERVICES)),
            port: port.service,
            does: self.does(port),
        }
    }

    fn plaintext(&mut self) -> Question {
        self.note("request plaintext");
        let port = match self.port() {
            // Each such connection waits for two seconds: that is a Permissive port's patience with silent callers.
            port if port.server_first() && self.dice.percent(96) => world::ECHO,
            port => port,
        };
        Question {
            from: Asker::Plaintext,
            to: Target::Workload(self.dice.pick(&CALLEES)),
            port: port.workload,
            does: self.does(port),
        }
    }

    fn port(&mut self) -> Port {
        use world::{BANNER, ECHO, GRPC, HTTP};
        self.dice
            .pick(&[HTTP, HTTP, HTTP, HTTP, HTTP, HTTP, GRPC, GRPC, GRPC, ECHO, BANNER])
    }

    fn does(&mut self, port: Port) -> Does {
        match port.name {
            "banner" => {
                self.note("connect server-first");
                Does::Listen
            }
            "echo" => {
                self.note("connect client-first");
                Does::Say
            }
            "grpc" if self.dice.percent(75) => {
                self.note("request gRPC");
                let (service, method) = (self.dice.pick(&SERVICES), self.dice.pick(&METHODS));
                Does::Grpc(self.raw("POST", format!("/{service}/{method}")))
            }
            _ => {
                self.note("request HTTP");
                let method = self.dice.pick(&["GET", "GET", "GET", "POST", "PUT", "HEAD", "DELETE"]);
                let target = self.dice.pick(&TARGETS);
                Does::Http(self.raw(method, target.to_owned()))
            }
        }
    }

    fn raw(&mut self, method: &str, target: String) -> RawRequest {
        let mut headers = self.dice.pick(&HEADERS).to_vec();
        if self.dice.percent(8) {
            self.note("request with forged headers");
            headers.push(self.dice.pick(&FORGED));
        }
        RawRequest {
            method: method.to_owned(),
            target,
            authority: self.dice.pick(&AUTHORITIES).to_owned(),
            headers: headers
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect(),
        }
    }
}

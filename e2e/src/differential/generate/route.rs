//! Routes: producer and consumer, every match and filter that is done, weights, missing backends.

use serde_json::{Value, json};

use super::{Generator, object, put};

impl Generator {
    pub(super) fn route(&mut self, index: u8) -> Value {
        let namespace = self.dice.pick(&["shop", "shop", "shop", "billing", "shop-eu"]);
        self.note(if namespace == "shop" {
            "route producer"
        } else {
            "route consumer"
        });
        let mut parent = json!({"name": self.dice.pick(&["api", "api", "api", "legacy"])});
        if namespace != "shop" {
            put(&mut parent, "namespace", "shop");
        }
        let grpc = self.dice.percent(25);
        // Without a port a route is about both; a redirect of a gRPC call is nothing to compare.
        let whole = !grpc && self.dice.percent(15);
        if !whole {
            put(&mut parent, "port", if grpc { 90 } else { 80 });
        }
        let count = self.dice.pick(&[1, 1, 2, 2, 3]);
        let rules: Vec<Value> = (0..count)
            .map(|number| self.route_rule(number, grpc, !grpc && !whole))
            .collect();
        let spec = json!({"parentRefs": [parent], "rules": rules});
        object("TrafficRoute", namespace, &format!("r{index}"), &spec)
    }

    fn route_rule(&mut self, number: u8, grpc: bool, redirects: bool) -> Value {
        let mut rule = json!({});
        if self.dice.percent(60) {
            put(&mut rule, "name", format!("rule-{number}"));
        }
        let mut prefixes = true;
        if self.dice.percent(80) {
            let count = self.dice.pick(&[1, 1, 2]);
            let matches: Vec<Value> = (0..count).map(|_| self.route_match(grpc)).collect();
            prefixes = matches.iter().all(|one| {
                one.get("path")
                    .and_then(|path| path.get("type"))
                    .is_none_or(|kind| kind == "PathPrefix")
            });
            put(&mut rule, "matches", matches);
        } else {
            self.note("route without matches");
        }
        if redirects && self.dice.percent(15) {
            let redirect = self.redirect(prefixes);
            put(
                &mut rule,
                "filters",
                json!([{"type": "RequestRedirect", "requestRedirect": redirect}]),
            );
            return rule;
        }
        let filters = self.filters(prefixes);
        if !filters.is_empty() {
            put(&mut rule, "filters", filters);
        }
        let count = self.dice.pick(&[1, 1, 2, 2, 0]);
        let backends: Vec<Value> = (0..count).map(|_| self.backend(grpc)).collect();
        self.note(match backends.len() {
            0 => "route without backends",
            1 => "route to one backend",
            _ => "route by weight",
        });
        put(&mut rule, "backendRefs", backends);
        rule
    }

    fn route_match(&mut self, grpc: bool) -> Value {
        if grpc && self.dice.percent(60) {
            let service = self.dice.pick(&super::matches::SERVICES);
            return json!({"path": {"type": "PathPrefix", "value": format!("/{service}")}});
        }
        let mut made = self.http_match();
        if self.dice.percent(25) {
            self.note("match query parameter");
            let (kind, name, value) = self.dice.pick(&[
                ("Exact", "q", "1"),
                ("Exact", "q", ""),
                ("RegularExpression", "q", "[0-9]+"),
                ("Exact", "Q", "1"),
            ]);
            put(
                &mut made,
                "queryParams",
                json!([{"type": kind, "name": name, "value": value}]),
            );
        }
        made
    }

    fn backend(&mut self, grpc: bool) -> Value {
        let (namespace, name) = self.dice.pick(&[
            ("shop", "api-v1"),
            ("shop", "api-v1"),
            ("shop", "api-v2"),
            ("shop", "api-v2"),
            ("back", "store"),
            ("shop", "missing"),
        ]);
        let mut backend = json!({"namespace": namespace, "name": name, "port": if grpc { 90 } else { 80 }});
        if self.dice.percent(50) {
            put(&mut backend, "weight", self.dice.pick(&[0, 1, 9, 90]));
        }
        if self.dice.percent(15) {
            self.note("filter of a backend");
            // The rule's edits are of the same headers.
            let edit = match self.dice.pick(&[0, 1, 2]) {
                0 => json!({"set": [{"name": "x-backend", "value": name}]}),
                1 => json!({"set": [{"name": "x-a", "value": name}], "add": [{"name": "x-role", "value": name}]}),
                _ => json!({"add": [{"name": "x-b", "value": name}], "remove": ["x-a"]}),
            };
            put(
                &mut backend,
                "filters",
                json!([{"type": "RequestHeaderModifier", "requestHeaderModifier": edit}]),
            );
        }
        backend
    }

    fn filters(&mut self, prefixes: bool) -> Vec<Value> {
        let mut all = Vec::new();
        if self.dice.percent(25) {
            self.note("filter RequestHeaderModifier");
            let edit = match self.dice.pick(&[0, 1, 2, 3]) {
                0 => json!({"set": [{"name": "x-role", "value": "admin"}]}),
                1 => json!({"add": [{"name": "x-role", "value": "user"}, {"name": "x-a", "value": "50%"}]}),
                2 => json!({"remove": ["x-role"]}),
                _ => {
                    json!({"set": [{"name": "x-a", "value": "1"}], "add": [{"name": "x-b", "value": "2"}], "remove": ["x-role"]})
                }
            };
            all.push(json!({"type": "RequestHeaderModifier", "requestHeaderModifier": edit}));
        }
        if self.dice.percent(25) {
            let rewrite = match self.dice.pick(&[0, 1, 2]) {
                0 => {
                    self.note("rewrite host");
                    json!({"hostname": "rewritten.example"})
                }
                1 if prefixes => {
                    self.note("rewrite prefix");
                    let value = self.dice.pick(&["/", "/b", "/a/b", "/a/"]);
                    json!({"path": {"type": "ReplacePrefixMatch", "replacePrefixMatch": value}})
                }
                _ => {
                    self.note("rewrite path");
                    let value = self.dice.pick(&["/a", "/b", "/a/b"]);
                    json!({"path": {"type": "ReplaceFullPath", "replaceFullPath": value}})
                }
            };
            all.push(json!({"type": "URLRewrite", "urlRewrite": rewrite}));
        }
        all
    }

    fn redirect(&mut self, prefixes: bool) -> Value {
        self.note("redirect");
        let mut redirect = json!({"statusCode": self.dice.pick(&[301, 302, 307])});
        if self.dice.percent(50) {
            put(&mut redirect, "hostname", "elsewhere.example");
        }
        match self.dice.pick(&[0, 1, 2]) {
            0 => put(
                &mut redirect,
                "path",
                json!({"type": "ReplaceFullPath", "replaceFullPath": "/b"}),
            ),
            1 if prefixes => put(
                &mut redirect,
                "path",
                json!({"type": "ReplacePrefixMatch", "replacePrefixMatch": "/b"}),
            ),
            _ => put(&mut redirect, "scheme", "https"),
        }
        redirect
    }
}

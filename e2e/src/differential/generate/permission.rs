//! Permissions: every target, action, mode, source and match, and now and then a rule that must fail closed.

use serde_json::{Value, json};

use super::{Generator, object, put};

impl Generator {
    pub(super) fn permission(&mut self, index: u8) -> Value {
        let action = self.noted(&[
            "action Allow",
            "action Allow",
            "action Allow",
            "action Deny",
            "action Deny",
        ]);
        let action = action.trim_start_matches("action ");
        let namespace = self.dice.pick(&[
            "shop",
            "shop",
            "shop",
            "shop",
            "back",
            "back",
            "tulle-system",
            "billing",
        ]);
        let count = self.dice.pick(&[0, 1, 1, 1, 2, 2, 3]);
        let rules: Vec<Value> = (0..count).map(|number| self.rule(action, number)).collect();
        let mut spec = json!({"action": action, "rules": rules});
        if rules_are(&spec, 0) {
            self.note("rules []");
        }
        if let Some(targets) = self.targets(namespace) {
            put(&mut spec, "targetRefs", targets);
        }
        if self.dice.percent(18) {
            self.note("mode Shadow");
            put(&mut spec, "mode", "Shadow");
        }
        if self.dice.percent(2) {
            self.note("bad: unknown field of the object");
            put(&mut spec, "ruels", json!([]));
        }
        let letter = self.dice.pick(&["a", "m", "z"]);
        object("TrafficPermission", namespace, &format!("{letter}{index}"), &spec)
    }

    fn targets(&mut self, namespace: &str) -> Option<Value> {
        if namespace != "tulle-system" && self.dice.percent(15) {
            self.note("target absent");
            return None;
        }
        let count = self.dice.pick(&[1, 1, 1, 2]);
        Some((0..count).map(|_| self.target(namespace)).collect())
    }

    fn target(&mut self, namespace: &str) -> Value {
        if namespace == "tulle-system" {
            return match self.noted(&["target Mesh", "target other Namespace"]) {
                "target Mesh" => json!({"kind": "Mesh"}),
                _ => json!({"kind": "Namespace", "name": self.dice.pick(&["shop", "back"])}),
            };
        }
        let kinds = [
            "target Service",
            "target Service",
            "target Service with sectionName",
            "target Service with sectionName",
            "target Service with sectionName",
            "target Workload by name",
            "target Workload by selector",
            "target own Namespace",
            "target odd",
        ];
        match self.noted(&kinds) {
            "target Service" => json!({"kind": "Service", "name": self.service(namespace)}),
            "target Service with sectionName" => {
                let section = self
                    .dice
                    .pick(&["http", "http", "http", "grpc", "grpc", "echo", "banner", "nope"]);
                json!({"kind": "Service", "name": self.service(namespace), "sectionName": section})
            }
            "target Workload by name" => json!({"kind": "Workload", "name": self.workload(namespace)}),
            "target Workload by selector" => {
                let labels = self
                    .dice
                    .pick(&[("app", "api"), ("version", "v1"), ("app", "store"), ("app", "legacy")]);
                json!({"kind": "Workload", "selector": {"matchLabels": {labels.0: labels.1}}})
            }
            "target own Namespace" => json!({"kind": "Namespace", "name": namespace}),
            _ => match self.dice.pick(&[0, 1, 2, 3]) {
                0 => json!({"kind": "Service", "name": "missing"}),
                1 => json!({"kind": "Mesh"}),
                2 => json!({"kind": "Namespace", "name": "shop"}),
                _ => json!({"kind": "TrafficRoute", "name": "r0"}),
            },
        }
    }

    fn service(&mut self, namespace: &str) -> &'static str {
        match namespace {
            "back" => "store",
            _ => self.dice.pick(&["api", "api", "api", "api-v1", "api-v2", "legacy"]),
        }
    }

    fn workload(&mut self, namespace: &str) -> &'static str {
        match namespace {
            "back" => "store-1",
            _ => self.dice.pick(&["api-1", "api-2", "legacy-1"]),
        }
    }

    fn rule(&mut self, action: &str, number: u8) -> Value {
        let mut rule = json!({});
        if self.dice.percent(70) {
            let letter = self.dice.pick(&["r", "A", "z", "0"]);
            put(&mut rule, "name", format!("{letter}{number}"));
        }
        let absent = if action == "Deny" { 25 } else { 2 };
        if self.dice.percent(4) {
            self.note("sources []");
            put(&mut rule, "sources", json!([]));
        } else if self.dice.percent(absent) {
            self.note("sources absent");
        } else {
            let sources = self.sources();
            put(&mut rule, "sources", sources);
        }
        match self.dice.pick(&[0, 0, 1, 1, 1, 1, 2, 2]) {
            0 => self.note("rule for everything"),
            1 => {
                self.note("rule http");
                let http = self.http();
                put(&mut rule, "http", http);
            }
            _ => {
                self.note("rule grpc");
                let grpc = self.grpc();
                put(&mut rule, "grpc", grpc);
            }
        }
        if self.dice.percent(18) {
            self.note("rule ports");
            let ports = self.dice.pick(&[
                &["http"][..],
                &["http", "grpc"],
                &["80"],
                &["echo"],
                &["banner", "echo"],
                &["nope"],
                &["8080"],
            ]);
            put(&mut rule, "ports", json!(ports));
        }
        if self.dice.percent(6) {
            self.spoil(&mut rule);
        }
        rule
    }

    /// Makes the rule one that must fail closed.
    fn spoil(&mut self, rule: &mut Value) {
        let feature = self.noted(&[
            "bad: unknown field of a rule",
            "bad: http []",
            "bad: http and grpc",
            "bad: query parameter",
            "bad: regex",
            "bad: ports []",
            "bad: source",
            "bad: x-envoy header",
            "bad: path",
            "bad: method",
            "bad: header name",
        ]);
        let http = |value: Value| ("http", json!([value]));
        let (field, value) = match feature {
            "bad: unknown field of a rule" => ("sorces", json!([])),
            "bad: http []" => ("http", json!([])),
            "bad: http and grpc" => {
                put(rule, "grpc", json!([{}]));
                http(json!({}))
            }
            "bad: query parameter" => http(json!({"queryParams": [{"name": "q", "value": "1"}]})),
            "bad: regex" => http(json!({"path": {"type": "RegularExpression", "value": "/a)|(.*"}})),
            "bad: ports []" => ("ports", json!([])),
            "bad: source" => {
                let spiffe = json!({"match": "Exact", "value": "tulle.local/ns/shop"});
                ("sources", json!([{"type": "SPIFFE", "spiffe": spiffe}]))
            }
            "bad: x-envoy header" => http(json!({"headers": [{"name": "x-envoy-original-path", "value": "/a"}]})),
            "bad: path" => http(json!({"path": {"type": "PathPrefix", "value": "/a/../b"}})),
            "bad: method" => http(json!({"method": "FETCH"})),
            _ => http(json!({"headers": [{"name": "x role", "value": "admin"}]})),
        };
        put(rule, field, value);
    }
}

fn rules_are(spec: &Value, count: usize) -> bool {
    spec.get("rules")
        .and_then(Value::as_array)
        .is_some_and(|rules| rules.len() == count)
}

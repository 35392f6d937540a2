//! Limits that no run exhausts, and faults that hit every request that they match: both are decisions that can be foreseen.

use serde_json::{Value, json};

use super::{Generator, object, put};

impl Generator {
    pub(super) fn rate_limit(&mut self) -> Value {
        self.note("RateLimit");
        let namespace = self.dice.pick(&["shop", "back"]);
        let mut limit = json!({"name": "many", "rate": {"requests": 1_000_000, "unit": "Second", "burst": 1_000_000}});
        let matched = self.request_match();
        put(&mut limit, "match", matched);
        if self.dice.percent(40) {
            put(&mut limit, "key", json!([{"type": "SourceIdentity"}]));
        }
        let mut spec = json!({"limits": [limit]});
        if self.dice.percent(40) {
            put(&mut spec, "mode", "Shadow");
        }
        object("RateLimit", namespace, "limit", &spec)
    }

    pub(super) fn fault(&mut self) -> Value {
        let namespace = self.dice.pick(&["shop", "shop", "back"]);
        let faults: Vec<Value> = (0..self.dice.pick(&[1, 1, 2]))
            .map(|number| self.one_fault(number))
            .collect();
        object(
            "FaultInjection",
            namespace,
            "fault",
            &json!({"until": "never", "faults": faults}),
        )
    }

    fn one_fault(&mut self, number: u8) -> Value {
        let abort = if self.dice.percent(70) {
            self.note("fault httpStatus");
            json!({"httpStatus": self.dice.pick(&[418, 451, 507])})
        } else {
            self.note("fault grpcStatus");
            json!({"grpcStatus": self.dice.pick(&["UNAVAILABLE", "NOT_FOUND", "ABORTED"])})
        };
        let mut fault = json!({"name": format!("f{number}"), "percent": "100", "abort": abort});
        let matched = self.request_match();
        put(&mut fault, "match", matched);
        fault
    }

    fn request_match(&mut self) -> Value {
        let mut matched = json!({});
        if self.dice.percent(70) {
            put(&mut matched, "sources", Value::Array(vec![self.source()]));
        }
        if self.dice.percent(70) {
            let one = self.http_match();
            put(&mut matched, "http", Value::Array(vec![one]));
        }
        matched
    }
}

//! The Mesh object: default actions, mTLS modes, path parameters.

use serde_json::{Value, json};

use super::{Generator, put};

impl Generator {
    pub(super) fn mesh(&mut self) -> Value {
        let default = self.noted(&["AllowUntilSelected", "AllowUntilSelected", "Allow", "Deny"]);
        self.mesh_with(default, true)
    }

    /// A Mesh of this default action, perhaps with mTLS modes of its own.
    pub(super) fn mesh_with(&mut self, default: &'static str, modes: bool) -> Value {
        let mut spec = json!({"permissions": {"defaultAction": default}});
        if modes && self.dice.percent(50) {
            let mtls = match self.dice.pick(&[0, 0, 1, 2, 3]) {
                0 => {
                    json!({"overrides": [{"namespace": "shop", "selector": {"matchLabels": {"app": "legacy"}}, "mode": "Permissive"}]})
                }
                1 => json!({"overrides": [{"namespace": "shop", "port": 8080, "mode": "Permissive"}]}),
                2 => json!({"mode": "Permissive", "overrides": [{"namespace": "back", "mode": "Strict"}]}),
                _ => json!({"mode": "Permissive"}),
            };
            self.note("mtls Permissive");
            put(&mut spec, "mtls", mtls);
        }
        if self.dice.percent(25) {
            self.note("allowPathParameters");
            put(&mut spec, "normalization", json!({"allowPathParameters": true}));
        }
        if self.dice.percent(30) {
            self.note("denialHeader");
            put(&mut spec, "observability", json!({"denialHeader": true}));
        }
        json!({
            "apiVersion": "mesh.tulle.dev/v1alpha1", "kind": "Mesh", "metadata": {"name": "default"}, "spec": spec,
        })
    }
}

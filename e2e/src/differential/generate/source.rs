//! Sources of rules: every type, with identities of which one is a prefix of another.

use serde_json::{Value, json};

use super::Generator;

impl Generator {
    /// One or two sources.
    pub(super) fn sources(&mut self) -> Value {
        let count = self.dice.pick(&[1, 1, 2]);
        (0..count).map(|_| self.source()).collect()
    }

    pub(super) fn source(&mut self) -> Value {
        match self.dice.pick(&[0, 0, 0, 1, 1, 2, 2, 3, 4, 4, 5, 6]) {
            0 => {
                self.note("source ServiceAccount");
                let (namespace, name) = self.dice.pick(&[
                    ("shop", "orders"),
                    ("shop", "web"),
                    ("billing", "ledger"),
                    ("shop-eu", "orders"),
                    ("shop", "nobody"),
                ]);
                json!({"type": "ServiceAccount", "serviceAccount": {"namespace": namespace, "name": name}})
            }
            1 => {
                self.note("source Namespace");
                let name = self.dice.pick(&["shop", "shop", "shop-eu", "billing", "nowhere"]);
                json!({"type": "Namespace", "namespace": {"name": name}})
            }
            2 => {
                self.note("source SPIFFE PathPrefix");
                let value = self.dice.pick(&[
                    "spiffe://tulle.local/ns/shop",
                    "spiffe://tulle.local/ns/shop/",
                    "spiffe://tulle.local/ns/shop/sa/orders",
                    "spiffe://tulle.local/ns/shop/sa/ord",
                    "spiffe://tulle.local/ns",
                    "spiffe://tulle.local",
                    "spiffe://tulle.loc",
                ]);
                json!({"type": "SPIFFE", "spiffe": {"match": "PathPrefix", "value": value}})
            }
            3 => {
                self.note("source SPIFFE Exact");
                let value = self.dice.pick(&[
                    "spiffe://tulle.local/ns/shop/sa/orders",
                    "spiffe://tulle.local/ns/shop-eu/sa/orders",
                    "spiffe://other.example/ns/shop/sa/orders",
                ]);
                json!({"type": "SPIFFE", "spiffe": {"match": "Exact", "value": value}})
            }
            4 => {
                self.note("source Authenticated");
                json!({"type": "Authenticated"})
            }
            5 => {
                self.note("source Unauthenticated");
                json!({"type": "Unauthenticated"})
            }
            _ => {
                self.note("source SPIFFE TrustDomain");
                let value = self.dice.pick(&["tulle.local", "other.example"]);
                json!({"type": "SPIFFE", "spiffe": {"match": "TrustDomain", "value": value}})
            }
        }
    }
}

//! The other server, in Python: what runs it, and what it has counted.

use serde::{Deserialize, Serialize};

use crate::harness::yaml::NAMESPACE;

/// Asks it for its counts.
pub const HITS_PATH: &str = "/public/hits";

const PROGRAM: &str = include_str!("servlet.py");
const PORT: u16 = 8080;

/// What it has served, whoever got the answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hits {
    /// Requests for `/admin` and below.
    pub admin: u64,
    /// Requests for anything but `/public` and below.
    pub private: u64,
    /// Requests with the role `admin`.
    pub role: u64,
}

/// A Service and a workload of this name that run it.
pub fn servlet(name: &str) -> String {
    // JSON strings are YAML strings.
    let program = serde_json::Value::from(PROGRAM);
    format!(
        "---\napiVersion: v1\nkind: Service\nmetadata: {{name: {name}, namespace: {NAMESPACE}}}\nspec:\n  selector: {{app: {name}}}\n  \
         ports: [{{name: http, port: 80, targetPort: {PORT}, appProtocol: http}}]\n\
         ---\napiVersion: mesh.tulle.dev/v1alpha1\nkind: Workload\nmetadata: {{name: {name}-1, namespace: {NAMESPACE}, labels: \
         {{app: {name}}}}}\nspec:\n  serviceAccount: {name}\n  ports: [{{name: http, port: {PORT}, appProtocol: http}}]\n  process:\n    \
         command:\n    - python3\n    - -c\n    - {program}\n    - \"{PORT}\"\n"
    )
}

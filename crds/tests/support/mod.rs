//! What several tests share.

use serde_json::Value;

/// The kind's schema, from its root.
pub(crate) fn schema(kind: &str) -> Value {
    let crd = tulle_crds::all()
        .into_iter()
        .find(|crd| crd.spec.names.kind == kind)
        .unwrap();
    let validation = crd.spec.versions.into_iter().next().unwrap().schema.unwrap();
    serde_json::to_value(validation.open_api_v3_schema.unwrap()).unwrap()
}

//! What objects of the API server show: the fields that several tests look at.

use serde_json::Value;

/// A field that is a text; empty if it is not there.
pub(crate) fn text<'a>(object: &'a Value, path: &str) -> &'a str {
    object.pointer(path).and_then(Value::as_str).unwrap_or_default()
}

/// `synced` and `state` of a `MeshStatus`.
pub(crate) fn row(object: &Value) -> (&str, &str) {
    (text(object, "/status/synced"), text(object, "/status/state"))
}

/// `status/reason` of the summary of a policy.
pub(crate) fn ready(object: &Value) -> String {
    let of = |field: &str| text(object, &format!("/status/conditions/0/{field}"));
    format!("{}/{}", of("status"), of("reason"))
}

/// Whether a Pod is.
pub(crate) fn is_ready(pod: &Value) -> bool {
    let conditions = pod.pointer("/status/conditions").and_then(Value::as_array);
    let mut conditions = conditions.into_iter().flatten();
    conditions.any(|one| text(one, "/type") == "Ready" && text(one, "/status") == "True")
}

//! Objects with their status, as JSON: what the admin socket serves and `tulle get` prints.

use std::sync::Arc;

use serde_json::{Value, json};

use super::Statuses;
use crate::engine::EngineView;
use crate::source::Object;

/// Everything that is known, at one moment.
#[derive(Clone, Debug)]
pub struct StatusView {
    /// Grows whenever somebody could see a difference.
    pub version: u64,
    /// The engine's view that it was made of.
    pub engine: Arc<EngineView>,
    /// The statuses.
    pub statuses: Statuses,
}

/// Every object of a kind (`TrafficPermission`), with its status, by namespace and name.
pub fn objects(view: &StatusView, kind: &str) -> Vec<Value> {
    match kind {
        "MeshStatus" => mesh_statuses(view),
        "Mesh" => meshes(view),
        _ => {
            let of_kind = view
                .engine
                .source
                .by_name
                .values()
                .filter(|object| object.kind() == kind);
            of_kind.map(|object| with_status(view, object)).collect()
        }
    }
}

fn with_status(view: &StatusView, object: &Object) -> Value {
    let mut value = object.to_json();
    if let (Some(status), Some(fields)) = (view.statuses.policies.get(&object.reference()), value.as_object_mut()) {
        fields.insert("status".to_owned(), serde_json::to_value(status).unwrap_or_default());
    }
    value
}

/// One object for each group of workloads; nobody wrote them.
fn mesh_statuses(view: &StatusView) -> Vec<Value> {
    let object = |(key, status): (&config::model::Key, _)| {
        json!({
            "apiVersion": "mesh.tulle.dev/v1alpha1",
            "kind": "MeshStatus",
            "metadata": {"namespace": &*key.namespace, "name": &*key.name},
            "spec": {},
            "status": serde_json::to_value(status).unwrap_or_default(),
        })
    };
    view.statuses.workloads.iter().map(object).collect()
}

/// Meshes; the one named `default` exists even if nobody wrote it.
fn meshes(view: &StatusView) -> Vec<Value> {
    let written = view
        .engine
        .source
        .by_name
        .values()
        .filter(|object| object.kind() == "Mesh")
        .map(Object::to_json);
    let mut meshes: Vec<Value> = written.collect();
    let is_default = |mesh: &Value| mesh.pointer("/metadata/name").and_then(Value::as_str) == Some("default");
    if !meshes.iter().any(is_default) {
        meshes.push(json!({
            "apiVersion": "mesh.tulle.dev/v1alpha1",
            "kind": "Mesh",
            "metadata": {"name": "default"},
            "spec": {},
        }));
    }
    for mesh in meshes.iter_mut().filter(|mesh| is_default(mesh)) {
        if let Some(fields) = mesh.as_object_mut() {
            fields.insert(
                "status".to_owned(),
                serde_json::to_value(&view.statuses.mesh).unwrap_or_default(),
            );
        }
    }
    meshes
}

/// A finding as JSON.
pub fn finding(diagnostic: &config::Diagnostic) -> Value {
    json!({
        "object": diagnostic.object.to_string(),
        "path": diagnostic.path,
        "rule": diagnostic.rule,
        "reason": diagnostic.reason,
        "message": diagnostic.message,
        "severity": match diagnostic.severity {
            config::Severity::Error => "error",
            config::Severity::Warning => "warning",
        },
    })
}

//! YAML -> `Objects`, and the Services and workloads of small test meshes as YAML.

use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde_json::Value;
use tulle_config::Objects;

/// Reads multi-document YAML.
pub fn objects(yaml: &str) -> Objects {
    let mut objects = Objects::default();
    add(&mut objects, yaml);
    objects
}

/// Adds the objects of multi-document YAML.
pub fn add(objects: &mut Objects, yaml: &str) {
    let documents: Vec<Value> = serde_saphyr::from_multiple(yaml).unwrap_or_else(|error| panic!("{error}\n{yaml}"));
    for value in documents.into_iter().filter(|value| !value.is_null()) {
        add_value(objects, value);
    }
}

/// Adds one object.
pub fn add_value(objects: &mut Objects, value: Value) {
    match value["kind"].as_str().unwrap_or_default() {
        "Mesh" => objects.meshes.push(read(value)),
        "TrafficPermission" => objects.permissions.push(read(value)),
        "TrafficRoute" => objects.routes.push(read(value)),
        "RateLimit" => objects.rate_limits.push(read(value)),
        "FaultInjection" => objects.faults.push(read(value)),
        "Workload" => objects.workloads.push(read(value)),
        "Service" => objects.services.push(read(value)),
        "EndpointSlice" => objects.endpoint_slices.push(read(value)),
        "Namespace" => objects.namespaces.push(read(value)),
        kind => panic!("no such kind: {kind:?}"),
    }
}

fn read<T: DeserializeOwned>(value: Value) -> Arc<T> {
    let text = value.to_string();
    Arc::new(serde_json::from_value(value).unwrap_or_else(|error| panic!("{error}: {text}")))
}

/// A Service of the namespace `shop` in front of the application of this label.
pub fn shop_service(name: &str, address: &str, app: &str, ports: &str) -> String {
    format!(
        "---\napiVersion: v1\nkind: Service\nmetadata: {{name: {name}, namespace: shop}}\n\
         spec: {{clusterIP: {address}, selector: {{app: {app}}}, ports: [{ports}]}}\n"
    )
}

/// A workload of the namespace `shop`; its application is its label and its service account.
pub fn shop_workload(name: &str, address: &str, app: &str, ports: &str) -> String {
    format!(
        "---\napiVersion: mesh.tulle.dev/v1alpha1\nkind: Workload\nmetadata: {{name: {name}, namespace: shop, labels: {{app: {app}}}}}\n\
         spec: {{address: {address}, serviceAccount: {app}, ports: [{ports}]}}\n"
    )
}

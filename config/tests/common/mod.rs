//! For tests: multi-document YAML -> `Objects`, and shorthands to look into the model.
#![allow(
    dead_code,
    unreachable_pub,
    unused_imports,
    reason = "each test binary uses its part"
)]
#![allow(
    clippy::panic,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that cannot go on must stop"
)]

mod yaml;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crds::conditions::Reason;
use tulle_config::model::{InboundPort, Key, Model, PortPermission, RouteTable, ServicePort, SpiffeId, Workload};
use tulle_config::{Objects, Settings, access, build};
pub use yaml::{add, add_value, objects};

/// The tests' now: 2026-11-22T00:00:00Z.
pub fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_hours(498_696)
}

/// Parses and links.
pub fn model(objects: &Objects) -> Arc<Model> {
    build(objects, &Settings::default(), now())
}

/// Parses and links YAML.
pub fn model_of(yaml: &str) -> Arc<Model> {
    model(&objects(yaml))
}

/// A workload, by `namespace/name`.
pub fn workload<'a>(model: &'a Model, name: &str) -> &'a Workload {
    &model.workloads[&key(name)]
}

/// A port of a workload; 0 is the undeclared ones.
pub fn inbound<'a>(model: &'a Model, name: &str, port: u16) -> &'a InboundPort {
    let workload = workload(model, name);
    if port == 0 {
        &workload.undeclared
    } else {
        &workload.ports[&port]
    }
}

/// A Service's port.
pub fn service_port<'a>(model: &'a Model, name: &str, port: u16) -> &'a ServicePort {
    &model.services[&key(name)].ports[&port]
}

/// The entries of a table, as `rule -> first match`.
pub fn table(table: Option<&Arc<RouteTable>>) -> Option<Vec<String>> {
    Some(table?.entries.iter().map(|entry| entry.origin.to_string()).collect())
}

/// `namespace/name`.
pub fn key(name: &str) -> Key {
    let (namespace, name) = name.split_once('/').unwrap();
    Key::new(namespace, name)
}

/// The identity of `namespace/account`.
pub fn identity(name: &str) -> SpiffeId {
    let (namespace, account) = name.split_once('/').unwrap();
    SpiffeId::of("tulle.local", namespace, account)
}

/// Who has any access to a port, as `namespace/account`.
pub fn allowed(model: &Model, name: &str, port: u16) -> Vec<String> {
    let inbound = inbound(model, name, port);
    let set = access::allowed_identities(model, &inbound.permission);
    set.iter()
        .map(|id| {
            id.as_str()
                .trim_start_matches("spiffe://tulle.local/ns/")
                .replace("/sa/", "/")
        })
        .collect()
}

/// The names of rules.
pub fn rules(permission: &PortPermission) -> (Vec<String>, Vec<String>) {
    let names =
        |rules: &[Arc<tulle_config::model::PermissionRule>]| rules.iter().map(|rule| rule.origin.to_string()).collect();
    (names(&permission.deny), names(&permission.allow))
}

/// The diagnostics as `path reason`.
pub fn found(model: &Model) -> Vec<(String, Reason)> {
    model
        .diagnostics
        .iter()
        .map(|one| (one.path.clone(), one.reason))
        .collect()
}

/// Two workloads of payments, one of orders, and a stranger in another namespace.
pub const SHOP: &str = r"
{apiVersion: v1, kind: Service, metadata: {name: payments, namespace: shop}, spec: {clusterIP: 240.0.0.1, selector: {app: payments}, ports: [{name: http, port: 80, targetPort: web}, {name: tcp-db, port: 5432, targetPort: 5432}]}}
---
{apiVersion: v1, kind: Service, metadata: {name: orders, namespace: shop}, spec: {clusterIP: None, selector: {app: orders}, ports: [{name: grpc, port: 9000}]}}
---
{apiVersion: mesh.tulle.dev/v1alpha1, kind: Workload, metadata: {name: payments-1, namespace: shop, labels: {app: payments}}, spec: {address: 10.0.0.1, serviceAccount: payments, ports: [{name: web, port: 8000}, {name: admin, port: 9999, appProtocol: http}]}}
---
{apiVersion: mesh.tulle.dev/v1alpha1, kind: Workload, metadata: {name: payments-2, namespace: shop, labels: {app: payments}}, spec: {address: 10.0.0.2, serviceAccount: payments, ports: [{name: web, port: 8001}]}}
---
{apiVersion: mesh.tulle.dev/v1alpha1, kind: Workload, metadata: {name: orders-1, namespace: shop, labels: {app: orders}}, spec: {address: 10.0.0.3, serviceAccount: orders}}
---
{apiVersion: mesh.tulle.dev/v1alpha1, kind: Workload, metadata: {name: stranger, namespace: other, labels: {app: payments}}, spec: {address: 10.0.0.4}}
";

/// The shop and more.
pub fn shop(more: &str) -> Arc<Model> {
    let mut all = objects(SHOP);
    add(&mut all, more);
    model(&all)
}

/// An object of the shop.
pub fn object(kind: &str, name: &str, spec: &str) -> String {
    format!(
        "\n---\n{{apiVersion: mesh.tulle.dev/v1alpha1, kind: {kind}, metadata: {{name: {name}, namespace: shop}}, spec: {{{spec}}}}}\n"
    )
}

/// A `TrafficPermission` of the shop.
pub fn permission(name: &str, spec: &str) -> String {
    object("TrafficPermission", name, spec)
}

/// The Mesh.
pub fn mesh(spec: &str) -> String {
    format!(
        "\n---\n{{apiVersion: mesh.tulle.dev/v1alpha1, kind: Mesh, metadata: {{name: default}}, spec: {{{spec}}}}}\n"
    )
}

/// The `sources` of a rule about orders.
pub const FROM_ORDERS: &str = "sources: [{type: ServiceAccount, serviceAccount: {namespace: shop, name: orders}}]";

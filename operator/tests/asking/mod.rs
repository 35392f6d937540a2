//! A small mesh in a folder, and the questions of the command line about it.

#![allow(dead_code, reason = "each test file uses a part")]

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

pub(crate) const SERVICES: &str = "
apiVersion: v1
kind: Service
metadata: {name: payments, namespace: shop}
spec: {clusterIP: 10.0.0.1, selector: {app: payments}, ports: [{name: http, port: 80, targetPort: 8080}]}
---
apiVersion: v1
kind: Service
metadata: {name: two, namespace: shop}
spec: {clusterIP: 10.0.0.2, selector: {app: payments}, ports: [{name: a, port: 80, targetPort: 8080}, {name: b, port: 81, targetPort: 8080}]}
---
apiVersion: mesh.tulle.dev/v1alpha1
kind: Workload
metadata: {name: payments-1, namespace: shop, labels: {app: payments}}
spec: {address: 10.1.0.1, serviceAccount: payments, ports: [{name: http, port: 8080}]}
---
apiVersion: mesh.tulle.dev/v1alpha1
kind: Workload
metadata: {name: payments-2, namespace: shop, labels: {app: payments}}
spec: {address: 10.1.0.2, serviceAccount: payments, ports: [{name: http, port: 8080}]}
---
apiVersion: mesh.tulle.dev/v1alpha1
kind: Workload
metadata: {name: orders-1, namespace: shop, labels: {app: orders}}
spec: {address: 10.1.0.3, serviceAccount: orders, ports: []}
---
apiVersion: mesh.tulle.dev/v1alpha1
kind: Workload
metadata: {name: orders-1, namespace: ops, labels: {app: orders}}
spec: {address: 10.1.0.4, serviceAccount: orders, ports: []}
";

pub(crate) const PERMISSION: &str = "apiVersion: mesh.tulle.dev/v1alpha1
kind: TrafficPermission
metadata: {name: payments, namespace: shop}
spec:
  targetRefs: [{kind: Service, name: payments}]
  action: Allow
  rules:
  - name: orders
    sources: [{type: ServiceAccount, serviceAccount: {namespace: shop, name: orders}}]
    http: [{method: POST, path: {type: PathPrefix, value: /charges}}]
";

pub(crate) fn folder() -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let mesh = dir.path().join("mesh");
    fs::create_dir(&mesh).unwrap();
    fs::write(mesh.join("services.yaml"), SERVICES).unwrap();
    fs::write(mesh.join("permission.yaml"), PERMISSION).unwrap();
    (dir, mesh)
}

pub(crate) fn tulle(arguments: &[&str], folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tulle"));
    command.args(arguments).current_dir(folder).env_remove("TULLE_STATE");
    command
}

pub(crate) fn run(arguments: &[&str], folder: &Path) -> (Option<i32>, String, String) {
    let output = tulle(arguments, folder).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

/// With something on standard input.
pub(crate) fn run_with(arguments: &[&str], folder: &Path, input: &str) -> (Option<i32>, String, String) {
    let mut command = tulle(arguments, folder);
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

pub(crate) fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

//! The `tulle` binary as people use it.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests are tests too"
)]

mod asking;

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};

use asking::{run, tulle};
use rustix::process::{Pid, Signal, kill_process};

const MESH: &str = "
apiVersion: v1
kind: Service
metadata: {name: payments, namespace: shop}
spec:
  selector: {app: payments}
  ports: [{name: http, port: 80, targetPort: 8080}]
---
apiVersion: mesh.tulle.dev/v1alpha1
kind: Workload
metadata: {name: payments-1, namespace: shop, labels: {app: payments}}
spec: {address: 127.0.0.1, serviceAccount: payments, ports: [{name: http, port: 8080}]}
---
apiVersion: mesh.tulle.dev/v1alpha1
kind: TrafficPermission
metadata: {name: payments, namespace: shop}
spec:
  targetRefs: [{kind: Service, name: payments}]
  action: Allow
  rules:
  - name: orders
    sources: [{type: ServiceAccount, serviceAccount: {namespace: shop, name: orders}}]
";

fn folder() -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let mesh = dir.path().join("mesh");
    fs::create_dir(&mesh).unwrap();
    fs::write(mesh.join("mesh.yaml"), MESH).unwrap();
    (dir, mesh)
}

/// A running `tulle up`.
struct Up(Child);

impl Up {
    /// Returns when it says that it is up.
    fn start(folder: &Path) -> Self {
        let mut command = tulle(&["up", "mesh", "--listen", "127.0.0.1:0"], folder);
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let up = lines.any(|line| line.unwrap().contains("the control plane is up"));
        assert!(up, "it ended before it was up");
        std::thread::spawn(move || lines.for_each(drop));
        Self(child)
    }

    fn signal(&mut self, signal: Signal) -> Option<i32> {
        let pid = Pid::from_raw(i32::try_from(self.0.id()).unwrap()).unwrap();
        kill_process(pid, signal).unwrap();
        self.0.wait().unwrap().code()
    }
}

impl Drop for Up {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

#[test]
fn lint_names_files_lines_objects_and_fields() {
    let (dir, mesh) = folder();
    assert_eq!(run(&["lint", "mesh"], dir.path()).0, Some(0));

    fs::write(
        mesh.join("broken.yaml"),
        "apiVersion: v1\nkind: Service\nmetadata: {name: a}\nspec: {ports: 5}\n",
    )
    .unwrap();
    fs::write(
        mesh.join("wrong.yaml"),
        MESH.split("---")
            .last()
            .unwrap()
            .replace("name: payments, namespace", "name: wrong, namespace")
            .replace(
                "serviceAccount: {namespace: shop, name: orders}",
                "serviceAccount: {namespace: shop, name: orders, nam: x}",
            ),
    )
    .unwrap();
    let (code, out, _) = run(&["lint", "mesh"], dir.path());
    assert_eq!(code, Some(1));
    assert!(out.contains("mesh/broken.yaml:4:"), "{out}");
    let finding = out
        .lines()
        .find(|line| line.contains("TrafficPermission/shop/wrong"))
        .unwrap_or_else(|| panic!("{out}"));
    assert!(
        finding.starts_with("mesh/wrong.yaml:") && finding.contains("spec.rules[0].sources[0]"),
        "{finding}"
    );

    let (code, out, _) = run(&["lint", "mesh", "-o", "json"], dir.path());
    let json: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, json["files"].as_array().unwrap().len()), (Some(1), 1));
    assert!(
        json["objects"][0]["path"].as_str().unwrap().starts_with("spec."),
        "{out}"
    );
}

#[test]
fn up_get_and_the_end() {
    let (dir, mesh) = folder();
    let mut up = Up::start(dir.path());
    let (code, out, _) = run(&["get", "mesh"], dir.path());
    assert_eq!(code, Some(0));
    let lines: Vec<&str> = out.lines().collect();
    assert!(
        lines[0].starts_with("NAME      PROXIES   SYNCED") && lines[1].starts_with("default   1         0/1"),
        "{out}"
    );

    let (_, out, _) = run(&["get", "ms", "-A"], dir.path());
    assert!(out.contains("NAMESPACE   NAME       PROXIES   SYNCED"), "{out}");
    let (_, out, _) = run(&["get", "tp", "payments", "-n", "shop", "-o", "yaml"], dir.path());
    assert!(
        out.starts_with("apiVersion: mesh.tulle.dev/v1alpha1\nkind: TrafficPermission\n"),
        "{out}"
    );
    let (_, out, _) = run(&["get", "tp", "-A", "-o", "json"], dir.path());
    let json: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(json.pointer("/items/0/status/acked").unwrap(), "0/1");
    assert_eq!(run(&["get", "tp/none", "-n", "shop"], dir.path()).0, Some(1));
    assert!(run(&["get", "pods"], dir.path()).2.contains("trafficpermissions"));

    let (_, out, _) = run(&["get", "rules", "-n", "shop"], dir.path());
    assert!(
        out.contains("\nTrafficPermission/shop/payments/orders   Allow     0"),
        "{out}"
    );
    let (_, out, _) = run(&["get", "rules", "-A", "--never", "-o", "name"], dir.path());
    assert_eq!(out, "TrafficPermission/shop/payments/orders\n");
    assert_eq!(run(&["get", "rules/none", "-A"], dir.path()).0, Some(1));
    assert_eq!(run(&["get", "tp", "-A", "--never"], dir.path()).0, Some(1));

    let (code, out, _) = run(&["token", "create", "shop/payments-1"], dir.path());
    assert_eq!((code, out.split('.').count()), (Some(0), 3));
    let (code, _, error) = run(&["up", "mesh", "--listen", "127.0.0.1:0"], dir.path());
    assert!(code == Some(1) && error.contains("in use by another"), "{error}");
    assert_eq!(up.signal(Signal::TERM), Some(0));
    assert!(!mesh.join(".tulle/admin.sock").exists());
    let (code, _, error) = run(&["get", "mesh", "--state", "mesh/.tulle"], dir.path());
    assert!(code == Some(1) && error.contains("tulle up"), "{error}");
}

#[test]
fn a_killed_control_plane_starts_again_and_serves_what_was_accepted() {
    let (dir, mesh) = folder();
    let mut up = Up::start(dir.path());
    up.signal(Signal::KILL);
    fs::write(mesh.join("mesh.yaml"), "").unwrap();
    let _up = Up::start(dir.path());
    let (_, out, _) = run(&["get", "tp", "-n", "shop", "-o", "name"], dir.path());
    assert_eq!(out, "trafficpermissions/payments\n");
}

#[test]
fn a_broken_first_start_is_refused_with_file_and_line() {
    let (dir, mesh) = folder();
    fs::write(mesh.join("broken.yaml"), "apiVersion: v1\nkind: [").unwrap();
    let (code, _, error) = run(&["up", "mesh", "--listen", "127.0.0.1:0"], dir.path());
    assert!(code == Some(1) && error.contains("mesh/broken.yaml:"), "{error}");
    let (code, _, error) = run(&["up", "nowhere", "--listen", "127.0.0.1:0"], dir.path());
    assert!(code == Some(1) && error.contains("nowhere"), "{error}");
    assert!(
        !dir.path().join("nowhere").exists(),
        "a state folder was made in a folder that is not there"
    );
}

#[test]
fn callers_reads_files_and_standard_input() {
    let (dir, _) = folder();
    let line = r#"{"time": "t", "listener": "l", "peer": "spiffe://x/a", "destination": "10.0.0.1:80", "sni": null,
        "direction": "inbound", "method": "GET", "details": "via_upstream", "allowed_by": "TrafficPermission/shop/a/b"}"#;
    fs::write(dir.path().join("log"), line.replace('\n', "") + "\nnot ours\n").unwrap();
    let (code, out, error) = run(&["callers", "log", "log"], dir.path());
    assert_eq!(code, Some(0));
    assert!(
        out.contains("\nspiffe://x/a   10.0.0.1:80   TrafficPermission/shop/a/b   2          2"),
        "{out}"
    );
    assert!(error.contains("2 lines that are not"), "{error}");
    let mut command = tulle(&["callers", "-", "-o", "json"], dir.path());
    let log = fs::File::open(dir.path().join("log")).unwrap();
    let out = command.stdin(log).output().unwrap().stdout;
    let json: serde_json::Value = serde_json::from_slice(&out).unwrap();
    assert_eq!((&json["foreign"], &json["items"][0]["allowed"]), (&1.into(), &1.into()));
    assert_eq!(run(&["callers", "nowhere"], dir.path()).0, Some(1));
}

#[test]
fn version_names_envoy_too() {
    let (code, out, _) = run(&["version"], Path::new("."));
    assert!(
        code == Some(0) && out.contains("tulle ") && out.contains("envoy 1.40"),
        "{out}"
    );
}

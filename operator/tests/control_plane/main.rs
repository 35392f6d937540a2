//! A whole control plane in this process, and simulated proxies that talk to it over TLS with join tokens.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests are tests too"
)]

mod client;
mod reports;

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use client::Client;
use config::model::Key;
use tulle_operator::allocate::WorkloadAddresses;
use tulle_operator::control_plane::{ControlPlane, ControlPlaneOptions, StartError};
use tulle_operator::engine::EngineView;
use tulle_operator::identity::JoinKey;
use tulle_operator::status;
use xds::Kind;

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
kind: Workload
metadata: {name: elsewhere, namespace: shop}
spec: {address: 127.0.0.9, serviceAccount: elsewhere, ports: [{name: http, port: 8080}]}
";

const PERMISSION: &str = "
apiVersion: mesh.tulle.dev/v1alpha1
kind: TrafficPermission
metadata: {name: payments, namespace: shop}
spec:
  targetRefs: [{kind: Service, name: payments}]
  action: Allow
  rules:
  - name: orders
    sources: [{type: ServiceAccount, serviceAccount: {namespace: shop, name: orders}}]
    http: [{method: GET}]
";

/// A folder of objects and a state folder.
struct Place {
    _dir: tempfile::TempDir,
    folder: PathBuf,
    state: PathBuf,
}

impl Place {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (folder, state) = (dir.path().join("mesh"), dir.path().join("state"));
        fs::create_dir(&folder).unwrap();
        let place = Self {
            _dir: dir,
            folder,
            state,
        };
        place.write("mesh.yaml", MESH);
        place.write("permission.yaml", PERMISSION);
        place
    }

    fn write(&self, file: &str, content: &str) {
        fs::write(self.folder.join(file), content).unwrap();
    }

    async fn start(&self) -> Result<ControlPlane, StartError> {
        ControlPlane::start(ControlPlaneOptions {
            folder: self.folder.clone(),
            state_dir: self.state.clone(),
            listen: "127.0.0.1:0".parse().unwrap(),
            workload_addresses: WorkloadAddresses::default(),
            placement: config::Placement::default(),
            access_log_path: None,
            settings: config::Settings::default(),
        })
        .await
    }

    fn token(&self, name: &str) -> String {
        let key = JoinKey::open(&self.state).unwrap();
        key.issue("shop", name, Duration::from_hours(1), SystemTime::now())
            .unwrap()
    }

    async fn join(&self, plane: &ControlPlane, name: &str, token: &str) -> Result<Client, tonic::Status> {
        let root = fs::read_to_string(self.state.join("ca/root.pem")).unwrap();
        Client::join(plane.xds_address(), &root, &format!("shop/{name}"), token).await
    }
}

async fn until(plane: &ControlPlane, condition: impl FnMut(&EngineView) -> bool) -> Arc<EngineView> {
    tokio::time::timeout(Duration::from_secs(20), plane.engine().wait_for(condition))
        .await
        .expect("in time")
}

fn snapshot(plane: &ControlPlane) -> Arc<xds::Snapshot> {
    let slot = plane.publisher().subscribe(&xds::ProxyId::new("shop/payments-1"));
    slot.borrow().clone().expect("a snapshot")
}

fn synced(view: &EngineView) -> bool {
    view.proxies
        .get(&Key::new("shop", "payments-1"))
        .is_some_and(|proxy| proxy.synced())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edit_reaches_a_proxy_and_status_says_so() {
    let place = Place::new();
    let plane = place.start().await.unwrap();
    let client = place
        .join(&plane, "payments-1", &place.token("payments-1"))
        .await
        .unwrap();
    client.want_everything(&snapshot(&plane)).await;
    client.follow();
    until(&plane, synced).await;
    let before = client.versions(Kind::Route);
    assert!(!before.is_empty());

    place.write("permission.yaml", &PERMISSION.replace("method: GET", "method: PUT"));
    let view = plane.settle().await;
    let revision = view.revision;
    until(&plane, |view| view.revision >= revision && synced(view)).await;
    assert_ne!(client.versions(Kind::Route), before);

    let status = plane.status().view();
    let shown = status::objects(&status, "TrafficPermission");
    assert_eq!(shown[0].pointer("/status/acked").unwrap(), "1/1");
    assert_eq!(
        shown[0].pointer("/status/conditions/0/reason").unwrap(),
        "AllProxiesAcked"
    );
    let rows = status::objects(&status, "MeshStatus");
    let row = rows
        .iter()
        .find(|row| row.pointer("/metadata/name").unwrap() == "payments")
        .unwrap();
    assert_eq!(row.pointer("/status/synced").unwrap(), "1/1");
    plane.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_shows_with_the_clients_words() {
    let place = Place::new();
    let plane = place.start().await.unwrap();
    let mut client = place
        .join(&plane, "payments-1", &place.token("payments-1"))
        .await
        .unwrap();
    client.want_everything(&snapshot(&plane)).await;
    client.refuse(Kind::Route, "bad method");
    client.follow();
    until(&plane, |view| {
        view.proxies.values().any(|proxy| !proxy.rejections.is_empty())
    })
    .await;
    let shown = status::objects(&plane.status().view(), "TrafficPermission");
    let ready = shown[0].pointer("/status/conditions/0").unwrap();
    assert_eq!(
        (ready["status"].as_str(), ready["reason"].as_str()),
        (Some("False"), Some("Rejected"))
    );
    assert!(ready["message"].as_str().unwrap().contains("bad method"), "{ready}");
    plane.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_workload_itself_gets_a_stream() {
    let place = Place::new();
    let plane = place.start().await.unwrap();
    for (name, token, word) in [
        ("payments-1", String::new(), "token"),
        ("payments-1", place.token("elsewhere"), "not for node"),
        ("elsewhere", place.token("elsewhere"), "127.0.0.1"),
    ] {
        let Err(status) = place.join(&plane, name, &token).await else {
            panic!("{name} has a stream")
        };
        assert!(status.message().contains(word), "{name}: {status}");
    }
    assert!(plane.engine().view().proxies.is_empty());
    plane.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_restart_nothing_is_sent_again() {
    let place = Place::new();
    let plane = place.start().await.unwrap();
    let client = place
        .join(&plane, "payments-1", &place.token("payments-1"))
        .await
        .unwrap();
    client.want_everything(&snapshot(&plane)).await;
    client.follow();
    until(&plane, synced).await;
    let held = client.held();
    assert!(held[&Kind::Secret].contains_key("identity"));
    plane.shutdown().await;

    let plane = place.start().await.unwrap();
    let root = fs::read_to_string(place.state.join("ca/root.pem")).unwrap();
    let token = place.token("payments-1");
    let again = Client::rejoin(plane.xds_address(), &root, "shop/payments-1", &token, held)
        .await
        .unwrap();
    again.follow();
    until(&plane, synced).await;
    assert_eq!(plane.counters().all_resources(), 0);
    plane.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_removed_workload_loses_its_stream() {
    let place = Place::new();
    let plane = place.start().await.unwrap();
    let client = place
        .join(&plane, "payments-1", &place.token("payments-1"))
        .await
        .unwrap();
    client.want_everything(&snapshot(&plane)).await;
    let ended = client.follow();
    until(&plane, synced).await;
    place.write("mesh.yaml", &MESH.replace("name: payments-1", "name: payments-2"));
    plane.settle().await;
    tokio::time::timeout(Duration::from_secs(20), ended)
        .await
        .expect("the stream ends")
        .unwrap();
    plane.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_state_folder_serves_one_control_plane_and_is_free_after_it() {
    let place = Place::new();
    let plane = place.start().await.unwrap();
    assert!(matches!(place.start().await, Err(StartError::Lock(_))));
    assert!(plane.admin_socket().exists());
    plane.shutdown().await;
    assert!(!place.state.join("admin.sock").exists());
    place.start().await.unwrap().shutdown().await;
}

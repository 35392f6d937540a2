//! The writer against a small API server of our own, which fails on demand and counts.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Path, RawQuery, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Json, Response};
use axum::routing::{any, get};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::time::Instant;

use super::lease::Role;
use super::tests::status_of;
use super::writer::{Figures, run};

const LIMIT: Duration = Duration::from_mins(1);

/// What the fake holds and was asked.
#[derive(Default)]
struct Fake {
    /// Objects by path below the version.
    objects: Mutex<BTreeMap<String, Value>>,
    /// Each write: method, path, and what was answered.
    writes: Mutex<Vec<(String, String, u16)>>,
    /// So many writes are answered by 503.
    away: AtomicU64,
    version: AtomicU64,
}

impl Fake {
    fn next(&self) -> String {
        self.version.fetch_add(1, Ordering::Relaxed).to_string()
    }

    fn list(&self, plural: &str) -> Value {
        let objects = self.objects.lock().unwrap();
        let items: Vec<&Value> = objects
            .iter()
            .filter(|(path, _)| path.contains(plural))
            .map(|(_, one)| one)
            .collect();
        json!({"apiVersion": "mesh.tulle.dev/v1alpha1", "kind": "List", "metadata": {"resourceVersion": "1"}, "items": items})
    }

    fn write(&self, method: &str, path: &str, body: &Value) -> (u16, Value) {
        if self.away.load(Ordering::Relaxed) > 0 {
            self.away.fetch_sub(1, Ordering::Relaxed);
            return (
                503,
                json!({"kind": "Status", "status": "Failure", "code": 503, "message": "away"}),
            );
        }
        let mut objects = self.objects.lock().unwrap();
        let object = path.trim_end_matches("/status").to_owned();
        if method == "DELETE" {
            return (200, objects.remove(&object).unwrap_or_default());
        }
        let known = objects.entry(object).or_insert_with(|| {
            json!({"apiVersion": body["apiVersion"], "kind": body["kind"], "metadata": {
                "name": body["metadata"]["name"], "namespace": body["metadata"]["namespace"], "uid": path,
            }})
        });
        known["metadata"]["resourceVersion"] = self.next().into();
        if path.ends_with("/status") {
            known["status"] = body["status"].clone();
        }
        (200, known.clone())
    }
}

async fn answer(
    State(fake): State<Arc<Fake>>,
    Path(path): Path<String>,
    RawQuery(query): RawQuery,
    method: axum::http::Method,
    body: Bytes,
) -> Response {
    if method == "GET" {
        if query.is_some_and(|query| query.contains("watch")) {
            // Nothing ever happens: what is written is known from the answers.
            return Body::from_stream(futures::stream::pending::<Result<Bytes, std::io::Error>>()).into_response();
        }
        return Json(fake.list(&path)).into_response();
    }
    let value = serde_json::from_slice(&body).unwrap_or_default();
    let (code, answer) = fake.write(method.as_str(), &path, &value);
    fake.writes.lock().unwrap().push((method.to_string(), path, code));
    (StatusCode::from_u16(code).unwrap(), Json(answer)).into_response()
}

async fn serve(fake: &Arc<Fake>) -> kube::Client {
    let version = json!({"major": "1", "minor": "30", "gitVersion": "v1.30.0", "gitCommit": "", "gitTreeState": "",
        "buildDate": "", "goVersion": "", "compiler": "", "platform": ""});
    let router = Router::new()
        .route("/version", get(move || async move { Json(version) }))
        .route("/apis/mesh.tulle.dev/v1alpha1/{*path}", any(answer))
        .with_state(Arc::clone(fake));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });
    kube::Client::try_from(kube::Config::new(url)).unwrap()
}

/// A stale row, no rows that are wanted, a policy that a file gave (without an identity, so never touched) and the Mesh.
fn world() -> Arc<Fake> {
    let fake = Arc::new(Fake::default());
    fake.version.store(100, Ordering::Relaxed);
    let object = |kind: &str, namespace: &str, name: &str| {
        json!({"apiVersion": "mesh.tulle.dev/v1alpha1", "kind": kind, "metadata": {
            "name": name, "namespace": namespace, "uid": name, "resourceVersion": "7"}})
    };
    let mut objects = fake.objects.lock().unwrap();
    objects.insert("meshes/default".into(), object("Mesh", "", "default"));
    let stale = "namespaces/shop/meshstatuses/stale".to_owned();
    objects.insert(stale, object("MeshStatus", "shop", "stale"));
    let other = "namespaces/shop/trafficpermissions/good".to_owned();
    objects.insert(other, object("TrafficPermission", "shop", "good"));
    drop(objects);
    fake
}

#[tokio::test]
async fn what_differs_is_written_once_however_often_the_api_server_is_away() {
    let fake = world();
    fake.away.store(5, Ordering::Relaxed);
    let client = serve(&fake).await;
    let (status, _engine) = status_of(&[]);
    let (_role, role) = watch::channel(Role::Leader(Instant::now() + LIMIT));
    let figures = Arc::<Figures>::default();
    let writer = run(client, &status, role, Arc::clone(&figures));
    let done = || {
        let writes = fake.writes.lock().unwrap();
        let mut done: Vec<String> = writes
            .iter()
            .filter(|(_, _, code)| *code == 200)
            .map(|(method, path, _)| format!("{method} {path}"))
            .collect();
        done.sort();
        done
    };
    let expected = [
        "DELETE namespaces/shop/meshstatuses/stale",
        "PATCH meshes/default/status",
        "PATCH namespaces/shop/meshstatuses/payments",
        "PATCH namespaces/shop/meshstatuses/payments/status",
    ];
    let wait = async {
        while done().len() < expected.len() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        // Looks again several times, also because somebody says that something changed.
        for _ in 0..20 {
            status.beside().send_modify(|_| {});
            tokio::time::sleep(Duration::from_millis(60)).await;
        }
    };
    tokio::select! {
        never = writer => match never {},
        waited = tokio::time::timeout(LIMIT, wait) => waited.unwrap(),
    }
    assert_eq!(done(), expected);
    assert_eq!(fake.writes.lock().unwrap().len(), expected.len() + 5);
    let objects = fake.objects.lock().unwrap();
    assert_eq!(
        objects["namespaces/shop/meshstatuses/payments"]["status"]["synced"],
        "0/2"
    );
    assert_eq!(objects["meshes/default"]["status"]["state"], "Disconnected");
    assert_eq!(objects["namespaces/shop/trafficpermissions/good"].get("status"), None);
}

#[tokio::test]
async fn who_does_not_lead_writes_nothing() {
    let fake = world();
    let client = serve(&fake).await;
    let (status, _engine) = status_of(&[]);
    // The Lease could not be renewed in time; nobody has noticed yet.
    let (_role, role) = watch::channel(Role::Leader(Instant::now()));
    let figures = Arc::<Figures>::default();
    let writer = run(client, &status, role, Arc::clone(&figures));
    let tried = async {
        while figures.failures.load(Ordering::Relaxed) == 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::select! {
        never = writer => match never {},
        tried = tokio::time::timeout(LIMIT, tried) => tried.unwrap(),
    }
    assert_eq!(*fake.writes.lock().unwrap(), []);
}

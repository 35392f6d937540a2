//! The Kubernetes source against an API server of the test's own: what is published when, and what a watch survives.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests are tests too"
)]

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Query, State};
use axum::http::Uri;
use config::ObjectRef;
use serde_json::{Value, json};
use tokio::sync::{mpsc, watch};
use tokio_stream::StreamExt;
use tokio_stream::wrappers::UnboundedReceiverStream;
use tulle_operator::source::kubernetes::{KubernetesHandle, connect, start};
use tulle_operator::source::{Served, SourceView};

const LIMIT: Duration = Duration::from_mins(1);

/// What one kind's list answers, and the watches on it that are open.
#[derive(Default)]
struct Kind {
    items: Vec<Value>,
    lists: usize,
    watches: Vec<mpsc::UnboundedSender<Value>>,
}

/// The API server.
#[derive(Clone)]
struct Api {
    kinds: Arc<Mutex<BTreeMap<String, Kind>>>,
    /// Lists of this kind wait.
    held: Arc<watch::Sender<Option<&'static str>>>,
}

impl Api {
    fn new(held: Option<&'static str>) -> Self {
        Self {
            kinds: Arc::default(),
            held: Arc::new(watch::Sender::new(held)),
        }
    }

    fn with<T>(&self, kind: &str, act: impl FnOnce(&mut Kind) -> T) -> T {
        act(self.kinds.lock().unwrap().entry(kind.to_owned()).or_default())
    }

    /// Waits until somebody watches this kind for the nth time, and tells that watch.
    async fn tell(&self, kind: &str, nth: usize, event: &Value) {
        until("a watch", || self.with(kind, |kind| kind.watches.len() >= nth)).await;
        self.with(kind, |kind| kind.watches.last().unwrap().send(event.clone()).unwrap());
    }

    async fn serve(&self) -> tempfile::NamedTempFile {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = format!("http://{}", listener.local_addr().unwrap());
        let router = Router::new().fallback(answer).with_state(self.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        let kubeconfig = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "c",
            "clusters": [{"name": "c", "cluster": {"server": server}}],
            "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
            "users": [{"name": "u", "user": {}}],
        });
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), kubeconfig.to_string()).unwrap();
        file
    }
}

async fn answer(State(api): State<Api>, uri: Uri, Query(query): Query<BTreeMap<String, String>>) -> Body {
    let kind = uri.path().rsplit('/').next().unwrap().to_owned();
    if kind == "version" {
        // Old enough for lists and watches.
        let fields = [
            "gitVersion",
            "gitCommit",
            "gitTreeState",
            "buildDate",
            "goVersion",
            "compiler",
            "platform",
        ];
        let mut version = json!({"major": "1", "minor": "30"});
        for field in fields {
            version[field] = "".into();
        }
        return Body::from(version.to_string());
    }
    if query.contains_key("watch") {
        let (sender, events) = mpsc::unbounded_channel();
        api.with(&kind, |kind| kind.watches.push(sender));
        let lines = UnboundedReceiverStream::new(events).map(|event: Value| format!("{event}\n"));
        return Body::from_stream(lines.map(|line| Ok::<_, std::io::Error>(Bytes::from(line))));
    }
    let items = api.with(&kind, |kind| {
        kind.lists += 1;
        kind.items.clone()
    });
    let mut held = api.held.subscribe();
    held.wait_for(|held| held.is_none_or(|held| held != kind))
        .await
        .unwrap();
    let list = json!({"apiVersion": "v1", "kind": "List", "metadata": {"resourceVersion": "1"}, "items": items});
    Body::from(list.to_string())
}

async fn until(what: &str, mut ready: impl FnMut() -> bool) {
    let wait = async {
        while !ready() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(LIMIT, wait)
        .await
        .unwrap_or_else(|_| panic!("{what}: not within {LIMIT:?}"));
}

async fn viewed(source: &KubernetesHandle, what: &str, wanted: impl Fn(&SourceView) -> bool) -> Arc<SourceView> {
    until(what, || wanted(&source.view())).await;
    source.view()
}

fn permission(name: &str, action: &Value) -> Value {
    json!({
        "apiVersion": "mesh.tulle.dev/v1alpha1", "kind": "TrafficPermission",
        "metadata": {"name": name, "namespace": "shop", "resourceVersion": "2"},
        "spec": {"action": action, "rules": []},
    })
}

fn namespace(name: &str) -> Value {
    json!({"metadata": {"name": name, "resourceVersion": "2"}})
}

fn has(view: &SourceView, name: &str) -> bool {
    view.by_name
        .contains_key(&ObjectRef::new("TrafficPermission", "shop", name))
}

#[tokio::test]
async fn nothing_is_served_before_every_kind_was_listed() {
    for held in [
        "pods",
        "namespaces",
        "services",
        "endpointslices",
        "trafficpermissions",
        "meshes",
        "workloads",
    ] {
        let api = Api::new(Some(held));
        api.with("trafficpermissions", |kind| {
            kind.items.push(permission("first", &json!("Allow")));
        });
        let file = api.serve().await;
        let client = connect(Some(file.path())).await.unwrap();
        let mut source = std::pin::pin!(start(client, "tulle-system"));
        let others_are_watched = until("the others are watched", || {
            let kinds = api.kinds.lock().unwrap();
            kinds
                .iter()
                .filter(|(name, kind)| *name != held && !kind.watches.is_empty())
                .count()
                == 9
        });
        tokio::select! {
            _ = &mut source => panic!("served without {held}"),
            () = others_are_watched => {}
        }
        let early = tokio::time::timeout(Duration::from_millis(50), &mut source).await;
        assert!(early.is_err(), "served without {held}");
        api.held.send_replace(None);
        let source = tokio::time::timeout(LIMIT, source).await.unwrap().unwrap();
        assert_eq!(source.view().sequence, 1);
        assert!(has(&source.view(), "first"));
    }
}

#[tokio::test]
async fn a_watch_that_the_server_forgot_begins_anew_and_what_was_known_is_served_meanwhile() {
    let api = Api::new(None);
    api.with("trafficpermissions", |kind| {
        kind.items.push(permission("old", &json!("Deny")));
    });
    let file = api.serve().await;
    let source = start(connect(Some(file.path())).await.unwrap(), "tulle-system")
        .await
        .unwrap();
    api.held.send_replace(Some("trafficpermissions"));
    api.with("trafficpermissions", |kind| {
        kind.items = vec![permission("new", &json!("Deny"))];
    });
    let gone = json!({"type": "ERROR", "object": {
        "apiVersion": "v1", "kind": "Status", "metadata": {}, "status": "Failure", "code": 410, "reason": "Expired", "message": "too old"}});
    api.tell("trafficpermissions", 1, &gone).await;
    until("the second list", || {
        api.with("trafficpermissions", |kind| kind.lists == 2)
    })
    .await;
    // Other kinds go on, with what was known of this one.
    api.tell("namespaces", 1, &json!({"type": "ADDED", "object": namespace("shop")}))
        .await;
    let view = viewed(&source, "the namespace", |view| view.objects.namespaces.len() == 1).await;
    assert!(has(&view, "old") && !has(&view, "new"));
    api.held.send_replace(None);
    let view = viewed(&source, "the new list", |view| has(view, "new")).await;
    assert!(!has(&view, "old"));
    api.tell(
        "trafficpermissions",
        2,
        &json!({"type": "ADDED", "object": permission("later", &json!("Deny"))}),
    )
    .await;
    viewed(&source, "the new watch", |view| has(view, "later")).await;
}

#[tokio::test]
async fn an_object_that_cannot_be_read_stops_nothing() {
    let api = Api::new(None);
    api.with("trafficpermissions", |kind| {
        kind.items.push(permission("listed", &json!(5)));
    });
    let file = api.serve().await;
    let source = start(connect(Some(file.path())).await.unwrap(), "tulle-system")
        .await
        .unwrap();
    assert_eq!(source.view().problems.len(), 1);
    let event = |kind: &str, object: Value| json!({"type": kind, "object": object});
    api.tell(
        "trafficpermissions",
        1,
        &event("ADDED", permission("told", &json!({"x": 1}))),
    )
    .await;
    let view = viewed(&source, "both problems", |view| view.problems.len() == 2).await;
    assert!(view.problems.iter().all(|problem| problem.served == Served::StandIn));
    api.tell(
        "trafficpermissions",
        1,
        &event("ADDED", permission("good", &json!("Allow"))),
    )
    .await;
    viewed(&source, "the good one", |view| has(view, "good")).await;
    api.tell(
        "trafficpermissions",
        1,
        &event("MODIFIED", permission("told", &json!("Deny"))),
    )
    .await;
    api.tell(
        "trafficpermissions",
        1,
        &event("DELETED", permission("listed", &json!(5))),
    )
    .await;
    let view = viewed(&source, "no problem", |view| view.problems.is_empty()).await;
    assert_eq!(view.objects.permissions.len(), 2);
}

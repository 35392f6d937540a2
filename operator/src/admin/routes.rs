//! What the admin socket answers.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Json, Response};
use axum::routing::get;
use config::LoopbackBlock;
use config::model::Key;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{AdminState, kinds, metrics, snapshot};
use crate::rules::{self, RuleReport};
use crate::status;

/// The longest that a request may wait for a change.
const LONGEST_WAIT: Duration = Duration::from_mins(1);

/// All routes.
pub(super) fn router(state: AdminState) -> Router {
    Router::new()
        .route("/objects", get(all_objects))
        .route("/objects/{kind}", get(objects))
        .route("/problems", get(problems))
        .route("/proxies", get(proxies))
        .route("/environment/{namespace}/{workload}", get(environment))
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(|| async { "ok\n" }))
        .route("/version", get(|| async { Json(version()) }))
        .route("/rules", get(rules_report))
        .route("/metrics", get(metrics_text))
        .route("/debug/snapshot/{namespace}/{workload}", get(debug_snapshot))
        .with_state(state)
}

/// Our version and the Envoy's that belongs to it.
pub(crate) fn version() -> Value {
    json!({"tulle": env!("CARGO_PKG_VERSION"), "envoy": crate::envoy_binary::PINNED.to_string()})
}

#[derive(Deserialize)]
struct Watch {
    /// Answer only when there is another version than this.
    after: Option<u64>,
    /// How long to wait for it, in seconds.
    wait: Option<u64>,
}

/// `{"version": 7, "kind": "...List", "items": [...]}`. With `after` and `wait` it is a long poll.
async fn objects(State(state): State<AdminState>, Path(kind): Path<String>, Query(watch): Query<Watch>) -> Response {
    let Some(kind) = kinds::find(&kind) else {
        let known: Vec<String> = kinds::all().into_iter().map(|kind| kind.plural).collect();
        let message = format!("there is no kind {kind:?}; ask for one of {}\n", known.join(", "));
        return (StatusCode::NOT_FOUND, message).into_response();
    };
    let view = match watch.after {
        Some(after) => {
            let longest = Duration::from_secs(watch.wait.unwrap_or(30)).min(LONGEST_WAIT);
            state.status.changed(after, longest).await
        }
        None => state.status.view(),
    };
    let items = status::objects(&view, &kind.kind);
    Json(json!({"kind": format!("{}List", kind.kind), "version": view.version, "items": items})).into_response()
}

/// Everything that is served, as of one moment, without status.
async fn all_objects(State(state): State<AdminState>) -> Json<Value> {
    let view = state.engine.borrow().clone();
    let items: Vec<Value> = view
        .source
        .by_name
        .values()
        .map(crate::source::Object::to_json)
        .collect();
    Json(json!({"kind": "List", "version": view.revision, "items": items}))
}

/// Broken files and findings about objects.
async fn problems(State(state): State<AdminState>) -> Json<Value> {
    let view = state.engine.borrow().clone();
    let findings: Vec<Value> = view.model.diagnostics.iter().map(status::finding).collect();
    Json(json!({"files": view.source.problems, "objects": findings}))
}

async fn proxies(State(state): State<AdminState>) -> Json<Value> {
    let view = state.engine.borrow().clone();
    let proxies = view.proxies.iter().map(|(key, proxy)| {
        json!({
            "proxy": key.to_string(),
            "connected": proxy.connected,
            "since": jiff::Timestamp::try_from(proxy.since).unwrap_or_default().to_string(),
            "sent": proxy.sent,
            "acked": proxy.acked,
            "synced": proxy.synced(),
            "failed": proxy.failed,
            "rejections": proxy.rejections.iter().map(|rejection| json!({
                "resource": format!("{:?} {}", rejection.kind, rejection.name),
                "version": rejection.version,
                "objects": rejection.objects.iter().map(ToString::to_string).collect::<Vec<_>>(),
                "message": rejection.message,
            })).collect::<Vec<_>>(),
        })
    });
    let proxies: Vec<Value> = proxies.collect();
    Json(json!({"revision": view.revision, "processed": view.processed, "proxies": proxies}))
}

/// What each rule decided.
async fn rules_report(State(state): State<AdminState>) -> Json<RuleReport> {
    Json(rules_now(&state))
}

fn rules_now(state: &AdminState) -> RuleReport {
    let model = Arc::clone(&state.engine.borrow().model);
    rules::report(&model, &state.rules)
}

/// Our own figures, as Prometheus reads them.
async fn metrics_text(State(state): State<AdminState>) -> Response {
    match state.figures() {
        Ok(text) => ([(CONTENT_TYPE, metrics::CONTENT_TYPE)], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

/// What a workload's application is told on loopback addresses; nothing elsewhere.
async fn environment(
    State(state): State<AdminState>,
    Path((namespace, workload)): Path<(String, String)>,
) -> Json<BTreeMap<String, String>> {
    let model = state.engine.borrow().model.clone();
    let key = Key::new(&namespace, &workload);
    let block = model
        .workloads
        .get(&key)
        .and_then(|workload| LoopbackBlock::of(workload.address));
    Json(block.map_or_else(BTreeMap::new, |block| {
        config::environment::environment(&model, block, &key)
    }))
}

async fn debug_snapshot(
    State(state): State<AdminState>,
    Path((namespace, workload)): Path<(String, String)>,
) -> Response {
    let proxy = xds::ProxyId::new(format!("{namespace}/{workload}"));
    let Some(summary) = snapshot::summary(&state.publisher, &proxy) else {
        let message = format!("nothing is published for {proxy}; it has no stream (see /proxies)\n");
        return (StatusCode::NOT_FOUND, message).into_response();
    };
    Json(summary).into_response()
}

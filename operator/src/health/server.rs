//! `/livez`, `/readyz` and `/metrics`.

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::net::TcpListener;

use super::Health;
use crate::admin::METRICS_TYPE;

/// Serves as long as the process lives: it tells of the end too.
pub async fn serve(listener: TcpListener, health: Health) {
    let router = Router::new()
        .route("/livez", get(livez))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .with_state(health);
    if let Err(error) = axum::serve(listener, router).await {
        tracing::error!(%error, "the port for health ended");
    }
}

async fn livez(State(health): State<Health>) -> Response {
    if health.alive() {
        (StatusCode::OK, "ok\n").into_response()
    } else {
        (StatusCode::INTERNAL_SERVER_ERROR, "the engine ended; restart tulle\n").into_response()
    }
}

async fn readyz(State(health): State<Health>) -> Response {
    let (ready, text) = health.ready();
    let status = if ready {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    (status, text).into_response()
}

async fn metrics(State(health): State<Health>) -> Response {
    match health.figures() {
        Some(text) => ([(CONTENT_TYPE, METRICS_TYPE)], text).into_response(),
        None => (
            StatusCode::SERVICE_UNAVAILABLE,
            "there are no figures before everything was read once\n",
        )
            .into_response(),
    }
}

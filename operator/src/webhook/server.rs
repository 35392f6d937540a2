//! The server: TLS 1.3, a certificate that renews itself, one path for each question.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Json, Response};
use axum::routing::post;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_stream::StreamExt as _;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::server::Connected as _;

use super::Reviews;
use super::review::{BadReview, answer};
use super::reviews::Question;
use super::validate::Validator;
use crate::identity::{CaError, CertificateAuthority, IncomingLimits, TlsConnection, server_config_for, tls_incoming};
use crate::inject::InjectSettings;
use kube::core::DynamicObject;
use kube::core::admission::AdmissionReview;

/// Where pods are sent for injection.
pub const MUTATE_PATH: &str = "/mutate";
/// Where objects of ours are sent to be judged.
pub const VALIDATE_PATH: &str = "/validate";
/// How long a certificate lives; renewed at half of it.
pub const CERTIFICATE_LIFETIME: Duration = Duration::from_hours(24);
/// The API server's own limit of a request is 3 MiB; a review holds a little more.
const LARGEST: usize = 4 << 20;

/// What is served.
#[derive(Clone, Debug)]
pub struct Webhook {
    /// The Service's names, as the API server calls it (`tulle.tulle-system.svc`).
    pub names: Vec<String>,
    /// What pods get.
    pub inject: InjectSettings,
    /// What judges objects of ours.
    pub validator: Option<Validator>,
    /// Counts the answers.
    pub reviews: Reviews,
}

/// Serves until `stop` is done; requests under way are answered. The `caBundle` that the API server needs is the CA's bundle.
/// The error is at the start only: no certificate.
pub fn serve(
    listener: TcpListener,
    ca: Arc<CertificateAuthority>,
    webhook: Webhook,
    stop: impl Future<Output = ()> + Send + 'static,
) -> Result<impl Future<Output = ()> + Send + 'static, CaError> {
    let protocols = [b"h2".as_slice(), b"http/1.1"];
    let config = server_config_for(ca, CERTIFICATE_LIFETIME, &webhook.names, &protocols)?;
    let address = listener.local_addr().ok();
    Ok(async move {
        let connections = tls_incoming(listener, Arc::new(config), IncomingLimits::default());
        let incoming = Incoming { connections, address };
        if let Err(error) = axum::serve(incoming, router(webhook))
            .with_graceful_shutdown(stop)
            .await
        {
            tracing::error!(%error, "the webhook's server ended");
        }
    })
}

/// Each judgement compiles the whole mesh, and whoever reaches the port can ask for one: others wait, and proxies are served meanwhile.
const JUDGED_AT_ONCE: usize = 1;

struct Served {
    webhook: Webhook,
    judging: Semaphore,
}

fn router(webhook: Webhook) -> Router {
    Router::new()
        .route(MUTATE_PATH, post(mutate))
        .route(VALIDATE_PATH, post(judge))
        .layer(DefaultBodyLimit::max(LARGEST))
        .with_state(Arc::new(Served {
            webhook,
            judging: Semaphore::new(JUDGED_AT_ONCE),
        }))
}

async fn mutate(State(served): State<Arc<Served>>, body: Bytes) -> Response {
    let webhook = &served.webhook;
    respond(&webhook.reviews, Question::Mutate, answer(&body, &webhook.inject))
}

async fn judge(State(served): State<Arc<Served>>, body: Bytes) -> Response {
    let webhook = &served.webhook;
    let Some(validator) = webhook.validator.clone() else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let Ok(_turn) = served.judging.acquire().await else {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    };
    // It compiles; connections must not wait for that.
    match tokio::task::spawn_blocking(move || validator.answer(&body)).await {
        Ok(answer) => respond(&webhook.reviews, Question::Validate, answer),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

/// Counts an answer and sends it.
fn respond(
    reviews: &Reviews,
    question: Question,
    answer: Result<AdmissionReview<DynamicObject>, BadReview>,
) -> Response {
    reviews.count(question, answer.as_ref().ok());
    match answer {
        Ok(review) => Json(review).into_response(),
        Err(error) => {
            tracing::warn!(%error, "a review cannot be answered");
            (StatusCode::BAD_REQUEST, error.to_string()).into_response()
        }
    }
}

/// Connections whose handshake is done.
struct Incoming {
    connections: ReceiverStream<io::Result<TlsConnection>>,
    address: Option<SocketAddr>,
}

impl axum::serve::Listener for Incoming {
    type Io = TlsConnection;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (TlsConnection, SocketAddr) {
        loop {
            match self.connections.next().await {
                Some(Ok(connection)) => {
                    let peer = connection.connect_info().remote_addr;
                    if let Some(peer) = peer {
                        return (connection, peer);
                    }
                }
                Some(Err(_)) => {}
                // The stream ends with this value only; there is nothing to wait for, and the stop signal still counts.
                None => std::future::pending().await,
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.address
            .ok_or_else(|| io::Error::from(io::ErrorKind::AddrNotAvailable))
    }
}

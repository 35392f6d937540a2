//! The server: one path, TLS 1.3, a certificate that renews itself.

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
use tokio_stream::StreamExt as _;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::server::Connected as _;

use super::review::answer;
use crate::identity::{CaError, CertificateAuthority, IncomingLimits, TlsConnection, server_config_for, tls_incoming};
use crate::inject::InjectSettings;

/// Where pods are sent for injection.
pub const INJECT_PATH: &str = "/inject";
/// How long a certificate lives; renewed at half of it.
pub const CERTIFICATE_LIFETIME: Duration = Duration::from_hours(24);
/// The API server's own limit of a request is 3 MiB; a review holds a little more.
const LARGEST: usize = 4 << 20;

/// Serves until `stop` is done; requests under way are answered. `name` is the Service's, as the API server calls it
/// (`tulle.tulle-system.svc`); the `caBundle` that it needs is the CA's bundle.
pub async fn serve(
    listener: TcpListener,
    ca: Arc<CertificateAuthority>,
    name: &str,
    settings: InjectSettings,
    stop: impl Future<Output = ()> + Send + 'static,
) -> Result<(), CaError> {
    let config = server_config_for(ca, CERTIFICATE_LIFETIME, name, &[b"h2".as_slice(), b"http/1.1"])?;
    let address = listener.local_addr().ok();
    let connections = tls_incoming(listener, Arc::new(config), IncomingLimits::default());
    let incoming = Incoming { connections, address };
    if let Err(error) = axum::serve(incoming, router(settings))
        .with_graceful_shutdown(stop)
        .await
    {
        tracing::error!(%error, "the webhook's server ended");
    }
    Ok(())
}

fn router(settings: InjectSettings) -> Router {
    Router::new()
        .route(INJECT_PATH, post(review))
        .layer(DefaultBodyLimit::max(LARGEST))
        .with_state(Arc::new(settings))
}

async fn review(State(settings): State<Arc<InjectSettings>>, body: Bytes) -> Response {
    match answer(&body, &settings) {
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

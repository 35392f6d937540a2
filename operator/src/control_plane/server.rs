//! The xDS port: TLS, tokens, delta ADS.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use config::model::Key;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use xds::{ProxyEvent, Publisher};

use super::{EngineDirectory, StartError};
use crate::identity::{
    CertificateAuthority, IdentitySecrets, IncomingLimits, JoinKey, LeafPolicy, TokenAuthenticator, server_config,
    tls_incoming,
};
use crate::status::CertificateBook;

/// The lifetime of the port's own certificate.
const SERVER_CERTIFICATE: Duration = Duration::from_hours(24);
/// Peers that do not answer a ping are gone.
const PING_EVERY: Duration = Duration::from_secs(30);
const PING_ANSWER: Duration = Duration::from_secs(10);

/// Who we are and how we know others.
pub(super) struct Identity {
    pub(super) ca: Arc<CertificateAuthority>,
    pub(super) join_key: Arc<JoinKey>,
    pub(super) leaf: LeafPolicy,
}

/// The served port.
#[derive(Debug)]
pub(super) struct XdsServer {
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<()>,
}

impl XdsServer {
    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Stops accepting, and cuts what is left after `grace`: streams never end by themselves.
    pub(super) async fn stop(mut self, grace: Duration) {
        if let Some(stop) = self.stop.take() {
            // If nobody receives it, the server has ended already.
            stop.send(()).ok();
        }
        if tokio::time::timeout(grace, &mut self.task).await.is_err() {
            self.task.abort();
        }
    }
}

impl Drop for XdsServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Serves. The second value reads when certificates end.
pub(super) fn start(
    listener: TcpListener,
    identity: Identity,
    directory: EngineDirectory,
    publisher: Publisher,
    events: mpsc::UnboundedSender<ProxyEvent>,
) -> Result<(XdsServer, impl Fn() -> BTreeMap<Key, SystemTime> + Send + Sync + 'static), StartError> {
    let address = listener.local_addr().map_err(|source| StartError::Listen {
        address: SocketAddr::from(([0, 0, 0, 0], 0)),
        source,
    })?;
    let tls = server_config(Arc::clone(&identity.ca), SERVER_CERTIFICATE)?;
    let secrets = IdentitySecrets::new(identity.ca, identity.leaf);
    let (secrets, certificates) = CertificateBook::over(secrets);
    let authenticator = TokenAuthenticator::new(identity.join_key, directory);
    let session = xds::SessionConfig { stub: config::stub, ..xds::SessionConfig::default() };
    let limits = xds::ServerConfig { session, ..xds::ServerConfig::default() };
    let (xds, mut told) = xds::Server::new(authenticator, secrets, publisher, limits);
    let service = xds::service(xds.clone());
    // Streams merge what they have to tell until it is read; here it is read at once and handed to the engine.
    tokio::spawn(async move {
        while let Some(event) = told.recv().await {
            if events.send(event).is_err() {
                return;
            }
        }
    });
    let incoming = tls_incoming(listener, Arc::new(tls), IncomingLimits::default());
    let (stop, stopped) = oneshot::channel::<()>();
    let server = tonic::transport::Server::builder()
        .http2_keepalive_interval(Some(PING_EVERY))
        .http2_keepalive_timeout(Some(PING_ANSWER))
        .add_service(service);
    let task = tokio::spawn(async move {
        let stopped = async { drop(stopped.await) };
        if let Err(error) = server.serve_with_incoming_shutdown(incoming, stopped).await {
            tracing::error!(%error, "the xDS port ended; proxies go on with what they have; restart tulle");
        }
    });
    Ok((XdsServer { address, stop: Some(stop), task }, certificates))
}

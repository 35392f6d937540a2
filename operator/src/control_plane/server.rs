//! The xDS port: TLS, tokens, delta ADS, and the reports of rule counters.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use config::model::Key;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use xds::{Authenticator, ProxyEvents, Publisher};

use super::{EngineDirectory, StartError};
use crate::admin::StreamFigures;
use crate::identity::{CertificateAuthority, IdentitySecrets, IncomingLimits, LeafPolicy, server_config, tls_incoming};
use crate::rules::{self, Reports, RuleTotals, Who};
use crate::status::CertificateBook;

/// The lifetime of the port's own certificate.
const SERVER_CERTIFICATE: Duration = Duration::from_hours(24);
/// Peers that do not answer a ping are gone.
const PING_EVERY: Duration = Duration::from_secs(30);
const PING_ANSWER: Duration = Duration::from_secs(10);

/// Who we are and how we know others.
pub(super) struct Identity<A> {
    pub(super) ca: Arc<CertificateAuthority>,
    pub(super) leaf: LeafPolicy,
    /// Decides on streams.
    pub(super) authenticator: A,
    /// Decides on reports.
    pub(super) who: Who,
}

/// The xDS server before it is served.
pub(super) struct Prepared<A> {
    address: SocketAddr,
    listener: TcpListener,
    tls: rustls::ServerConfig,
    server: XdsService<A>,
    reports: Reports,
    who: Who,
}

type XdsService<A> = xds::Server<A, CertificateBook<IdentitySecrets>>;

/// The server, what its streams tell, and what reads the ends of certificates.
type Parts<A, F> = Result<(Prepared<A>, ProxyEvents, F), StartError>;

/// Makes the server, what its streams tell, and the reader of the ends of certificates.
pub(super) fn prepare<A: Authenticator>(
    listener: TcpListener,
    identity: Identity<A>,
    directory: EngineDirectory,
    publisher: Publisher,
    totals: RuleTotals,
) -> Parts<A, impl Fn() -> BTreeMap<Key, SystemTime> + Send + Sync + 'static> {
    let unknown = SocketAddr::from(([0, 0, 0, 0], 0));
    let address = listener.local_addr().map_err(|source| StartError::Listen {
        address: unknown,
        flag: "--listen",
        source,
    })?;
    let tls = server_config(Arc::clone(&identity.ca), SERVER_CERTIFICATE)?;
    let (secrets, certificates) = CertificateBook::over(IdentitySecrets::new(identity.ca, identity.leaf));
    let model = Arc::new(move || directory.model());
    let session = xds::SessionConfig {
        stub: config::stub,
        ..xds::SessionConfig::default()
    };
    let limits = xds::ServerConfig {
        session,
        ..xds::ServerConfig::default()
    };
    let (server, events) = xds::Server::new(identity.authenticator, secrets, publisher, limits);
    Ok((
        Prepared {
            address,
            listener,
            tls,
            server,
            reports: Reports { totals, model },
            who: identity.who,
        },
        events,
        certificates,
    ))
}

impl<A: Authenticator> Prepared<A> {
    /// Reads the server's counters.
    pub(super) fn figures(&self) -> StreamFigures {
        let server = self.server.clone();
        Arc::new(move || {
            let counters = server.counters();
            let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
            vec![
                ("xds_streams_open", read(&counters.streams_open)),
                ("xds_streams_accepted_total", read(&counters.streams_accepted)),
                ("xds_streams_refused_total", read(&counters.streams_refused)),
                ("xds_requests_total", read(&counters.requests)),
                ("xds_nacks_total", read(&counters.nacks)),
                ("xds_messages_total", read(&counters.messages)),
                ("xds_bytes_total", read(&counters.bytes)),
                ("xds_resources_total", counters.all_resources()),
                ("xds_removals_total", counters.removals()),
            ]
        })
    }

    /// Begins to accept.
    pub(super) fn serve(self) -> XdsServer<A> {
        let incoming = tls_incoming(self.listener, Arc::new(self.tls), IncomingLimits::default());
        let (stop, stopped) = oneshot::channel::<()>();
        let router = tonic::transport::Server::builder()
            .http2_keepalive_interval(Some(PING_EVERY))
            .http2_keepalive_timeout(Some(PING_ANSWER))
            .add_service(xds::service(self.server.clone()))
            .add_service(rules::service(self.reports, self.who));
        let task = tokio::spawn(async move {
            let stopped = async { drop(stopped.await) };
            if let Err(error) = router.serve_with_incoming_shutdown(incoming, stopped).await {
                tracing::error!(%error, "the xDS port ended; proxies go on with what they have; restart tulle");
            }
        });
        XdsServer {
            address: self.address,
            server: self.server,
            stop: Some(stop),
            task,
        }
    }
}

/// The served port.
#[derive(Debug)]
pub(super) struct XdsServer<A> {
    address: SocketAddr,
    server: XdsService<A>,
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<()>,
}

impl<A: Authenticator> XdsServer<A> {
    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// What the server did so far.
    pub(super) fn counters(&self) -> &xds::Counters {
        self.server.counters()
    }

    /// Stops accepting and ends the streams within `grace`.
    pub(super) async fn stop(mut self, grace: Duration) {
        self.server.shutdown(grace / 2);
        if let Some(stop) = self.stop.take() {
            // If nobody receives it, the server has ended already.
            stop.send(()).ok();
        }
        if tokio::time::timeout(grace, &mut self.task).await.is_err() {
            self.task.abort();
        }
    }
}

impl<A> Drop for XdsServer<A> {
    fn drop(&mut self) {
        self.task.abort();
    }
}

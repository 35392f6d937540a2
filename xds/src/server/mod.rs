//! The gRPC service around sessions.
//!
//! A stream is a task with one session, one slot to read snapshots from, and a channel of depth one to the connection: whoever
//! does not read costs a bounded amount of memory and holds up nobody. Nothing is kept of a stream before it is authenticated.
//! TLS, the listener, keepalives and drain order belong to the caller.

mod counters;
mod events;
mod peer;
mod pending;
mod stream;

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures::Stream;
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

pub use counters::Counters;
pub use events::{ProxyEvent, ProxyEvents};
pub use generated::aggregated_discovery_service_server::AggregatedDiscoveryServiceServer;
pub use peer::{PeerAddr, WithPeer};
use pending::Pending;

use crate::identity::{Authenticator, SecretSource};
use crate::proto::envoy::service::discovery::v3::{DeltaDiscoveryRequest, DiscoveryRequest, DiscoveryResponse};
use crate::publish::Publisher;
use crate::session::SessionConfig;
use crate::wire::DeltaResponse;
use generated::aggregated_discovery_service_server::AggregatedDiscoveryService;

#[allow(
    missing_docs,
    unreachable_pub,
    clippy::all,
    clippy::pedantic,
    reason = "generated code"
)]
#[allow(clippy::allow_attributes_without_reason, reason = "generated code")]
mod generated {
    include!(concat!(
        env!("OUT_DIR"),
        "/server/envoy.service.discovery.v3.AggregatedDiscoveryService.rs"
    ));
}

/// A reconnecting proxy's first request carries its node and the versions of all that it has.
const MAX_REQUEST: usize = 64 << 20;

/// Limits of the server.
#[derive(Clone, Copy, Debug)]
pub struct ServerConfig {
    /// Of each stream's session.
    pub session: SessionConfig,
    /// A stream that has not said and proved who it is by then is ended.
    pub first_request: Duration,
    /// A stream that does not take a response for so long is ended.
    pub send: Duration,
    /// Streams end after this, give or take a fifth, so that proxies spread over replicas.
    pub max_age: Option<Duration>,
    /// How many streams may be unauthenticated at a time; more are told to come back later.
    pub max_pending: usize,
    /// How many of them may come from one address, so that nobody can take the places of all others.
    pub max_pending_of_one: usize,
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self {
            session: SessionConfig::default(),
            first_request: Duration::from_secs(10),
            send: Duration::from_secs(30),
            max_age: None,
            max_pending: 256,
            max_pending_of_one: 16,
        }
    }
}

/// The server: shared by its clones, one of which becomes the gRPC service.
pub struct Server<A, S> {
    shared: Arc<Shared<A, S>>,
}

struct Shared<A, S> {
    authenticator: A,
    secrets: Arc<S>,
    publisher: Publisher,
    config: ServerConfig,
    counters: Counters,
    events: events::EventSink,
    streams: AtomicU64,
    pending: Pending,
    /// How long the shutdown may take, once there is one.
    shutdown: watch::Sender<Option<Duration>>,
}

impl<A, S> Clone for Server<A, S> {
    fn clone(&self) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
        }
    }
}

impl<A, S> fmt::Debug for Server<A, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server")
            .field("counters", &self.shared.counters)
            .finish_non_exhaustive()
    }
}

impl<A: Authenticator, S: SecretSource> Server<A, S> {
    /// A server, and what it has to tell.
    pub fn new(authenticator: A, secrets: S, publisher: Publisher, config: ServerConfig) -> (Self, ProxyEvents) {
        let (events, receiver) = events::channel();
        let shared = Shared {
            authenticator,
            secrets: Arc::new(secrets),
            publisher,
            config,
            counters: Counters::default(),
            events,
            streams: AtomicU64::new(0),
            pending: Pending::new(config.max_pending, config.max_pending_of_one),
            shutdown: watch::Sender::new(None),
        };
        (
            Self {
                shared: Arc::new(shared),
            },
            receiver,
        )
    }

    /// What the server did so far.
    pub fn counters(&self) -> &Counters {
        &self.shared.counters
    }

    /// Ends all streams, spread evenly over this time so that other replicas are not stormed; new ones are refused at once.
    pub fn shutdown(&self, over: Duration) {
        self.shared.shutdown.send_replace(Some(over));
    }
}

/// The gRPC service, for `tonic::transport::Server::add_service`.
pub fn service<A: Authenticator, S: SecretSource>(
    server: Server<A, S>,
) -> AggregatedDiscoveryServiceServer<Server<A, S>> {
    AggregatedDiscoveryServiceServer::new(server).max_decoding_message_size(MAX_REQUEST)
}

#[tonic::async_trait]
impl<A: Authenticator, S: SecretSource> AggregatedDiscoveryService for Server<A, S> {
    type StreamAggregatedResourcesStream = Pin<Box<dyn Stream<Item = Result<DiscoveryResponse, Status>> + Send>>;
    type DeltaAggregatedResourcesStream = ReceiverStream<Result<DeltaResponse, Status>>;

    async fn stream_aggregated_resources(
        &self,
        _: Request<Streaming<DiscoveryRequest>>,
    ) -> Result<Response<Self::StreamAggregatedResourcesStream>, Status> {
        Err(Status::unimplemented(
            "only incremental xDS is served: set `api_type: DELTA_GRPC` in `ads_config`",
        ))
    }

    async fn delta_aggregated_resources(
        &self,
        request: Request<Streaming<DeltaDiscoveryRequest>>,
    ) -> Result<Response<Self::DeltaAggregatedResourcesStream>, Status> {
        let shared = &self.shared;
        let refuse = |status| {
            counters::add(&shared.counters.streams_refused, 1);
            Err(status)
        };
        if shared.shutdown.borrow().is_some() {
            return refuse(Status::unavailable("the control plane is shutting down"));
        }
        let Some(peer) = peer::peer_of(&request) else {
            return refuse(Status::internal("the connection does not say where it comes from"));
        };
        let Some(pending) = shared.pending.take(peer.ip()) else {
            return refuse(Status::resource_exhausted(
                "too many streams are waiting to be authenticated",
            ));
        };
        // Depth one: what is behind it is not even computed before the connection has taken it.
        let (responses, receiver) = mpsc::channel(1);
        let id = shared.streams.fetch_add(1, Ordering::Relaxed);
        tokio::spawn(stream::run(Arc::clone(shared), id, peer, request, responses, pending));
        Ok(Response::new(ReceiverStream::new(receiver)))
    }
}

//! The gRPC service around sessions: authentication before any state, one task a stream, and nothing that could wait for a
//! slow client but that client's own stream.
//!
//! TLS and the listener are the caller's. Only incremental ADS is served; the other variant answers `UNIMPLEMENTED`.

mod counters;
mod stream;

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures::Stream;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

pub use counters::Counters;

use crate::generated::aggregated_discovery_service_server::{
    AggregatedDiscoveryService, AggregatedDiscoveryServiceServer,
};
use crate::identity::{Authenticator, ProxyId, Refusal, SecretSource};
use crate::kind::Kind;
use crate::proto::envoy::service::discovery::v3::{DeltaDiscoveryRequest, DiscoveryRequest, DiscoveryResponse};
use crate::publish::Publisher;
use crate::resource::{Name, Version};
use crate::session::SessionConfig;
use crate::wire::DeltaResponse;
use stream::Live;

/// A reconnecting proxy tells every version that it has in its first request.
const MAX_REQUEST: usize = 64 << 20;

/// What happened on a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProxyEvent {
    /// A proxy proved itself and waits for its snapshot.
    Connected {
        /// Which proxy.
        proxy: ProxyId,
        /// Which of its streams.
        stream: u64,
    },
    /// All that the stream wants of this revision is acknowledged.
    Synced {
        /// Which proxy.
        proxy: ProxyId,
        /// Which of its streams.
        stream: u64,
        /// The newest revision that this is true of.
        revision: u64,
    },
    /// The proxy refused these resources and keeps what it had.
    Nacked {
        /// Which proxy.
        proxy: ProxyId,
        /// Which of its streams.
        stream: u64,
        /// Their kind.
        kind: Kind,
        /// Their names.
        names: Vec<Name>,
        /// Their versions, in the same order.
        versions: Vec<Version>,
        /// Envoy's words.
        message: String,
    },
    /// The stream is over.
    Gone {
        /// Which proxy.
        proxy: ProxyId,
        /// Which of its streams.
        stream: u64,
    },
}

/// Bounds on a stream.
#[derive(Clone, Copy, Debug)]
pub struct StreamLimits {
    /// From opening to the first request.
    pub first_request: Duration,
    /// A response that the client does not take within this time ends the stream.
    pub send: Duration,
}

impl Default for StreamLimits {
    fn default() -> Self {
        Self { first_request: Duration::from_secs(10), send: Duration::from_secs(30) }
    }
}

/// Everything that streams share.
pub struct Server<A, S> {
    publisher: Publisher,
    authenticator: A,
    secrets: Arc<S>,
    events: mpsc::UnboundedSender<ProxyEvent>,
    config: SessionConfig,
    limits: StreamLimits,
    counters: Arc<Counters>,
    streams: AtomicU64,
}

impl<A: Authenticator, S: SecretSource> Server<A, S> {
    /// A server. Events go into an unbounded channel, because a stream must never wait for the engine; each stream adds a few
    /// small ones for each change only.
    pub fn new(publisher: Publisher, authenticator: A, secrets: S, events: mpsc::UnboundedSender<ProxyEvent>) -> Self {
        Self {
            publisher,
            authenticator,
            secrets: Arc::new(secrets),
            events,
            config: SessionConfig::default(),
            limits: StreamLimits::default(),
            counters: Arc::default(),
            streams: AtomicU64::new(1),
        }
    }

    /// Changes the limits and habits of sessions.
    #[must_use]
    pub fn with_config(mut self, config: SessionConfig) -> Self {
        self.config = config;
        self
    }

    /// Changes the bounds on streams.
    #[must_use]
    pub fn with_limits(mut self, limits: StreamLimits) -> Self {
        self.limits = limits;
        self
    }

    /// What has been sent so far.
    pub fn counters(&self) -> Arc<Counters> {
        Arc::clone(&self.counters)
    }

    /// Authenticates a stream by its first request.
    async fn open(&self, request: Request<Streaming<DeltaDiscoveryRequest>>) -> Result<Opened, Status> {
        let peer = request.remote_addr().ok_or_else(|| Status::internal("the address of the peer is not known"))?;
        let authorization = request.metadata().get("authorization").and_then(|value| value.to_str().ok()).map(str::to_owned);
        let mut requests = request.into_inner();
        let first = tokio::time::timeout(self.limits.first_request, requests.message()).await;
        let first = first
            .map_err(|_| Status::deadline_exceeded("no request came after the stream was opened"))??
            .ok_or_else(|| Status::cancelled("the stream was closed before its first request"))?;
        let node = first.node.as_ref().map(|node| node.id.clone()).unwrap_or_default();
        let identity = self.authenticator.authenticate(peer, authorization.as_deref(), &node).await.map_err(status)?;
        let stream = self.streams.fetch_add(1, Ordering::Relaxed);
        let (responses, outbox) = mpsc::channel(1);
        let live = Live {
            snapshots: self.publisher.subscribe(&identity.proxy),
            identity,
            stream,
            first: Some(first),
            requests,
            responses,
            events: self.events.clone(),
            counters: Arc::clone(&self.counters),
            limits: self.limits,
        };
        Ok(Opened { live, outbox })
    }
}

struct Opened {
    live: Live,
    outbox: mpsc::Receiver<Result<DeltaResponse, Status>>,
}

fn status(refusal: Refusal) -> Status {
    match refusal {
        Refusal::Unauthenticated(reason) => Status::unauthenticated(reason),
        Refusal::Denied(reason) => Status::permission_denied(reason),
        Refusal::Unavailable(reason) => Status::unavailable(reason),
    }
}

/// The service to add to a tonic server. Keepalives, TLS and the listener belong to that server.
pub fn service<A: Authenticator, S: SecretSource>(
    server: Server<A, S>,
) -> AggregatedDiscoveryServiceServer<Server<A, S>> {
    AggregatedDiscoveryServiceServer::new(server).max_decoding_message_size(MAX_REQUEST)
}

type Responses<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

#[tonic::async_trait]
impl<A: Authenticator, S: SecretSource> AggregatedDiscoveryService for Server<A, S> {
    type StreamAggregatedResourcesStream = Responses<DiscoveryResponse>;
    type DeltaAggregatedResourcesStream = ReceiverStream<Result<DeltaResponse, Status>>;

    async fn stream_aggregated_resources(
        &self,
        _: Request<Streaming<DiscoveryRequest>>,
    ) -> Result<Response<Self::StreamAggregatedResourcesStream>, Status> {
        Err(Status::unimplemented("only incremental ADS is served: set api_type DELTA_GRPC in the bootstrap"))
    }

    async fn delta_aggregated_resources(
        &self,
        request: Request<Streaming<DeltaDiscoveryRequest>>,
    ) -> Result<Response<Self::DeltaAggregatedResourcesStream>, Status> {
        let Opened { live, outbox } = self.open(request).await?;
        tokio::spawn(live.run(self.config, Arc::clone(&self.secrets)));
        Ok(Response::new(ReceiverStream::new(outbox)))
    }
}

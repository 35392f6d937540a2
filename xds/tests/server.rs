//! The server over real connections: authentication, subscription, update, and every way in which a stream ends.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime};

use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Status, Streaming};
use tulle_xds::proto::envoy::config::cluster::v3::Cluster;
use tulle_xds::proto::envoy::config::core::v3::Node;
use tulle_xds::proto::envoy::service::discovery::v3::{
    DeltaDiscoveryRequest, DeltaDiscoveryResponse, DiscoveryRequest, DiscoveryResponse,
};
use tulle_xds::{
    Authenticator, Identity, Kind, Layer, NoSecrets, ProxyEvent, ProxyEvents, ProxyId, Publisher, Refusal, Resource,
    SecretAnswer, SecretSource, Server, ServerConfig, SessionConfig, Snapshot,
};

const SOON: Duration = Duration::from_secs(20);

/// Accepts `Bearer <node id>`, for as long as said.
struct Tokens(Option<Duration>);

impl Authenticator for Tokens {
    async fn authenticate(&self, peer: SocketAddr, token: Option<&str>, node: &str) -> Result<Identity, Refusal> {
        assert!(peer.ip().is_loopback());
        if token != Some(&format!("Bearer {node}")) {
            return Err(Refusal::Unauthenticated("no such token".into()));
        }
        let expires_at = self.0.map(|life| SystemTime::now() + life);
        Ok(Identity {
            proxy: ProxyId::new(node),
            spiffe_id: format!("spiffe://test/{node}").into(),
            expires_at,
        })
    }
}

/// Issues a secret named after the identity.
struct Names;

impl SecretSource for Names {
    fn secret(&self, identity: &Identity, name: &str, _: Option<&str>) -> Option<SecretAnswer> {
        let resource = resource(Kind::Secret, name, &identity.spiffe_id).with_version(&*identity.spiffe_id);
        let renew_at = SystemTime::now() + Duration::from_hours(1);
        (name == "leaf").then(|| SecretAnswer::Send {
            resource: Arc::new(resource),
            renew_at,
        })
    }
}

fn resource(kind: Kind, name: &str, content: &str) -> Resource {
    Resource::new(
        kind,
        name,
        &Cluster {
            name: name.into(),
            alt_stat_name: content.into(),
            ..Default::default()
        },
    )
}

fn snapshot(revision: u64, resources: &[(Kind, &str, &str)]) -> Arc<Snapshot> {
    let resources = resources
        .iter()
        .map(|(kind, name, content)| Arc::new(resource(*kind, name, content)));
    Arc::new(Snapshot {
        revision,
        layers: vec![Arc::new(Layer::from_resources(resources))],
        ..Snapshot::default()
    })
}

struct World<S> {
    address: SocketAddr,
    server: Server<Tokens, S>,
    publisher: Publisher,
    events: ProxyEvents,
}

impl<S: SecretSource> World<S> {
    async fn start(life: Option<Duration>, secrets: S, config: ServerConfig) -> Self {
        let publisher = Publisher::new();
        let (server, events) = Server::new(Tokens(life), secrets, publisher.clone(), config);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let service = tulle_xds::service(server.clone());
        let incoming = TcpListenerStream::new(listener);
        tokio::spawn(
            tonic::transport::Server::builder()
                .add_service(service)
                .serve_with_incoming(incoming),
        );
        Self {
            address,
            server,
            publisher,
            events,
        }
    }

    async fn event(&mut self) -> ProxyEvent {
        timeout(SOON, self.events.recv())
            .await
            .expect("an event")
            .expect("a server")
    }
}

/// An incremental client of one node.
struct Client {
    requests: mpsc::Sender<DeltaDiscoveryRequest>,
    responses: Streaming<DeltaDiscoveryResponse>,
    node: String,
}

fn subscription(kind: Kind, names: &[&str]) -> DeltaDiscoveryRequest {
    DeltaDiscoveryRequest {
        type_url: kind.type_url().into(),
        resource_names_subscribe: names.iter().map(|name| (*name).into()).collect(),
        ..Default::default()
    }
}

async fn grpc(address: SocketAddr) -> tonic::client::Grpc<Channel> {
    let channel = Endpoint::from_shared(format!("http://{address}"))
        .unwrap()
        .connect()
        .await
        .unwrap();
    let mut grpc = tonic::client::Grpc::new(channel);
    grpc.ready().await.unwrap();
    grpc
}

impl Client {
    async fn connect(address: SocketAddr, node: &str, token: &str) -> Result<Self, Status> {
        let (requests, receiver) = mpsc::channel(10);
        let mut request = Request::new(ReceiverStream::new(receiver));
        request
            .metadata_mut()
            .insert("authorization", format!("Bearer {token}").parse().unwrap());
        let path = PathAndQuery::from_static(
            "/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources",
        );
        let codec = tonic_prost::ProstCodec::default();
        let responses = grpc(address).await.streaming(request, path, codec).await?.into_inner();
        Ok(Self {
            requests,
            responses,
            node: node.into(),
        })
    }

    async fn send(&mut self, mut request: DeltaDiscoveryRequest) {
        let id = std::mem::take(&mut self.node);
        request.node = (!id.is_empty()).then(|| Node {
            id,
            ..Default::default()
        });
        self.requests.send(request).await.unwrap();
    }

    async fn next(&mut self) -> Result<Option<DeltaDiscoveryResponse>, Status> {
        timeout(SOON, self.responses.message()).await.expect("an answer")
    }

    /// Reads one response and acknowledges it; its names.
    async fn read(&mut self) -> Vec<String> {
        let response = self.next().await.unwrap().unwrap();
        let ack = DeltaDiscoveryRequest {
            type_url: response.type_url,
            response_nonce: response.nonce,
            ..Default::default()
        };
        self.send(ack).await;
        response.resources.into_iter().map(|resource| resource.name).collect()
    }

    /// How the stream ends.
    async fn end(&mut self) -> Code {
        loop {
            match self.next().await {
                Ok(Some(_)) => {}
                Ok(None) => return Code::Ok,
                Err(status) => return status.code(),
            }
        }
    }
}

#[tokio::test]
async fn a_proxy_connects_is_served_and_updated() {
    let mut world = World::start(None, NoSecrets, ServerConfig::default()).await;
    let proxy = ProxyId::new("ns/a");
    let mut client = Client::connect(world.address, "ns/a", "ns/a").await.unwrap();
    client.send(subscription(Kind::Cluster, &[])).await;
    assert!(matches!(world.event().await, ProxyEvent::Connected { proxy: connected, .. } if connected == proxy));
    world.publisher.publish(
        &proxy,
        snapshot(1, &[(Kind::Cluster, "c", "1"), (Kind::Listener, "l", "1")]),
    );
    assert_eq!(client.read().await, ["c"]);
    client.send(subscription(Kind::Listener, &[])).await;
    assert_eq!(client.read().await, ["l"]);
    assert!(matches!(world.event().await, ProxyEvent::Synced { revision: 1, .. }));
    world.publisher.publish(
        &proxy,
        snapshot(2, &[(Kind::Cluster, "c", "1"), (Kind::Listener, "l", "2")]),
    );
    assert_eq!(client.read().await, ["l"]);
    assert!(matches!(world.event().await, ProxyEvent::Synced { revision: 2, .. }));
    world.publisher.publish(
        &proxy,
        snapshot(3, &[(Kind::Cluster, "c", "1"), (Kind::Listener, "l", "2")]),
    );
    assert!(matches!(world.event().await, ProxyEvent::Synced { revision: 3, .. }));
    let counters = world.server.counters();
    assert_eq!(
        (counters.resources(Kind::Cluster), counters.resources(Kind::Listener)),
        (1, 2)
    );
    assert_eq!(counters.messages.load(Ordering::Relaxed), 3);
    assert_eq!(counters.streams_open.load(Ordering::Relaxed), 1);
    drop(client);
    assert!(matches!(world.event().await, ProxyEvent::Gone { .. }));
    assert_eq!(world.server.counters().streams_open.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn a_refusal_is_told_with_the_words_of_the_proxy() {
    let mut world = World::start(None, NoSecrets, ServerConfig::default()).await;
    world
        .publisher
        .publish(&ProxyId::new("ns/a"), snapshot(1, &[(Kind::Route, "r", "1")]));
    let mut client = Client::connect(world.address, "ns/a", "ns/a").await.unwrap();
    client.send(subscription(Kind::Route, &["r"])).await;
    let response = client.next().await.unwrap().unwrap();
    let error = tulle_xds::proto::google::rpc::Status {
        message: "no good".into(),
        ..Default::default()
    };
    let mut nack = subscription(Kind::Route, &[]);
    nack.response_nonce = response.nonce;
    nack.error_detail = Some(error);
    client.send(nack).await;
    assert!(matches!(world.event().await, ProxyEvent::Connected { .. }));
    let ProxyEvent::Nacked {
        kind,
        names,
        versions,
        message,
        ..
    } = world.event().await
    else {
        panic!("no refusal")
    };
    assert_eq!((kind, &*names[0], message.as_str()), (Kind::Route, "r", "no good"));
    assert_eq!(*versions[0], response.resources[0].version);
}

#[tokio::test]
async fn a_proxy_that_comes_back_receives_nothing() {
    let mut world = World::start(None, NoSecrets, ServerConfig::default()).await;
    let published = snapshot(1, &[(Kind::Cluster, "c", "1"), (Kind::Listener, "l", "1")]);
    world.publisher.publish(&ProxyId::new("ns/a"), Arc::clone(&published));
    let mut client = Client::connect(world.address, "ns/a", "ns/a").await.unwrap();
    for kind in [Kind::Cluster, Kind::Listener] {
        let mut request = subscription(kind, &[]);
        let has = published
            .iter(kind)
            .map(|resource| (resource.name.to_string(), resource.version.to_string()));
        request.initial_resource_versions = has.collect();
        client.send(request).await;
    }
    assert!(matches!(world.event().await, ProxyEvent::Connected { .. }));
    assert!(matches!(world.event().await, ProxyEvent::Synced { revision: 1, .. }));
    assert_eq!(world.server.counters().bytes.load(Ordering::Relaxed), 0);
    assert_eq!(world.server.counters().messages.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn a_stream_without_proof_is_refused_and_leaves_no_trace() {
    let mut world = World::start(None, NoSecrets, ServerConfig::default()).await;
    let mut client = Client::connect(world.address, "ns/a", "stolen").await.unwrap();
    client.send(subscription(Kind::Cluster, &[])).await;
    assert_eq!(client.end().await, Code::Unauthenticated);
    assert!(world.events.try_recv().is_none());
    assert_eq!(world.publisher.proxies(), []);
    assert_eq!(world.server.counters().streams_refused.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn a_silent_stream_is_ended() {
    let config = ServerConfig {
        first_request: Duration::from_millis(100),
        ..ServerConfig::default()
    };
    let world = World::start(None, NoSecrets, config).await;
    let mut client = Client::connect(world.address, "ns/a", "ns/a").await.unwrap();
    assert_eq!(client.end().await, Code::DeadlineExceeded);
}

#[tokio::test]
async fn streams_that_prove_nothing_do_not_pile_up() {
    let config = ServerConfig {
        max_pending: 1,
        ..ServerConfig::default()
    };
    let world = World::start(None, NoSecrets, config).await;
    let silent = Client::connect(world.address, "ns/a", "ns/a").await.unwrap();
    let refused = Client::connect(world.address, "ns/a", "ns/a").await.err().unwrap();
    assert_eq!(refused.code(), Code::ResourceExhausted);
    drop(silent);
}

#[tokio::test]
async fn a_stream_ends_with_its_proof() {
    let world = World::start(Some(Duration::from_millis(200)), NoSecrets, ServerConfig::default()).await;
    let mut client = Client::connect(world.address, "ns/a", "ns/a").await.unwrap();
    client.send(subscription(Kind::Cluster, &[])).await;
    assert_eq!(client.end().await, Code::Unavailable);
}

#[tokio::test]
async fn streams_end_at_shutdown_and_new_ones_are_refused() {
    let mut world = World::start(None, NoSecrets, ServerConfig::default()).await;
    let mut client = Client::connect(world.address, "ns/a", "ns/a").await.unwrap();
    client.send(subscription(Kind::Cluster, &[])).await;
    world.event().await;
    world.server.shutdown(Duration::from_millis(100));
    assert_eq!(client.end().await, Code::Unavailable);
    let refused = Client::connect(world.address, "ns/a", "ns/a").await.err().unwrap();
    assert_eq!(refused.code(), Code::Unavailable);
}

#[tokio::test]
async fn the_stream_of_a_retired_proxy_ends() {
    let mut world = World::start(None, NoSecrets, ServerConfig::default()).await;
    let mut client = Client::connect(world.address, "ns/a", "ns/a").await.unwrap();
    client.send(subscription(Kind::Cluster, &[])).await;
    world.event().await;
    world.publisher.retire(&ProxyId::new("ns/a"));
    assert_eq!(client.end().await, Code::Unavailable);
}

#[tokio::test]
async fn a_client_that_does_not_read_is_ended_and_slows_nobody() {
    let config = ServerConfig {
        send: Duration::from_millis(500),
        ..ServerConfig::default()
    };
    let mut world = World::start(None, NoSecrets, config).await;
    let big = "x".repeat(1 << 20);
    let names: Vec<String> = (0..32).map(|i| format!("c{i}")).collect();
    let clusters: Vec<_> = names
        .iter()
        .map(|name| (Kind::Cluster, name.as_str(), big.as_str()))
        .collect();
    world
        .publisher
        .publish(&ProxyId::new("ns/stuck"), snapshot(1, &clusters));
    world
        .publisher
        .publish(&ProxyId::new("ns/good"), snapshot(1, &[(Kind::Cluster, "c", "1")]));
    let mut stuck = Client::connect(world.address, "ns/stuck", "ns/stuck").await.unwrap();
    stuck.send(subscription(Kind::Cluster, &[])).await;
    assert!(matches!(world.event().await, ProxyEvent::Connected { .. }));
    let mut good = Client::connect(world.address, "ns/good", "ns/good").await.unwrap();
    good.send(subscription(Kind::Cluster, &[])).await;
    assert_eq!(good.read().await, ["c"]);
    let gone = loop {
        if let ProxyEvent::Gone { proxy, .. } = world.event().await {
            break proxy;
        }
    };
    assert_eq!(gone, ProxyId::new("ns/stuck"));
    let sent = world.server.counters().bytes.load(Ordering::Relaxed);
    assert!(sent < 8 << 20, "{sent} bytes are held for a client that does not read");
    drop(stuck);
}

#[tokio::test]
async fn a_stream_gets_the_secrets_of_its_own_identity() {
    fn stub(kind: Kind, name: &str) -> Option<Arc<Resource>> {
        (kind == Kind::Secret).then(|| Arc::new(resource(kind, name, "stub")))
    }
    let session = SessionConfig {
        stub,
        ..SessionConfig::default()
    };
    let world = World::start(
        None,
        Names,
        ServerConfig {
            session,
            ..ServerConfig::default()
        },
    )
    .await;
    for node in ["ns/a", "ns/b"] {
        world.publisher.publish(&ProxyId::new(node), snapshot(1, &[]));
        let mut client = Client::connect(world.address, node, node).await.unwrap();
        client.send(subscription(Kind::Secret, &["leaf", "other"])).await;
        let response = client.next().await.unwrap().unwrap();
        let versions: Vec<&str> = response
            .resources
            .iter()
            .map(|resource| resource.version.as_str())
            .collect();
        assert_eq!(
            versions,
            [
                format!("spiffe://test/{node}"),
                resource(Kind::Secret, "other", "stub").version.to_string()
            ]
        );
    }
}

#[tokio::test]
async fn the_other_variant_of_the_protocol_is_not_implemented() {
    let world = World::start(None, NoSecrets, ServerConfig::default()).await;
    let path =
        PathAndQuery::from_static("/envoy.service.discovery.v3.AggregatedDiscoveryService/StreamAggregatedResources");
    let codec = tonic_prost::ProstCodec::<DiscoveryRequest, DiscoveryResponse>::default();
    let requests = tokio_stream::iter([DiscoveryRequest::default()]);
    let refused = grpc(world.address)
        .await
        .streaming(Request::new(requests), path, codec)
        .await
        .err()
        .unwrap();
    assert_eq!(refused.code(), Code::Unimplemented);
    assert!(refused.message().contains("DELTA_GRPC"));
}

/// Is another one each time that it is asked.
#[derive(Default)]
struct Changing(std::sync::atomic::AtomicU64);

impl Authenticator for Changing {
    async fn authenticate(&self, _: SocketAddr, _: Option<&str>, node: &str) -> Result<Identity, Refusal> {
        let times = self.0.fetch_add(1, Ordering::Relaxed);
        // The identity is withdrawn once, between the first look and the second.
        let account = if times == 0 { "before" } else { "after" };
        Ok(Identity {
            proxy: ProxyId::new(node),
            spiffe_id: format!("spiffe://test/{account}").into(),
            expires_at: None,
        })
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_identity_that_changes_before_the_slot_is_taken_gets_no_stream() {
    let publisher = Publisher::new();
    let config = ServerConfig::default();
    let (server, mut events) = Server::new(Changing::default(), Names, publisher.clone(), config);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = tonic::transport::Server::builder().add_service(tulle_xds::service(server.clone()));
    tokio::spawn(router.serve_with_incoming(TcpListenerStream::new(listener)));

    let mut client = Client::connect(address, "ns/a", "x").await.unwrap();
    client.send(subscription(Kind::Secret, &["leaf"])).await;
    let refused = timeout(SOON, client.responses.message()).await.unwrap().unwrap_err();
    assert_eq!(refused.code(), Code::Unavailable, "{refused}");
    assert!(events.try_recv().is_none(), "nobody connected");
    assert_eq!(publisher.proxies(), [], "nothing is kept of it");
    assert_eq!(server.counters().streams_refused.load(Ordering::Relaxed), 1);

    // Whoever comes back is judged by what holds now.
    publisher.publish(&ProxyId::new("ns/a"), snapshot(1, &[]));
    let mut client = Client::connect(address, "ns/a", "x").await.unwrap();
    client.send(subscription(Kind::Secret, &["leaf"])).await;
    let first = timeout(SOON, client.responses.message())
        .await
        .unwrap()
        .unwrap()
        .unwrap();
    assert_eq!(first.resources[0].version, "spiffe://test/after");
}

//! A simulated proxy: delta ADS over TLS with a token, which acknowledges everything, or refuses a kind.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use hyper_util::rt::TokioIo;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::{Channel, Endpoint, Uri};
use tonic::{Request, Status, Streaming};
use tulle_operator::identity::XDS_SERVER_NAME;
use xds::client::AggregatedDiscoveryServiceClient;
use xds::proto::envoy::config::core::v3::Node;
use xds::proto::envoy::service::discovery::v3::{DeltaDiscoveryRequest, DeltaDiscoveryResponse};
use xds::proto::google::rpc::Status as Detail;
use xds::{Kind, Snapshot};

/// Versions by kind and name.
pub(crate) type Held = BTreeMap<Kind, BTreeMap<String, String>>;

/// A connection to the control plane.
pub(crate) async fn channel(address: SocketAddr, root: &str) -> Channel {
    let endpoint = Endpoint::from_static("http://xds.tulle.internal");
    let tls = connector(root);
    let connecting = endpoint.connect_with_connector(Connector { address, tls });
    connecting.await.expect("a connection")
}

/// One stream.
pub(crate) struct Client {
    requests: mpsc::Sender<DeltaDiscoveryRequest>,
    responses: Mutex<Option<Streaming<DeltaDiscoveryResponse>>>,
    held: Arc<Mutex<Held>>,
    refused: BTreeMap<Kind, String>,
}

impl Client {
    /// Joins as a new proxy; an error is the server's refusal.
    pub(crate) async fn join(address: SocketAddr, root: &str, node: &str, token: &str) -> Result<Self, Status> {
        let mut held = Held::new();
        held.insert(Kind::Cluster, BTreeMap::new());
        held.insert(Kind::Listener, BTreeMap::new());
        Self::rejoin(address, root, node, token, held).await
    }

    /// Joins as a proxy that holds something already.
    pub(crate) async fn rejoin(
        address: SocketAddr,
        root: &str,
        node: &str,
        token: &str,
        held: Held,
    ) -> Result<Self, Status> {
        let channel = channel(address, root).await;
        let (requests, outgoing) = mpsc::channel(64);
        for (index, (kind, versions)) in held.iter().enumerate() {
            let names = if kind.is_wildcard() {
                Vec::new()
            } else {
                versions.keys().cloned().collect()
            };
            let request = DeltaDiscoveryRequest {
                node: (index == 0).then(|| Node {
                    id: node.to_owned(),
                    ..Node::default()
                }),
                type_url: kind.type_url().to_owned(),
                resource_names_subscribe: names,
                initial_resource_versions: versions.clone().into_iter().collect(),
                ..DeltaDiscoveryRequest::default()
            };
            requests.send(request).await.expect("room");
        }
        let mut request = Request::new(ReceiverStream::new(outgoing));
        if !token.is_empty() {
            let value = format!("Bearer {token}").parse().expect("a header");
            request.metadata_mut().insert("authorization", value);
        }
        let mut client = AggregatedDiscoveryServiceClient::new(channel);
        let mut responses = client.delta_aggregated_resources(request).await?.into_inner();
        // A refused stream ends with its first answer; one that holds everything may get none at all.
        let nothing_held = held.values().all(BTreeMap::is_empty);
        let held = Arc::new(Mutex::new(held));
        if nothing_held {
            let first = responses.message().await?.expect("an answer");
            requests
                .send(answer(&first, &held, &BTreeMap::new()))
                .await
                .expect("room");
        }
        Ok(Self {
            requests,
            responses: Mutex::new(Some(responses)),
            held,
            refused: BTreeMap::new(),
        })
    }

    /// Wants everything that a snapshot holds, as an Envoy would that reads what it gets; and its own certificate.
    pub(crate) async fn want_everything(&self, snapshot: &Snapshot) {
        for kind in Kind::ALL.into_iter().filter(|kind| !kind.is_wildcard()) {
            let mut names: Vec<String> = snapshot.iter(kind).map(|resource| resource.name.to_string()).collect();
            if kind == Kind::Secret {
                names.push("identity".to_owned());
            }
            let request = DeltaDiscoveryRequest {
                type_url: kind.type_url().to_owned(),
                resource_names_subscribe: names,
                ..DeltaDiscoveryRequest::default()
            };
            self.requests.send(request).await.expect("a stream");
        }
    }

    /// Refuses everything of a kind from now on.
    pub(crate) fn refuse(&mut self, kind: Kind, words: &str) {
        self.refused.insert(kind, words.to_owned());
    }

    /// Answers everything that comes; the task ends with the stream.
    pub(crate) fn follow(&self) -> JoinHandle<()> {
        let mut responses = self.responses.lock().unwrap().take().expect("followed once");
        let (requests, held, refused) = (self.requests.clone(), Arc::clone(&self.held), self.refused.clone());
        tokio::spawn(async move {
            while let Ok(Some(response)) = responses.message().await {
                if requests.send(answer(&response, &held, &refused)).await.is_err() {
                    return;
                }
            }
        })
    }

    /// What it holds of a kind.
    pub(crate) fn versions(&self, kind: Kind) -> BTreeMap<String, String> {
        self.held.lock().unwrap().get(&kind).cloned().unwrap_or_default()
    }

    /// Everything that it holds.
    pub(crate) fn held(&self) -> Held {
        self.held.lock().unwrap().clone()
    }
}

fn answer(
    response: &DeltaDiscoveryResponse,
    held: &Mutex<Held>,
    refused: &BTreeMap<Kind, String>,
) -> DeltaDiscoveryRequest {
    let kind = Kind::from_type_url(&response.type_url).expect("a kind that was asked for");
    let refusal = refused.get(&kind).filter(|_| !response.resources.is_empty());
    if refusal.is_none() {
        let removed: BTreeSet<&String> = response.removed_resources.iter().collect();
        let mut held = held.lock().unwrap();
        let versions = held.entry(kind).or_default();
        versions.retain(|name, _| !removed.contains(name));
        versions.extend(
            response
                .resources
                .iter()
                .map(|resource| (resource.name.clone(), resource.version.clone())),
        );
    }
    DeltaDiscoveryRequest {
        type_url: response.type_url.clone(),
        response_nonce: response.nonce.clone(),
        error_detail: refusal.map(|words| Detail {
            code: 13,
            message: words.clone(),
            ..Detail::default()
        }),
        ..DeltaDiscoveryRequest::default()
    }
}

fn connector(root: &str) -> TlsConnector {
    let mut roots = rustls::RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_slice(root.as_bytes()).unwrap())
        .unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec()];
    TlsConnector::from(Arc::new(config))
}

/// Dials one address, whatever the URI says.
struct Connector {
    address: SocketAddr,
    tls: TlsConnector,
}

type Stream = TokioIo<tokio_rustls::client::TlsStream<TcpStream>>;

impl tonic::codegen::Service<Uri> for Connector {
    type Response = Stream;
    type Error = std::io::Error;
    type Future = Pin<Box<dyn Future<Output = std::io::Result<Stream>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        let (address, tls) = (self.address, self.tls.clone());
        Box::pin(async move {
            let name = ServerName::try_from(XDS_SERVER_NAME).expect("a name");
            Ok(TokioIo::new(
                tls.connect(name, TcpStream::connect(address).await?).await?,
            ))
        })
    }
}

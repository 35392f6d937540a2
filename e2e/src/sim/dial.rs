//! The way to the control plane: TCP from a chosen address, TLS 1.3 to the name in its certificate, HTTP/2.
//!
//! One connection a stream and no session resumption, as with separate Envoys.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use anyhow::{Context as _, Result};
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use operator::identity::XDS_SERVER_NAME;
use rustls::client::Resumption;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName};
use tokio::net::TcpSocket;
use tokio_rustls::TlsConnector;
use tonic::body::Body;
use tonic::codegen::Service;

/// A control plane to connect to.
#[derive(Clone, Debug)]
pub struct Server {
    address: SocketAddr,
    tls: Arc<ClientConfig>,
}

/// How much a client lets the server send ahead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Window {
    /// As Envoy: megabytes.
    Wide,
    /// HTTP/2's smallest default, so that a client that does not read stops the server soon.
    Narrow,
}

impl Server {
    /// A control plane whose certificate this root (PEM) vouches for.
    pub fn new(address: SocketAddr, root_pem: &str) -> Result<Self> {
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(root_pem.as_bytes()) {
            roots.add(certificate.context("the mesh's root certificate")?)?;
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut tls = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .with_root_certificates(roots)
            .with_no_client_auth();
        tls.alpn_protocols = vec![b"h2".to_vec()];
        tls.resumption = Resumption::disabled();
        Ok(Self {
            address,
            tls: Arc::new(tls),
        })
    }

    /// Connects, which fails unless its certificate is of this root; nothing is asked.
    pub async fn greet(&self) -> Result<()> {
        self.dial(IpAddr::V4(Ipv4Addr::LOCALHOST), Window::Wide).await.map(drop)
    }

    /// Opens a connection from an address of our own.
    pub(super) async fn dial(&self, source: IpAddr, window: Window) -> Result<Transport> {
        let socket = if source.is_ipv4() {
            TcpSocket::new_v4()?
        } else {
            TcpSocket::new_v6()?
        };
        socket.bind((source, 0).into())?;
        let stream = socket
            .connect(self.address)
            .await
            .with_context(|| format!("no xDS server at {}", self.address))?;
        stream.set_nodelay(true)?;
        let name = ServerName::try_from(XDS_SERVER_NAME)?;
        let stream = TlsConnector::from(Arc::clone(&self.tls))
            .connect(name, stream)
            .await
            .context("TLS")?;
        let mut builder = http2::Builder::new(TokioExecutor::new());
        if window == Window::Narrow {
            builder
                .initial_stream_window_size(65_535)
                .initial_connection_window_size(65_535);
        }
        let (sender, driver) = builder.handshake(TokioIo::new(stream)).await?;
        tokio::spawn(driver);
        Ok(Transport(sender))
    }
}

/// An HTTP/2 connection as tonic wants it.
#[derive(Clone)]
pub(super) struct Transport(http2::SendRequest<Body>);

type Answer = Pin<Box<dyn Future<Output = hyper::Result<Response<Incoming>>> + Send>>;

impl Service<Request<Body>> for Transport {
    type Response = Response<Incoming>;
    type Error = hyper::Error;
    type Future = Answer;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<hyper::Result<()>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Answer {
        Box::pin(self.0.send_request(request))
    }
}

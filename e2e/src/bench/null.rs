//! The null server: the same TLS, HTTP/2 and gRPC libraries, no control plane.
//!
//! A process of its own. It accepts delta-ADS streams, reads what clients send, and whenever a line arrives on its
//! standard input it sends each node the recorded messages. What it needs is what any server in Rust needs.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use bytes::Bytes;
use futures::StreamExt;
use futures::stream::BoxStream;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use operator::identity::{CertificateAuthority, server_config};
use operator::shop::Opaque;
use prost::Message;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;
use tokio_stream::wrappers::WatchStream;
use tonic::server::{Grpc, StreamingService};
use tonic::{Request, Response, Status, Streaming};
use xds::proto::envoy::service::discovery::v3::DeltaDiscoveryRequest;

use super::script::Script;

/// Arguments of `tulle-e2e null-server`.
#[derive(clap::Args, Clone, Debug)]
pub struct NullArgs {
    /// Where to listen.
    #[arg(long)]
    pub listen: SocketAddr,
    /// The state folder whose certificate authority issues the server's certificate.
    #[arg(long)]
    pub state: PathBuf,
    /// The recorded messages.
    #[arg(long)]
    pub script: PathBuf,
}

/// Serves until standard input ends.
pub async fn serve(args: NullArgs) -> Result<()> {
    let authority = Arc::new(CertificateAuthority::open(&args.state, std::time::SystemTime::now())?);
    let tls = TlsAcceptor::from(Arc::new(server_config(authority, Duration::from_hours(1))?));
    let (script, (go, rounds)) = (Arc::new(Script::read(&args.script)?), watch::channel(0_u64));
    let listener = TcpListener::bind(args.listen).await?;
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (tls, service) = (
                tls.clone(),
                Null {
                    script: Arc::clone(&script),
                    rounds: rounds.clone(),
                },
            );
            tokio::spawn(async move {
                let _ = stream.set_nodelay(true);
                let Ok(stream) = tls.accept(stream).await else { return };
                let answer = service_fn(move |request| answer(service.clone(), request));
                let http2 = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
                // A client that goes away is none of our business.
                let _ = http2.serve_connection(TokioIo::new(stream), answer).await;
            });
        }
    });
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    while lines.next_line().await?.is_some() {
        go.send_modify(|round| *round += 1);
    }
    Ok(())
}

async fn answer(
    service: Null,
    request: http::Request<Incoming>,
) -> Result<http::Response<tonic::body::Body>, std::convert::Infallible> {
    Ok(Grpc::new(Opaque).streaming(service, request).await)
}

#[derive(Clone)]
struct Null {
    script: Arc<Script>,
    rounds: watch::Receiver<u64>,
}

type Messages = BoxStream<'static, Result<Bytes, Status>>;
type Answer = std::pin::Pin<Box<dyn Future<Output = Result<Response<Messages>, Status>> + Send>>;

impl StreamingService<Bytes> for Null {
    type Response = Bytes;
    type ResponseStream = Messages;
    type Future = Answer;

    fn call(&mut self, request: Request<Streaming<Bytes>>) -> Answer {
        let this = self.clone();
        Box::pin(async move {
            let mut requests = request.into_inner();
            let first = requests.message().await?.unwrap_or_default();
            let first = DeltaDiscoveryRequest::decode(first).map_err(|e| Status::invalid_argument(e.to_string()))?;
            let node = first.node.unwrap_or_default().id;
            tokio::spawn(async move { while let Ok(Some(_)) = requests.message().await {} });
            let own = this.script.nodes.iter().find(|script| script.node == node);
            let messages = own.map(|script| script.messages.clone()).unwrap_or_default();
            let each_round = move |_round| futures::stream::iter(messages.clone().into_iter().map(Ok));
            Ok(Response::new(
                WatchStream::from_changes(this.rounds).flat_map(each_round).boxed(),
            ))
        })
    }
}

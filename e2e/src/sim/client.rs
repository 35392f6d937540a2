//! One simulated proxy: a session over one stream, answering as it is told to behave.

use std::net::IpAddr;
use std::sync::Arc;

use anyhow::{Context, Result};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_stream::wrappers::UnboundedReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::client::Grpc;
use tonic::{Request, Streaming};
use tonic_prost::ProstCodec;
use xds::proto::envoy::service::discovery::v3::{DeltaDiscoveryRequest, DeltaDiscoveryResponse};

use super::dial::{Server, Transport, Window};
use super::log::Log;
use super::session::Session;

const METHOD: &str = "/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources";
/// A first response may hold a thousand services.
const MAX_MESSAGE: usize = 256 << 20;

/// What a client does with responses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Behaviour {
    /// Takes and ACKs them, as Envoy does.
    #[default]
    Ack,
    /// Refuses all of them.
    Nack,
    /// Asks and then never reads.
    NeverRead,
}

/// A client to start.
#[derive(Clone, Debug)]
pub struct ClientSpec {
    /// What it has and asks for.
    pub session: Session,
    /// Its join token.
    pub token: String,
    /// Its workload's address.
    pub source: IpAddr,
    /// How it behaves.
    pub behaviour: Behaviour,
}

/// A running client. Dropping it ends its stream.
#[derive(Debug)]
pub struct Client {
    log: Arc<Log>,
    stop: CancellationToken,
    task: JoinHandle<Session>,
}

impl Client {
    /// Connects and starts the stream. A refusal of the stream is seen in the log.
    pub async fn start(server: &Server, spec: ClientSpec) -> Result<Self> {
        let window = if spec.behaviour == Behaviour::NeverRead {
            Window::Narrow
        } else {
            Window::Wide
        };
        let transport = server.dial(spec.source, window).await?;
        let (log, stop) = (Arc::new(Log::default()), CancellationToken::new());
        let task = tokio::spawn(run(spec, transport, Arc::clone(&log), stop.clone()));
        Ok(Self { log, stop, task })
    }

    /// What arrived.
    pub fn log(&self) -> &Arc<Log> {
        &self.log
    }

    /// Ends the stream; the session remembers what it has.
    pub async fn stop(self) -> Result<Session> {
        self.stop.cancel();
        Ok(self.task.await?.reconnected())
    }
}

async fn run(mut spec: ClientSpec, transport: Transport, log: Arc<Log>, stop: CancellationToken) -> Session {
    let ended = tokio::select! {
        () = stop.cancelled() => Ok(()),
        ended = converse(&mut spec, transport, &log) => ended,
    };
    let reason = ended
        .err()
        .map_or_else(|| "stopped by the test".to_owned(), |error| format!("{error:#}"));
    log.progress(|progress| progress.ended = Some(reason));
    spec.session
}

async fn converse(spec: &mut ClientSpec, transport: Transport, log: &Log) -> Result<()> {
    let (requests, receiver) = mpsc::unbounded_channel();
    // The server answers the call itself only after the first request, which names the node.
    for request in spec.session.start() {
        requests.send(request)?;
    }
    let mut responses = open(transport, &spec.token, receiver).await?;
    log.progress(|progress| progress.open = true);
    if spec.behaviour == Behaviour::NeverRead {
        std::future::pending::<()>().await;
    }
    while let Some(response) = responses.message().await? {
        log.add(&response);
        let answers = match spec.behaviour {
            Behaviour::Nack => vec![Session::refuse(&response)],
            _ => spec.session.on_response(&response),
        };
        let answered = answers.iter().any(|answer| !answer.response_nonce.is_empty());
        for answer in answers {
            requests.send(answer)?;
        }
        log.progress(|progress| {
            progress.responses += 1;
            progress.complete = spec.session.complete();
            if answered {
                progress.answered = Some(Instant::now().into_std());
            }
        });
    }
    anyhow::bail!("the server ended the stream")
}

async fn open(
    transport: Transport,
    token: &str,
    requests: mpsc::UnboundedReceiver<DeltaDiscoveryRequest>,
) -> Result<Streaming<DeltaDiscoveryResponse>> {
    let origin = format!("https://{}", operator::identity::XDS_SERVER_NAME).parse()?;
    let mut grpc = Grpc::with_origin(transport, origin).max_decoding_message_size(MAX_MESSAGE);
    let mut request = Request::new(UnboundedReceiverStream::new(requests));
    request
        .metadata_mut()
        .insert("authorization", format!("Bearer {token}").parse()?);
    grpc.ready().await.context("the connection is gone")?;
    let codec = ProstCodec::<DeltaDiscoveryRequest, DeltaDiscoveryResponse>::default();
    Ok(grpc.streaming(request, METHOD.parse()?, codec).await?.into_inner())
}

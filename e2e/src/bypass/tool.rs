//! `tulle-e2e bypass`: sends every attempt to one place and prints what each brought, as one JSON array.
//!
//! HTTP/1.1 goes out byte for byte, each attempt on a connection of its own; HTTP/2 through a client library, so what that
//! refuses to say is left out. With a certificate it talks to a destination's proxy itself.

use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use bytes::Bytes;
use futures::{StreamExt, stream};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::case::Case;
use super::corpus::corpus;
use super::judge::Answer;
use super::wire::{Stream, exchange};
use crate::probe::tls;

const PATIENCE: Duration = Duration::from_secs(10);

/// Arguments of `tulle-e2e bypass`.
#[derive(clap::Args, Clone, Debug)]
pub struct BypassArgs {
    /// `host:port` to connect to.
    pub address: String,
    /// The usual host header.
    #[arg(long)]
    pub host: String,
    /// HTTP/2 instead of HTTP/1.1.
    #[arg(long)]
    pub http2: bool,
    /// Speak TLS to this server name.
    #[arg(long)]
    pub sni: Option<String>,
    /// PEM file with the client's certificate chain.
    #[arg(long, requires = "key")]
    pub cert: Option<PathBuf>,
    /// PEM file with its private key.
    #[arg(long, requires = "cert")]
    pub key: Option<PathBuf>,
    /// Attempts at a time.
    #[arg(long, default_value_t = 24)]
    pub concurrency: usize,
}

/// Where to, and how.
struct Target {
    args: BypassArgs,
    tls: Option<(TlsConnector, ServerName<'static>)>,
}

/// Sends everything and prints.
pub async fn run(args: BypassArgs) -> Result<()> {
    let tls = match &args.sni {
        None => None,
        Some(sni) => {
            let protocol: &[u8] = if args.http2 { b"h2" } else { b"http/1.1" };
            let mut config: ClientConfig = tls::client_config(args.cert.as_deref(), args.key.as_deref())?;
            config.alpn_protocols = vec![protocol.to_vec()];
            Some((TlsConnector::from(Arc::new(config)), ServerName::try_from(sni.clone())?))
        }
    };
    let (target, cases) = (Arc::new(Target { args, tls }), Arc::new(corpus()));
    let lanes = target.args.concurrency.max(1);
    let one = |lane: usize| {
        let (target, cases) = (Arc::clone(&target), Arc::clone(&cases));
        tokio::spawn(async move { target.lane(&cases, lane, lanes).await })
    };
    let mut all = Vec::new();
    let mut running = stream::iter((0..lanes).map(one)).buffer_unordered(lanes);
    while let Some(answers) = running.next().await {
        all.extend(answers?);
    }
    all.sort_by_key(|answer| answer.index);
    writeln!(std::io::stdout().lock(), "{}", serde_json::to_string(&all)?)?;
    Ok(())
}

impl Target {
    /// Every so-manieth attempt, one after the other.
    async fn lane(&self, cases: &[Case], lane: usize, lanes: usize) -> Vec<Answer> {
        let (mut answers, mut kept) = (Vec::new(), None);
        for (index, case) in cases.iter().enumerate().skip(lane).step_by(lanes) {
            let answer = if self.args.http2 {
                self.http2(case, index, &mut kept).await
            } else {
                Some(self.http1(case, index).await)
            };
            answers.extend(answer.map(|answer| Answer { index, ..answer }));
        }
        answers
    }

    async fn connect(&self) -> Result<Box<dyn Stream>> {
        let stream = TcpStream::connect(&self.args.address).await.context("connect")?;
        stream.set_nodelay(true)?;
        Ok(match &self.tls {
            None => Box::new(stream),
            Some((connector, name)) => Box::new(connector.connect(name.clone(), stream).await.context("TLS")?),
        })
    }

    async fn http1(&self, case: &Case, index: usize) -> Answer {
        match timeout(PATIENCE, self.connect()).await {
            Ok(Ok(stream)) => exchange(stream, &case.bytes(index, &self.args.host), case.method == "HEAD").await,
            // No connection is no answer, and a test counts those.
            _ => Answer::default(),
        }
    }

    /// Absent for what HTTP/2 does not say.
    async fn http2(&self, case: &Case, index: usize, kept: &mut Option<SendRequest<Full<Bytes>>>) -> Option<Answer> {
        let request = case.request(index, &self.args.host)?;
        let exchange = async {
            let mut sender = if let Some(sender) = kept.take().filter(|sender| !sender.is_closed()) {
                sender
            } else {
                let io = TokioIo::new(self.connect().await?);
                let (sender, driver) = http2::handshake(TokioExecutor::new(), io).await?;
                tokio::spawn(driver);
                sender
            };
            sender.ready().await?;
            let (head, body) = sender.send_request(request).await?.into_parts();
            let body = body.collect().await?.to_bytes();
            *kept = Some(sender);
            let mut answer = Answer::default();
            let seen = head.headers.get("x-seen").map_or(&*body, |seen| seen.as_bytes());
            answer.add(head.status.as_u16(), seen);
            anyhow::Ok(answer)
        };
        // A stream that is reset is no answer.
        Some(
            timeout(PATIENCE, exchange)
                .await
                .ok()
                .and_then(Result::ok)
                .unwrap_or_default(),
        )
    }
}

//! `tulle shop-call`: sends a set of requests and prints one JSON line for each answer.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use hyper::{Method, Uri};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

use super::call::Call;
pub use super::call::Outcome;
use super::connection::Connection;

/// A set of equal requests.
#[derive(clap::Args, Clone, Debug)]
pub struct CallArgs {
    /// Where to, as `http://host:port/path`.
    pub url: Uri,
    /// Method.
    #[arg(short = 'X', long, default_value = "GET")]
    pub method: Method,
    /// A header, as `name: value`; may be repeated.
    #[arg(short = 'H', long = "header", value_parser = header)]
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// Body.
    #[arg(short, long, default_value = "")]
    pub data: String,
    /// How many requests.
    #[arg(short = 'n', long, default_value_t = 1)]
    pub count: usize,
    /// How many at a time; each has a connection of its own.
    #[arg(short, long, default_value_t = 1)]
    pub concurrency: usize,
    /// Requests per second, evenly spread; 0 sends the next at once.
    #[arg(long, default_value_t = 0.0)]
    pub rate: f64,
    /// HTTP/2 with prior knowledge.
    #[arg(long)]
    pub http2: bool,
    /// A gRPC call: HTTP/2, POST, the body is one message.
    #[arg(long)]
    pub grpc: bool,
    /// A new connection for each request.
    #[arg(long)]
    pub fresh: bool,
    /// Milliseconds until a connection is given up.
    #[arg(long, default_value_t = 3000)]
    pub connect_timeout: u64,
    /// Milliseconds until an answer is given up.
    #[arg(long, default_value_t = 10_000)]
    pub timeout: u64,
}

impl CallArgs {
    /// One request of the set.
    pub fn call(&self) -> Call {
        Call {
            url: self.url.clone(),
            method: self.method.clone(),
            headers: self.headers.iter().cloned().collect::<HeaderMap>(),
            body: Bytes::from(self.data.clone()),
            grpc: self.grpc,
            timeout: Duration::from_millis(self.timeout),
        }
    }
}

/// Sends the set; outcomes arrive as they come, unordered between connections.
pub fn start(args: CallArgs) -> mpsc::UnboundedReceiver<Outcome> {
    let (sender, receiver) = mpsc::unbounded_channel();
    let (args, next, start) = (Arc::new(args), Arc::new(AtomicUsize::new(0)), Instant::now());
    for _ in 0..args.concurrency.clamp(1, args.count.max(1)) {
        tokio::spawn(worker(Arc::clone(&args), Arc::clone(&next), start, sender.clone()));
    }
    receiver
}

/// Sends the set and prints the outcomes.
pub async fn run(args: CallArgs) -> io::Result<()> {
    let mut outcomes = start(args);
    while let Some(outcome) = outcomes.recv().await {
        let line = serde_json::to_string(&outcome).map_err(io::Error::other)?;
        writeln!(io::stdout().lock(), "{line}")?;
    }
    Ok(())
}

async fn worker(args: Arc<CallArgs>, next: Arc<AtomicUsize>, start: Instant, out: mpsc::UnboundedSender<Outcome>) {
    let call = args.call();
    let mut open: Option<Connection> = None;
    loop {
        let index = next.fetch_add(1, Ordering::Relaxed);
        if index >= args.count {
            return;
        }
        if args.rate > 0.0 {
            #[expect(clippy::cast_precision_loss, reason = "nobody sends 2^52 requests")]
            sleep_until(start + Duration::from_secs_f64(index as f64 / args.rate)).await;
        }
        let usable = open.take().filter(|connection| !args.fresh && !connection.is_closed());
        let connected = match usable {
            Some(connection) => Ok(connection),
            None => {
                Connection::open(
                    &args.url,
                    args.http2 || args.grpc,
                    Duration::from_millis(args.connect_timeout),
                )
                .await
            }
        };
        let outcome = match connected {
            Ok(mut connection) => {
                let outcome = call.send(&mut connection).await;
                open = outcome.error.is_none().then_some(connection);
                outcome
            }
            Err(error) => Outcome::failed(&error),
        };
        if out.send(Outcome { index, ..outcome }).is_err() {
            return;
        }
    }
}

/// Reads `name: value`.
fn header(text: &str) -> Result<(HeaderName, HeaderValue), String> {
    let (name, value) = text.split_once(':').ok_or("write a header as `name: value`")?;
    let name = name.trim().parse::<HeaderName>().map_err(|e| e.to_string())?;
    Ok((name, value.trim().parse::<HeaderValue>().map_err(|e| e.to_string())?))
}

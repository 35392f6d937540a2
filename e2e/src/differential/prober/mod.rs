//! `tulle-e2e prober`: one caller that asks as long as the test lives. Probes come as JSON lines on standard input, outcomes
//! leave as JSON lines on standard output, in any order.
//!
//! Connections are kept and used again, several at once, so that thousands of answers a second are possible. Requests go out
//! byte by byte as they were generated: no library has a say in what a path may look like. Nothing is tried again here.

mod grpc;
mod http1;
mod tcp;

use std::collections::BTreeMap;
use std::io::Write;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::sync::{Mutex, mpsc};

/// So many probes are under way at once.
const WORKERS: usize = 8;
/// Longer than anything takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

/// One question of a caller.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Probe {
    /// Comes back with the outcome; requests carry it as `x-request-id`.
    pub id: String,
    /// Where to connect.
    pub address: SocketAddr,
    /// What to do there.
    pub does: Does,
    /// On a connection that nobody has used.
    #[serde(default)]
    pub fresh: bool,
}

/// What to do.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Does {
    /// An HTTP/1.1 request.
    Http(RawRequest),
    /// A gRPC call over HTTP/2.
    Grpc(RawRequest),
    /// Listens for a line before anything is said.
    Listen,
    /// Says something and listens for its echo.
    Say,
}

/// A request as it goes out.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RawRequest {
    /// The method.
    pub method: String,
    /// Path and query.
    pub target: String,
    /// `Host` or `:authority`.
    pub authority: String,
    /// Headers in order.
    pub headers: Vec<(String, String)>,
}

/// What came of a probe.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Outcome {
    /// The probe.
    pub id: String,
    /// The HTTP status.
    pub status: Option<u16>,
    /// The gRPC status.
    pub grpc_status: Option<u16>,
    /// Headers of the answer.
    pub headers: BTreeMap<String, String>,
    /// What the application says that it saw.
    pub seen: Option<Seen>,
    /// Bytes of a TCP connection.
    pub received: String,
    /// The TCP connection was closed by the other side.
    pub closed: bool,
    /// Why there is no whole answer.
    pub error: Option<String>,
    /// So many requests had gone over the connection before.
    pub before: u32,
    /// It was opened so many seconds ago.
    pub age: u64,
}

/// What the application says that it saw.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Seen {
    /// Its method.
    pub method: String,
    /// Its path.
    pub path: String,
    /// Its query.
    pub query: Option<String>,
    /// Its headers, joined.
    pub headers: BTreeMap<String, String>,
}

impl Outcome {
    /// No answer.
    fn failed(error: impl std::fmt::Display) -> Self {
        Self {
            error: Some(error.to_string()),
            ..Self::default()
        }
    }
}

/// Answers probes until standard input ends.
pub async fn run() -> Result<()> {
    let (probes, queue) = mpsc::unbounded_channel::<Probe>();
    let (answers, mut outcomes) = mpsc::unbounded_channel::<Outcome>();
    let (queue, grpc) = (Arc::new(Mutex::new(queue)), grpc::Connections::default());
    for _ in 0..WORKERS {
        tokio::spawn(worker(Arc::clone(&queue), grpc.clone(), answers.clone()));
    }
    drop(answers);
    tokio::spawn(async move {
        let mut lines = BufReader::new(tokio::io::stdin()).lines();
        while let Ok(Some(line)) = lines.next_line().await {
            // A line that does not parse is a mistake of the test, which waits for its outcome in vain and says so.
            if let Ok(probe) = serde_json::from_str(&line) {
                drop(probes.send(probe));
            }
        }
    });
    let mut output = std::io::BufWriter::new(std::io::stdout());
    while let Some(outcome) = outcomes.recv().await {
        writeln!(output, "{}", serde_json::to_string(&outcome)?)?;
        while let Ok(outcome) = outcomes.try_recv() {
            writeln!(output, "{}", serde_json::to_string(&outcome)?)?;
        }
        output.flush()?;
    }
    Ok(())
}

async fn worker(
    queue: Arc<Mutex<mpsc::UnboundedReceiver<Probe>>>,
    grpc: grpc::Connections,
    answers: mpsc::UnboundedSender<Outcome>,
) {
    let mut http1 = http1::Connections::default();
    loop {
        let next = queue.lock().await.recv().await;
        let Some(probe) = next else { return };
        match probe.does {
            Does::Http(request) => {
                if probe.fresh {
                    http1.forget(probe.address);
                }
                let outcome = in_time(probe.id, http1.ask(probe.address, &request)).await;
                if outcome.error.is_some() {
                    http1.forget(probe.address);
                }
                drop(answers.send(outcome));
            }
            Does::Grpc(request) => {
                if probe.fresh {
                    grpc.forget(probe.address).await;
                }
                drop(answers.send(in_time(probe.id, grpc.ask(probe.address, &request)).await));
            }
            // Some of these wait for seconds, and nobody waits for them meanwhile.
            Does::Listen | Does::Say => drop(tokio::spawn(connect(probe, answers.clone()))),
        }
    }
}

async fn connect(probe: Probe, answers: mpsc::UnboundedSender<Outcome>) {
    let outcome = if matches!(probe.does, Does::Listen) {
        in_time(probe.id, tcp::listen(probe.address)).await
    } else {
        let text = probe.id.clone();
        in_time(probe.id, tcp::say(probe.address, &text)).await
    };
    drop(answers.send(outcome));
}

async fn in_time(id: String, asked: impl Future<Output = Outcome>) -> Outcome {
    let outcome = tokio::time::timeout(PATIENCE, asked).await;
    let outcome = outcome.unwrap_or_else(|_| Outcome::failed("no answer in time"));
    Outcome { id, ..outcome }
}

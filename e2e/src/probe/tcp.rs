//! `tulle-e2e tcp`: connects, listens for a while, perhaps says something, and counts every byte that comes back.

use std::io::Write;
use std::time::Duration;

use anyhow::Result;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout, timeout_at};

/// Arguments of `tulle-e2e tcp`.
#[derive(clap::Args, Clone, Debug)]
pub struct TcpArgs {
    /// `host:port`.
    pub address: String,
    /// Milliseconds to wait for the connection.
    #[arg(long, default_value_t = 3000)]
    pub connect_timeout: u64,
    /// Milliseconds to listen before writing, and again after it.
    #[arg(long, default_value_t = 500)]
    pub listen: u64,
    /// Stop listening as soon as this many bytes have come.
    #[arg(long)]
    pub enough: Option<usize>,
    /// What to write.
    #[arg(long)]
    pub send: Option<String>,
    /// Write before listening, so that there is no greeting.
    #[arg(long)]
    pub at_once: bool,
}

/// What came of it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct TcpReport {
    /// Whether the connection was accepted by whoever is there.
    pub connected: bool,
    /// Bytes received before anything was written.
    pub greeting: usize,
    /// All bytes received.
    pub received: usize,
    /// Those bytes as text.
    pub text: String,
    /// The other side closed or reset the connection.
    pub closed: bool,
    /// What went wrong.
    pub error: Option<String>,
}

/// Probes and prints.
pub async fn run(args: TcpArgs) -> Result<()> {
    let report = probe(&args).await;
    writeln!(std::io::stdout().lock(), "{}", serde_json::to_string(&report)?)?;
    Ok(())
}

async fn probe(args: &TcpArgs) -> TcpReport {
    let mut report = TcpReport::default();
    let connecting = timeout(
        Duration::from_millis(args.connect_timeout),
        TcpStream::connect(&args.address),
    )
    .await;
    match connecting {
        Err(_) => report.error = Some("connect: timeout".into()),
        Ok(Err(error)) => report.error = Some(format!("connect: {error}")),
        Ok(Ok(mut stream)) => {
            report.connected = true;
            let listen = Duration::from_millis(args.listen);
            if !args.at_once {
                report.listen(&mut stream, listen, args.enough).await;
            }
            report.greeting = report.received;
            if let (Some(text), false) = (&args.send, report.closed) {
                match stream.write_all(text.as_bytes()).await {
                    Ok(()) => report.listen(&mut stream, listen, args.enough).await,
                    Err(error) => report.end(&error),
                }
            }
        }
    }
    report
}

impl TcpReport {
    /// Reads until the time is over, enough has come, or the other side ends it.
    pub(super) async fn listen(
        &mut self,
        stream: &mut (impl AsyncRead + Unpin),
        time: Duration,
        enough: Option<usize>,
    ) {
        let (until, mut buffer) = (Instant::now() + time, vec![0; 16 * 1024]);
        while enough.is_none_or(|enough| self.received < enough) {
            match timeout_at(until, stream.read(&mut buffer)).await {
                Err(_) => return,
                Ok(Ok(0)) => {
                    self.closed = true;
                    return;
                }
                Ok(Ok(count)) => {
                    self.received += count;
                    self.text
                        .push_str(&String::from_utf8_lossy(buffer.get(..count).unwrap_or_default()));
                }
                Ok(Err(error)) => return self.end(&error),
            }
        }
    }

    fn end(&mut self, error: &std::io::Error) {
        self.closed = true;
        self.error = Some(error.to_string());
    }
}

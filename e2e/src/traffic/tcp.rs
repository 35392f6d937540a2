//! One TCP connection with continuous ping-pong. Its end is a failure and is not repaired: a test wants to see it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::recorder::Flow;
use super::spec::TcpFlow;

/// No honest echo takes longer.
const PATIENCE: Duration = Duration::from_secs(10);

/// Runs the flow until it is stopped or its connection ends.
pub(super) async fn run(spec: TcpFlow, flow: Arc<Flow>, stop: CancellationToken) {
    let ended = tokio::select! {
        () = stop.cancelled() => return,
        ended = ping_pong(&spec, &flow) => ended,
    };
    if let Err(error) = ended {
        flow.failed(0, format!("{error:#}"));
    }
}

async fn ping_pong(spec: &TcpFlow, flow: &Flow) -> Result<()> {
    let stream = timeout(PATIENCE, TcpStream::connect(&spec.address)).await??;
    stream.set_nodelay(true)?;
    flow.opened(0, stream.local_addr()?.port());
    let mut stream = BufReader::new(stream);
    if spec.banner {
        line(&mut stream).await?;
    }
    for number in 0_u64.. {
        let (sent, ping) = (Instant::now(), format!("ping {number}\n"));
        stream.get_mut().write_all(ping.as_bytes()).await?;
        ensure!(
            line(&mut stream).await? == ping,
            "something else than the ping came back"
        );
        flow.answered(sent.elapsed().as_secs_f64() * 1000.0);
        if number == 0 {
            flow.begun();
        }
        tokio::time::sleep(Duration::from_millis(spec.interval_ms)).await;
    }
    Ok(())
}

async fn line(stream: &mut BufReader<TcpStream>) -> Result<String> {
    let mut text = String::new();
    if timeout(PATIENCE, stream.read_line(&mut text)).await?? == 0 {
        bail!("closed by the other side");
    }
    Ok(text)
}

//! One WebSocket with continuous ping-pong. Its end is a failure and is not repaired.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use futures::{SinkExt, StreamExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use tokio_util::sync::CancellationToken;

use super::recorder::Flow;
use super::spec::WebSocketFlow;

/// No honest echo takes longer.
const PATIENCE: Duration = Duration::from_secs(10);

/// Runs the flow until it is stopped or its WebSocket ends.
pub(super) async fn run(spec: WebSocketFlow, flow: Arc<Flow>, stop: CancellationToken) {
    let ended = tokio::select! {
        () = stop.cancelled() => return,
        ended = ping_pong(&spec, &flow) => ended,
    };
    if let Err(error) = ended {
        flow.failed(0, format!("{error:#}"));
    }
}

async fn ping_pong(spec: &WebSocketFlow, flow: &Flow) -> Result<()> {
    let stream = timeout(PATIENCE, TcpStream::connect(&spec.address)).await??;
    stream.set_nodelay(true)?;
    flow.opened(0, stream.local_addr()?.port());
    let url = format!("ws://{}{}", spec.address, spec.path);
    let (mut socket, _) = timeout(PATIENCE, tokio_tungstenite::client_async(url, stream)).await??;
    for number in 0_u64.. {
        let (sent, ping) = (Instant::now(), Message::text(format!("ping {number}")));
        socket.send(ping.clone()).await?;
        let pong = timeout(PATIENCE, socket.next())
            .await?
            .context("closed by the other side")??;
        ensure!(pong == ping, "something else than the ping came back: {pong:?}");
        flow.answered(sent.elapsed().as_secs_f64() * 1000.0);
        if number == 0 {
            flow.begun();
        }
        tokio::time::sleep(Duration::from_millis(spec.interval_ms)).await;
    }
    Ok(())
}

//! A load generator for a network namespace: requests at a fixed rate, an open TCP connection, gRPC stream, WebSocket.
//!
//! It runs as a process of its own (`tulle-e2e traffic --spec JSON`), prints one JSON line for each event and the whole
//! report at its end: SIGTERM, SIGINT, or the end of its standard input, so that it cannot outlive the test that started
//! it. Nothing is retried: what fails is what a test wants to know.

mod grpc;
mod http;
mod recorder;
pub mod report;
pub mod spec;
mod tcp;
mod websocket;

use std::io::Write;
use std::time::Duration;

use anyhow::Result;
use tokio::io::AsyncReadExt;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use recorder::Recorder;
pub use report::{Event, Failure, FlowReport, Latency, Report};
pub use spec::{GrpcFlow, HttpFlow, Spec, TcpFlow, WebSocketFlow};

/// Requests that are under way at the end have this long.
const GRACE: Duration = Duration::from_secs(5);

/// Arguments of `tulle-e2e traffic`.
#[derive(clap::Args, Clone, Debug)]
pub struct TrafficArgs {
    /// The load, as JSON (see `traffic::spec`).
    #[arg(long)]
    pub spec: String,
}

/// Runs a load in this process until it is told to end, and prints its events.
pub async fn run(args: TrafficArgs) -> Result<()> {
    let spec: Spec = serde_json::from_str(&args.spec)?;
    let stop = CancellationToken::new();
    tokio::spawn(end(spec.seconds, stop.clone()));
    let (sender, mut events) = mpsc::unbounded_channel();
    let load = tokio::spawn(drive(spec, stop, sender));
    while let Some(event) = events.recv().await {
        writeln!(std::io::stdout().lock(), "{}", serde_json::to_string(&event)?)?;
    }
    load.await?
}

/// Runs a load until `stop`; its last event is the report.
pub async fn drive(spec: Spec, stop: CancellationToken, events: mpsc::UnboundedSender<Event>) -> Result<()> {
    let (mut recorder, tasks) = (Recorder::new(events.clone()), TaskTracker::new());
    for flow in &spec.http {
        http::start(flow, &recorder.flow(&flow.name, flow.connections.max(1)), &stop, &tasks)?;
    }
    for flow in spec.tcp {
        tasks.spawn(tcp::run(flow.clone(), recorder.flow(&flow.name, 1), stop.clone()));
    }
    for flow in spec.grpc {
        tasks.spawn(grpc::run(flow.clone(), recorder.flow(&flow.name, 1), stop.clone()));
    }
    for flow in spec.websocket {
        tasks.spawn(websocket::run(flow.clone(), recorder.flow(&flow.name, 1), stop.clone()));
    }
    tasks.close();
    let (mut ready, pause) = (false, Duration::from_millis(spec.progress_ms.max(1)));
    while !stop.is_cancelled() {
        if !ready && recorder.ready() {
            ready = true;
            events.send(Event::Ready)?;
        }
        events.send(Event::Progress(recorder.report()))?;
        let _ = tokio::time::timeout(pause, stop.cancelled()).await;
    }
    let _ = tokio::time::timeout(GRACE, tasks.wait()).await;
    events.send(Event::Report(recorder.report()))?;
    Ok(())
}

/// Cancels `stop` at a signal, at the end of standard input, or when the time is over.
async fn end(seconds: f64, stop: CancellationToken) -> Result<()> {
    let _end = stop.drop_guard();
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let limit = if seconds > 0.0 {
        Duration::from_secs_f64(seconds)
    } else {
        Duration::MAX
    };
    let (mut input, mut rest) = (tokio::io::stdin(), Vec::new());
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
        // With a given time the input may be anything, for example already at its end.
        _ = input.read_to_end(&mut rest), if seconds <= 0.0 => {}
        () = tokio::time::sleep(limit) => {}
    }
    Ok(())
}

#[cfg(test)]
mod tests;

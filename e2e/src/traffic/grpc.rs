//! One gRPC server stream whose messages are counted. Its end is a failure and is not repaired.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use bytes::{Buf, Bytes, BytesMut};
use http::{HeaderMap, Method};
use http_body_util::BodyExt;
use operator::shop::call::Call;
use operator::shop::connection::Connection;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::recorder::Flow;
use super::spec::{GrpcFlow, url};

/// The application ticks ten times a second; silence for so long is an end.
const SILENCE: Duration = Duration::from_secs(10);

/// Runs the flow until it is stopped or its stream ends.
pub(super) async fn run(spec: GrpcFlow, flow: Arc<Flow>, stop: CancellationToken) {
    let ended = tokio::select! {
        () = stop.cancelled() => return,
        ended = watch(&spec, &flow) => ended,
    };
    if let Err(error) = ended {
        flow.failed(0, format!("{error:#}"));
    }
}

async fn watch(spec: &GrpcFlow, flow: &Flow) -> Result<()> {
    let call = Call {
        url: url(&spec.url)?,
        method: Method::POST,
        headers: HeaderMap::new(),
        body: Bytes::new(),
        grpc: true,
        timeout: SILENCE,
    };
    let mut connection = Connection::open(&call.url, true, SILENCE).await?;
    flow.opened(0, connection.local.port());
    let (head, mut body) = timeout(SILENCE, connection.send(call.request())).await??.into_parts();
    ended(flow, &head.headers)?;
    let (mut received, mut last, mut first) = (BytesMut::new(), Instant::now(), true);
    loop {
        let frame = timeout(SILENCE, body.frame())
            .await
            .context("no message for too long")?;
        let frame = frame.context("the stream ended without a status")??;
        if let Some(trailers) = frame.trailers_ref() {
            ended(flow, trailers)?;
        }
        received.extend_from_slice(frame.data_ref().map_or(&[], |data| data));
        while take_message(&mut received) {
            flow.answered(last.elapsed().as_secs_f64() * 1000.0);
            last = Instant::now();
            if std::mem::take(&mut first) {
                flow.begun();
            }
        }
    }
}

/// A gRPC status among the headers or trailers is the stream's end.
fn ended(flow: &Flow, headers: &HeaderMap) -> Result<()> {
    let Some(status) = headers.get("grpc-status") else {
        return Ok(());
    };
    let status = status.to_str()?.parse::<u16>()?;
    flow.status(status);
    let message = headers
        .get("grpc-message")
        .map(|message| String::from_utf8_lossy(message.as_bytes()).into_owned());
    bail!(
        "the stream ended with gRPC status {status}: {}",
        message.unwrap_or_default()
    )
}

/// Takes one whole message (flag, length, bytes) off the front.
fn take_message(received: &mut BytesMut) -> bool {
    let mut head = &received[..];
    let Ok(_compressed) = head.try_get_u8() else {
        return false;
    };
    let Ok(length) = head.try_get_u32() else { return false };
    let whole = 5 + length as usize;
    let complete = received.len() >= whole;
    if complete {
        received.advance(whole);
    }
    complete
}

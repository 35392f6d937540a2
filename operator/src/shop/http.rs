//! HTTP ports of the application: whatever is asked, the answer says what arrived.
//!
//! `/status/<code>` answers with that code, `/delay/<ms>` after that time, `/stream` with endless chunks; every other path
//! at once with 200. Requests for `/hooks/...` are also written to standard output, where `kubectl logs` shows that a hook of a
//! pod was called. The body is always the same JSON object; name and version are headers too, cheap to count. A WebSocket is
//! accepted on every path.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::io::Write as _;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use tokio::net::TcpStream;
use tokio_stream::wrappers::IntervalStream;
use tokio_util::sync::CancellationToken;

use super::app::About;
use super::{grpc, websocket};

/// Answers of every kind.
pub(super) type Body = tonic::body::Body;

/// Between two chunks of `/stream` and two messages of a gRPC stream.
pub(super) const TICK: Duration = Duration::from_millis(100);

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Serves one connection, HTTP/1.1 or HTTP/2 as the caller begins.
pub(super) async fn serve(
    stream: TcpStream,
    peer: SocketAddr,
    about: Arc<About>,
    stop: CancellationToken,
) -> Result<(), BoxError> {
    let ending = stop.clone();
    let service = service_fn(move |request| answer(request, peer, Arc::clone(&about), stop.clone()));
    let builder = Builder::new(TokioExecutor::new());
    let mut connection = pin!(builder.serve_connection_with_upgrades(TokioIo::new(stream), service));
    tokio::select! {
        ended = connection.as_mut() => return ended,
        () = ending.cancelled() => connection.as_mut().graceful_shutdown(),
    }
    connection.await
}

async fn answer(
    request: Request<Incoming>,
    peer: SocketAddr,
    about: Arc<About>,
    stop: CancellationToken,
) -> Result<Response<Body>, Infallible> {
    if grpc::is_grpc(&request) {
        return Ok(named(grpc::answer(request, stop).await, &about));
    }
    if websocket::is_websocket(&request) {
        return Ok(named(websocket::answer(request, stop), &about));
    }
    let (head, body) = request.into_parts();
    let (delay, status) = asked(head.uri.path());
    if head.uri.path().starts_with("/hooks/") {
        // Nobody may read it.
        let _ = writeln!(std::io::stdout(), "{} {}", head.method, head.uri.path());
    }
    // The whole request is read first, so that the connection can be used again.
    let received = body.collect().await.map_or(0, |body| body.to_bytes().len());
    tokio::time::sleep(delay).await;
    let mut headers = BTreeMap::<&str, Vec<String>>::new();
    for (name, value) in &head.headers {
        headers
            .entry(name.as_str())
            .or_default()
            .push(String::from_utf8_lossy(value.as_bytes()).into_owned());
    }
    let seen = serde_json::json!({
        "app": about.name,
        "version": about.version,
        "pid": std::process::id(),
        "method": head.method.as_str(),
        "path": head.uri.path(),
        "query": head.uri.query(),
        "headers": headers.into_iter().map(|(name, values)| (name, values.join(", "))).collect::<BTreeMap<_, _>>(),
        "peer": SocketAddr::new(peer.ip().to_canonical(), peer.port()).to_string(),
        "received": received,
    });
    let line = Bytes::from(format!("{seen}\n"));
    let body = if head.method == Method::HEAD {
        // Over HTTP/2 the library would send a body nevertheless, and every proxy resets such a stream.
        Body::empty()
    } else if head.uri.path() == "/stream" {
        endless(line, stop)
    } else {
        Body::new(Full::new(line))
    };
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(named(response, &about))
}

/// The delay and the status that a path asks for.
fn asked(path: &str) -> (Duration, StatusCode) {
    let number = |prefix: &str| path.strip_prefix(prefix).and_then(|rest| rest.parse::<u16>().ok());
    let delay = Duration::from_millis(number("/delay/").unwrap_or(0).into());
    let status = number("/status/").and_then(|code| StatusCode::from_u16(code).ok());
    (
        delay,
        status.filter(|code| !code.is_informational()).unwrap_or(StatusCode::OK),
    )
}

/// The same line every tick until the caller or the application ends.
fn endless(line: Bytes, stop: CancellationToken) -> Body {
    let ticks = IntervalStream::new(tokio::time::interval(TICK)).take_until(stop.cancelled_owned());
    Body::new(StreamBody::new(
        ticks.map(move |_| Ok::<_, Infallible>(Frame::data(line.clone()))),
    ))
}

/// Who answered, where a load generator can count it without reading the body.
fn named(mut response: Response<Body>, about: &About) -> Response<Body> {
    for (name, value) in [("x-app", &about.name), ("x-app-version", &about.version)] {
        if let Ok(value) = HeaderValue::from_str(value) {
            response.headers_mut().insert(name, value);
        }
    }
    response
}

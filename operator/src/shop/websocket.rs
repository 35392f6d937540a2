//! `WebSocket` connections on the application's HTTP ports: whatever is said comes back.

use futures::{SinkExt, StreamExt};
use hyper::body::Incoming;
use hyper::header::{CONNECTION, HeaderValue, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, UPGRADE};
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::Role;
use tokio_util::sync::CancellationToken;

use super::http::Body;

/// Whether a request asks for a WebSocket.
pub(super) fn is_websocket(request: &Request<Incoming>) -> bool {
    let upgrade = request.headers().get(UPGRADE).map(HeaderValue::as_bytes);
    request.method() == Method::GET && upgrade.is_some_and(|to| to.eq_ignore_ascii_case(b"websocket"))
}

/// Accepts a WebSocket, which lives on after the answer.
pub(super) fn answer(mut request: Request<Incoming>, stop: CancellationToken) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    let Some(key) = request.headers().get(SEC_WEBSOCKET_KEY) else {
        *response.status_mut() = StatusCode::BAD_REQUEST;
        return response;
    };
    let accept = derive_accept_key(key.as_bytes());
    let upgrade = hyper::upgrade::on(&mut request);
    tokio::spawn(async move {
        if let Ok(connection) = upgrade.await {
            echo(connection, stop).await;
        }
    });
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    if let Ok(accept) = HeaderValue::from_str(&accept) {
        headers.insert(SEC_WEBSOCKET_ACCEPT, accept);
    }
    response
}

async fn echo(connection: hyper::upgrade::Upgraded, stop: CancellationToken) {
    let mut socket = WebSocketStream::from_raw_socket(TokioIo::new(connection), Role::Server, None).await;
    loop {
        let message = tokio::select! { () = stop.cancelled() => break, message = socket.next() => message };
        // A caller that goes away is none of the application's business; pings are answered by the library.
        let Some(Ok(message)) = message else { return };
        let is_data = message.is_text() || message.is_binary();
        if is_data && socket.send(message).await.is_err() {
            return;
        }
    }
    // It ends either way.
    let _ = socket.close(None).await;
}

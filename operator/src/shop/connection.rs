//! One client connection, HTTP/1.1 or HTTP/2, that never retries and never hides that it was closed.
//!
//! Client libraries open a new connection behind one's back; here the caller decides, and the local address says which
//! connection it was.

use std::error::Error;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper::header::{HOST, HeaderValue};
use hyper::{Request, Response, Uri};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;

/// Requests of every kind have a body of known length.
pub type RequestBody = Full<Bytes>;

/// Why a request got no answer, as one line.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
#[error("{stage}: {cause}")]
pub struct CallError {
    /// `resolve`, `connect`, `handshake`, `request` or `body`.
    pub stage: &'static str,
    /// What the system or the library said, with all of its causes.
    pub cause: String,
}

impl CallError {
    /// Names the stage of an error.
    pub fn at(stage: &'static str) -> impl Fn(&dyn Error) -> Self {
        move |error| Self {
            stage,
            cause: chain(error),
        }
    }

    /// The stage took too long.
    pub fn timeout(stage: &'static str, limit: Duration) -> Self {
        Self {
            stage,
            cause: format!("no answer within {} ms", limit.as_millis()),
        }
    }
}

/// An error with its causes.
fn chain(error: &dyn Error) -> String {
    let (mut text, mut cause) = (error.to_string(), error.source());
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

/// An open connection.
#[derive(Debug)]
pub struct Connection {
    sender: Sender,
    /// Our end; its port names the connection.
    pub local: SocketAddr,
}

#[derive(Debug)]
enum Sender {
    Http1(http1::SendRequest<RequestBody>),
    Http2(http2::SendRequest<RequestBody>),
}

/// Opens a TCP connection to the authority of a URL.
pub async fn dial(url: &Uri, limit: Duration) -> Result<TcpStream, CallError> {
    let host = url
        .host()
        .unwrap_or_default()
        .trim_start_matches('[')
        .trim_end_matches(']');
    let target = (host, url.port_u16().unwrap_or(80));
    let connecting = tokio::time::timeout(limit, TcpStream::connect(target)).await;
    let stream = connecting.map_err(|_| CallError::timeout("connect", limit))?;
    let stream = stream.map_err(|e| CallError::at("connect")(&e))?;
    stream.set_nodelay(true).map_err(|e| CallError::at("connect")(&e))?;
    Ok(stream)
}

impl Connection {
    /// Connects to the authority of a URL.
    pub async fn open(url: &Uri, http2: bool, limit: Duration) -> Result<Self, CallError> {
        let stream = dial(url, limit).await?;
        let local = stream.local_addr().map_err(|e| CallError::at("connect")(&e))?;
        let io = TokioIo::new(stream);
        let failed = |e: hyper::Error| CallError::at("handshake")(&e);
        let sender = if http2 {
            let (sender, driver) = http2::handshake(TokioExecutor::new(), io).await.map_err(failed)?;
            tokio::spawn(driver);
            Sender::Http2(sender)
        } else {
            let (sender, driver) = http1::handshake(io).await.map_err(failed)?;
            tokio::spawn(driver);
            Sender::Http1(sender)
        };
        Ok(Self { sender, local })
    }

    /// Whether the other side has closed it.
    pub fn is_closed(&self) -> bool {
        match &self.sender {
            Sender::Http1(sender) => sender.is_closed(),
            Sender::Http2(sender) => sender.is_closed(),
        }
    }

    /// The same HTTP/2 connection for a concurrent request; HTTP/1.1 has none.
    pub fn share(&self) -> Option<Self> {
        match &self.sender {
            Sender::Http1(_) => None,
            Sender::Http2(sender) => Some(Self {
                sender: Sender::Http2(sender.clone()),
                local: self.local,
            }),
        }
    }

    /// Sends one request with an absolute URL and waits for the head of the answer.
    pub async fn send(&mut self, mut request: Request<RequestBody>) -> Result<Response<Incoming>, CallError> {
        let failed = |e: hyper::Error| CallError::at("request")(&e);
        match &mut self.sender {
            Sender::Http1(sender) => {
                to_origin_form(&mut request);
                sender.ready().await.map_err(failed)?;
                sender.send_request(request).await.map_err(failed)
            }
            Sender::Http2(sender) => {
                sender.ready().await.map_err(failed)?;
                sender.send_request(request).await.map_err(failed)
            }
        }
    }
}

/// HTTP/1.1 wants the path in the request line and the authority in `Host`.
fn to_origin_form(request: &mut Request<RequestBody>) {
    let authority = request
        .uri()
        .authority()
        .and_then(|authority| HeaderValue::from_str(authority.as_str()).ok());
    if let Some(authority) = authority {
        request.headers_mut().entry(HOST).or_insert(authority);
    }
    let path = request.uri().path_and_query().cloned();
    *request.uri_mut() = path.map_or_else(|| Uri::from_static("/"), Uri::from);
}

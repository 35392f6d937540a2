//! What a load consists of: data that the harness writes as JSON on the command line.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri};
use operator::shop::call::Call;
use serde::{Deserialize, Serialize};

/// A load: flows that run beside each other until they are stopped.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Spec {
    /// Requests at a fixed rate.
    pub http: Vec<HttpFlow>,
    /// Open TCP connections with continuous ping-pong.
    pub tcp: Vec<TcpFlow>,
    /// Open gRPC server streams.
    pub grpc: Vec<GrpcFlow>,
    /// Open `WebSocket` connections with continuous ping-pong.
    pub websocket: Vec<WebSocketFlow>,
    /// Ends by itself after this time; 0 means when told to.
    pub seconds: f64,
    /// Milliseconds between two reports of where the flows stand.
    pub progress_ms: u64,
}

impl Default for Spec {
    fn default() -> Self {
        Self {
            http: Vec::new(),
            tcp: Vec::new(),
            grpc: Vec::new(),
            websocket: Vec::new(),
            seconds: 0.0,
            progress_ms: 200,
        }
    }
}

/// Requests at a fixed rate over connections that are kept.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HttpFlow {
    /// Its name in the report.
    pub name: String,
    /// Absolute URL.
    pub url: String,
    /// Method.
    pub method: String,
    /// Headers.
    pub headers: BTreeMap<String, String>,
    /// Requests per second, over all connections.
    pub rate: f64,
    /// How many connections.
    pub connections: usize,
    /// HTTP/2 with prior knowledge; otherwise HTTP/1.1 keep-alive.
    pub http2: bool,
    /// Milliseconds until an answer is given up.
    pub timeout_ms: u64,
}

impl Default for HttpFlow {
    fn default() -> Self {
        Self {
            name: "http".into(),
            url: String::new(),
            method: "GET".into(),
            headers: BTreeMap::new(),
            rate: 100.0,
            connections: 4,
            http2: false,
            timeout_ms: 10_000,
        }
    }
}

/// One TCP connection on which a line goes out and must come back, again and again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TcpFlow {
    /// Its name in the report.
    pub name: String,
    /// `host:port`.
    pub address: String,
    /// The server speaks first: read one line before the ping-pong.
    pub banner: bool,
    /// Milliseconds between two pings.
    pub interval_ms: u64,
}

impl Default for TcpFlow {
    fn default() -> Self {
        Self {
            name: "tcp".into(),
            address: String::new(),
            banner: false,
            interval_ms: 50,
        }
    }
}

/// One gRPC stream on which the server keeps sending.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GrpcFlow {
    /// Its name in the report.
    pub name: String,
    /// Absolute URL, with the method as path.
    pub url: String,
}

impl Default for GrpcFlow {
    fn default() -> Self {
        Self {
            name: "grpc".into(),
            url: String::new(),
        }
    }
}

/// One WebSocket on which a message goes out and must come back, again and again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct WebSocketFlow {
    /// Its name in the report.
    pub name: String,
    /// `host:port`.
    pub address: String,
    /// The path.
    pub path: String,
    /// Milliseconds between two messages.
    pub interval_ms: u64,
}

impl Default for WebSocketFlow {
    fn default() -> Self {
        Self {
            name: "websocket".into(),
            address: String::new(),
            path: "/socket".into(),
            interval_ms: 50,
        }
    }
}

impl HttpFlow {
    /// The request to send.
    pub fn call(&self) -> Result<Call> {
        let mut headers = HeaderMap::new();
        for (name, value) in &self.headers {
            headers.append(name.parse::<HeaderName>()?, value.parse::<HeaderValue>()?);
        }
        Ok(Call {
            url: url(&self.url)?,
            method: self.method.parse::<Method>()?,
            headers,
            body: Bytes::new(),
            grpc: false,
            timeout: Duration::from_millis(self.timeout_ms),
        })
    }
}

/// Reads an absolute URL.
pub fn url(text: &str) -> Result<Uri> {
    text.parse::<Uri>().with_context(|| format!("{text:?} is not a URL"))
}

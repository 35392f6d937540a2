//! One request and what came back, as data.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use bytes::{BufMut, Bytes, BytesMut};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, TE};
use hyper::{Method, Request, Response, Uri};
use serde::{Deserialize, Serialize};

use super::connection::{CallError, Connection, RequestBody};

/// Longer answers are cut in reports.
const SHOWN: usize = 16 * 1024;

/// A request to send, perhaps many times.
#[derive(Clone, Debug)]
pub struct Call {
    /// Absolute URL.
    pub url: Uri,
    /// Its method.
    pub method: Method,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body; with `grpc`, one message.
    pub body: Bytes,
    /// Send the body as a gRPC message.
    pub grpc: bool,
    /// Time for the whole answer.
    pub timeout: Duration,
}

/// What one request brought.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Outcome {
    /// Which of the set, from 0.
    pub index: usize,
    /// The HTTP status, if there was an answer.
    pub status: Option<u16>,
    /// The gRPC status, if it was a gRPC answer.
    pub grpc_status: Option<u16>,
    /// Which application answered.
    pub app: Option<String>,
    /// Which version of it.
    pub version: Option<String>,
    /// Milliseconds from sending to the end of the answer.
    pub ms: f64,
    /// The local port of the connection.
    pub port: Option<u16>,
    /// Why there was no whole answer.
    pub error: Option<String>,
    /// Headers of the answer, trailers included.
    pub headers: BTreeMap<String, String>,
    /// The body: JSON if it is JSON, otherwise a text.
    pub body: Option<serde_json::Value>,
}

impl Call {
    /// The request as it goes out.
    pub fn request(&self) -> Request<RequestBody> {
        let body = if self.grpc {
            framed(&self.body)
        } else {
            self.body.clone()
        };
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = if self.grpc { Method::POST } else { self.method.clone() };
        *request.uri_mut() = self.url.clone();
        *request.headers_mut() = self.headers.clone();
        if self.grpc {
            request
                .headers_mut()
                .insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
            request.headers_mut().insert(TE, HeaderValue::from_static("trailers"));
        }
        request
    }

    /// Sends it and reads the whole answer.
    pub async fn send(&self, connection: &mut Connection) -> Outcome {
        let start = Instant::now();
        let mut outcome = Outcome {
            port: Some(connection.local.port()),
            ..Outcome::default()
        };
        let exchange = async {
            let response = connection.send(self.request()).await?;
            outcome.read(response).await
        };
        let exchanged = tokio::time::timeout(self.timeout, exchange).await;
        let failed = exchanged.unwrap_or_else(|_| Err(CallError::timeout("request", self.timeout)));
        outcome.error = failed.err().map(|e| e.to_string());
        outcome.ms = start.elapsed().as_secs_f64() * 1000.0;
        outcome
    }
}

impl Outcome {
    /// An outcome without an answer.
    pub fn failed(error: &CallError) -> Self {
        Self {
            error: Some(error.to_string()),
            ..Self::default()
        }
    }

    async fn read(&mut self, response: Response<Incoming>) -> Result<(), CallError> {
        let (head, body) = response.into_parts();
        self.status = Some(head.status.as_u16());
        self.note(&head.headers);
        let body = body.collect().await.map_err(|e| CallError::at("body")(&e))?;
        if let Some(trailers) = body.trailers().cloned() {
            self.note(&trailers);
        }
        let bytes = body.to_bytes();
        if !bytes.is_empty() {
            let text = || {
                String::from_utf8_lossy(bytes.get(..SHOWN).unwrap_or(&bytes))
                    .into_owned()
                    .into()
            };
            self.body = Some(serde_json::from_slice(&bytes).unwrap_or_else(|_| text()));
        }
        Ok(())
    }

    fn note(&mut self, headers: &HeaderMap) {
        let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
        let get = |name: &str| headers.get(HeaderName::from_lowercase(name.as_bytes()).ok()?).map(text);
        self.app = get("x-app").or(self.app.take());
        self.version = get("x-app-version").or(self.version.take());
        self.grpc_status = get("grpc-status")
            .and_then(|code| code.parse().ok())
            .or(self.grpc_status);
        for (name, value) in headers {
            let entry = self.headers.entry(name.to_string()).or_default();
            if !entry.is_empty() {
                entry.push_str(", ");
            }
            entry.push_str(&text(value));
        }
    }
}

/// One gRPC message: not compressed, length, bytes.
pub fn framed(message: &[u8]) -> Bytes {
    let mut frame = BytesMut::with_capacity(message.len() + 5);
    frame.put_u8(0);
    frame.put_u32(u32::try_from(message.len()).unwrap_or(u32::MAX));
    frame.put(message);
    frame.freeze()
}

//! A client of Envoy's admin interface on its Unix socket: readiness, statistics, configuration, certificates.
//!
//! One connection a request: these are rare, and Envoy may have been restarted in between.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt, Empty, Limited};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::UnixStream;

/// A configuration dump of a large mesh has some tens of megabytes.
const MAX_ANSWER: usize = 512 << 20;

/// Why Envoy did not answer.
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    /// Nobody listens.
    #[error("Envoy's admin socket {path} does not answer ({source}); see whether Envoy runs and what its log says")]
    Connect {
        /// The socket.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The answer did not come.
    #[error("Envoy did not answer {request} within {timeout:?}; its main thread may be busy")]
    Timeout {
        /// What was asked.
        request: String,
        /// How long we waited.
        timeout: Duration,
    },
    /// The answer is not one.
    #[error("Envoy's answer to {request} cannot be read: {reason}")]
    Answer {
        /// What was asked.
        request: String,
        /// What is wrong with it.
        reason: String,
    },
}

/// Talks to one Envoy.
#[derive(Clone, Debug)]
pub struct AdminClient {
    socket: PathBuf,
    timeout: Duration,
}

impl AdminClient {
    /// A client of the Envoy with this admin socket.
    pub fn new(socket: impl Into<PathBuf>) -> Self {
        Self {
            socket: socket.into(),
            timeout: Duration::from_secs(5),
        }
    }

    /// Changes how long an answer may take (5 s).
    #[must_use]
    pub fn with_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// The socket.
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// Whether Envoy is LIVE. Says nothing about whether its configuration was accepted.
    pub async fn ready(&self) -> Result<bool, AdminError> {
        Ok(self.request(Method::GET, "/ready").await?.0 == StatusCode::OK)
    }

    /// Counters and gauges by name; `filter` is a regular expression over names.
    pub async fn stats(&self, filter: Option<&str>) -> Result<BTreeMap<String, u64>, AdminError> {
        let filter = filter.map_or(String::new(), |f| format!("&filter={}", encode(f)));
        let answer = self.json(&format!("/stats?format=json{filter}")).await?;
        let stats = answer
            .get("stats")
            .and_then(Value::as_array)
            .map(Vec::as_slice)
            .unwrap_or_default();
        let pair = |stat: &Value| Some((stat.get("name")?.as_str()?.to_owned(), stat.get("value")?.as_u64()?));
        Ok(stats.iter().filter_map(pair).collect())
    }

    /// The whole configuration, endpoints included.
    pub async fn config_dump(&self) -> Result<Value, AdminError> {
        self.json("/config_dump?include_eds").await
    }

    /// The certificates in use.
    pub async fn certs(&self) -> Result<Value, AdminError> {
        self.json("/certs").await
    }

    /// Any other question.
    pub async fn get(&self, path: &str) -> Result<Bytes, AdminError> {
        self.expect_ok(Method::GET, path).await
    }

    /// Any command (`/drain_listeners?graceful`, `/logging?level=debug`).
    pub async fn post(&self, path: &str) -> Result<Bytes, AdminError> {
        self.expect_ok(Method::POST, path).await
    }

    async fn json(&self, path: &str) -> Result<Value, AdminError> {
        let body = self.get(path).await?;
        serde_json::from_slice(&body).map_err(|e| AdminError::Answer {
            request: path.to_owned(),
            reason: e.to_string(),
        })
    }

    async fn expect_ok(&self, method: Method, path: &str) -> Result<Bytes, AdminError> {
        let (status, body) = self.request(method, path).await?;
        if status.is_success() {
            return Ok(body);
        }
        let text = String::from_utf8_lossy(&body);
        let reason = format!("{status}: {}", text.lines().next().unwrap_or_default());
        Err(AdminError::Answer {
            request: path.to_owned(),
            reason,
        })
    }

    async fn request(&self, method: Method, path: &str) -> Result<(StatusCode, Bytes), AdminError> {
        let timeout = || AdminError::Timeout {
            request: path.to_owned(),
            timeout: self.timeout,
        };
        tokio::time::timeout(self.timeout, self.exchange(method, path))
            .await
            .map_err(|_| timeout())?
    }

    async fn exchange(&self, method: Method, path: &str) -> Result<(StatusCode, Bytes), AdminError> {
        let bad = |reason: String| AdminError::Answer {
            request: path.to_owned(),
            reason,
        };
        let stream = UnixStream::connect(&self.socket)
            .await
            .map_err(|source| AdminError::Connect {
                path: self.socket.clone(),
                source,
            })?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|e| bad(e.to_string()))?;
        // Ends with the sender, at the end of this function.
        let driver = tokio::spawn(connection);
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", "envoy")
            .body(Empty::<Bytes>::new());
        let answer = sender.send_request(request.map_err(|e| bad(e.to_string()))?).await;
        let answer = answer.map_err(|e| bad(e.to_string()))?;
        let status = answer.status();
        let body = Limited::new(answer.into_body(), MAX_ANSWER)
            .collect()
            .await
            .map_err(|e| bad(e.to_string()))?;
        driver.abort();
        Ok((status, body.to_bytes()))
    }
}

/// Percent-encodes what is not plain in a query.
fn encode(text: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b'~');
    let byte = |b: u8| {
        if plain(b) {
            char::from(b).to_string()
        } else {
            format!("%{b:02X}")
        }
    };
    text.bytes().map(byte).collect()
}

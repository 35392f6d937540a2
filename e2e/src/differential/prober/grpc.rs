//! gRPC calls over one HTTP/2 connection for each address, shared by all workers.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::str::FromStr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use bytes::Bytes;
use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use hyper::{Method, Uri};
use operator::shop::call::Call;
use operator::shop::connection::Connection;
use tokio::sync::Mutex;

use super::{Outcome, PATIENCE, RawRequest};

/// Open connections.
#[derive(Clone, Debug, Default)]
pub(super) struct Connections(Arc<Mutex<BTreeMap<SocketAddr, Kept>>>);

/// An open connection.
#[derive(Debug)]
struct Kept {
    connection: Connection,
    /// Calls that went over it.
    calls: u32,
    opened: Instant,
}

impl Connections {
    /// Sends a call.
    pub(super) async fn ask(&self, address: SocketAddr, request: &RawRequest) -> Outcome {
        match self.send(address, request).await {
            Ok(outcome) => outcome,
            Err(error) => Outcome::failed(format!("{error:#}")),
        }
    }

    /// Uses a connection for no further call.
    pub(super) async fn forget(&self, address: SocketAddr) {
        self.0.lock().await.remove(&address);
    }

    async fn send(&self, address: SocketAddr, request: &RawRequest) -> Result<Outcome> {
        let call = call(request)?;
        let (mut connection, before, age) = self.connection(address).await?;
        let answer = call.send(&mut connection).await;
        if answer.error.is_some() {
            self.0.lock().await.remove(&address);
        }
        Ok(Outcome {
            status: answer.status,
            grpc_status: answer.grpc_status,
            headers: answer.headers,
            error: answer.error,
            before,
            age,
            ..Outcome::default()
        })
    }

    /// A connection, how many calls went over it before, and how many seconds ago it was opened.
    async fn connection(&self, address: SocketAddr) -> Result<(Connection, u32, u64)> {
        let mut open = self.0.lock().await;
        let kept = open.get_mut(&address).filter(|kept| !kept.connection.is_closed());
        if let Some((shared, kept)) = kept.and_then(|kept| Some((kept.connection.share()?, kept))) {
            kept.calls += 1;
            return Ok((shared, kept.calls, kept.opened.elapsed().as_secs()));
        }
        let url = Uri::from_str(&format!("http://{address}/"))?;
        let connection = Connection::open(&url, true, Duration::from_secs(5)).await?;
        let shared = connection.share().context("HTTP/2 connections can be shared")?;
        let kept = Kept {
            connection,
            calls: 0,
            opened: Instant::now(),
        };
        open.insert(address, kept);
        Ok((shared, 0, 0))
    }
}

fn call(request: &RawRequest) -> Result<Call> {
    let mut headers = HeaderMap::new();
    for (name, value) in &request.headers {
        headers.append(HeaderName::from_str(name)?, HeaderValue::from_bytes(value.as_bytes())?);
    }
    Ok(Call {
        url: Uri::from_str(&format!("http://{}{}", request.authority, request.target))?,
        method: Method::POST,
        headers,
        body: Bytes::from_static(b"probe"),
        grpc: true,
        timeout: PATIENCE,
    })
}

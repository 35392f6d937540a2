//! gRPC calls over one HTTP/2 connection for each address, shared by all workers.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

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
pub(super) struct Connections(Arc<Mutex<BTreeMap<SocketAddr, Connection>>>);

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
        let mut connection = self.connection(address).await?;
        let answer = call.send(&mut connection).await;
        if answer.error.is_some() {
            self.0.lock().await.remove(&address);
        }
        Ok(Outcome {
            status: answer.status,
            grpc_status: answer.grpc_status,
            headers: answer.headers,
            error: answer.error,
            ..Outcome::default()
        })
    }

    async fn connection(&self, address: SocketAddr) -> Result<Connection> {
        let mut open = self.0.lock().await;
        if let Some(shared) = open
            .get(&address)
            .filter(|one| !one.is_closed())
            .and_then(Connection::share)
        {
            return Ok(shared);
        }
        let url = Uri::from_str(&format!("http://{address}/"))?;
        let made = Connection::open(&url, true, Duration::from_secs(5)).await?;
        let shared = made.share().context("HTTP/2 connections can be shared")?;
        open.insert(address, made);
        Ok(shared)
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

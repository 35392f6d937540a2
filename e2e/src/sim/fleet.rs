//! Many simulated proxies of one control plane.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use futures::{StreamExt, TryStreamExt, stream};

use super::client::{Behaviour, Client, ClientSpec};
use super::dial::Server;
use super::log::{Progress, Received};
use super::session::Session;
use super::world::{NAMESPACE, World};
use crate::harness::Tokens;

/// Connections that are opened at a time; a storm of handshakes is another benchmark.
const AT_ONCE: usize = 32;
/// How long a proxy may take to have everything.
const COMPLETE: Duration = Duration::from_mins(2);

/// Running clients, in order of their workloads.
#[derive(Debug)]
pub struct Fleet(pub Vec<Client>);

/// What a fleet received since it was last asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Responses.
    pub responses: usize,
    /// Resources in them.
    pub resources: usize,
    /// Names that they removed.
    pub removed: usize,
    /// Their encoded size.
    pub bytes: usize,
}

impl Traffic {
    /// Counts responses.
    pub fn of<'a>(received: impl IntoIterator<Item = &'a Received>) -> Self {
        received.into_iter().fold(Self::default(), |sum, response| Self {
            responses: sum.responses + 1,
            resources: sum.resources + response.resources.len(),
            removed: sum.removed + response.removed.len(),
            bytes: sum.bytes + response.bytes,
        })
    }
}

/// A well-behaved client of a workload of the world.
pub fn spec(tokens: &Tokens, index: usize) -> Result<ClientSpec> {
    let workload = World::workload(index);
    Ok(ClientSpec {
        session: Session::new(&format!("{NAMESPACE}/{workload}")),
        token: tokens.of(NAMESPACE, &workload)?,
        source: World::address(index),
        behaviour: Behaviour::Ack,
    })
}

impl Fleet {
    /// Connects the clients and waits until each has everything.
    pub async fn start(server: &Server, specs: Vec<ClientSpec>) -> Result<Self> {
        let fleet = Self::connect(server, specs).await?;
        fleet.until("the whole configuration", |now| now.complete).await?;
        Ok(fleet)
    }

    /// Connects the clients and waits until the server has accepted their streams.
    pub async fn connect(server: &Server, specs: Vec<ClientSpec>) -> Result<Self> {
        let starting = stream::iter(specs).map(async |spec| {
            let client = Client::start(server, spec).await?;
            client
                .log()
                .until("the stream", COMPLETE, |now| now.open || now.ended.is_some())
                .await?;
            anyhow::Ok(client)
        });
        Ok(Self(starting.buffered(AT_ONCE).try_collect().await?))
    }

    /// Waits until each client is where a test wants it.
    pub async fn until(&self, what: &str, wanted: impl Fn(&Progress) -> bool) -> Result<()> {
        for (index, client) in self.0.iter().enumerate() {
            let reached = client
                .log()
                .until(what, COMPLETE, |now| wanted(now) || now.ended.is_some());
            let progress = reached.await.with_context(|| format!("client {index}"))?;
            anyhow::ensure!(
                wanted(&progress),
                "client {index}: {}",
                progress.ended.unwrap_or_default()
            );
        }
        Ok(())
    }

    /// Waits until each client has answered at least one more response and nothing more has come for a while.
    pub async fn settle(&self, quiet: Duration, limit: Duration) -> Result<()> {
        let start = Instant::now();
        let (mut before, mut since) = (0, Instant::now());
        while self.0.iter().any(|client| client.log().is_empty()) || since.elapsed() < quiet {
            let now: usize = self.0.iter().map(|client| client.log().len()).sum();
            if now != before {
                (before, since) = (now, Instant::now());
            }
            let silent = self.0.iter().filter(|client| client.log().is_empty()).count();
            anyhow::ensure!(
                start.elapsed() < limit,
                "{silent} clients received nothing within {limit:?}"
            );
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        Ok(())
    }

    /// When the last answer was sent.
    pub fn last_answer(&self) -> Option<Instant> {
        self.0.iter().filter_map(|client| client.log().now().answered).max()
    }

    /// Takes what was received, by client.
    pub fn take(&self) -> Vec<Vec<Received>> {
        self.0.iter().map(|client| client.log().take()).collect()
    }
}

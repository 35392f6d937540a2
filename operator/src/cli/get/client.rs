//! Asking the control plane over its admin socket.

use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::process::{AdminClient, AdminError};

/// How long one long poll lasts, in seconds.
const POLL: u64 = 30;

/// A list as the admin socket gives it.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct List {
    pub(crate) version: u64,
    pub(crate) items: Vec<Value>,
}

/// A client of one control plane.
pub(crate) struct Client {
    http: AdminClient,
}

impl Client {
    pub(crate) fn new(state_dir: &Path) -> Self {
        let timeout = Duration::from_secs(POLL + 10);
        Self {
            http: AdminClient::new(crate::admin::socket_path(state_dir)).with_timeout(timeout),
        }
    }

    /// Everything that is served, as of one moment, without status.
    pub(crate) async fn everything(&self) -> anyhow::Result<List> {
        self.ask("/objects").await
    }

    /// All objects of a kind.
    pub(super) async fn list(&self, plural: &str) -> anyhow::Result<List> {
        self.ask(&format!("/objects/{plural}")).await
    }

    /// The same, as soon as it is another version.
    pub(super) async fn next(&self, plural: &str, after: u64) -> anyhow::Result<List> {
        self.ask(&format!("/objects/{plural}?after={after}&wait={POLL}")).await
    }

    /// Any answer.
    pub(super) async fn ask<T: DeserializeOwned>(&self, path: &str) -> anyhow::Result<T> {
        let body = self.http.get(path).await.map_err(|error| match error {
            AdminError::Connect { path, source } => anyhow::anyhow!(
                "no control plane answers at {} ({source}); start it with `tulle up DIR`, or name its state folder with --state",
                path.display()
            ),
            AdminError::Timeout { .. } => anyhow::anyhow!("the control plane does not answer; see its log"),
            AdminError::Answer { reason, .. } => anyhow::anyhow!("the control plane says: {reason}"),
        })?;
        serde_json::from_slice(&body)
            .context("the control plane's answer is not what was expected; is it another version?")
    }
}

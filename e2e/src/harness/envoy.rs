//! One Envoy's admin interface, for counting.

use std::collections::BTreeMap;

use anyhow::Result;
use operator::process::AdminClient;
use serde_json::Value;
use tokio::runtime::Runtime;

/// One Envoy of a mesh.
pub struct Envoy<'a> {
    runtime: &'a Runtime,
    admin: AdminClient,
}

/// Counters and gauges by name.
pub type Stats = BTreeMap<String, u64>;

impl<'a> Envoy<'a> {
    pub(super) fn new(runtime: &'a Runtime, admin: AdminClient) -> Self {
        Self { runtime, admin }
    }

    /// Counters and gauges whose name matches a regular expression.
    pub fn stats(&self, filter: &str) -> Result<Stats> {
        Ok(self.runtime.block_on(self.admin.stats(Some(filter)))?)
    }

    /// The sum of those.
    pub fn sum(&self, filter: &str) -> Result<u64> {
        Ok(self.stats(filter)?.values().sum())
    }

    /// The whole configuration.
    pub fn config_dump(&self) -> Result<Value> {
        Ok(self.runtime.block_on(self.admin.config_dump())?)
    }

    /// Ends it. Whoever runs it starts it again.
    pub fn quit(&self) -> Result<()> {
        self.runtime.block_on(self.admin.post("/quitquitquit"))?;
        Ok(())
    }

    /// The certificates in use.
    pub fn certs(&self) -> Result<Value> {
        Ok(self.runtime.block_on(self.admin.certs())?)
    }
}

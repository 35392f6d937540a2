//! Addresses that a cluster would have given: to Services from 240.0.0.0/4 by hash, to processes from the run's subnet
//! or loopback block.
//!
//! Service addresses are kept on disk before they are used and are never given to another Service, because proxies and
//! applications hold on to them. Which addresses processes have is up to whoever runs them: a function says it.

mod service;
mod workload;

use std::net::IpAddr;
use std::sync::Arc;

pub use service::{AllocateError, ServiceAddresses};
pub use workload::{Pool, kept as kept_workload_addresses};

/// Says which address a process-run workload has: `(namespace, name)` -> address.
#[derive(Clone, Default)]
pub struct WorkloadAddresses(Option<Arc<AddressOf>>);

type AddressOf = dyn Fn(&str, &str) -> Option<IpAddr> + Send + Sync;

impl WorkloadAddresses {
    /// Addresses by this function. It must give the same answer each time.
    pub fn by(function: impl Fn(&str, &str) -> Option<IpAddr> + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(function)))
    }

    /// The address of one workload.
    pub fn of(&self, namespace: &str, name: &str) -> Option<IpAddr> {
        self.0.as_ref().and_then(|function| function(namespace, name))
    }
}

impl std::fmt::Debug for WorkloadAddresses {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if self.0.is_some() {
            "WorkloadAddresses(by function)"
        } else {
            "WorkloadAddresses(none)"
        })
    }
}

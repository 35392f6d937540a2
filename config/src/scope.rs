//! What a proxy may see. Proxies with equal scopes share everything outbound.
//!
//! For now every Service is visible to everyone, and what differs is the caller's namespace, whose consumer routes replace
//! the producers'. A proxy that serves an endpoint of a headless Service itself has a scope of its own: that address is its
//! inbound side, and a second listener for it would take the connections of its callers.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use crate::model::{Endpoint, Key, Model, Service, ServicePort, SpiffeId, Workload};

/// A scope.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Scope {
    /// The caller's namespace.
    pub namespace: Arc<str>,
    /// The caller's own address, if an endpoint of a headless Service has it.
    pub own_endpoint: Option<IpAddr>,
}

impl Scope {
    /// Selects the scope of a workload.
    pub fn of(workload: &Workload, model: &Model) -> Self {
        let mut endpoints = headless(model).flat_map(|(_, port)| port.endpoints.iter());
        let own = endpoints.any(|endpoint| endpoint.address == workload.address);
        Self {
            namespace: Arc::clone(&workload.key.namespace),
            own_endpoint: own.then_some(workload.address),
        }
    }

    /// This scope's namespace, if it has routes of its own to a Service port.
    pub fn consumer(&self, port: &ServicePort) -> Option<Arc<str>> {
        let own = port.consumer_routes.contains_key(&self.namespace);
        own.then(|| Arc::clone(&self.namespace))
    }

    /// Whether this scope reaches an endpoint of a headless Service by its address.
    pub fn sees(&self, address: IpAddr) -> bool {
        self.own_endpoint != Some(address)
    }
}

/// One endpoint of a headless Service that is in the mesh: callers dial it by its address and expect its identity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pod {
    pub(crate) service: Key,
    pub(crate) port: Arc<ServicePort>,
    pub(crate) endpoint: Endpoint,
    pub(crate) identity: SpiffeId,
}

/// All of them; an endpoint of several headless Services counts for the first by name.
pub(crate) fn pods(model: &Model) -> BTreeMap<(IpAddr, u16), Pod> {
    let mut pods = BTreeMap::new();
    for (service, port) in headless(model) {
        for endpoint in port.endpoints.iter() {
            let workload = endpoint.workload.as_ref().and_then(|key| model.workloads.get(key));
            if let Some(workload) = workload {
                pods.entry((endpoint.address, endpoint.port)).or_insert_with(|| Pod {
                    service: service.key.clone(),
                    port: Arc::clone(port),
                    endpoint: endpoint.clone(),
                    identity: workload.identity.clone(),
                });
            }
        }
    }
    pods
}

fn headless(model: &Model) -> impl Iterator<Item = (&Arc<Service>, &Arc<ServicePort>)> {
    let services = model.services.values().filter(|service| service.addresses.is_empty());
    services.flat_map(|service| service.ports.values().map(move |port| (service, port)))
}

//! What a proxy may see. Proxies with equal scopes share everything outbound.
//!
//! For now every Service is visible to everyone. What differs is the caller's namespace, whose consumer routes replace the
//! producers', and whether the caller dials endpoints of Services that have an address of their own. A proxy does not get the outbound listeners of its own workload's addresses: those are its inbound side, and
//! another listener there would take the connections of its callers, past every inbound filter.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use xds::{Kind, Reference};

use crate::model::{Endpoint, Key, Model, Service, ServicePort, SpiffeId, Workload};
use crate::names::ListenerName;

/// A scope.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Scope {
    /// The caller's namespace.
    pub namespace: Arc<str>,
    /// Whether the caller dials endpoints by their own addresses: a listener for each, which the others are spared.
    pub dials_endpoints: bool,
}

impl Scope {
    /// Selects the scope of a workload.
    pub fn of(workload: &Workload) -> Self {
        Self {
            namespace: Arc::clone(&workload.key.namespace),
            dials_endpoints: workload.dials_endpoints,
        }
    }

    /// This scope's namespace, if it has routes of its own to a Service port.
    pub fn consumer(&self, port: &ServicePort) -> Option<Arc<str>> {
        let own = port.consumer_routes.contains_key(&self.namespace);
        own.then(|| Arc::clone(&self.namespace))
    }
}

/// Addresses and ports of workloads that have an outbound listener at their callers.
pub(crate) fn dialled(model: &Model) -> BTreeSet<(IpAddr, u16)> {
    let headless = pods(model).into_keys();
    headless.chain(direct(model).into_keys()).collect()
}

/// The outbound listeners that a workload's own proxy does not get: all at its address, whether or not it knows the port.
pub(crate) fn hidden(dialled: &BTreeSet<(IpAddr, u16)>, workload: &Workload) -> BTreeSet<Reference> {
    let own = dialled.range((workload.address, 0)..=(workload.address, u16::MAX));
    own.map(|(address, port)| Reference::new(Kind::Listener, ListenerName::Outbound(*address, *port).to_string()))
        .collect()
}

/// Workload ports behind Services that have an address of their own, with the first such Service by name. Only who dials
/// endpoints has listeners for them.
pub(crate) fn direct(model: &Model) -> BTreeMap<(IpAddr, u16), (Key, u16)> {
    let mut places = BTreeMap::new();
    let services = model.services.values().filter(|service| !service.addresses.is_empty());
    for (service, port) in services.flat_map(|service| service.ports.values().map(move |port| (service, port))) {
        for endpoint in port.endpoints.iter().filter(|endpoint| endpoint.workload.is_some()) {
            places
                .entry((endpoint.address, endpoint.port))
                .or_insert_with(|| (service.key.clone(), port.number));
        }
    }
    places
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

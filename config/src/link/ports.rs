//! Topology and merged policies -> the Services and Workloads of the model.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::topology::{PortId, Topology, UNDECLARED};
use crate::model::{
    DefaultVerdict, HttpMatch, InboundPort, Key, Mesh, PortFaults, PortLimits, PortPermission, Service, ServicePort,
    Upstream, Workload, group_of,
};
use crate::policy::traffic_route::PortRoutes;

/// Time for a TCP connection unless a route says otherwise.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// The Services of the model.
pub(super) fn services(topology: &Topology, routes: &BTreeMap<(Key, u16), PortRoutes>) -> BTreeMap<Key, Arc<Service>> {
    let mut services = BTreeMap::new();
    let none = PortRoutes::default();
    for (key, facts) in &topology.services {
        let mut ports = BTreeMap::new();
        for (number, port) in &facts.ports {
            let routes = routes.get(&(key.clone(), *number)).unwrap_or(&none);
            let connect_timeout = routes.connect_timeout.unwrap_or(CONNECT_TIMEOUT);
            let made = ServicePort {
                number: *number,
                name: Arc::clone(&port.name),
                protocol: port.protocol,
                endpoints: Arc::clone(&port.endpoints),
                identities: Arc::clone(&port.identities),
                routes: routes.producer.clone(),
                consumer_routes: routes.consumers.clone(),
                upstream: Arc::new(Upstream {
                    connect_timeout,
                    keepalive: keepalive(&topology.mesh),
                }),
            };
            ports.insert(*number, Arc::new(made));
        }
        services.insert(
            key.clone(),
            Arc::new(Service {
                key: key.clone(),
                addresses: facts.addresses.clone(),
                first_port: facts.first_port,
                ports,
            }),
        );
    }
    services
}

/// Half of the revocation time, so that an idle stream of a revoked identity meets its end in time.
fn keepalive(mesh: &Mesh) -> Duration {
    (mesh.revocation_time / 2).clamp(Duration::from_secs(1), Duration::from_secs(5))
}

/// The Workloads of the model.
pub(super) fn workloads(
    topology: &Topology,
    permissions: &BTreeMap<PortId, PortPermission>,
    limits: &BTreeMap<PortId, PortLimits>,
    faults: &BTreeMap<PortId, PortFaults>,
) -> BTreeMap<Key, Arc<Workload>> {
    let mut workloads = BTreeMap::new();
    for (key, place) in &topology.workloads {
        let mut ports: BTreeMap<u16, Arc<InboundPort>> = BTreeMap::new();
        for (number, facts) in &place.ports {
            let id = (key.clone(), *number);
            let permission = permissions.get(&id).cloned().unwrap_or_else(closed);
            let limits = limits.get(&id).cloned().unwrap_or_default();
            let faults = faults.get(&id).cloned().unwrap_or_default();
            let looks = looks_at_path(&permission, &limits, &faults);
            let made = InboundPort {
                number: *number,
                name: Arc::clone(&facts.name),
                protocol: facts.protocol,
                mtls: facts.mtls,
                permission: Arc::new(permission),
                limits: Arc::new(limits),
                faults: Arc::new(faults),
                refuse_path_parameters: looks && !topology.mesh.allow_path_parameters,
            };
            ports.insert(*number, Arc::new(made));
        }
        let Some(undeclared) = ports.remove(&UNDECLARED) else {
            continue;
        };
        let labels = &place.node.labels;
        let group = group_of(labels, place.node.controller.as_deref().unwrap_or(&key.name));
        let made = Workload {
            key: key.clone(),
            address: place.node.address,
            identity: place.identity.clone(),
            group: group.into(),
            dials_endpoints: place.node.dials_endpoints,
            labels: Arc::clone(labels),
            excluded: place.node.excluded.clone(),
            ports,
            undeclared,
        };
        workloads.insert(key.clone(), Arc::new(made));
    }
    workloads
}

/// Never used, since merging answers for every port; closed all the same.
fn closed() -> PortPermission {
    let default = DefaultVerdict {
        allow_mesh: false,
        allow_plaintext: false,
        name: "default/Deny/unknown".into(),
    };
    PortPermission {
        deny: Vec::new(),
        allow: Vec::new(),
        default,
        candidate: None,
    }
}

/// Whether an enforced rule of any kind looks at the path, which a server that strips `;...` would see differently.
fn looks_at_path(permission: &PortPermission, limits: &PortLimits, faults: &PortFaults) -> bool {
    let looks = HttpMatch::looks_at_path;
    let rules = permission
        .deny
        .iter()
        .chain(&permission.allow)
        .filter_map(|rule| rule.http.as_ref());
    let limited = limits
        .slots
        .values()
        .flat_map(|object| &object.limits)
        .filter(|limit| !limit.shadow);
    rules.flatten().any(looks)
        || limited.filter_map(|limit| limit.http.as_ref()).flatten().any(looks)
        || faults.slots.values().filter_map(|fault| fault.http.as_ref()).any(looks)
}

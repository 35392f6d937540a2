//! Which objects a refused resource was made of, by its name and the model.
//!
//! Names are typed and parse back, so a refusal leads to what users wrote. A resource that no policy shapes (an endpoint
//! list, a certificate) blames nobody: its refusal is a defect of ours and shows at the proxy only.

use std::collections::BTreeSet;
use std::sync::Arc;

use config::model::{InboundPort, Key, ServicePort};
use config::names::{ClusterName, ExtensionName, ListenerName, RouteName, SecretName};
use config::{Model, ObjectRef};
use xds::Kind;

type Objects = BTreeSet<Arc<ObjectRef>>;

/// The objects behind a resource of one proxy.
pub(super) fn objects(model: &Model, proxy: &Key, kind: Kind, name: &str) -> Objects {
    match kind {
        Kind::Cluster | Kind::Endpoints => match ClusterName::parse(name) {
            Some(ClusterName::Service(service, port)) => routes_of(model, &service, port),
            _ => Objects::new(),
        },
        Kind::Route => match RouteName::parse(name) {
            Some(RouteName::Service(service, port) | RouteName::Consumer(service, port, _)) => {
                routes_of(model, &service, port)
            }
            Some(RouteName::Inbound(_, port)) => inbound(model, proxy, port, everything),
            _ => Objects::new(),
        },
        Kind::Secret => match SecretName::parse(name) {
            Some(SecretName::Callers(port)) => inbound(model, proxy, port, permissions),
            _ => Objects::new(),
        },
        Kind::ExtensionConfig => match ExtensionName::parse(name) {
            Some(ExtensionName::Limit(port, slot)) => inbound(model, proxy, port, |port| {
                port.limits.slots.get(&slot).map(|limits| Arc::clone(&limits.object)).into_iter().collect()
            }),
            Some(ExtensionName::Fault(port, slot)) => inbound(model, proxy, port, |port| {
                port.faults.slots.get(&slot).map(|fault| Arc::clone(&fault.origin.object)).into_iter().collect()
            }),
            Some(ExtensionName::Revoke(port)) => inbound(model, proxy, port, permissions),
            _ => Objects::new(),
        },
        Kind::Listener => match ListenerName::parse(name) {
            Some(ListenerName::Inbound(_, port)) => inbound(model, proxy, port, everything),
            Some(ListenerName::Outbound(address, port)) => {
                let services = model.services.values().filter(|service| service.addresses.contains(&address));
                services.flat_map(|service| routes_of(model, &service.key, port)).collect()
            }
            _ => Objects::new(),
        },
        Kind::Runtime => Objects::new(),
    }
}

fn routes_of(model: &Model, service: &Key, port: u16) -> Objects {
    let port = model.services.get(service).and_then(|service| service.ports.get(&port));
    let tables = |port: &ServicePort| {
        port.routes.iter().chain(port.consumer_routes.values()).cloned().collect::<Vec<_>>()
    };
    let tables = port.map(|port| tables(port)).unwrap_or_default();
    tables.iter().flat_map(|table| table.entries.iter().map(|entry| Arc::clone(&entry.origin.object))).collect()
}

fn inbound(model: &Model, proxy: &Key, port: u16, of: impl Fn(&InboundPort) -> Objects) -> Objects {
    let Some(workload) = model.workloads.get(proxy) else { return Objects::new() };
    of(workload.ports.get(&port).unwrap_or(&workload.undeclared))
}

fn permissions(port: &InboundPort) -> Objects {
    let rules = port.permission.deny.iter().chain(&port.permission.allow);
    rules.map(|rule| Arc::clone(&rule.origin.object)).collect()
}

fn everything(port: &InboundPort) -> Objects {
    let limits = port.limits.slots.values().map(|limits| Arc::clone(&limits.object));
    let faults = port.faults.slots.values().map(|fault| Arc::clone(&fault.origin.object));
    permissions(port).into_iter().chain(limits).chain(faults).collect()
}

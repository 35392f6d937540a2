//! The layer that the proxies of a scope share: routes, and outbound listeners unless each proxy has addresses of its own.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use xds::Resource;

use super::World;
use super::memos::Memos;
use crate::envoy::access_log::LogTo;
use crate::envoy::cluster::ClusterInput;
use crate::envoy::listener::Takes;
use crate::envoy::outbound::{Destination, OutboundInput};
use crate::envoy::route::RoutesInput;
use crate::model::{Key, Model, Protocol, RouteTable, ServicePort};
use crate::names::{ClusterName, ListenerName, RouteName, SecretName};
use crate::placement::Placement;
use crate::scope::{Scope, direct, pods};

/// All resources of the layer. Of two Services with one address the first by name is served.
pub(super) fn resources(memos: &mut Memos, world: &World<'_>, scope: &Scope) -> Vec<Arc<Resource>> {
    let mut listeners: BTreeMap<(IpAddr, u16), OutboundInput> = BTreeMap::new();
    let mut all = Vec::new();
    let log = LogTo::of(&world.model.mesh, world.settings);
    for service in world.model.services.values() {
        for port in service.ports.values().filter(|_| !service.addresses.is_empty()) {
            let route = RouteName::Service(service.key.clone(), port.number);
            let cluster = ClusterName::Service(service.key.clone(), port.number);
            let destination = destination(&service.key, port);
            for address in &service.addresses {
                let input = listener(*address, port.number, (&service.key, port.number), &destination, &log);
                listeners.entry((*address, port.number)).or_insert(input);
            }
            if port.protocol.is_http() {
                all.push(routes(
                    memos,
                    (route, scope.consumer(port)),
                    cluster,
                    table(scope, port),
                ));
            }
        }
    }
    for ((address, number), pod) in pods(world.model) {
        let (route, cluster) = (RouteName::Pod(address, number), ClusterName::Pod(address, number));
        let destination = Destination::of(pod.port.protocol, route.clone(), cluster.clone());
        let input = listener(address, number, (&pod.service, number), &destination, &log);
        listeners.entry((address, number)).or_insert(input);
        if pod.port.protocol.is_http() {
            // Who dials one endpoint means it: routes choose among backends and do not apply.
            all.push(routes(memos, (route, None), cluster, None));
        }
    }
    if world.settings.placement != Placement::Intercepted {
        return all;
    }
    if scope.dials_endpoints {
        let direct = direct(world.model);
        for ((address, number), (service, port)) in &direct {
            // Bytes: whatever the port speaks, the workload's own proxy reads the requests.
            let destination = Destination::Tcp(ClusterName::Direct(service.clone(), *port));
            let input = listener(*address, *number, (service, *port), &destination, &log);
            listeners.entry((*address, *number)).or_insert(input);
        }
        for (service, port) in direct.into_values().collect::<BTreeSet<_>>() {
            all.extend(direct_cluster(memos, world.model, &service, port));
        }
    }
    let listener = |((address, port), input)| memos.outbound.get(ListenerName::Outbound(address, port), input);
    all.extend(listeners.into_iter().map(listener));
    all
}

/// How workloads behind a Service are reached by their own addresses.
fn direct_cluster(memos: &mut Memos, model: &Model, service: &Key, port: u16) -> Option<Arc<Resource>> {
    let facts = model.services.get(service)?.ports.get(&port)?;
    let name = ClusterName::Direct(service.clone(), port);
    let input = ClusterInput {
        name: name.clone(),
        service: service.clone(),
        port,
        protocol: Protocol::Tcp,
        server: SecretName::Server(service.clone(), port),
        upstream: Arc::clone(&facts.upstream),
    };
    Some(memos.directs.get(name, input))
}

/// Where a Service port's listener sends what it takes.
pub(super) fn destination(service: &Key, port: &ServicePort) -> Destination {
    let cluster = ClusterName::Service(service.clone(), port.number);
    Destination::of(port.protocol, RouteName::Service(service.clone(), port.number), cluster)
}

fn listener(
    address: IpAddr,
    port: u16,
    (service, number): (&Key, u16),
    destination: &Destination,
    log: &LogTo,
) -> OutboundInput {
    OutboundInput {
        address,
        port,
        takes: Takes::HandedOver,
        service: (service.clone(), number),
        destination: destination.clone(),
        log: log.clone(),
    }
}

fn table(scope: &Scope, port: &ServicePort) -> Option<Arc<RouteTable>> {
    port.consumer_routes
        .get(&scope.namespace)
        .or(port.routes.as_ref())
        .cloned()
}

fn routes(
    memos: &mut Memos,
    (name, consumer): (RouteName, Option<Arc<str>>),
    cluster: ClusterName,
    table: Option<Arc<RouteTable>>,
) -> Arc<Resource> {
    let input = RoutesInput {
        name: name.clone(),
        cluster,
        table,
    };
    memos.routes.get((name, consumer), input)
}

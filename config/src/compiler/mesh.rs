//! The layer that every proxy has: clusters, endpoints, server identities, the mesh's validation context.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use xds::Resource;

use super::World;
use super::memos::Memos;
use crate::envoy::access_log::LogTo;
use crate::envoy::cluster::ClusterInput;
use crate::envoy::endpoint::EndpointsInput;
use crate::envoy::fixed_cluster;
use crate::envoy::outbound::CatchAllInput;
use crate::envoy::secret::{Peers, ValidationInput};
use crate::model::{Key, ServicePort};
use crate::names::{ClusterName, SecretName};
use crate::placement::Placement;
use crate::scope::{Pod, pods};

/// All resources of the layer.
pub(super) fn resources(memos: &mut Memos, world: &World<'_>) -> Vec<Arc<Resource>> {
    let (model, settings) = (world.model, world.settings);
    let mut all = match settings.placement {
        Placement::Intercepted => interception(memos, world),
        Placement::Loopback(_) => vec![memos.fixed_clusters.get(ClusterName::Blackhole, ClusterName::Blackhole)],
    };
    all.push(validation(memos, world, SecretName::Mesh, Peers::Mesh));
    for service in model.services.values() {
        for port in service.ports.values() {
            service_port(memos, world, &service.key, port, &mut all);
        }
    }
    for ((address, port), pod) in pods(model) {
        headless_endpoint(memos, world, address, port, &pod, &mut all);
    }
    all
}

/// What only redirected connections need.
fn interception(memos: &mut Memos, world: &World<'_>) -> Vec<Arc<Resource>> {
    let (model, settings) = (world.model, world.settings);
    let mut all: Vec<_> = fixed_cluster::names()
        .into_iter()
        .map(|name| memos.fixed_clusters.get(name.clone(), name))
        .collect();
    let catch_all = CatchAllInput {
        redirect_port: settings.outbound_port,
        egress_allowed: model.mesh.egress_allowed,
        log: LogTo::of(&model.mesh, settings),
    };
    all.push(memos.outbound_catch_all.get((), catch_all));
    all.push(memos.ready.get((), ()));
    all
}

fn service_port(memos: &mut Memos, world: &World<'_>, service: &Key, port: &ServicePort, all: &mut Vec<Arc<Resource>>) {
    let name = ClusterName::Service(service.clone(), port.number);
    let server = SecretName::Server(service.clone(), port.number);
    let input = ClusterInput {
        name: name.clone(),
        service: service.clone(),
        port: port.number,
        protocol: port.protocol,
        server: server.clone(),
        upstream: Arc::clone(&port.upstream),
    };
    let endpoints = EndpointsInput {
        cluster: name.clone(),
        endpoints: Arc::clone(&port.endpoints),
    };
    all.push(memos.clusters.get(name.clone(), input));
    all.push(memos.endpoints.get(name, endpoints));
    all.push(validation(
        memos,
        world,
        server,
        Peers::Identities(Arc::clone(&port.identities)),
    ));
}

fn headless_endpoint(
    memos: &mut Memos,
    world: &World<'_>,
    address: IpAddr,
    port: u16,
    pod: &Pod,
    all: &mut Vec<Arc<Resource>>,
) {
    let name = ClusterName::Pod(address, port);
    let server = SecretName::Pod(address, port);
    let input = ClusterInput {
        name: name.clone(),
        service: pod.service.clone(),
        port: pod.port.number,
        protocol: pod.port.protocol,
        server: server.clone(),
        upstream: Arc::clone(&pod.port.upstream),
    };
    let endpoints = EndpointsInput {
        cluster: name.clone(),
        endpoints: Arc::new(vec![pod.endpoint.clone()]),
    };
    all.push(memos.clusters.get(name.clone(), input));
    all.push(memos.endpoints.get(name, endpoints));
    let identities = Arc::new(BTreeSet::from([pod.identity.clone()]));
    all.push(validation(memos, world, server, Peers::Identities(identities)));
}

fn validation(memos: &mut Memos, world: &World<'_>, name: SecretName, peers: Peers) -> Arc<Resource> {
    let input = ValidationInput {
        name: name.clone(),
        trust_bundle: Arc::clone(&world.settings.trust_bundle),
        trust_domain: Arc::clone(&world.model.mesh.trust_domain),
        peers,
    };
    memos.validations.get((None, name), input)
}

//! What a proxy has for itself in loopback placement: the listeners of its own application's calls, each at an address
//! that belongs to this caller and this Service, and the clusters of its application's ports.
//!
//! What has no place (an address outside the block, a port of root) is left out; link has said so.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use xds::Resource;

use super::World;
use super::memos::Memos;
use super::scoped::destination;
use crate::envoy::access_log::LogTo;
use crate::envoy::fixed_cluster::AppPortInput;
use crate::envoy::listener::Takes;
use crate::envoy::outbound::OutboundInput;
use crate::model::Workload;
use crate::names::{AppProtocol, ClusterName, ListenerName};
use crate::placement::{LoopbackBlock, is_free_port, outbound_port};

/// All of them.
pub(super) fn resources(
    memos: &mut Memos,
    world: &World<'_>,
    workload: &Workload,
    block: LoopbackBlock,
) -> Vec<Arc<Resource>> {
    let Some(application) = block.application(workload.address) else {
        return Vec::new();
    };
    let mut all = Vec::new();
    for port in workload.ports.values().filter(|port| is_free_port(port.number)) {
        let protocol = AppProtocol::of(port.protocol);
        let input = AppPortInput {
            protocol,
            address: application,
            port: port.number,
        };
        let name = ClusterName::AppPort(protocol, port.number);
        all.push(memos.app_ports.get((workload.key.clone(), name), input));
    }
    let listeners = listeners(world, workload, block);
    all.extend(
        listeners
            .into_iter()
            .map(|(name, input)| memos.outbound.get(name, input)),
    );
    all
}

fn listeners(world: &World<'_>, workload: &Workload, block: LoopbackBlock) -> BTreeMap<ListenerName, OutboundInput> {
    let log = LogTo::of(&world.model.mesh, world.settings);
    let mut listeners = BTreeMap::new();
    for service in world.model.services.values() {
        let mut places = service.addresses.iter();
        let Some(address) = places.find_map(|address| block.outbound(workload.address, *address)) else {
            continue;
        };
        for port in service.ports.values() {
            let address = IpAddr::V4(address);
            let Some(number) = outbound_port(port.number, |other| service.ports.contains_key(&other)) else {
                continue;
            };
            let input = OutboundInput {
                address,
                port: number,
                takes: Takes::Bound,
                service: (service.key.clone(), port.number),
                destination: destination(&service.key, port),
                log: log.clone(),
            };
            listeners.insert(ListenerName::Outbound(address, number), input);
        }
    }
    listeners
}

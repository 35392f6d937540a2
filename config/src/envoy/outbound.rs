//! Outbound listeners: one for each address and port of a Service, and the catch-all one that hands over to them.

use std::net::IpAddr;

use xds::{Kind, Resource};

use super::access_log::{LogTo, outbound_connections};
use super::api::{core, listener};
use super::common::reference;
use super::hcm;
use super::listener::{Takes, catch_all, listener_at, loop_guard, original_dst, tcp};
use crate::model::{Key, Protocol};
use crate::names::{ClusterName, ListenerName, RouteName, StatPrefix};

/// Where a listener sends what it takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Destination {
    /// Requests, by these routes.
    Http(RouteName),
    /// Bytes, to this cluster.
    Tcp(ClusterName),
}

impl Destination {
    /// The one for a protocol.
    pub(crate) fn of(protocol: Protocol, route: RouteName, cluster: ClusterName) -> Self {
        if protocol.is_http() {
            Self::Http(route)
        } else {
            Self::Tcp(cluster)
        }
    }
}

/// What a listener depends on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OutboundInput {
    /// The address that applications dial.
    pub(crate) address: IpAddr,
    /// The port that they dial.
    pub(crate) port: u16,
    /// How it comes by connections.
    pub(crate) takes: Takes,
    /// The Service and its port, for statistics.
    pub(crate) service: (Key, u16),
    /// Where it goes.
    pub(crate) destination: Destination,
    /// The access log.
    pub(crate) log: LogTo,
}

/// Compiles a listener.
pub(crate) fn outbound(input: &OutboundInput) -> Resource {
    let name = ListenerName::Outbound(input.address, input.port);
    let prefix = StatPrefix::Outbound(&input.service.0, input.service.1);
    let (filter, needs) = match &input.destination {
        Destination::Http(route) => (hcm::outbound(route, &prefix, &input.log), reference(Kind::Route, route)),
        Destination::Tcp(cluster) => (
            tcp(cluster, &prefix, outbound_connections(&input.log), false),
            reference(Kind::Cluster, cluster),
        ),
    };
    let chain = listener::FilterChain {
        name: "service".to_owned(),
        filters: vec![filter],
        ..Default::default()
    };
    let message = listener::Listener {
        traffic_direction: core::TrafficDirection::Outbound.into(),
        filter_chains: vec![chain],
        ..listener_at(&name, input.address, input.port, input.takes)
    };
    Resource::new(Kind::Listener, name.to_string(), &message).with_references(vec![needs])
}

/// What the catch-all listener depends on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CatchAllInput {
    /// The redirect port.
    pub(crate) redirect_port: u16,
    /// Whether unknown destinations may be reached.
    pub(crate) egress_allowed: bool,
    /// The access log.
    pub(crate) log: LogTo,
}

/// Compiles the catch-all listener.
pub(crate) fn outbound_catch_all(input: &CatchAllInput) -> Resource {
    let name = ListenerName::OutboundCatchAll;
    let (cluster, prefix) = if input.egress_allowed {
        (ClusterName::Passthrough, "passthrough")
    } else {
        (ClusterName::Blackhole, "refused")
    };
    let filter = tcp(
        &cluster,
        &StatPrefix::CatchAll(prefix),
        outbound_connections(&input.log),
        false,
    );
    let unknown = listener::FilterChain {
        name: "unknown".to_owned(),
        filters: vec![filter],
        ..Default::default()
    };
    let message = listener::Listener {
        traffic_direction: core::TrafficDirection::Outbound.into(),
        listener_filters: vec![original_dst()],
        filter_chains: vec![loop_guard(input.redirect_port), unknown],
        ..catch_all(&name, input.redirect_port)
    };
    let references = vec![
        reference(Kind::Cluster, &cluster),
        reference(Kind::Cluster, &ClusterName::Blackhole),
    ];
    Resource::new(Kind::Listener, name.to_string(), &message).with_references(references)
}

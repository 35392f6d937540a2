//! Clusters that every proxy has, whatever the objects say.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use xds::{Kind, Resource};

use super::api::{cluster, core};
use super::cluster::{generous_breakers, http_options};
use super::common::{duration, socket_address};
use super::endpoint::fixed_assignment;
use crate::model::Protocol;
use crate::names::{AppProtocol, ClusterName};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// The source of connections to the application: interception leaves them alone by it.
const APP_SOURCE_V4: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 6));
/// The same for IPv6.
const APP_SOURCE_V6: IpAddr = IpAddr::V6(Ipv6Addr::new(0, 0, 0, 0, 0, 0, 0, 6));

/// The names of all of them.
pub(crate) fn names() -> Vec<ClusterName> {
    let apps = AppProtocol::ALL
        .into_iter()
        .flat_map(|app| [ClusterName::App(app, false), ClusterName::App(app, true)]);
    apps.chain([ClusterName::Passthrough, ClusterName::Blackhole]).collect()
}

/// Compiles one of them; any other name gives a cluster that leads nowhere.
pub(crate) fn fixed_cluster(name: &ClusterName) -> Resource {
    let message = match name {
        ClusterName::App(protocol, ipv6) => app(*protocol, *ipv6),
        ClusterName::Passthrough => original_destination(),
        ClusterName::Blackhole
        | ClusterName::Service(..)
        | ClusterName::Direct(..)
        | ClusterName::Pod(..)
        | ClusterName::AppPort(..) => blackhole(),
    };
    let name = name.to_string();
    Resource::new(Kind::Cluster, name.clone(), &cluster::Cluster { name, ..message })
}

/// The application, at the address that the connection was made to.
fn app(protocol: AppProtocol, ipv6: bool) -> cluster::Cluster {
    let source = if ipv6 { APP_SOURCE_V6 } else { APP_SOURCE_V4 };
    let bind = core::BindConfig {
        source_address: Some(socket_address(source, 0)),
        ..Default::default()
    };
    cluster::Cluster {
        upstream_bind_config: Some(bind),
        typed_extension_protocol_options: http_options(spoken(protocol), None),
        ..original_destination()
    }
}

fn spoken(protocol: AppProtocol) -> Protocol {
    match protocol {
        AppProtocol::Tcp => Protocol::Tcp,
        AppProtocol::Http => Protocol::Http,
        AppProtocol::Http2 => Protocol::Http2,
    }
}

/// One port of an application that has an address of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AppPortInput {
    /// What it speaks.
    pub(crate) protocol: AppProtocol,
    /// Where it listens.
    pub(crate) address: Ipv4Addr,
    /// On which port.
    pub(crate) port: u16,
}

/// Compiles the cluster of such a port.
pub(crate) fn app_port(input: &AppPortInput) -> Resource {
    let name = ClusterName::AppPort(input.protocol, input.port).to_string();
    let message = cluster::Cluster {
        name: name.clone(),
        load_assignment: Some(fixed_assignment(&name, input.address.into(), input.port)),
        typed_extension_protocol_options: http_options(spoken(input.protocol), None),
        circuit_breakers: Some(generous_breakers()),
        ..blackhole()
    };
    Resource::new(Kind::Cluster, name, &message)
}

/// Wherever the connection was going.
pub(crate) fn original_destination() -> cluster::Cluster {
    cluster::Cluster {
        cluster_discovery_type: Some(cluster::cluster::ClusterDiscoveryType::Type(
            cluster::cluster::DiscoveryType::OriginalDst.into(),
        )),
        lb_policy: cluster::cluster::LbPolicy::ClusterProvided.into(),
        connect_timeout: Some(duration(CONNECT_TIMEOUT)),
        circuit_breakers: Some(generous_breakers()),
        ..Default::default()
    }
}

fn blackhole() -> cluster::Cluster {
    cluster::Cluster {
        cluster_discovery_type: Some(cluster::cluster::ClusterDiscoveryType::Type(
            cluster::cluster::DiscoveryType::Static.into(),
        )),
        connect_timeout: Some(duration(CONNECT_TIMEOUT)),
        ..Default::default()
    }
}

//! Parts of listeners that both directions share.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::api::{accesslog, any, ext, listener, tcp_proxy};
use super::common::{address, network_filter};
use crate::names::{ClusterName, ListenerName, StatPrefix};

/// How a listener comes by its connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Takes {
    /// The catch-all listener hands them over, by their original destination.
    HandedOver,
    /// It binds its address. Alone: a process that could share the port would take connections away.
    Bound,
}

/// A listener at one address and port.
pub(crate) fn listener_at(name: &ListenerName, ip: IpAddr, port: u16, takes: Takes) -> listener::Listener {
    let message = listener::Listener {
        name: name.to_string(),
        address: Some(address(ip, port)),
        ..Default::default()
    };
    match takes {
        Takes::HandedOver => listener::Listener {
            bind_to_port: Some(false),
            ..message
        },
        Takes::Bound => listener::Listener {
            enable_reuse_port: Some(false),
            ..message
        },
    }
}

/// A listener on a redirect port, on every address of both families.
pub(crate) fn catch_all(name: &ListenerName, port: u16) -> listener::Listener {
    let v6 = listener::AdditionalAddress {
        address: Some(address(IpAddr::V6(Ipv6Addr::UNSPECIFIED), port)),
        ..Default::default()
    };
    listener::Listener {
        name: name.to_string(),
        address: Some(address(IpAddr::V4(Ipv4Addr::UNSPECIFIED), port)),
        additional_addresses: vec![v6],
        use_original_dst: Some(true),
        ..Default::default()
    }
}

/// Restores where the connection was going before it was redirected.
pub(crate) fn original_dst() -> listener::ListenerFilter {
    let config = ext::filters::listener::original_dst::v3::OriginalDst::default();
    listener_filter("envoy.filters.listener.original_dst", any(&config))
}

/// Sees whether the connection begins with TLS, and its SNI.
pub(crate) fn tls_inspector() -> listener::ListenerFilter {
    let config = ext::filters::listener::tls_inspector::v3::TlsInspector::default();
    listener_filter("envoy.filters.listener.tls_inspector", any(&config))
}

fn listener_filter(name: &str, config: prost_types::Any) -> listener::ListenerFilter {
    listener::ListenerFilter {
        name: name.to_owned(),
        config_type: Some(listener::listener_filter::ConfigType::TypedConfig(config)),
        ..Default::default()
    }
}

/// Connections that were made to the redirect port itself: forwarding them would come back for ever.
pub(crate) fn loop_guard(port: u16) -> listener::FilterChain {
    listener::FilterChain {
        name: "loop-guard".to_owned(),
        filter_chain_match: Some(listener::FilterChainMatch {
            destination_port: Some(port.into()),
            ..Default::default()
        }),
        filters: vec![tcp(
            &ClusterName::Blackhole,
            &StatPrefix::CatchAll("loop"),
            Vec::new(),
            false,
        )],
        ..Default::default()
    }
}

/// Bytes to a cluster. With `after_handshake` nothing is dialled and nothing is read before the caller has been verified.
pub(crate) fn tcp(
    cluster: &ClusterName,
    prefix: &StatPrefix<'_>,
    access_log: Vec<accesslog::AccessLog>,
    after_handshake: bool,
) -> listener::Filter {
    let mode = if after_handshake {
        tcp_proxy::UpstreamConnectMode::OnDownstreamTlsHandshake
    } else {
        tcp_proxy::UpstreamConnectMode::Immediate
    };
    let proxy = tcp_proxy::TcpProxy {
        stat_prefix: prefix.to_string(),
        cluster_specifier: Some(tcp_proxy::tcp_proxy::ClusterSpecifier::Cluster(cluster.to_string())),
        upstream_connect_mode: mode.into(),
        max_early_data_bytes: after_handshake.then_some(0),
        // A quiet connection is no mistake.
        idle_timeout: Some(prost_types::Duration::default()),
        access_log,
        ..Default::default()
    };
    network_filter("envoy.filters.network.tcp_proxy", any(&proxy))
}

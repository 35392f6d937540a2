//! Clusters of Service ports and of single endpoints: endpoints by EDS, mTLS for those in the mesh.

use std::sync::Arc;
use std::time::Duration;

use xds::{Kind, Resource};

use super::api::{any, cluster, core, r#type, upstream_http};
use super::common::{ads, duration, reference, text_struct};
use super::fixed_cluster::original_destination;
use super::{endpoint, tls};
use crate::model::{Key, Protocol, Upstream};
use crate::names::{ClusterName, SecretName};

use upstream_http::http_protocol_options::explicit_http_config::ProtocolConfig;
use upstream_http::http_protocol_options::{ExplicitHttpConfig, UpstreamProtocolOptions, UseDownstreamHttpConfig};

const HTTP_OPTIONS: &str = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions";

/// Envoy's own 1024 would be a limit that nobody wrote.
const GENEROUS: u32 = 1_000_000;

/// Below this share of healthy endpoints draining ones serve too: in practice, when nothing else is left.
const PANIC_PERCENT: f64 = 1.0;

/// What a cluster depends on. Endpoints and identities are not here: they come by EDS and SDS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ClusterInput {
    /// Its name.
    pub(crate) name: ClusterName,
    /// The Service it belongs to.
    pub(crate) service: Key,
    /// Its port.
    pub(crate) port: u16,
    /// What it speaks.
    pub(crate) protocol: Protocol,
    /// Whom callers accept as its server.
    pub(crate) server: SecretName,
    /// How callers reach it.
    pub(crate) upstream: Arc<Upstream>,
}

/// Compiles a cluster.
pub(crate) fn cluster(input: &ClusterInput) -> Resource {
    let name = input.name.to_string();
    let message = cluster::Cluster {
        name: name.clone(),
        cluster_discovery_type: Some(cluster::cluster::ClusterDiscoveryType::Type(
            cluster::cluster::DiscoveryType::Eds.into(),
        )),
        eds_cluster_config: Some(cluster::cluster::EdsClusterConfig {
            eds_config: Some(ads()),
            ..Default::default()
        }),
        connect_timeout: Some(duration(input.upstream.connect_timeout)),
        lb_policy: match input.protocol {
            Protocol::Tcp => cluster::cluster::LbPolicy::RoundRobin,
            _ => cluster::cluster::LbPolicy::LeastRequest,
        }
        .into(),
        common_lb_config: Some(cluster::cluster::CommonLbConfig {
            healthy_panic_threshold: Some(r#type::Percent { value: PANIC_PERCENT }),
            ..Default::default()
        }),
        circuit_breakers: Some(generous_breakers()),
        typed_extension_protocol_options: http_options(input.protocol, Some(input.upstream.keepalive)),
        transport_socket_matches: transport_sockets(input),
        ..Default::default()
    };
    let references = vec![
        reference(Kind::Endpoints, &name),
        reference(Kind::Secret, &input.server),
    ];
    Resource::new(Kind::Cluster, name, &message).with_references(references)
}

/// Compiles the cluster of a Service's workloads that are dialled by their own addresses: mTLS, bytes, no choice of an endpoint.
/// What a request may do is decided where it arrives.
pub(crate) fn direct(input: &ClusterInput) -> Resource {
    let name = input.name.to_string();
    let message = cluster::Cluster {
        name: name.clone(),
        connect_timeout: Some(duration(input.upstream.connect_timeout)),
        transport_socket: Some(tls::upstream(&input.service, input.port, &input.server)),
        ..original_destination()
    };
    Resource::new(Kind::Cluster, name, &message).with_references(vec![reference(Kind::Secret, &input.server)])
}

fn transport_sockets(input: &ClusterInput) -> Vec<cluster::cluster::TransportSocketMatch> {
    let mesh = cluster::cluster::TransportSocketMatch {
        name: "mesh".to_owned(),
        r#match: Some(text_struct([endpoint::MESH_MATCH])),
        transport_socket: Some(tls::upstream(&input.service, input.port, &input.server)),
    };
    let outside = cluster::cluster::TransportSocketMatch {
        name: "outside".to_owned(),
        r#match: Some(prost_types::Struct::default()),
        transport_socket: Some(tls::plaintext()),
    };
    vec![mesh, outside]
}

/// Limits that never bite.
pub(crate) fn generous_breakers() -> cluster::CircuitBreakers {
    let thresholds = cluster::circuit_breakers::Thresholds {
        priority: core::RoutingPriority::Default.into(),
        max_connections: Some(GENEROUS),
        max_pending_requests: Some(GENEROUS),
        max_requests: Some(GENEROUS),
        max_retries: Some(GENEROUS),
        ..Default::default()
    };
    cluster::CircuitBreakers {
        thresholds: vec![thresholds],
        ..Default::default()
    }
}

/// HTTP options by protocol: what is declared as HTTP/2 always gets it, other HTTP gets what its caller used.
pub(crate) fn http_options(
    protocol: Protocol,
    keepalive: Option<Duration>,
) -> std::collections::BTreeMap<String, prost_types::Any> {
    let http2 = core::Http2ProtocolOptions {
        connection_keepalive: keepalive.map(|interval| core::KeepaliveSettings {
            interval: Some(duration(interval)),
            timeout: Some(duration(interval)),
            ..Default::default()
        }),
        ..Default::default()
    };
    let options = match protocol {
        Protocol::Tcp => return std::collections::BTreeMap::new(),
        Protocol::Http => UpstreamProtocolOptions::UseDownstreamProtocolConfig(UseDownstreamHttpConfig {
            http_protocol_options: Some(core::Http1ProtocolOptions::default()),
            http2_protocol_options: Some(http2),
            ..Default::default()
        }),
        Protocol::Http2 | Protocol::Grpc => UpstreamProtocolOptions::ExplicitHttpConfig(ExplicitHttpConfig {
            protocol_config: Some(ProtocolConfig::Http2ProtocolOptions(http2)),
        }),
    };
    let options = upstream_http::HttpProtocolOptions {
        upstream_protocol_options: Some(options),
        ..Default::default()
    };
    std::collections::BTreeMap::from([(HTTP_OPTIONS.to_owned(), any(&options))])
}

//! What a resource makes Envoy subscribe to.
//!
//! Only by the paths on which a mesh's configuration refers to others: EDS of clusters, SDS of their and the listeners' TLS
//! contexts, RDS and ECDS of HTTP connection managers, ECDS of network and listener filters. Anything else would show up
//! as a live Envoy asking for more than the simulation.

use std::collections::BTreeSet;

use prost::{Message, Name};
use prost_types::Any;
use xds::Kind;
use xds::proto::envoy::config::cluster::v3::Cluster;
use xds::proto::envoy::config::cluster::v3::cluster::{ClusterDiscoveryType, DiscoveryType};
use xds::proto::envoy::config::core::v3::{TransportSocket, transport_socket};
use xds::proto::envoy::config::listener::v3::{Filter, FilterChain, Listener, filter, listener_filter};
use xds::proto::envoy::extensions::filters::network::http_connection_manager::v3::http_connection_manager::RouteSpecifier;
use xds::proto::envoy::extensions::filters::network::http_connection_manager::v3::{
    HttpConnectionManager, http_filter,
};
use xds::proto::envoy::extensions::transport_sockets::tls::v3::common_tls_context::ValidationContextType;
use xds::proto::envoy::extensions::transport_sockets::tls::v3::{
    CommonTlsContext, DownstreamTlsContext, UpstreamTlsContext,
};

/// Names that something refers to, by kind.
pub(super) type References = BTreeSet<(Kind, String)>;

/// What a cluster or listener refers to; other kinds refer to nothing that must be asked for.
pub(super) fn of(kind: Kind, body: &Any) -> References {
    let mut found = References::new();
    match kind {
        Kind::Cluster => unpack::<Cluster>(body)
            .iter()
            .for_each(|cluster| in_cluster(cluster, &mut found)),
        Kind::Listener => unpack::<Listener>(body)
            .iter()
            .for_each(|listener| in_listener(listener, &mut found)),
        _ => {}
    }
    found
}

fn unpack<M: Message + Name + Default>(body: &Any) -> Option<M> {
    (body.type_url == M::type_url()).then(|| M::decode(body.value.as_slice()).ok())?
}

fn in_cluster(cluster: &Cluster, found: &mut References) {
    if cluster.cluster_discovery_type == Some(ClusterDiscoveryType::Type(DiscoveryType::Eds.into())) {
        let service = cluster
            .eds_cluster_config
            .as_ref()
            .map(|config| config.service_name.clone());
        let name = service
            .filter(|name| !name.is_empty())
            .unwrap_or_else(|| cluster.name.clone());
        found.insert((Kind::Endpoints, name));
    }
    let matches = cluster
        .transport_socket_matches
        .iter()
        .filter_map(|matching| matching.transport_socket.as_ref());
    for socket in cluster.transport_socket.iter().chain(matches) {
        in_transport_socket(socket, found);
    }
}

fn in_transport_socket(socket: &TransportSocket, found: &mut References) {
    let Some(transport_socket::ConfigType::TypedConfig(config)) = &socket.config_type else {
        return;
    };
    let upstream = unpack::<UpstreamTlsContext>(config).and_then(|context| context.common_tls_context);
    let downstream = unpack::<DownstreamTlsContext>(config).and_then(|context| context.common_tls_context);
    for context in upstream.iter().chain(&downstream) {
        in_tls_context(context, found);
    }
}

fn in_tls_context(context: &CommonTlsContext, found: &mut References) {
    let certificates = context.tls_certificate_sds_secret_configs.iter();
    let validation = match &context.validation_context_type {
        Some(ValidationContextType::ValidationContextSdsSecretConfig(config)) => Some(config),
        Some(ValidationContextType::CombinedValidationContext(combined)) => {
            combined.validation_context_sds_secret_config.as_ref()
        }
        _ => None,
    };
    found.extend(
        certificates
            .chain(validation)
            .map(|config| (Kind::Secret, config.name.clone())),
    );
}

fn in_listener(listener: &Listener, found: &mut References) {
    for filter in &listener.listener_filters {
        if matches!(
            filter.config_type,
            Some(listener_filter::ConfigType::ConfigDiscovery(_))
        ) {
            found.insert((Kind::ExtensionConfig, filter.name.clone()));
        }
    }
    for chain in listener.filter_chains.iter().chain(&listener.default_filter_chain) {
        in_filter_chain(chain, found);
    }
}

fn in_filter_chain(chain: &FilterChain, found: &mut References) {
    if let Some(socket) = &chain.transport_socket {
        in_transport_socket(socket, found);
    }
    for filter in &chain.filters {
        in_network_filter(filter, found);
    }
}

fn in_network_filter(filter: &Filter, found: &mut References) {
    match &filter.config_type {
        Some(filter::ConfigType::ConfigDiscovery(_)) => {
            found.insert((Kind::ExtensionConfig, filter.name.clone()));
        }
        Some(filter::ConfigType::TypedConfig(config)) => {
            if let Some(manager) = unpack::<HttpConnectionManager>(config) {
                in_http(&manager, found);
            }
        }
        None => {}
    }
}

fn in_http(manager: &HttpConnectionManager, found: &mut References) {
    if let Some(RouteSpecifier::Rds(rds)) = &manager.route_specifier {
        found.insert((Kind::Route, rds.route_config_name.clone()));
    }
    for filter in &manager.http_filters {
        if matches!(filter.config_type, Some(http_filter::ConfigType::ConfigDiscovery(_))) {
            found.insert((Kind::ExtensionConfig, filter.name.clone()));
        }
    }
}

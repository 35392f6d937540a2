//! A snapshot as one static bootstrap: what would come by RDS, EDS, SDS and ECDS is put in place, so that
//! `envoy --mode validate` reads everything.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on should stop"
)]

use prost::{Message, Name};
use xds::proto::envoy::config::bootstrap::v3::{Bootstrap, bootstrap::StaticResources};
use xds::proto::envoy::config::cluster::v3::{Cluster, cluster};
use xds::proto::envoy::config::core::v3::{
    DataSource, ExtensionConfigSource, Node, TransportSocket, TypedExtensionConfig, data_source, transport_socket,
};
use xds::proto::envoy::config::endpoint::v3::ClusterLoadAssignment;
use xds::proto::envoy::config::listener::v3::{Filter, Listener, filter};
use xds::proto::envoy::config::route::v3::RouteConfiguration;
use xds::proto::envoy::extensions::filters::network::http_connection_manager::v3::{
    HttpConnectionManager, http_connection_manager::RouteSpecifier, http_filter,
};
use xds::proto::envoy::extensions::transport_sockets::tls::v3::{
    CommonTlsContext, DownstreamTlsContext, Secret, TlsCertificate, UpstreamTlsContext,
    common_tls_context::ValidationContextType, secret,
};
use xds::{Kind, Resource, Snapshot};

/// The bootstrap, with this certificate and key as the proxy's own.
pub(crate) fn bootstrap(snapshot: &Snapshot, certificate: &str, key: &str) -> Bootstrap {
    let resources = StaticResources {
        clusters: snapshot
            .iter(Kind::Cluster)
            .map(|resource| in_place_cluster(snapshot, resource))
            .collect(),
        listeners: snapshot
            .iter(Kind::Listener)
            .map(|resource| in_place_listener(snapshot, resource))
            .collect(),
        secrets: snapshot
            .iter(Kind::Secret)
            .map(|resource| decode(resource))
            .chain([own(certificate, key)])
            .collect(),
    };
    Bootstrap {
        node: Some(Node {
            id: "validate".to_owned(),
            cluster: "validate".to_owned(),
            ..Default::default()
        }),
        static_resources: Some(resources),
        bootstrap_extensions: vec![internal_listeners()],
        ..Default::default()
    }
}

/// As in the real bootstrap: the listener that says "ready" is inside Envoy.
fn internal_listeners() -> TypedExtensionConfig {
    TypedExtensionConfig {
        name: "envoy.bootstrap.internal_listener".to_owned(),
        typed_config: Some(prost_types::Any {
            type_url: "type.googleapis.com/envoy.extensions.bootstrap.internal_listener.v3.InternalListener".to_owned(),
            value: Vec::new(),
        }),
    }
}

fn decode<M: Message + Default + Name>(resource: &Resource) -> M {
    let envelope = xds::proto::envoy::service::discovery::v3::Resource::decode(resource.body.clone()).unwrap();
    envelope.resource.unwrap().to_msg().unwrap()
}

fn find<M: Message + Default + Name>(snapshot: &Snapshot, kind: Kind, name: &str) -> M {
    decode(snapshot.get(kind, name).unwrap_or_else(|| panic!("no {kind:?} {name}")))
}

fn own(certificate: &str, key: &str) -> Secret {
    let inline = |text: &str| {
        let specifier = Some(data_source::Specifier::InlineString(text.to_owned()));
        Some(DataSource {
            specifier,
            ..Default::default()
        })
    };
    let certificate = TlsCertificate {
        certificate_chain: inline(certificate),
        private_key: inline(key),
        ..Default::default()
    };
    Secret {
        name: "identity".to_owned(),
        r#type: Some(secret::Type::TlsCertificate(certificate)),
    }
}

fn in_place_cluster(snapshot: &Snapshot, resource: &Resource) -> Cluster {
    let mut message: Cluster = decode(resource);
    if message.eds_cluster_config.take().is_some() {
        let kind = cluster::DiscoveryType::Static.into();
        message.cluster_discovery_type = Some(cluster::ClusterDiscoveryType::Type(kind));
        message.load_assignment = Some(find::<ClusterLoadAssignment>(snapshot, Kind::Endpoints, &message.name));
    }
    message.transport_socket.iter_mut().for_each(static_secrets);
    for entry in &mut message.transport_socket_matches {
        entry.transport_socket.iter_mut().for_each(static_secrets);
    }
    message
}

fn in_place_listener(snapshot: &Snapshot, resource: &Resource) -> Listener {
    let mut message: Listener = decode(resource);
    for chain in &mut message.filter_chains {
        chain.transport_socket.iter_mut().for_each(static_secrets);
        chain
            .filters
            .iter_mut()
            .for_each(|filter| in_place_filter(snapshot, filter));
    }
    message
}

fn in_place_filter(snapshot: &Snapshot, filter: &mut Filter) {
    let config = match filter.config_type.take().unwrap() {
        filter::ConfigType::ConfigDiscovery(source) => discovered(snapshot, &filter.name, &source),
        filter::ConfigType::TypedConfig(config) if config.type_url == HttpConnectionManager::type_url() => {
            let mut manager: HttpConnectionManager = config.to_msg().unwrap();
            in_place_manager(snapshot, &mut manager);
            xds::proto::any(&manager)
        }
        filter::ConfigType::TypedConfig(config) => config,
    };
    filter.config_type = Some(filter::ConfigType::TypedConfig(config));
}

fn in_place_manager(snapshot: &Snapshot, manager: &mut HttpConnectionManager) {
    if let Some(RouteSpecifier::Rds(rds)) = &manager.route_specifier {
        let routes = find::<RouteConfiguration>(snapshot, Kind::Route, &rds.route_config_name);
        manager.route_specifier = Some(RouteSpecifier::RouteConfig(routes));
    }
    for filter in &mut manager.http_filters {
        if let Some(http_filter::ConfigType::ConfigDiscovery(source)) = &filter.config_type {
            let config = discovered(snapshot, &filter.name, source);
            filter.config_type = Some(http_filter::ConfigType::TypedConfig(config));
        }
    }
}

fn discovered(snapshot: &Snapshot, name: &str, source: &ExtensionConfigSource) -> prost_types::Any {
    let extension = find::<TypedExtensionConfig>(snapshot, Kind::ExtensionConfig, name);
    let config = extension.typed_config.unwrap();
    assert!(
        source.type_urls.contains(&config.type_url),
        "{name}: {} is not expected there",
        config.type_url
    );
    config
}

/// Without a source, an SDS name means a static secret.
fn static_secrets(socket: &mut TransportSocket) {
    let Some(transport_socket::ConfigType::TypedConfig(config)) = &mut socket.config_type else {
        return;
    };
    if config.type_url == UpstreamTlsContext::type_url() {
        let mut context: UpstreamTlsContext = config.to_msg().unwrap();
        context.common_tls_context.iter_mut().for_each(without_sources);
        *config = xds::proto::any(&context);
    } else if config.type_url == DownstreamTlsContext::type_url() {
        let mut context: DownstreamTlsContext = config.to_msg().unwrap();
        context.common_tls_context.iter_mut().for_each(without_sources);
        *config = xds::proto::any(&context);
    }
}

fn without_sources(context: &mut CommonTlsContext) {
    for secret in &mut context.tls_certificate_sds_secret_configs {
        secret.sds_config = None;
    }
    if let Some(ValidationContextType::ValidationContextSdsSecretConfig(secret)) = &mut context.validation_context_type
    {
        secret.sds_config = None;
    }
}

use std::collections::BTreeSet;

use prost::Message;
use xds::Kind;
use xds::proto::any;
use xds::proto::envoy::config::cluster::v3::Cluster;
use xds::proto::envoy::config::cluster::v3::cluster::{ClusterDiscoveryType, DiscoveryType};
use xds::proto::envoy::config::endpoint::v3::ClusterLoadAssignment;
use xds::proto::envoy::config::listener::v3::{Filter, FilterChain, Listener, filter};
use xds::proto::envoy::extensions::filters::network::http_connection_manager::v3::http_connection_manager::RouteSpecifier;
use xds::proto::envoy::extensions::filters::network::http_connection_manager::v3::{HttpConnectionManager, Rds};
use xds::proto::envoy::service::discovery::v3::{DeltaDiscoveryRequest, DeltaDiscoveryResponse, Resource};

use super::Session;

fn response<M: Message + prost::Name>(kind: Kind, nonce: &str, named: &[(&str, M)]) -> DeltaDiscoveryResponse {
    let resources = named.iter().map(|(name, message)| Resource {
        name: (*name).to_owned(),
        version: format!("v-{name}"),
        resource: Some(any(message)),
        ..Resource::default()
    });
    DeltaDiscoveryResponse {
        type_url: kind.type_url().to_owned(),
        nonce: nonce.to_owned(),
        resources: resources.collect(),
        ..DeltaDiscoveryResponse::default()
    }
}

fn cluster(name: &str) -> Cluster {
    let kind = ClusterDiscoveryType::Type(DiscoveryType::Eds.into());
    Cluster {
        name: name.to_owned(),
        cluster_discovery_type: Some(kind),
        ..Cluster::default()
    }
}

fn listener(route: &str) -> Listener {
    let rds = RouteSpecifier::Rds(Rds {
        route_config_name: route.to_owned(),
        ..Rds::default()
    });
    let manager = HttpConnectionManager {
        route_specifier: Some(rds),
        ..HttpConnectionManager::default()
    };
    let config = filter::ConfigType::TypedConfig(any(&manager));
    let filters = vec![Filter {
        name: "http".to_owned(),
        config_type: Some(config),
    }];
    Listener {
        filter_chains: vec![FilterChain {
            filters,
            ..FilterChain::default()
        }],
        ..Listener::default()
    }
}

/// (type, names asked for, names given back, nonce) of each request.
fn short(requests: &[DeltaDiscoveryRequest]) -> Vec<String> {
    let line = |r: &DeltaDiscoveryRequest| {
        let kind = Kind::from_type_url(&r.type_url).unwrap();
        format!(
            "{kind:?} +{:?} -{:?} {}",
            r.resource_names_subscribe, r.resource_names_unsubscribe, r.response_nonce
        )
    };
    requests.iter().map(line).collect()
}

#[test]
fn a_fresh_stream_asks_in_envoys_order_and_acks_clusters_once_they_are_warm() {
    let mut session = Session::new("shop/orders-1");
    let start = session.start();
    assert_eq!(
        short(&start),
        [
            r#"Runtime +["tulle"] -[] "#,
            "Cluster +[] -[] ",
            r#"Endpoints +["local"] -[] "#
        ]
    );
    assert_eq!(start[0].node.as_ref().unwrap().id, "shop/orders-1");
    assert!(
        start[1..].iter().all(|request| request.node.is_none()),
        "the node travels once"
    );

    let answers = session.on_response(&response(Kind::Cluster, "1", &[("a", cluster("a"))]));
    assert_eq!(
        short(&answers),
        [r#"Endpoints +["a"] -[] "#],
        "no ACK while the cluster warms"
    );
    let endpoints = [("a", ClusterLoadAssignment::default())];
    let answers = session.on_response(&response(Kind::Endpoints, "2", &endpoints));
    assert_eq!(
        short(&answers),
        ["Endpoints +[] -[] 2", "Cluster +[] -[] 1", "Listener +[] -[] "]
    );
    assert!(!session.complete());

    let answers = session.on_response(&response(Kind::Listener, "3", &[("in", listener("r"))]));
    assert_eq!(short(&answers), ["Listener +[] -[] 3", r#"Route +["r"] -[] "#]);
    assert!(!session.complete());
    let route = [("r", xds::proto::envoy::config::route::v3::RouteConfiguration::default())];
    session.on_response(&response(Kind::Route, "4", &route));
    assert!(!session.complete(), "what says ready comes last");
    let ready = xds::proto::envoy::config::listener::v3::Listener::default();
    session.on_response(&response(Kind::Listener, "5", &[("ready", ready)]));
    assert!(session.complete());
}

#[test]
fn a_reconnect_tells_what_is_held_and_forgets_what_it_gave_back() {
    let mut session = Session::new("shop/orders-1");
    session.start();
    session.on_response(&response(
        Kind::Cluster,
        "1",
        &[("a", cluster("a")), ("b", cluster("b"))],
    ));
    let endpoints = [
        ("a", ClusterLoadAssignment::default()),
        ("b", ClusterLoadAssignment::default()),
    ];
    session.on_response(&response(Kind::Endpoints, "2", &endpoints));
    let gone = DeltaDiscoveryResponse {
        removed_resources: vec!["b".to_owned()],
        ..response::<Cluster>(Kind::Cluster, "3", &[])
    };
    assert_eq!(
        short(&session.on_response(&gone)),
        ["Cluster +[] -[] 3", r#"Endpoints +[] -["b"] "#]
    );

    let mut session = session.reconnected();
    let start = session.start();
    assert_eq!(start[0].node.as_ref().unwrap().id, "shop/orders-1");
    let versions = |kind: Kind| {
        let request = start
            .iter()
            .find(|request| request.type_url == kind.type_url())
            .unwrap();
        request
            .initial_resource_versions
            .clone()
            .into_iter()
            .collect::<Vec<_>>()
    };
    assert_eq!(versions(Kind::Cluster), [("a".to_owned(), "v-a".to_owned())]);
    assert_eq!(versions(Kind::Endpoints), [("a".to_owned(), "v-a".to_owned())]);
    assert_eq!(versions(Kind::Listener), []);
}

#[test]
fn a_narrow_proxy_asks_for_its_own_endpoints_only() {
    let mut session = Session::new("shop/orders-1").only(BTreeSet::from(["b".to_owned()]));
    session.start();
    let answers = session.on_response(&response(
        Kind::Cluster,
        "1",
        &[("a", cluster("a")), ("b", cluster("b"))],
    ));
    assert_eq!(short(&answers), [r#"Endpoints +["b"] -[] "#]);
}

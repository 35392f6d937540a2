//! The listener that says "ready": a proxy gets it when it has acknowledged everything else, and refused nothing.
//!
//! Nobody outside reaches it: it is inside Envoy, and the bootstrap of a pod leads `/ready` of its probe listener here. What it
//! answers is Envoy's own word, from the admin socket, whose cluster is in the bootstrap too. So who asks before this listener is
//! there gets 503, and who asks while Envoy still warms something does as well.

use std::time::Duration;

use xds::{Kind, Resource};

use super::api::{any, hcm, listener, route};
use super::common::{duration, network_filter};
use super::slots;
use crate::names::{ADMIN_CLUSTER, ListenerName, READY_PATH, StatPrefix};

/// The admin interface answers at once or is in trouble.
const TIMEOUT: Duration = Duration::from_secs(2);

/// Compiles it.
#[allow(
    clippy::trivially_copy_pass_by_ref,
    reason = "the memo's input is a reference, also to nothing"
)]
pub(crate) fn ready(_: &()) -> Resource {
    let name = ListenerName::Ready.to_string();
    let prefix = StatPrefix::CatchAll("ready").to_string();
    let manager = hcm::HttpConnectionManager {
        stat_prefix: prefix,
        route_specifier: Some(hcm::http_connection_manager::RouteSpecifier::RouteConfig(routes(&name))),
        http_filters: vec![slots::router()],
        ..Default::default()
    };
    let filter = network_filter("envoy.filters.network.http_connection_manager", any(&manager));
    let message = listener::Listener {
        name: name.clone(),
        listener_specifier: Some(listener::listener::ListenerSpecifier::InternalListener(
            listener::listener::InternalListenerConfig::default(),
        )),
        filter_chains: vec![listener::FilterChain {
            name: "ready".to_owned(),
            filters: vec![filter],
            ..Default::default()
        }],
        ..Default::default()
    };
    Resource::new(Kind::Listener, name, &message).with_late(true)
}

fn routes(name: &str) -> route::RouteConfiguration {
    let action = route::RouteAction {
        cluster_specifier: Some(route::route_action::ClusterSpecifier::Cluster(ADMIN_CLUSTER.to_owned())),
        timeout: Some(duration(TIMEOUT)),
        ..Default::default()
    };
    let route = route::Route {
        r#match: Some(route::RouteMatch {
            path_specifier: Some(route::route_match::PathSpecifier::Path(READY_PATH.to_owned())),
            ..Default::default()
        }),
        action: Some(route::route::Action::Route(action)),
        ..Default::default()
    };
    route::RouteConfiguration {
        name: name.to_owned(),
        virtual_hosts: vec![route::VirtualHost {
            name: "ready".to_owned(),
            domains: vec!["*".to_owned()],
            routes: vec![route],
            ..Default::default()
        }],
        // Proxies outside of pods have no such cluster, and nobody who asks.
        validate_clusters: Some(false),
        ..Default::default()
    }
}

//! The probe listener: `/ready` of the proxy, and what the kubelet would have asked the containers.
//!
//! `/ready` leads to a listener inside Envoy that the control plane sends last, when everything else is acknowledged and nothing
//! refused; Envoy alone says LIVE with everything refused. That one asks the admin socket. Before it came the answer is 503.
//!
//! HTTP probes are routes. TCP and gRPC probes are clusters that Envoy checks at the probe's own pace; their path answers 200 or 503 by what
//! the last check found. Exact paths, GET only, and no query that the probe's author did not write: the listener is open to everybody,
//! because the kubelet has no certificate. Permissions do not concern it, nor do limits of the overload manager.

use std::net::IpAddr;

use config::names::{ADMIN_CLUSTER, ListenerName, READY_PATH};
use serde_json::{Value, json};

use super::{BootstrapError, BootstrapInput, text};
use crate::inject::names::PROBE_PORT;
use crate::inject::{Check, Pace, ProbeTable, Use, probe_path};
use crate::intercept::Family;

/// The cluster of the listener that says "ready".
const READY: &str = "ready";

/// What the probe listener answers for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probes {
    /// The pod's own address, where its containers listen.
    pub address: IpAddr,
    /// Whether the pod has an IPv6 address.
    pub ipv6: bool,
    /// The probes as their authors wrote them.
    pub table: ProbeTable,
}

/// The listener.
pub(super) fn listener(probes: &Probes) -> Value {
    // Without IPv6 the general address of IPv6 cannot be listened on.
    let address = if probes.ipv6 { "::" } else { "0.0.0.0" };
    let socket = json!({"address": address, "port_value": PROBE_PORT, "ipv4_compat": probes.ipv6});
    json!({
        "name": "probes",
        "address": {"socket_address": socket},
        "ignore_global_conn_limit": true,
        "bypass_overload_manager": true,
        "filter_chains": [{"filters": [{
            "name": "envoy.filters.network.http_connection_manager",
            "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
                "stat_prefix": "probes",
                "codec_type": "HTTP1",
                // How long a probe may take is the kubelet's matter; a hook may take minutes.
                "stream_idle_timeout": "0s",
                "generate_request_id": false,
                "http_filters": filters(probes),
                "route_config": {"name": "probes", "virtual_hosts": [{"name": "probes", "domains": ["*"], "routes": routes(probes)}]},
            },
        }]}],
    })
}

/// Its clusters.
pub(super) fn clusters(input: &BootstrapInput, probes: &Probes) -> Result<Vec<Value>, BootstrapError> {
    let admin = json!({
        "name": ADMIN_CLUSTER,
        "type": "STATIC",
        "connect_timeout": "1s",
        "load_assignment": {"cluster_name": ADMIN_CLUSTER, "endpoints": [{"lb_endpoints": [{"endpoint": {
            "address": {"pipe": {"path": text(&input.admin_socket)?}},
        }}]}]},
    });
    let inside = json!({"envoy_internal_address": {"server_listener_name": ListenerName::Ready.to_string()}});
    let ready = json!({
        "name": READY,
        "type": "STATIC",
        "connect_timeout": "1s",
        "load_assignment": {"cluster_name": READY, "endpoints": [{"lb_endpoints": [{"endpoint": {"address": inside}}]}]},
    });
    let checks = probes.table.iter();
    let checks = checks.map(|(container, purpose, check)| {
        cluster(&cluster_name(&probe_path(container, purpose)), check, probes.address)
    });
    Ok([admin, ready].into_iter().chain(checks).collect())
}

fn cluster_name(path: &str) -> String {
    path.trim_start_matches('/').to_owned()
}

fn filters(probes: &Probes) -> Vec<Value> {
    let mut filters = Vec::new();
    for (container, purpose, check) in probes.table.iter() {
        if matches!(check, Check::Http { .. }) {
            continue;
        }
        let path = probe_path(container, purpose);
        filters.push(json!({"name": "envoy.filters.http.health_check", "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.health_check.v3.HealthCheck",
            "pass_through_mode": false,
            "headers": exactly(&path),
            "cluster_min_healthy_percentages": {cluster_name(&path): {"value": 100}},
        }}));
    }
    filters.push(json!({"name": "envoy.filters.http.router", "typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router",
        "suppress_envoy_headers": true,
    }}));
    filters
}

fn routes(probes: &Probes) -> Vec<Value> {
    let mut routes = vec![json!({
        "match": {"path": READY_PATH, "headers": exactly(READY_PATH)},
        "route": {"cluster": READY, "timeout": "2s"},
    })];
    for (container, purpose, check) in probes.table.iter() {
        let Check::Http {
            port, path, own_host, ..
        } = check
        else {
            continue;
        };
        let asked = probe_path(container, purpose);
        let mut action = json!({"cluster": cluster_name(&asked), "prefix_rewrite": path, "timeout": "0s"});
        if let Some(fields) = action.as_object_mut().filter(|_| !own_host) {
            let host = std::net::SocketAddr::new(probes.address, *port).to_string();
            fields.insert("host_rewrite_literal".to_owned(), host.into());
        }
        if let Some(fields) = action.as_object_mut().filter(|_| purpose == Use::PostStart) {
            fields.insert("retry_policy".to_owned(), until_it_listens());
        }
        routes.push(json!({
            "match": {"path": asked, "headers": exactly(&asked)},
            "route": action,
            // The kubelet would follow to a path that this listener does not have; a redirect is a success.
            "response_headers_to_remove": ["location"],
        }));
    }
    routes
}

/// The kubelet asks as soon as the container runs. It takes every answer for success, 503 too, and only a refused connection for
/// failure; Envoy has answered before it knows. So it goes on connecting, for about a minute, until the container listens.
fn until_it_listens() -> Value {
    json!({
        "retry_on": "connect-failure",
        "num_retries": 120,
        "retry_back_off": {"base_interval": "0.1s", "max_interval": "1s"},
    })
}

/// GET of this path, with no query.
fn exactly(path: &str) -> Value {
    json!([
        {"name": ":path", "string_match": {"exact": path}},
        {"name": ":method", "string_match": {"exact": "GET"}},
    ])
}

fn cluster(name: &str, check: &Check, own: IpAddr) -> Value {
    let (Check::Http { port, .. } | Check::Tcp { port, .. } | Check::Grpc { port, .. }) = check;
    let family = if own.is_ipv4() { Family::V4 } else { Family::V6 };
    let source = family.envoy_to_application().split('/').next().unwrap_or_default();
    let endpoint = json!({"address": {"socket_address": {"address": own, "port_value": port}}});
    let mut cluster = json!({
        "name": name,
        "type": "STATIC",
        "connect_timeout": "5s",
        // From here the packet filter lets it through to the container, as it does with callers' connections.
        "upstream_bind_config": {"source_address": {"address": source, "port_value": 0}},
        "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": [{"endpoint": endpoint}]}]},
    });
    let more = match check {
        Check::Http { https, .. } => http(*https),
        Check::Tcp { pace, .. } => json!({"health_checks": [health_check(*pace, "tcp_health_check", &json!({}))]}),
        Check::Grpc { pace, service, .. } => {
            let mut more = options(&json!({"http2_protocol_options": {}}), &json!({}));
            // Envoy's default, the cluster's name, is no authority.
            let authority = std::net::SocketAddr::new(own, *port).to_string();
            let check = json!({"service_name": service, "authority": authority});
            let check = health_check(*pace, "grpc_health_check", &check);
            if let Some(fields) = more.as_object_mut() {
                fields.insert("health_checks".to_owned(), json!([check]));
            }
            more
        }
    };
    if let (Some(fields), Value::Object(more)) = (cluster.as_object_mut(), more) {
        fields.extend(more);
    }
    cluster
}

fn http(https: bool) -> Value {
    // A connection a probe, as the kubelet does.
    let mut more = options(
        &json!({"http_protocol_options": {}}),
        &json!({"max_requests_per_connection": 1}),
    );
    if let Some(fields) = more.as_object_mut().filter(|_| https) {
        // Like the kubelet: whatever the certificate.
        let context = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext";
        let socket = json!({"name": "envoy.transport_sockets.tls", "typed_config": {
            "@type": context,
            "common_tls_context": {"tls_params": {"tls_maximum_protocol_version": "TLSv1_3"}},
        }});
        fields.insert("transport_socket".to_owned(), socket);
    }
    more
}

fn options(explicit: &Value, common: &Value) -> Value {
    json!({"typed_extension_protocol_options": {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
        "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
        "explicit_http_config": explicit,
        "common_http_protocol_options": common,
    }}})
}

/// At half the probe's period, so that what the kubelet is told is never older than that.
fn health_check(pace: Pace, kind: &str, check: &Value) -> Value {
    let half = u64::from(pace.period) * 500;
    let interval = format!("{}.{:03}s", half / 1000, half % 1000);
    json!({
        "timeout": format!("{}s", pace.timeout),
        "interval": interval,
        // Without traffic, and there is none, Envoy would check once a minute.
        "no_traffic_interval": interval,
        "healthy_threshold": 1,
        "unhealthy_threshold": 1,
        "reuse_connection": false,
        kind: check,
    })
}

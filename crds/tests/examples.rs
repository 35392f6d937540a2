//! The examples of the design: each is read as exactly what it says, with the defaults filled in, and written back unchanged.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests are tests too"
)]

use std::fmt::Debug;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tulle_crds::faultinjection::{FaultSide, FaultTrigger};
use tulle_crds::filters::{FilterType, PathModifierType};
use tulle_crds::http_match::{PathMatchType, ValueMatchType};
use tulle_crds::mesh::{DefaultAction, EgressAction, MtlsMode};
use tulle_crds::ratelimit::{LimitKeyType, LimitScope, OnServiceUnavailable, RateUnit};
use tulle_crds::source::{SourceType, SpiffeMatch};
use tulle_crds::target_ref::TargetKind;
use tulle_crds::trafficpermission::{PermissionAction, PolicyMode};
use tulle_crds::trafficroute::{LoadBalancerType, SessionType};
use tulle_crds::{FaultInjection, Mesh, RateLimit, TrafficPermission, TrafficRoute, Workload};

/// Reads the text, compares the spec, and reads what it writes, as YAML and as JSON.
fn read<T: DeserializeOwned + Serialize + Debug + PartialEq>(
    text: &str,
    unknown: fn(&T) -> Vec<String>,
    spec: &Value,
) -> T {
    let object: T = serde_saphyr::from_str(text).unwrap();
    let written = serde_json::to_value(&object).unwrap();
    assert_eq!(written["spec"], *spec);
    assert_eq!(unknown(&object), Vec::<String>::new());
    let yaml = serde_saphyr::to_string(&object).unwrap();
    assert_eq!(serde_saphyr::from_str::<T>(&yaml).unwrap(), object, "{yaml}");
    assert_eq!(serde_json::from_value::<T>(written).unwrap(), object);
    object
}

#[test]
fn a_mesh() {
    let text = include_str!("examples/mesh.yaml");
    let mesh = read(
        text,
        Mesh::unknown_fields,
        &json!({
            "trustDomain": "tulle.local",
            "mtls": {"mode": "Strict", "overrides": [
                {"namespace": "legacy", "selector": {"matchLabels": {"app": "old"}}, "port": 8080, "mode": "Permissive"},
            ]},
            "permissions": {"defaultAction": "AllowUntilSelected"},
            "egress": {"defaultAction": "Deny"},
            "identity": {"leafLifetime": "24h"},
            "observability": {"accessLog": true, "tracing": "otel.observability:4317"},
            "rateLimitService": "ratelimit.tulle-system:8081",
        }),
    );
    let mtls = mesh.spec.mtls.unwrap();
    assert_eq!(
        (mtls.mode, mtls.overrides[0].mode),
        (MtlsMode::Strict, MtlsMode::Permissive)
    );
    assert_eq!(
        mesh.spec.permissions.unwrap().default_action,
        DefaultAction::AllowUntilSelected
    );
    assert_eq!(mesh.spec.egress.unwrap().default_action, EgressAction::Deny);
}

#[test]
fn a_traffic_permission() {
    let text = include_str!("examples/trafficpermission.yaml");
    let permission = read(
        text,
        TrafficPermission::unknown_fields,
        &json!({
            "targetRefs": [{"kind": "Service", "name": "payments", "sectionName": "http"}],
            "action": "Allow",
            "mode": "Enforce",
            "rules": [
                {
                    "name": "orders-write",
                    "sources": [
                        {"type": "ServiceAccount", "serviceAccount": {"namespace": "shop", "name": "orders"}},
                        {"type": "SPIFFE", "spiffe": {"match": "Exact", "value": "spiffe://tulle.local/ns/shop/sa/orders"}},
                        {"type": "Namespace", "namespace": {"name": "shop"}},
                        {"type": "Unauthenticated"},
                    ],
                    "http": [{
                        "method": "POST",
                        "path": {"type": "PathPrefix", "value": "/charges"},
                        "headers": [{"type": "Exact", "name": "x-tenant", "value": "7"}],
                    }],
                    "ports": ["http"],
                },
                {
                    "name": "nobody",
                    "sources": [],
                    "grpc": [{"method": {"type": "Exact", "service": "shop.Payments", "method": "Charge"}}],
                },
            ],
        }),
    );
    let spec = permission.spec;
    assert_eq!((spec.action, spec.mode), (PermissionAction::Allow, PolicyMode::Enforce));
    assert_eq!(spec.target_refs.unwrap()[0].kind, TargetKind::Service);
    let sources = spec.rules[0].sources.as_ref().unwrap();
    let types: Vec<_> = sources.iter().map(|source| source.source_type).collect();
    assert_eq!(
        types,
        [
            SourceType::ServiceAccount,
            SourceType::Spiffe,
            SourceType::Namespace,
            SourceType::Unauthenticated
        ]
    );
    assert_eq!(sources[1].spiffe.as_ref().unwrap().match_type, SpiffeMatch::Exact);
    let http = &spec.rules[0].http.as_ref().unwrap()[0];
    assert_eq!(http.path.as_ref().unwrap().match_type, PathMatchType::PathPrefix);
    assert_eq!(http.headers.as_ref().unwrap()[0].match_type, ValueMatchType::Exact);
    // Nobody is not everybody.
    assert_eq!(spec.rules[1].sources, Some(Vec::new()));
    assert_eq!(spec.rules[1].http, None);
}

#[test]
fn a_traffic_route() {
    let text = include_str!("examples/trafficroute.yaml");
    let route = read(text, TrafficRoute::unknown_fields, &route_as_written());
    let rule = &route.spec.rules[0];
    let filters: Vec<_> = rule.filters.iter().map(|filter| filter.filter_type).collect();
    assert_eq!(filters, [FilterType::RequestHeaderModifier, FilterType::UrlRewrite]);
    let path = rule.filters[1].url_rewrite.as_ref().unwrap().path.as_ref().unwrap();
    assert_eq!(path.modifier_type, PathModifierType::ReplacePrefixMatch);
    assert_eq!(
        rule.backend_refs
            .iter()
            .map(|backend| backend.weight)
            .collect::<Vec<_>>(),
        [10, 90, 1]
    );
    assert_eq!(
        rule.session_persistence.as_ref().unwrap().session_type,
        SessionType::Cookie
    );
    let upstream = route.spec.upstream.unwrap();
    assert_eq!(
        upstream.load_balancer.unwrap().balancer_type,
        LoadBalancerType::RingHash
    );
}

fn route_as_written() -> Value {
    json!({
        "parentRefs": [{"kind": "Service", "name": "reviews", "port": 80}],
        "rules": [{
            "name": "canary",
            "matches": [{
                "path": {"type": "PathPrefix", "value": "/reviews"},
                "headers": [{"type": "Exact", "name": "x-canary", "value": "true"}],
                "queryParams": [{"type": "RegularExpression", "name": "version", "value": "v[0-9]+"}],
                "method": "GET",
                "sources": [{"type": "Authenticated"}],
            }],
            "filters": [
                {"type": "RequestHeaderModifier", "requestHeaderModifier": {"set": [{"name": "x-version", "value": "v2"}]}},
                {"type": "URLRewrite", "urlRewrite": {"path": {"type": "ReplacePrefixMatch", "replacePrefixMatch": "/"}}},
            ],
            "backendRefs": [
                {"name": "reviews-v2", "port": 80, "weight": 10},
                {"name": "reviews-v1", "port": 80, "weight": 90},
                {"name": "reviews-v0", "port": 80, "weight": 1},
            ],
            "timeouts": {"request": "2s", "backendRequest": "500ms"},
            "retry": {"attempts": 2, "codes": [503], "backoff": "25ms", "budget": {"percent": 20}},
            "sessionPersistence": {"sessionName": "reviews", "type": "Cookie"},
        }],
        "tcp": [{
            "matches": [{"sources": [{"type": "Namespace", "namespace": {"name": "shop"}}]}],
            "backendRefs": [{"name": "reviews-tcp", "port": 9000, "weight": 1}],
        }],
        "upstream": {
            "loadBalancer": {"type": "RingHash", "hashHeader": "x-user"},
            "circuitBreaker": {"maxConnections": 100},
            "outlierDetection": {"consecutiveErrors": 5},
            "healthCheck": {"path": "/healthz"},
            "connectTimeout": "1s",
            "failover": [{"zone": "b"}],
        },
    })
}

#[test]
fn a_rate_limit() {
    let text = include_str!("examples/ratelimit.yaml");
    let limits = read(text, RateLimit::unknown_fields, &json!({
        "targetRefs": [{"kind": "Service", "name": "payments"}],
        "mode": "Enforce",
        "limits": [
            {
                "name": "per-caller",
                "match": {"sources": [{"type": "Authenticated"}], "http": [{"method": "POST"}]},
                "key": [{"type": "SourceIdentity"}, {"type": "Header", "header": {"name": "x-tenant"}}, {"type": "ClientIP"}],
                "rate": {"requests": 100, "unit": "Second", "burst": 200},
                "scope": "Mesh",
                "onLimit": {"status": 429, "headers": {"x-limited": "yes"}},
                "onServiceUnavailable": "Allow",
            },
            {"name": "all", "rate": {"requests": 5, "unit": "Minute"}, "scope": "Proxy"},
        ],
        "connections": {"rate": {"requests": 10, "unit": "Second"}},
    }))
    .spec
    .limits;
    let types: Vec<_> = limits[0].key.iter().map(|key| key.key_type).collect();
    assert_eq!(
        types,
        [
            LimitKeyType::SourceIdentity,
            LimitKeyType::Header,
            LimitKeyType::ClientIp
        ]
    );
    assert_eq!(
        (limits[0].scope, limits[1].scope),
        (LimitScope::Mesh, LimitScope::Proxy)
    );
    assert_eq!(
        (limits[0].rate.unit, limits[1].rate.unit),
        (RateUnit::Second, RateUnit::Minute)
    );
    assert_eq!(limits[0].on_service_unavailable, Some(OnServiceUnavailable::Allow));
    // Absent is every caller; it must not become nobody.
    assert_eq!(limits[1].matches, None);
}

#[test]
fn a_fault_injection() {
    let text = include_str!("examples/faultinjection.yaml");
    let spec = read(text, FaultInjection::unknown_fields, &json!({
        "targetRefs": [{"kind": "Service", "name": "ratings"}],
        "at": "Destination",
        "until": "2026-12-01T12:00:00Z",
        "maxActive": 50,
        "faults": [
            {
                "name": "slow-posts",
                "match": {"sources": [{"type": "Authenticated"}], "http": [{"method": "POST"}]},
                "percent": "2.5",
                "delay": {"fixed": "3s"},
                "trigger": "Always",
            },
            {"name": "broken", "percent": "1", "abort": {"httpStatus": 503}, "trigger": "OnHeader"},
            {"name": "broken-grpc", "percent": "0.0001", "abort": {"grpcStatus": "UNAVAILABLE"}, "trigger": "Always"},
            {"name": "narrow", "percent": "100", "bandwidth": {"response": "64Ki"}, "trigger": "Always"},
        ],
    }))
    .spec;
    assert_eq!(spec.at, FaultSide::Destination);
    assert_eq!(
        (spec.faults[0].trigger, spec.faults[1].trigger),
        (FaultTrigger::Always, FaultTrigger::OnHeader)
    );
    // A number is not a percentage: no float may round it.
    assert!(serde_saphyr::from_str::<FaultInjection>(&text.replace("\"2.5\"", "[2.5]")).is_err());
}

#[test]
fn a_workload() {
    let text = include_str!("examples/workload.yaml");
    read(
        text,
        Workload::unknown_fields,
        &json!({
            "address": "10.0.0.7",
            "ports": [{"name": "http", "port": 8080}, {"port": 9090, "appProtocol": "grpc"}],
            "serviceAccount": "default",
            "process": {
                "command": ["/usr/bin/orders", "--port", "8080"],
                "env": {"DEBUG": "no", "SIZE": "12"},
                "workingDir": "/srv",
            },
        }),
    );
}

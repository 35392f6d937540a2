//! Bad objects: each is reported at its path with its reason, and makes nothing more permissive.

#![allow(clippy::panic, reason = "a test that cannot go on must stop")]

mod common;

use std::collections::BTreeSet;

use common::*;
use crds::conditions::Reason::{self, DeniedAtL4, Invalid};
use tulle_config::model::Model;

/// Every (workload, port, identity) that has any access, and every (workload, port) that lets plaintext in.
fn access(model: &Model) -> BTreeSet<(String, u16, String)> {
    let mut all = BTreeSet::new();
    for (key, workload) in &model.workloads {
        for port in workload.ports.keys().copied().chain([0]) {
            let who = allowed(model, &key.to_string(), port);
            all.extend(who.into_iter().map(|who| (key.to_string(), port, who)));
            let permission = &inbound(model, &key.to_string(), port).permission;
            if permission.default.allow_plaintext {
                all.insert((key.to_string(), port, "plaintext".to_owned()));
            }
        }
    }
    all
}

fn check(yaml: &str, path: &str, reason: &str) {
    let before = access(&shop(""));
    let model = shop(yaml);
    let is_it = |one: &(String, Reason)| one.0 == path && one.1.to_string() == reason;
    assert!(
        found(&model).iter().any(is_it),
        "{path} {reason} is missing for {yaml}: {:#?}",
        found(&model)
    );
    let after = access(&model);
    let wider: Vec<_> = after.difference(&before).collect();
    assert!(wider.is_empty(), "{yaml} lets in {wider:?}");
    for one in &model.diagnostics {
        assert!(one.message.len() > 20 && !one.message.ends_with('.'), "{one}");
        assert!(
            one.path.starts_with("spec") || one.path.starts_with("metadata"),
            "{one}"
        );
    }
}

const ALLOW: &str = "action: Allow";
const DENY: &str = "action: Deny";

/// Path, reason, spec without the action.
const PERMISSIONS: &str = r"
spec.rules[0].sources | Invalid | rules: [{}]
spec.rules[0].sources[0].who | UnknownField | rules: [{sources: [{type: Authenticated, who: me}]}]
spec.rules[0].sources[0] | Invalid | rules: [{sources: [{type: ServiceAccount}]}]
spec.rules[0].sources[0].namespace.name | Invalid | rules: [{sources: [{type: Namespace, namespace: {name: Shop}}]}]
spec.rules[0].sources[0].namespace.labels | UnknownField | rules: [{sources: [{type: Namespace, namespace: {name: shop, labels: {}}}]}]
spec.rules[0].sources[0].serviceAccount.name | Invalid | rules: [{sources: [{type: ServiceAccount, serviceAccount: {namespace: shop, name: a/b}}]}]
spec.rules[0].sources[0].spiffe.value | Invalid | rules: [{sources: [{type: SPIFFE, spiffe: {match: Exact, value: 'spiffe://tulle.local'}}]}]
spec.rules[0].sources[0].spiffe.value | Invalid | rules: [{sources: [{type: SPIFFE, spiffe: {match: Exact, value: 'https://tulle.local/a'}}]}]
spec.rules[0].sources[0].spiffe.value | Invalid | rules: [{sources: [{type: SPIFFE, spiffe: {match: PathPrefix, value: 'spiffe://tulle.local/ns//sa'}}]}]
spec.rules[0].sources[0].spiffe.value | Invalid | rules: [{sources: [{type: SPIFFE, spiffe: {match: TrustDomain, value: 'spiffe://tulle.local'}}]}]
spec.rules[0].http | Invalid | rules: [{sources: [{type: Authenticated}], http: []}]
spec.rules[0].ports | Invalid | rules: [{sources: [{type: Authenticated}], ports: []}]
spec.rules[0].http[0].path.value | Invalid | rules: [{sources: [{type: Authenticated}], http: [{path: {value: a}}]}]
spec.rules[0].http[0].path.value | Invalid | rules: [{sources: [{type: Authenticated}], http: [{path: {value: /a/../b}}]}]
spec.rules[0].http[0].path.value | Invalid | rules: [{sources: [{type: Authenticated}], http: [{path: {type: Exact, value: /%2f}}]}]
spec.rules[0].http[0].path.value | Invalid | rules: [{sources: [{type: Authenticated}], http: [{path: {type: RegularExpression, value: '(?=a)'}}]}]
spec.rules[0].http[0].path.value | Invalid | rules: [{sources: [{type: Authenticated}], http: [{path: {type: RegularExpression, value: '/a$|/b'}}]}]
spec.rules[0].http[0].path.value | Invalid | rules: [{sources: [{type: Authenticated}], http: [{path: {type: RegularExpression, value: '/(?:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA){1000}'}}]}]
spec.rules[0].http[0].path.value | Invalid | rules: [{sources: [{type: Authenticated}], http: [{path: {type: RegularExpression, value: '/[^/]{1000}[^/]{1000}[^/]{1000}[^/]{1000}[^/]{1000}[^/]{1000}[^/]{1000}[^/]{1000}[^/]{1000}'}}]}]
spec.rules[0].http[0].headers[0].value | Invalid | rules: [{sources: [{type: Authenticated}], http: [{headers: [{name: a, type: RegularExpression, value: '(?:.........){1000}'}]}]}]
spec.rules[0].http[0].path.caseSensitive | UnknownField | rules: [{sources: [{type: Authenticated}], http: [{path: {value: /a, caseSensitive: false}}]}]
spec.rules[0].http[0].method | Invalid | rules: [{sources: [{type: Authenticated}], http: [{method: get}]}]
spec.rules[0].http[0].hosts | UnknownField | rules: [{sources: [{type: Authenticated}], http: [{hosts: [a]}]}]
spec.rules[0].http[0].queryParams | Invalid | rules: [{sources: [{type: Authenticated}], http: [{queryParams: [{name: a, value: b}]}]}]
spec.rules[0].http[0].sources | Invalid | rules: [{sources: [{type: Authenticated}], http: [{sources: []}]}]
spec.rules[0].http[0].headers[0].name | Invalid | rules: [{sources: [{type: Authenticated}], http: [{headers: [{name: host, value: b}]}]}]
spec.rules[0].http[0].headers[0].name | Invalid | rules: [{sources: [{type: Authenticated}], http: [{headers: [{name: x-tulle-source, value: b}]}]}]
spec.rules[0].http[0].headers | Invalid | rules: [{sources: [{type: Authenticated}], http: [{headers: [{name: x-envoy-internal, value: b}]}]}]
spec.rules[0].http[0].headers[1].name | Invalid | rules: [{sources: [{type: Authenticated}], http: [{headers: [{name: a, value: b}, {name: A, value: c}]}]}]
spec.rules[0].http[0].headers[0].value | Invalid | rules: [{sources: [{type: Authenticated}], http: [{headers: [{name: a, value: ' b'}]}]}]
spec.rules[0].http[0].headers[0].value | Invalid | rules: [{sources: [{type: Authenticated}], http: [{headers: [{name: a, type: RegularExpression, value: '['}]}]}]
spec.rules[0].grpc | Invalid | rules: [{sources: [{type: Authenticated}], grpc: []}]
spec.rules[0].grpc | Invalid | rules: [{sources: [{type: Authenticated}], http: [{method: GET}], grpc: [{method: {service: a}}]}]
spec.rules[0].grpc[0].method | Invalid | rules: [{sources: [{type: Authenticated}], grpc: [{method: {}}]}]
spec.rules[0].grpc[0].method.servce | UnknownField | rules: [{sources: [{type: Authenticated}], grpc: [{method: {servce: a, method: b}}]}]
spec.rules[0].grpc[0].method.service | Invalid | rules: [{sources: [{type: Authenticated}], grpc: [{method: {service: ''}}]}]
spec.rules[0].grpc[0].method.method | Invalid | rules: [{sources: [{type: Authenticated}], grpc: [{method: {method: ''}}]}]
spec.rules[0].grpc[0].method.method | Invalid | rules: [{sources: [{type: Authenticated}], grpc: [{method: {service: a, method: ''}}]}]
spec.rules[0].grpc[0].method | Invalid | rules: [{sources: [{type: Authenticated}], grpc: [{method: {type: RegularExpression, service: '(?:aaaaaaaaa){1000}', method: '(?:bbbbbbbbb){1000}'}}]}]
spec.rules[0].grpc[0].path | UnknownField | rules: [{sources: [{type: Authenticated}], grpc: [{path: {value: /a/b}}]}]
spec.rules[0].grpc[0].method.service | Invalid | rules: [{sources: [{type: Authenticated}], grpc: [{method: {service: a/b}}]}]
spec.rules[0].grpc[0].method.service | Invalid | rules: [{sources: [{type: Authenticated}], grpc: [{method: {service: '..', method: b}}]}]
spec.rules[0].grpc[0].method.method | Invalid | rules: [{sources: [{type: Authenticated}], grpc: [{method: {method: 'b c'}}]}]
spec.rules[0].grpc[0].method.method | Invalid | rules: [{sources: [{type: Authenticated}], grpc: [{method: {type: RegularExpression, method: '(?=a)'}}]}]
spec.rules[0].grpc[0].method.service | Invalid | rules: [{sources: [{type: Authenticated}], grpc: [{method: {type: RegularExpression, service: 'a)|(b', method: c}}]}]
spec.rules[0].grpc[0].method | Invalid | rules: [{sources: [{type: Authenticated}], grpc: [{method: {type: RegularExpression, service: '(?P<x>a)', method: '(?P<x>b)'}}]}]
spec.rules[0].grpc[0].headers[0].name | Invalid | rules: [{sources: [{type: Authenticated}], grpc: [{headers: [{name: x_y, value: b}]}]}]
spec.rules[0].grpc[0].headers | Invalid | rules: [{sources: [{type: Authenticated}], grpc: [{headers: [{name: x-envoy-internal, value: b}]}]}]
spec.rules[0].grpc | ProtocolMismatch | rules: [{sources: [{type: Authenticated}], grpc: [{}]}], targetRefs: [{kind: Service, name: payments, sectionName: tcp-db}]
spec.rules[0].grpc | ProtocolMismatch | rules: [{sources: [{type: Authenticated}], grpc: [{}]}], targetRefs: [{kind: Service, name: payments, sectionName: http}]
spec.rules[0].grpc | ProtocolMismatch | rules: [{sources: [{type: Authenticated}], grpc: [{}], ports: [http]}], targetRefs: [{kind: Service, name: payments}]
spec.rules[0].httpp | UnknownField | rules: [{sources: [{type: Authenticated}], httpp: [{method: GET}]}]
spec.rules[0].name | Invalid | rules: [{name: 'a b', sources: [{type: Authenticated}]}]
spec.rules[1].name | Invalid | rules: [{name: a, sources: [{type: Authenticated}]}, {name: a, sources: [{type: Authenticated}]}]
spec.targetRef | UnknownField | rules: [{sources: [{type: Authenticated}]}], targetRef: {kind: Mesh}
spec.targetRefs | Invalid | rules: [{sources: [{type: Authenticated}]}], targetRefs: []
spec.targetRefs[0].name | Invalid | rules: [{sources: [{type: Authenticated}]}], targetRefs: [{kind: Service}]
spec.targetRefs[0].port | UnknownField | rules: [{sources: [{type: Authenticated}]}], targetRefs: [{kind: Service, name: payments, port: 80}]
spec.targetRefs[0].group | Invalid | rules: [{sources: [{type: Authenticated}]}], targetRefs: [{kind: Service, name: payments, group: apps}]
spec.targetRefs[0].name | TargetNotFound | rules: [{sources: [{type: Authenticated}]}], targetRefs: [{kind: Service, name: nothing}]
spec.targetRefs[0].sectionName | TargetNotFound | rules: [{sources: [{type: Authenticated}]}], targetRefs: [{kind: Service, name: payments, sectionName: x}]
spec.targetRefs[0].name | Invalid | rules: [{sources: [{type: Authenticated}]}], targetRefs: [{kind: Workload}]
spec.targetRefs[0].name | TargetNotFound | rules: [{sources: [{type: Authenticated}]}], targetRefs: [{kind: Workload, name: nobody}]
spec.targetRefs[0].sectionName | Invalid | rules: [{sources: [{type: Authenticated}]}], targetRefs: [{kind: Workload, name: payments-1, sectionName: web}]
spec.targetRefs[0].selector.matchLabels | Invalid | rules: [{sources: [{type: Authenticated}]}], targetRefs: [{kind: Workload, selector: {matchLabels: {}}}]
spec.targetRefs[0].selector.matchExpressions | UnknownField | rules: [{sources: [{type: Authenticated}]}], targetRefs: [{kind: Workload, selector: {matchExpressions: [], matchLabels: {a: b}}}]
spec.targetRefs[0].kind | NotPermitted | rules: [{sources: [{type: Authenticated}]}], targetRefs: [{kind: Mesh}]
spec.targetRefs[0].name | NotPermitted | rules: [{sources: [{type: Authenticated}]}], targetRefs: [{kind: Namespace, name: other}]
spec.targetRefs[0].kind | NotSupportedYet | rules: [{sources: [{type: Authenticated}]}], targetRefs: [{kind: TrafficRoute, name: a}]
spec.rules[0].ports | TargetNotFound | rules: [{sources: [{type: Authenticated}], ports: [nothing]}], targetRefs: [{kind: Service, name: payments}]
spec.rules[0].http | ProtocolMismatch | rules: [{sources: [{type: Authenticated}], http: [{}]}], targetRefs: [{kind: Service, name: payments, sectionName: tcp-db}]
";

#[test]
fn bad_permissions() {
    for row in PERMISSIONS.trim().lines() {
        let [path, reason, spec] = columns(row);
        let allow = permission("p", &format!("{ALLOW}, {spec}"));
        check(&allow, path, reason);
        // Where nobody is let in by default, nobody is let in by a rule that failed. Of the two of one name the first is good.
        let closed = shop(&format!("{allow}{}", mesh("permissions: {defaultAction: Deny}")));
        assert_eq!(access(&closed).is_empty(), !spec.contains("name: a, sources"), "{spec}");
        // A Deny may leave its sources out; everything else is as bad in it.
        if spec != "rules: [{}]" {
            check(&permission("p", &format!("{DENY}, {spec}")), path, reason);
        }
    }
}

fn columns<const N: usize>(row: &str) -> [&str; N] {
    let columns: Vec<&str> = row.splitn(N, " | ").collect();
    columns.try_into().unwrap_or_else(|_| panic!("{row}"))
}

/// A Deny that breaks denies at least what it denied before.
#[test]
fn broken_denies_deny_more() {
    let target = "targetRefs: [{kind: Service, name: payments}]";
    let before = access(&shop(&permission(
        "p",
        &format!("{target}, {DENY}, rules: [{{{FROM_ORDERS}}}]"),
    )));
    for (spec, everybody) in [
        (
            format!(
                "{target}, {DENY}, rules: [{{{FROM_ORDERS}, http: [{{path: {{value: x}}}}], ports: [http, tcp-db]}}]"
            ),
            false,
        ),
        (
            format!("{target}, {DENY}, rules: [{{{FROM_ORDERS}, unknown: 1}}]"),
            false,
        ),
        (
            format!("{target}, {DENY}, unknown: 1, rules: [{{{FROM_ORDERS}}}]"),
            false,
        ),
        (
            format!("{target}, {DENY}, rules: [{{{FROM_ORDERS}, ports: []}}]"),
            false,
        ),
        (
            format!("{target}, {DENY}, rules: [{{name: 'a b', {FROM_ORDERS}}}]"),
            false,
        ),
        (
            format!(
                "{target}, {DENY}, rules: [{{sources: [{{type: ServiceAccount, serviceAccount: {{namespace: shop, name: orders, x: z}}}}]}}]"
            ),
            true,
        ),
    ] {
        let model = shop(&permission("p", &spec));
        let after = access(&model);
        assert!(after.is_subset(&before), "{spec}");
        assert_eq!(allowed(&model, "shop/payments-1", 8000).is_empty(), everybody, "{spec}");
        assert!(
            found(&model).contains(&("spec.rules[0]".to_owned(), DeniedAtL4)),
            "{spec}"
        );
    }
    // With a request match only ports with requests were concerned, and stay so.
    let model = shop(&permission(
        "p",
        &format!("{target}, {DENY}, rules: [{{{FROM_ORDERS}, http: [{{path: {{value: x}}}}]}}]"),
    ));
    assert!(!allowed(&model, "shop/payments-1", 8000).contains(&"shop/orders".to_owned()));
    assert!(allowed(&model, "shop/payments-1", 5432).contains(&"shop/orders".to_owned()));
}

/// In Shadow each bad object is reported by the same words, and takes nothing from anybody.
#[test]
fn bad_shadows_take_nothing() {
    let before = access(&shop(""));
    for row in PERMISSIONS.trim().lines() {
        let [path, reason, spec] = columns(row);
        for action in [ALLOW, DENY] {
            if action == DENY && spec == "rules: [{}]" {
                continue;
            }
            let yaml = permission("p", &format!("{action}, mode: Shadow, {spec}"));
            check(&yaml, path, reason);
            assert_eq!(access(&shop(&yaml)), before, "{action} {spec}");
        }
    }
}

/// A Shadow rule that failed counts in the candidate as it would if it were enforced.
#[test]
fn a_failed_shadow_is_a_candidate_as_it_would_be() {
    let target = "targetRefs: [{kind: Service, name: payments}], mode: Shadow";
    let broken = format!("rules: [{{name: r, {FROM_ORDERS}, unknown: 1}}]");
    let candidate = |action: &str| {
        let model = shop(&permission("p", &format!("{target}, {action}, {broken}")));
        let report = model.reports.values().next().unwrap();
        assert_eq!(report.rules_failed, ["r".into()], "{action}");
        inbound(&model, "shop/payments-1", 8000)
            .permission
            .candidate
            .clone()
            .unwrap()
    };
    let deny = candidate(DENY);
    assert_eq!((deny.deny.len(), deny.default.allow_mesh), (1, true));
    let allow = candidate(ALLOW);
    assert_eq!((allow.allow.len(), allow.default.allow_mesh), (0, false));
}

/// What the spec is (of a kind, or a part of a route), path, reason, spec.
const OTHERS: &str = r"
TrafficRoute | spec.parentRefs | Invalid | parentRefs: []
TrafficRoute | spec.parentRefs[0].name | TargetNotFound | parentRefs: [{name: nothing}]
TrafficRoute | spec.parentRefs[0].port | TargetNotFound | parentRefs: [{name: payments, port: 81}]
TrafficRoute | spec.parentRefs[0].sectionName | Invalid | parentRefs: [{name: payments, port: 80, sectionName: http}]
TrafficRoute | spec.parentRefs[0].kind | NotSupportedYet | parentRefs: [{kind: Gateway, name: payments}]
TrafficRoute | spec.parentRefs[0].port | ProtocolMismatch | parentRefs: [{name: payments, port: 5432}], rules: [{}]
route | spec.tcp | NotSupportedYet | tcp: [{}]
route | spec.rules | Invalid | rules: []
route | spec.upstream.loadBalancer | NotSupportedYet | upstream: {loadBalancer: {type: Maglev}}
route | spec.upstream.connectTimeout | Invalid | upstream: {connectTimeout: 0s}
route | spec.upstream.timeout | UnknownField | upstream: {timeout: 0s}
route | spec.rules[0].backendRefs | BackendNotFound | rules: [{}]
route | spec.rules[0].backendRefs[0].port | Invalid | rules: [{backendRefs: [{name: payments}]}]
route | spec.rules[0].backendRefs[0].kind | NotSupportedYet | rules: [{backendRefs: [{kind: Bucket, name: payments, port: 80}]}]
route | spec.rules[0].backendRefs[0].filters[0].type | NotSupportedYet | rules: [{backendRefs: [{name: payments, port: 80, filters: [{type: CORS, cors: {}}]}]}]
route | spec.rules[0].backendRefs[0].wait | UnknownField | rules: [{backendRefs: [{name: payments, port: 80, wait: 1}]}]
rule | spec.rules[0].timeouts.backendRequest | Invalid | timeouts: {request: 1s, backendRequest: 2s}
rule | spec.rules[0].timeouts.request | Invalid | timeouts: {request: soon}
rule | spec.rules[0].retry.attempts | Invalid | retry: {attempts: 11}
rule | spec.rules[0].retry.codes | Invalid | retry: {codes: [200]}
rule | spec.rules[0].retry.backoff | Invalid | retry: {backoff: 0s}
rule | spec.rules[0].retry.budget | NotSupportedYet | retry: {budget: {percent: 1}}
rule | spec.rules[0].sessionPersistence | NotSupportedYet | sessionPersistence: {}
rule | spec.rules[0].matches[0].queryParams[1].name | Invalid | matches: [{queryParams: [{name: a, value: b}, {name: a, value: c}]}]
filter | spec.rules[0].filters[0].requestMirror | NotSupportedYet | type: RequestMirror, requestMirror: {backendRef: {name: payments, port: 80}}
filter | spec.rules[0].filters[0] | Invalid | type: CORS
filter | spec.rules[0].filters[0].urlRewrite.hostname | Invalid | type: URLRewrite, urlRewrite: {hostname: A_b}
filter | spec.rules[0].filters[0].urlRewrite.path | Invalid | type: URLRewrite, urlRewrite: {path: {type: ReplaceFullPath, replacePrefixMatch: /a}}
filter | spec.rules[0].backendRefs | Invalid | type: RequestRedirect, requestRedirect: {}
filter | spec.rules[0].filters[0].requestRedirect.statusCode | Invalid | type: RequestRedirect, requestRedirect: {statusCode: 304}
filter | spec.rules[0].filters[0].requestHeaderModifier.set[0].name | Invalid | type: RequestHeaderModifier, requestHeaderModifier: {set: [{name: Transfer-Encoding, value: chunked}]}
filter | spec.rules[0].filters[0].requestHeaderModifier.remove[0] | Invalid | type: RequestHeaderModifier, requestHeaderModifier: {remove: [Host]}
rule | spec.rules[0].filters | Invalid | matches: [{path: {type: Exact, value: /a}}], filters: [{type: URLRewrite, urlRewrite: {path: {type: ReplacePrefixMatch, replacePrefixMatch: /b}}}]
RateLimit | spec.connections | NotSupportedYet | connections: {rate: {requests: 1, unit: Second}}
RateLimit | spec.limits[0].scope | NotSupportedYet | limits: [{name: a, scope: Workload, rate: {requests: 1, unit: Second}}]
RateLimit | spec.limits[0].onServiceUnavailable | Invalid | limits: [{name: a, onServiceUnavailable: Deny, rate: {requests: 1, unit: Second}}]
RateLimit | spec.limits[0].onLimit.status | Invalid | limits: [{name: a, rate: {requests: 1, unit: Second}, onLimit: {status: 200}}]
RateLimit | spec.limits[1].onLimit | NotSupportedYet | limits: [{name: a, rate: {requests: 1, unit: Second}}, {name: b, rate: {requests: 1, unit: Second}, onLimit: {status: 503}}]
RateLimit | spec.limits[0].rate.per | UnknownField | limits: [{name: a, rate: {requests: 1, unit: Second, per: caller}}]
RateLimit | spec.targetRefs[0].sectionName | ProtocolMismatch | targetRefs: [{kind: Service, name: payments, sectionName: tcp-db}], limits: [{name: a, rate: {requests: 1, unit: Second}}]
FaultInjection | spec.at | NotSupportedYet | at: Source, until: never, faults: []
FaultInjection | spec.until | Invalid | until: tomorrow, faults: []
FaultInjection | spec.maxActive | Invalid | until: never, maxActive: 0, faults: []
FaultInjection | spec.faults[0].percent | Invalid | until: never, faults: [{name: a, percent: many, abort: {httpStatus: 503}}]
FaultInjection | spec.faults[0].abort | Invalid | until: never, faults: [{name: a, percent: '1', abort: {}}]
";

#[test]
fn bad_routes_limits_and_faults() {
    let route = |spec: &str| {
        object(
            "TrafficRoute",
            "r",
            &format!("parentRefs: [{{name: payments, port: 80}}], {spec}"),
        )
    };
    let rule = |more: &str| {
        route(&format!(
            "rules: [{{{more}, backendRefs: [{{name: payments, port: 80}}]}}]"
        ))
    };
    for row in OTHERS.trim().lines() {
        let [what, path, reason, spec] = columns(row);
        let yaml = match what {
            "route" => route(spec),
            "rule" => rule(spec),
            "filter" => rule(&format!("filters: [{{{spec}}}]")),
            kind => object(kind, "o", spec),
        };
        check(&yaml, path, reason);
    }
}

#[test]
fn bad_meshes_and_workloads() {
    for (spec, path, reason) in [
        (
            "permissions: {defaultaction: Allow}",
            "spec.permissions.defaultaction",
            "UnknownField",
        ),
        (
            "mtls: {mode: Permissive, overides: []}",
            "spec.mtls.overides",
            "UnknownField",
        ),
        (
            "mtls: {mode: Strict, overrides: [{mode: Permissive, ports: [1]}]}",
            "spec.mtls.overrides[0].ports",
            "UnknownField",
        ),
        (
            "mtls: {mode: Strict, overrides: [{mode: Permissive, selector: {matchLabels: {}}}]}",
            "spec.mtls.overrides[0].selector.matchLabels",
            "Invalid",
        ),
        ("trustDomain: 'A B'", "spec.trustDomain", "Invalid"),
        ("revocationTime: 1ms", "spec.revocationTime", "Invalid"),
        ("identity: {leafLifetime: 9m}", "spec.identity.leafLifetime", "Invalid"),
        ("rateLimitService: 'a:1'", "spec.rateLimitService", "NotSupportedYet"),
        (
            "observability: {tracing: 'a:1'}",
            "spec.observability.tracing",
            "NotSupportedYet",
        ),
    ] {
        check(&mesh(spec), path, reason);
    }
    for (spec, path) in [
        ("{}", "spec.address"),
        ("{address: localhost}", "spec.address"),
        ("{address: 10.0.0.9, serviceAccount: 'a/b'}", "spec.serviceAccount"),
        ("{address: 10.0.0.9, ports: [{port: 0}]}", "spec.ports[0].port"),
        (
            "{address: 10.0.0.9, ports: [{port: 1}, {port: 1}]}",
            "spec.ports[1].port",
        ),
    ] {
        let yaml = format!(
            "\n---\n{{apiVersion: mesh.tulle.dev/v1alpha1, kind: Workload, metadata: {{name: w, namespace: shop}}, spec: {spec}}}\n"
        );
        let model = shop(&yaml);
        assert!(
            found(&model).contains(&(path.to_owned(), Invalid)),
            "{spec}: {:?}",
            found(&model)
        );
    }
    // A second Mesh does not count.
    let other = mesh("permissions: {defaultAction: Allow}").replace("name: default", "name: second");
    check(&other, "metadata.name", "Invalid");
}

/// A field that nobody knows may be a misspelt restriction: what is absent is taken at its strictest.
#[test]
fn a_misspelt_restriction_of_the_mesh_opens_nothing() {
    for spec in ["permisions: {defaultAction: Deny}", "egres: {defaultAction: Deny}"] {
        let model = shop(&mesh(spec));
        let path = format!("spec.{}", spec.split(':').next().unwrap());
        assert_eq!(found(&model), [(path, Reason::UnknownField)]);
        assert!(access(&model).is_empty(), "{spec}");
        assert!(!model.mesh.egress_allowed, "{spec}");
    }
    // What is written is read.
    let model = shop(&mesh(
        "note: x, permissions: {defaultAction: Allow}, egress: {defaultAction: Allow}",
    ));
    assert!(!access(&model).is_empty() && model.mesh.egress_allowed);
}

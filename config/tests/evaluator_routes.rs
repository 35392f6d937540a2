//! What the caller's proxy does, as the evaluator has it: routes, rewrites, edits, and where a request arrives; limits and faults there.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that cannot go on must stop"
)]

mod common;

use std::sync::Arc;
use std::time::Duration;

use common::{identity, key, mesh, model_of, object, permission};
use tulle_config::evaluator::{Answer, Caller, Decision, Destination, Fate, HttpRequest, Operation, Request, evaluate};
use tulle_config::model::Model;

const WORLD: &str = r"
{apiVersion: v1, kind: Service, metadata: {name: payments, namespace: shop}, spec: {clusterIP: 240.0.0.1, selector: {app: payments}, ports: [{name: http, port: 80, targetPort: 8080}, {name: tcp-db, port: 5432}]}}
---
{apiVersion: v1, kind: Service, metadata: {name: canary, namespace: shop}, spec: {clusterIP: 240.0.0.2, selector: {app: canary}, ports: [{name: http, port: 80, targetPort: 8080}]}}
---
{apiVersion: v1, kind: Service, metadata: {name: pods, namespace: shop}, spec: {clusterIP: None, selector: {app: pods}, ports: [{name: http, port: 8080}]}}
---
{apiVersion: mesh.tulle.dev/v1alpha1, kind: Workload, metadata: {name: payments-1, namespace: shop, labels: {app: payments}}, spec: {address: 10.0.0.1, serviceAccount: payments, ports: [{name: http, port: 8080}, {name: db, port: 5432, appProtocol: tcp}]}}
---
{apiVersion: mesh.tulle.dev/v1alpha1, kind: Workload, metadata: {name: payments-2, namespace: shop, labels: {app: payments}}, spec: {address: 10.0.0.2, serviceAccount: payments, ports: [{name: http, port: 8080}, {name: db, port: 5432, appProtocol: tcp}]}}
---
{apiVersion: mesh.tulle.dev/v1alpha1, kind: Workload, metadata: {name: canary, namespace: shop, labels: {app: canary}}, spec: {address: 10.0.0.3, serviceAccount: payments, ports: [{name: http, port: 8080}]}}
---
{apiVersion: mesh.tulle.dev/v1alpha1, kind: Workload, metadata: {name: pod-1, namespace: shop, labels: {app: pods}}, spec: {address: 10.0.0.4, serviceAccount: pods, ports: [{name: http, port: 8080}]}}
---
{apiVersion: mesh.tulle.dev/v1alpha1, kind: Workload, metadata: {name: pod-2, namespace: shop, labels: {app: pods}}, spec: {address: 10.0.0.5, serviceAccount: pods, ports: [{name: http, port: 8080}]}}
---
{apiVersion: mesh.tulle.dev/v1alpha1, kind: Workload, metadata: {name: orders, namespace: shop, annotations: {mesh.tulle.dev/dialEndpoints: 'true'}}, spec: {address: 10.0.0.6, serviceAccount: orders}}
---
{apiVersion: mesh.tulle.dev/v1alpha1, kind: Workload, metadata: {name: audit, namespace: audit}, spec: {address: 10.0.0.7, serviceAccount: audit}}
";

fn world(more: &[String]) -> Arc<Model> {
    let model = model_of(&format!("{WORLD}{}", more.concat()));
    assert_eq!(model.diagnostics, []);
    model
}

fn route(name: &str, rules: &str) -> String {
    object(
        "TrafficRoute",
        name,
        &format!("parentRefs: [{{name: payments, port: 80}}], rules: [{rules}]"),
    )
}

fn request(target: &str, headers: &[(&str, &str)]) -> HttpRequest {
    HttpRequest {
        method: "GET".into(),
        target: target.into(),
        authority: "payments:80".into(),
        headers: headers
            .iter()
            .map(|(name, value)| ((*name).into(), (*value).into()))
            .collect(),
    }
}

fn service(name: &str, port: u16) -> Destination {
    Destination::Service {
        service: key(&format!("shop/{name}")),
        port,
    }
}

fn workload(name: &str, port: u16) -> Destination {
    Destination::Workload {
        workload: key(name),
        port,
    }
}

fn call(model: &Model, from: &str, to: Destination, operation: Operation) -> Decision {
    let from = Caller::Workload(key(from));
    evaluate(model, &Request { from, to, operation })
}

fn get(model: &Model, from: &str, target: &str, headers: &[(&str, &str)]) -> Decision {
    call(
        model,
        from,
        service("payments", 80),
        Operation::Http(request(target, headers)),
    )
}

/// Names of the workloads where it arrives.
fn arrives(decision: &Decision) -> Vec<String> {
    decision
        .arrivals
        .iter()
        .map(|arrival| arrival.workload.name.to_string())
        .collect()
}

fn rule(decision: &Decision) -> &str {
    &decision.route.as_ref().unwrap().rule
}

/// The request that leaves for the first backend.
fn leaving(decision: &Decision) -> HttpRequest {
    match &decision.route.as_ref().unwrap().fate {
        Fate::Forward { backends, .. } => backends[0].request.clone().unwrap(),
        other => unreachable!("{other:?}"),
    }
}

#[test]
fn without_routes_it_goes_to_the_service_itself() {
    let model = world(&[]);
    let decision = get(&model, "shop/orders", "/a//b?x=1", &[]);
    assert_eq!(rule(&decision), "svc/shop/payments/80");
    assert_eq!(arrives(&decision), ["payments-1", "payments-2"]);
    assert_eq!(
        (&*leaving(&decision).target, &*leaving(&decision).authority),
        ("/a/b?x=1", "payments")
    );
    let first = &decision.arrivals[0];
    assert_eq!(first.identity.as_ref(), Some(&identity("shop/orders")));
    assert_eq!(
        (first.port, first.backend.clone()),
        (8080, Some((key("shop/payments"), 80)))
    );
    assert_eq!(
        (first.verdict.answer, &*first.verdict.rule),
        (Answer::Allowed, "default/Allow/http")
    );

    let decision = call(&model, "shop/orders", service("payments", 5432), Operation::Connect);
    assert_eq!(arrives(&decision), ["payments-1", "payments-2"]);
    assert_eq!(&*decision.arrivals[0].verdict.rule, "default/Allow/db");
    let decision = get(&model, "shop/orders", "/a#b", &[]);
    assert!(matches!(decision.route.unwrap().fate, Fate::Malformed(_)));
    assert_eq!(decision.arrivals, []);
    // The caller's proxy lets it pass; each destination refuses.
    let decision = get(&model, "shop/orders", "/a%2fb", &[]);
    assert!(
        decision
            .arrivals
            .iter()
            .all(|one| matches!(one.verdict.answer, Answer::Malformed(_)))
    );
    for nobody in [
        call(&model, "shop/none", service("payments", 80), Operation::Connect),
        call(&model, "shop/orders", service("none", 80), Operation::Connect),
    ] {
        assert_eq!((nobody.route, nobody.arrivals), (None, vec![]));
    }
}

#[test]
fn the_first_entry_that_matches_routes() {
    let to = |name: &str| format!("backendRefs: [{{name: {name}, port: 80}}]");
    let rules = format!(
        "{{name: canary, matches: [{{headers: [{{name: x-canary, value: '1'}}]}}], {}, timeouts: {{request: 2s, backendRequest: 1s}}, retry: {{attempts: 2, codes: [503]}}}}, \
         {{name: query, matches: [{{queryParams: [{{name: to, value: canary}}]}}], {}}}, \
         {{name: moved, matches: [{{path: {{type: Exact, value: /old}}}}], filters: [{{type: RequestRedirect, requestRedirect: {{statusCode: 301}}}}]}}, \
         {{name: rest, matches: [{{path: {{value: /v1}}}}], {}}}",
        to("canary"),
        to("canary"),
        to("payments")
    );
    let model = world(&[route("r", &rules)]);
    let decision = get(&model, "shop/orders", "/w", &[("x-canary", "0"), ("X-Canary", "1")]);
    let route = decision.route.clone().unwrap();
    assert_eq!(
        (rule(&decision), arrives(&decision)),
        ("TrafficRoute/shop/r/canary", vec!["canary".to_owned()])
    );
    assert_eq!(
        (route.timeout, route.backend_timeout),
        (Some(Duration::from_secs(2)), Some(Duration::from_secs(1)))
    );
    assert_eq!(route.retry.unwrap().attempts, 2);
    assert_eq!(
        rule(&get(&model, "shop/orders", "/x?a&to=canary", &[])),
        "TrafficRoute/shop/r/query"
    );
    assert_eq!(
        rule(&get(&model, "shop/orders", "/x/../v1/y", &[])),
        "TrafficRoute/shop/r/rest"
    );
    let decision = get(&model, "shop/orders", "/old", &[]);
    assert!(matches!(decision.route.unwrap().fate, Fate::Redirect(_)));
    assert_eq!(decision.arrivals, []);
    let decision = get(&model, "shop/orders", "/v12", &[]);
    assert_eq!(decision.route.unwrap().fate, Fate::NoMatch);
    assert_eq!(decision.arrivals, []);
    // Of a connection only where its requests could go is known.
    let decision = call(&model, "shop/orders", service("payments", 80), Operation::Connect);
    assert_eq!(arrives(&decision), ["canary", "payments-1", "payments-2"]);
}

#[test]
fn splits_and_what_is_not_there() {
    let rules = "{name: s, backendRefs: [{name: canary, port: 80, weight: 1}, {name: payments, port: 80, weight: 3}, {name: none, port: 80, weight: 4}]}";
    let model = model_of(&format!("{WORLD}{}", route("r", rules)));
    let decision = get(&model, "shop/orders", "/", &[]);
    let Fate::Forward {
        backends,
        invalid_weight,
    } = &decision.route.as_ref().unwrap().fate
    else {
        unreachable!()
    };
    let weights: Vec<_> = backends.iter().map(|one| (&*one.service.name, one.weight)).collect();
    assert_eq!((weights, *invalid_weight), (vec![("canary", 1), ("payments", 3)], 4));
    assert_eq!(arrives(&decision), ["canary", "payments-1", "payments-2"]);
}

#[test]
fn a_consumer_route_replaces_the_producers() {
    let consumer = "\n---\n{apiVersion: mesh.tulle.dev/v1alpha1, kind: TrafficRoute, metadata: {name: c, namespace: audit}, spec: {parentRefs: [{name: payments, namespace: shop, port: 80}], \
        rules: [{name: mine, matches: [{path: {value: /audit}}], backendRefs: [{name: canary, namespace: shop, port: 80}]}]}}\n";
    let model = world(&[
        route("r", "{name: all, backendRefs: [{name: payments, port: 80}]}"),
        consumer.to_owned(),
    ]);
    assert_eq!(
        rule(&get(&model, "shop/orders", "/audit", &[])),
        "TrafficRoute/shop/r/all"
    );
    assert_eq!(
        rule(&get(&model, "audit/audit", "/audit", &[])),
        "TrafficRoute/audit/c/mine"
    );
    assert_eq!(get(&model, "audit/audit", "/", &[]).route.unwrap().fate, Fate::NoMatch);
}

#[test]
fn rewrites() {
    let rewritten = |matched: &str, to: &str, target: &str| {
        let path = format!(
            "{{name: a, matches: [{{path: {{value: {matched}}}}}], filters: [{{type: URLRewrite, urlRewrite: {{hostname: other, path: {to}}}}}], backendRefs: [{{name: canary, port: 80}}]}}"
        );
        let out = leaving(&get(&world(&[route("r", &path)]), "shop/orders", target, &[]));
        assert_eq!(&*out.authority, "other");
        out.target.to_string()
    };
    let prefix = |to: &str| format!("{{type: ReplacePrefixMatch, replacePrefixMatch: {to}}}");
    for (matched, to, target, expected) in [
        ("/foo", "/xyz", "/foo/bar", "/xyz/bar"),
        ("/foo", "/xyz/", "/foo/bar", "/xyz/bar"),
        ("/foo/", "/xyz", "/foo", "/xyz"),
        ("/foo", "/xyz", "/foo/", "/xyz/"),
        ("/foo", "/", "/foo/bar?q", "/bar?q"),
        ("/foo", "/", "/foo", "/"),
        ("/foo", "''", "/foo", "/"),
        ("/", "/xyz", "/bar", "/xyz/bar"),
        ("/", "/xyz", "/", "/xyz/"),
    ] {
        assert_eq!(
            rewritten(matched, &prefix(to), target),
            expected,
            "{matched} {to} {target}"
        );
    }
    let whole = "{type: ReplaceFullPath, replaceFullPath: '/x%y'}".replace("%y", "y");
    assert_eq!(rewritten("/foo", &whole, "/foo/bar?q=1"), "/xy?q=1");
}

#[test]
fn header_edits_arrive() {
    let edit = |text: &str| format!("filters: [{{type: RequestHeaderModifier, requestHeaderModifier: {{{text}}}}}]");
    let rules = format!(
        "{{name: e, {}, backendRefs: [{{name: payments, port: 80, {}}}]}}",
        edit(
            "set: [{name: x-set, value: rule}], add: [{name: x-add, value: a}, {name: x-both, value: b}], remove: [x-gone, x-both]"
        ),
        edit("set: [{name: x-set, value: backend}, {name: x-own, value: o}]")
    );
    let allow = "action: Allow, rules: [{name: r, sources: [{type: Authenticated}], http: [{headers: [{name: x-add, value: 'mine,a'}, {name: x-set, value: backend}]}]}]";
    let model = world(&[route("r", &rules), permission("p", allow)]);
    let sent = [
        ("x-set", "mine"),
        ("x-set", "too"),
        ("x-add", "mine"),
        ("x-gone", "1"),
        ("x-both", "1"),
        ("x-envoy-retry-on", "5xx"),
    ];
    let decision = get(&model, "shop/orders", "/", &sent);
    let names: Vec<String> = leaving(&decision)
        .headers
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    assert_eq!(
        names,
        [
            "x-add=mine",
            "x-forwarded-proto=http",
            "x-add=a",
            "x-set=backend",
            "x-own=o"
        ]
    );
    assert_eq!(&*decision.arrivals[0].verdict.rule, "TrafficPermission/shop/p/r");
    // Straight at the destination the same headers are not enough.
    let from = Caller::Identity(identity("shop/orders"));
    let operation = Operation::Http(request("/", &sent));
    let decision = evaluate(
        &model,
        &Request {
            from,
            to: service("payments", 80),
            operation,
        },
    );
    assert_eq!(
        (decision.route, decision.arrivals[0].verdict.answer),
        (None, Answer::Forbidden)
    );
}

#[test]
fn addresses_of_workloads() {
    let model = world(&[]);
    let ask =
        |model: &Model, from: &str, to: Destination| call(model, from, to, Operation::Http(request("/a/../b", &[])));
    // Every endpoint of a headless Service; who is one of them reaches the others.
    let decision = ask(&model, "shop/orders", service("pods", 8080));
    assert_eq!(
        (rule(&decision), arrives(&decision)),
        ("pod/*", vec!["pod-1".to_owned(), "pod-2".to_owned()])
    );
    assert_eq!(arrives(&ask(&model, "shop/pod-1", service("pods", 8080))), ["pod-2"]);
    // One of them, by its address.
    let decision = ask(&model, "shop/orders", workload("shop/pod-1", 8080));
    assert_eq!(
        (rule(&decision), &*leaving(&decision).target),
        ("pod/10.0.0.4/8080", "/b")
    );
    assert_eq!(decision.arrivals[0].identity.as_ref(), Some(&identity("shop/orders")));
    // A port that another Service leads to, from who dials endpoints: its bytes arrive as the caller's, whatever is asked of routes.
    let decision = ask(&model, "shop/orders", workload("shop/payments-1", 8080));
    assert_eq!(decision.route, None);
    assert_eq!(decision.arrivals[0].identity.as_ref(), Some(&identity("shop/orders")));
    let decision = ask(&model, "audit/audit", workload("shop/payments-1", 8080));
    assert!(decision.arrivals.iter().all(|one| one.identity.is_none()));
    // Another address is one outside the mesh: plaintext, if at all.
    let decision = ask(&model, "shop/orders", workload("shop/payments-1", 7777));
    assert_eq!(decision.route, None);
    assert!(
        decision
            .arrivals
            .iter()
            .all(|one| one.identity.is_none() && one.verdict.answer == Answer::Refused)
    );
    let closed = world(&[mesh("egress: {defaultAction: Deny}")]);
    assert_eq!(
        ask(&closed, "shop/orders", workload("shop/payments-1", 7777)).arrivals,
        []
    );
    assert_eq!(
        ask(&model, "shop/pod-1", workload("shop/pod-1", 8080)).arrivals,
        [],
        "no proxy stands between"
    );
}

#[test]
fn limits_and_faults_of_what_is_let_in() {
    let limit = object(
        "RateLimit",
        "l",
        "targetRefs: [{kind: Service, name: payments, sectionName: http}], limits: [{name: all, rate: {requests: 1, unit: Second}}, \
         {name: orders, match: {sources: [{type: ServiceAccount, serviceAccount: {namespace: shop, name: orders}}], http: [{path: {value: /a}}]}, rate: {requests: 1, unit: Second}}]",
    );
    let shadow = object(
        "RateLimit",
        "s",
        "targetRefs: [{kind: Service, name: payments, sectionName: http}], mode: Shadow, limits: [{name: watched, rate: {requests: 1, unit: Second}}]",
    );
    let fault = object(
        "FaultInjection",
        "f",
        "targetRefs: [{kind: Service, name: payments, sectionName: http}], until: never, faults: [{name: slow, match: {http: [{headers: [{name: x-f, value: '1'}]}]}, percent: '100', delay: {fixed: 1s}}]",
    );
    let deny = permission("d", "action: Deny, rules: [{name: r, http: [{method: DELETE}]}]");
    let model = world(&[limit, shadow, fault, deny]);
    let hit = |from: &str, request: HttpRequest| {
        let decision = call(&model, from, service("payments", 80), Operation::Http(request));
        let arrival = decision.arrivals[0].clone();
        let mut names: Vec<String> = arrival
            .limits
            .iter()
            .map(|one| format!("{}{}", one.limit.origin, if one.limit.shadow { "?" } else { "" }))
            .collect();
        names.extend(arrival.faults.iter().map(|one| one.fault.origin.to_string()));
        names.sort();
        names
            .iter()
            .map(|name| name.rsplit('/').next().unwrap().to_owned())
            .collect::<Vec<_>>()
            .join(" ")
    };
    assert_eq!(hit("shop/orders", request("/a", &[])), "all orders watched?");
    assert_eq!(hit("audit/audit", request("/a", &[])), "all watched?");
    assert_eq!(hit("shop/orders", request("/b", &[("x-f", "1")])), "slow all watched?");
    assert_eq!(
        hit("shop/orders", request("/b", &[("x-f", "2"), ("x-f", "1")])),
        "slow all watched?",
        "any occurrence"
    );
    assert_eq!(
        hit("shop/orders", request("/b", &[("x-f", "2,1")])),
        "all watched?",
        "no element"
    );
    let deleted = HttpRequest {
        method: "DELETE".into(),
        ..request("/a", &[])
    };
    assert_eq!(hit("shop/orders", deleted), "", "what is refused is not counted");
}

#[test]
fn paths_with_parameters_are_refused_where_a_route_looks_at_the_path() {
    let at_path = route(
        "public",
        "{name: public, matches: [{path: {type: PathPrefix, value: /public}}], backendRefs: [{name: payments, port: 80}]}",
    );
    let at_header = route(
        "canary",
        "{name: canary, matches: [{headers: [{name: x-canary, value: v2}]}], backendRefs: [{name: payments, port: 80}]}",
    );
    let refused = |more: &[String], target: &str, headers: &[(&str, &str)]| {
        let decision = get(&world(more), "shop/orders", target, headers);
        matches!(decision.route.unwrap().fate, Fate::Malformed(_))
    };
    let by_path = std::slice::from_ref(&at_path);
    // As Envoy decodes it, so that the destination would read `/admin`.
    assert!(refused(by_path, "/public/%2e%2e;/admin", &[]));
    assert!(refused(by_path, "/public;x", &[]));
    assert!(!refused(by_path, "/public?x;y", &[]));
    assert!(!refused(by_path, "/public%3bx", &[]));
    assert!(!refused(&[at_header], "/public;x", &[("x-canary", "v2")]));
    let allowing = [at_path, mesh("normalization: {allowPathParameters: true}")];
    assert!(!refused(&allowing, "/public;x", &[]));
}

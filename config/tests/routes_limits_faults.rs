//! Parse and link on a small mesh: routes, limits and faults.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on must stop")]

mod common;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use common::*;
use crds::conditions::Reason;
use tulle_config::model::*;

fn route(name: &str, spec: &str) -> String {
    object(
        "TrafficRoute",
        name,
        &format!("parentRefs: [{{name: payments, port: 80}}], {spec}"),
    )
}

fn producer(model: &Model) -> Vec<RouteEntry> {
    service_port(model, "shop/payments", 80)
        .routes
        .as_ref()
        .unwrap()
        .entries
        .clone()
}

fn always_500() -> RouteAction {
    RouteAction::ForwardPartly {
        backends: Vec::new(),
        invalid_weight: 1,
    }
}

#[test]
fn most_specific_match_first() {
    let to = "backendRefs: [{name: payments, port: 80}]";
    let model = shop(&format!(
        "{}{}",
        route(
            "b",
            &format!(
                "rules: [{{name: all, {to}}}, {{name: prefix, matches: [{{path: {{value: /a/b/}}}}], {to}}}, {{name: short, matches: [{{path: {{value: /a}}}}], {to}}}, \
             {{name: regex, matches: [{{path: {{type: RegularExpression, value: '/a.*'}}}}], {to}}}, {{name: method, matches: [{{method: GET}}], {to}}}, \
             {{name: header, matches: [{{headers: [{{name: X-A, value: b}}]}}], {to}}}, {{name: query, matches: [{{queryParams: [{{name: q, value: b}}]}}], {to}}}]"
            )
        ),
        route(
            "a",
            &format!(
                "rules: [{{name: all, {to}}}, {{name: exact, matches: [{{path: {{type: Exact, value: /a}}}}], {to}}}]"
            )
        ),
    ));
    assert_eq!(model.diagnostics, []);
    let order: Vec<String> = producer(&model)
        .iter()
        .map(|entry| entry.origin.to_string().replace("TrafficRoute/shop/", ""))
        .collect();
    assert_eq!(
        order,
        [
            "a/exact", "b/regex", "b/prefix", "b/short", "b/method", "b/header", "b/query", "a/all", "b/all"
        ]
    );
    let header = &producer(&model)[5].matches;
    assert_eq!(
        header.headers,
        [HeaderMatch {
            name: "x-a".into(),
            value: HeaderMatchType::Exact("b".into())
        }]
    );
    assert_eq!(producer(&model)[2].matches.path, Some(PathMatch::Prefix("/a/b".into())));
    // Other ports have no table.
    assert_eq!(service_port(&model, "shop/orders", 9000).routes, None);
    let report = model.reports.values().next().unwrap();
    assert_eq!(report.concerned, Concerned::Everyone);
    assert_eq!(report.targets[0].text, "Service payments, port 80");
    assert_eq!(report.rules_in_force.len(), 2);
}

#[test]
fn backends_weights_and_edits() {
    let model = shop(&route(
        "r",
        "rules: [{filters: [{type: RequestHeaderModifier, requestHeaderModifier: {set: [{name: A, value: b}], add: [{name: c, value: d}], remove: [E]}}, \
           {type: URLRewrite, urlRewrite: {hostname: h.example, path: {type: ReplacePrefixMatch, replacePrefixMatch: /v2/}}}], \
           backendRefs: [{name: payments, port: 80, weight: 9, filters: [{type: ResponseHeaderModifier, responseHeaderModifier: {add: [{name: x, value: z}]}}]}, \
             {name: nothing, port: 80}, {name: orders, port: 1, weight: 2}, {name: orders, port: 9000, weight: 0}], \
           timeouts: {request: 2s, backendRequest: 0s}, retry: {attempts: 2, codes: [503, 500], backoff: 25ms}}]",
    ));
    let entry = &producer(&model)[0];
    assert_eq!(&*entry.origin.to_string(), "TrafficRoute/shop/r/0");
    assert_eq!(entry.request_headers.set, [("a".into(), "b".into())]);
    assert_eq!(entry.request_headers.remove, ["e".into()]);
    assert_eq!(
        (entry.rewrite_host.as_deref(), &entry.rewrite_path),
        (Some("h.example"), &Some(Rewrite::Prefix("/v2".into())))
    );
    assert_eq!(
        (entry.timeout, entry.backend_timeout),
        (Some(Duration::from_secs(2)), None)
    );
    assert_eq!(
        entry.retry,
        Some(Retry {
            attempts: 2,
            codes: vec![500, 503],
            backoff: Some(Duration::from_millis(25))
        })
    );
    let RouteAction::ForwardPartly {
        backends,
        invalid_weight,
    } = &entry.action
    else {
        panic!()
    };
    assert_eq!((backends.len(), backends[0].weight, *invalid_weight), (1, 9, 3));
    assert_eq!(backends[0].response_headers.add, [("x".into(), "z".into())]);
    let expected = [
        ("spec.rules[0].backendRefs[1].name".to_owned(), Reason::BackendNotFound),
        ("spec.rules[0].backendRefs[2].port".to_owned(), Reason::BackendNotFound),
    ];
    assert_eq!(found(&model), expected);
}

#[test]
fn redirects() {
    let model = shop(&route(
        "r",
        "rules: [{filters: [{type: RequestRedirect, requestRedirect: {scheme: https, port: 8443, path: {type: ReplaceFullPath, replaceFullPath: /new}}}]}]",
    ));
    assert_eq!(model.diagnostics, []);
    let redirect = Redirect {
        scheme: Some("https".into()),
        hostname: None,
        port: Some(8443),
        path: Some(Rewrite::Full("/new".into())),
        status: 302,
    };
    assert_eq!(producer(&model)[0].action, RouteAction::Redirect(redirect));
}

#[test]
fn failed_rules_answer_500_or_are_dropped_and_never_fall_back() {
    let to = "backendRefs: [{name: payments, port: 80}]";
    for (rule, action) in [
        (
            format!("{{filters: [{{type: CORS, cors: {{}}}}], {to}}}"),
            Some(always_500()),
        ),
        (
            format!("{{retry: {{budget: {{percent: 20}}}}, {to}}}"),
            Some(always_500()),
        ),
        (format!("{{sessionPersistence: {{}}, {to}}}"), Some(always_500())),
        (format!("{{unknown: 1, {to}}}"), Some(always_500())),
        (
            "{backendRefs: [{name: payments, port: 80, weight: 0}]}".to_owned(),
            Some(always_500()),
        ),
        ("{}".to_owned(), Some(always_500())),
        (format!("{{matches: [{{path: {{value: nothing}}}}], {to}}}"), None),
        (
            format!("{{matches: [{{sources: [{{type: Authenticated}}]}}], {to}}}"),
            None,
        ),
        (format!("{{matches: [{{unknown: 1}}], {to}}}"), None),
    ] {
        let model = shop(&route("r", &format!("rules: [{rule}]")));
        let actions: Vec<RouteAction> = producer(&model).into_iter().map(|entry| entry.action).collect();
        assert_eq!(actions, Vec::from_iter(action), "{rule}");
        assert!(!model.diagnostics.is_empty());
        assert_eq!(
            model.reports.values().next().unwrap().rules_failed,
            ["0".into()],
            "{rule}"
        );
    }
    // A parent that is half understood: what it would have routed is answered 500.
    let model = shop(&object(
        "TrafficRoute",
        "r",
        &format!("parentRefs: [{{name: payments, prot: 80}}], rules: [{{{to}}}]"),
    ));
    assert_eq!(producer(&model)[0].action, always_500());
    // A misspelt field of the whole object.
    let model = shop(&route("r", &format!("rulse: [], rules: [{{{to}}}]")));
    assert_eq!(producer(&model)[0].action, always_500());
}

#[test]
fn consumer_routes_are_for_their_namespace() {
    let consumer = "\n---\n{apiVersion: mesh.tulle.dev/v1alpha1, kind: TrafficRoute, metadata: {name: c, namespace: other}, spec: {parentRefs: [{name: payments, namespace: shop}], upstream: {connectTimeout: 2s}, rules: [{backendRefs: [{name: orders, namespace: shop, port: 9000}]}]}}\n";
    let model = shop(&format!(
        "{consumer}{}",
        route(
            "p",
            "rules: [{backendRefs: [{name: payments, port: 80}]}], upstream: {connectTimeout: 3s}"
        )
    ));
    let port = service_port(&model, "shop/payments", 80);
    assert_eq!(table(port.routes.as_ref()).unwrap(), ["TrafficRoute/shop/p/0"]);
    let theirs: BTreeMap<Arc<str>, Vec<String>> = port
        .consumer_routes
        .iter()
        .map(|(ns, t)| (ns.clone(), table(Some(t)).unwrap()))
        .collect();
    assert_eq!(
        theirs,
        BTreeMap::from([("other".into(), vec!["TrafficRoute/other/c/0".to_owned()])])
    );
    // TCP ports of a parent without a port are not concerned.
    assert_eq!(service_port(&model, "shop/payments", 5432).routes, None);
    assert_eq!(port.upstream.connect_timeout, Duration::from_secs(3));
    assert_eq!(found(&model), [("spec.upstream".to_owned(), Reason::NotPermitted)]);
    let report = model
        .reports
        .values()
        .find(|report| &*report.object.namespace == "other")
        .unwrap();
    assert_eq!(report.concerned, Concerned::Namespace("other".into()));
    assert_eq!(report.targets[0].not_concerned.len(), 1);
}

#[test]
fn upstream_has_one_owner() {
    let one = |name: &str, created: &str, timeout: &str| {
        route(name, &format!("upstream: {{connectTimeout: {timeout}}}"))
            .replace("namespace: shop}", &format!("namespace: shop{created}}}"))
    };
    let model = shop(&format!(
        "{}{}",
        one("a", ", creationTimestamp: 2026-01-02T00:00:00Z", "1s"),
        one("b", ", creationTimestamp: 2026-01-01T00:00:00Z", "2s")
    ));
    let port = service_port(&model, "shop/payments", 80);
    assert_eq!(
        (port.upstream.connect_timeout, &port.routes),
        (Duration::from_secs(2), &None)
    );
    assert_eq!(found(&model), [("spec.upstream".to_owned(), Reason::Conflicted)]);
}

fn limit(name: &str, spec: &str) -> String {
    object("RateLimit", name, spec)
}

fn limits(model: &Model, name: &str, port: u16) -> BTreeMap<u8, Arc<LimitObject>> {
    inbound(model, name, port).limits.slots.clone()
}

const RATE: &str = "rate: {requests: 100, unit: Second}";

#[test]
fn limits_reach_http_ports() {
    let model = shop(&limit(
        "l",
        &format!(
            "targetRefs: [{{kind: Service, name: payments}}], limits: [{{name: b, match: {{{FROM_ORDERS}, http: [{{method: POST}}]}}, key: [{{type: SourceIdentity}}], {RATE}, onLimit: {{status: 503, headers: {{X-Why: busy}}}}}}]"
        ),
    ));
    assert_eq!(model.diagnostics, []);
    let slots = limits(&model, "shop/payments-1", 8000);
    let object = slots.values().next().unwrap();
    let limit = &object.limits[0];
    assert_eq!(limit.origin.to_string(), "RateLimit/shop/l/b");
    assert_eq!(limit.sources, Some(vec![Source::Identity(identity("shop/orders"))]));
    assert_eq!(
        (limit.key.clone(), limit.status, limit.shadow),
        (LimitKey::SourceIdentity, 503, false)
    );
    assert_eq!(limit.headers, BTreeMap::from([("x-why".into(), "busy".into())]));
    assert_eq!(
        limit.bucket,
        TokenBucket {
            max_tokens: 100,
            tokens_per_fill: 5,
            fill_interval: Duration::from_millis(50)
        }
    );
    // Replicas share it, TCP ports are not concerned.
    assert!(Arc::ptr_eq(
        object,
        limits(&model, "shop/payments-2", 8001).values().next().unwrap()
    ));
    assert!(limits(&model, "shop/payments-1", 5432).is_empty());
    assert_eq!(model.reports.values().next().unwrap().targets[0].not_concerned.len(), 2);
}

#[test]
fn entries_of_one_name_compete_by_specificity_then_name() {
    let one = |name: &str, target: &str, mode: &str| {
        limit(name, &format!("{target} mode: {mode}, limits: [{{name: x, {RATE}}}]"))
    };
    let service = "targetRefs: [{kind: Service, name: payments}],";
    let section = "targetRefs: [{kind: Service, name: payments, sectionName: http}],";
    let workload = "targetRefs: [{kind: Workload, name: payments-1}],";
    let winner = |more: &str| {
        let model = shop(more);
        let names: Vec<String> = limits(&model, "shop/payments-1", 8000)
            .values()
            .map(|object| object.object.name.to_string())
            .collect();
        let lost: Vec<String> = model
            .reports
            .values()
            .flat_map(|r| {
                r.overridden
                    .iter()
                    .map(move |(rule, by)| format!("{}/{rule}<{}", r.object.name, by.name))
            })
            .collect();
        (names.join(" "), lost.join(" "))
    };
    let pair = |winner: &str, lost: &str| (winner.to_owned(), lost.to_owned());
    assert_eq!(
        winner(&(one("a", "", "Enforce") + &one("b", workload, "Enforce"))),
        pair("b", "a/x<b")
    );
    assert_eq!(
        winner(&(one("a", workload, "Enforce") + &one("b", service, "Enforce"))),
        pair("b", "a/x<b")
    );
    assert_eq!(
        winner(&(one("a", service, "Enforce") + &one("b", section, "Enforce"))),
        pair("b", "a/x<b")
    );
    assert_eq!(
        winner(&(one("b", service, "Enforce") + &one("a", service, "Enforce"))),
        pair("a", "b/x<a")
    );
    // A limit that refuses nothing never replaces one that does.
    let (mut both, lost) = winner(&(one("a", "", "Enforce") + &one("b", section, "Shadow")));
    both = both
        .split(' ')
        .collect::<std::collections::BTreeSet<_>>()
        .into_iter()
        .collect::<Vec<_>>()
        .join(" ");
    assert_eq!((both.as_str(), lost.as_str()), ("a b", ""));
}

#[test]
fn slots_run_out() {
    let mut all = String::new();
    for index in 0..9 {
        all += &limit(&format!("l{index}"), &format!("limits: [{{name: n{index}, {RATE}}}]"));
    }
    all += &limit(
        "best",
        &format!("targetRefs: [{{kind: Service, name: payments}}], limits: [{{name: best, {RATE}}}]"),
    );
    let model = shop(&all);
    let slots = limits(&model, "shop/payments-1", 8000);
    assert_eq!(slots.keys().copied().collect::<Vec<_>>(), (0..8).collect::<Vec<_>>());
    assert!(slots.values().any(|object| &*object.object.name == "best"));
    assert!(model.diagnostics.iter().all(|one| one.reason == Reason::SlotsExhausted));
    let failed: Vec<String> = model
        .reports
        .values()
        .filter(|r| !r.rules_failed.is_empty())
        .map(|r| r.object.name.to_string())
        .collect();
    // At payments the most specific came in, so two of the others did not; at orders only one did not.
    assert_eq!(failed, ["l7", "l8"]);
}

#[test]
fn failed_limits_count_more() {
    let one = |entry: &str| {
        let model = shop(&limit("l", &format!("limits: [{{name: x, {entry}}}]")));
        assert_eq!(
            model.reports.values().next().unwrap().rules_failed,
            ["x".into()],
            "{entry}"
        );
        limits(&model, "shop/payments-1", 8000)
            .values()
            .next()
            .map(|object| object.limits[0].clone())
    };
    let bad = one(&format!(
        "match: {{sources: [{{type: Authenticated, x: y}}], http: [{{method: POST}}]}}, {RATE}"
    ))
    .unwrap();
    assert_eq!((bad.sources, bad.http.map(|http| http.len())), (None, Some(1)));
    let bad = one(&format!("match: {{{FROM_ORDERS}, http: [{{method: post}}]}}, {RATE}")).unwrap();
    assert_eq!((bad.sources.map(|sources| sources.len()), bad.http), (Some(1), None));
    let bad = one(&format!("key: [{{type: Header, header: {{name: a}}}}], {RATE}")).unwrap();
    assert_eq!(bad.key, LimitKey::None);
    assert!(one(&format!("scope: Mesh, {RATE}")).is_some());
    assert_eq!(one("rate: {requests: 0, unit: Second}"), None);
    assert_eq!(
        one("rate: {requests: 2, unit: Minute, burst: 0}")
            .unwrap()
            .bucket
            .max_tokens,
        1
    );
}

fn fault(name: &str, spec: &str) -> String {
    object("FaultInjection", name, spec)
}

fn faults(model: &Model) -> Vec<Arc<Fault>> {
    inbound(model, "shop/payments-1", 8000)
        .faults
        .slots
        .values()
        .cloned()
        .collect()
}

#[test]
fn faults_fill_slots_by_source_and_match() {
    let spec = format!(
        "until: '2026-12-01T12:00:00Z', maxActive: 5, faults: [{{name: slow, match: {{{FROM_ORDERS}, http: [{{method: GET}}, {{method: POST}}]}}, percent: '2.5', delay: {{fixed: 3s}}}}, {{name: broken, percent: '100', abort: {{grpcStatus: UNAVAILABLE}}}}]"
    );
    let model = shop(&fault("f", &spec));
    assert_eq!(model.diagnostics, []);
    let all = faults(&model);
    assert_eq!(all.len(), 3);
    let slow: Vec<&Arc<Fault>> = all
        .iter()
        .filter(|fault| fault.effect == FaultEffect::Delay(Duration::from_secs(3)))
        .collect();
    assert_eq!(slow.len(), 2);
    assert_eq!((slow[0].per_million, slow[0].max_active), (25_000, Some(5)));
    assert_eq!(slow[0].source, Some(Source::Identity(identity("shop/orders"))));
    assert!(slow[0].until.unwrap() > now());
    assert!(
        all.iter()
            .any(|fault| fault.effect == FaultEffect::AbortGrpc(14) && fault.source.is_none())
    );
    // Two more slots than there are: the whole fault stays out.
    let more = fault(
        "g",
        "until: never, faults: [{name: more, match: {http: [{method: PUT}, {method: PATCH}]}, percent: '1', abort: {httpStatus: 503}}]",
    );
    let model = shop(&(fault("f", &spec) + &more));
    assert_eq!(faults(&model).len(), 3);
    assert!(
        model
            .diagnostics
            .iter()
            .all(|one| one.reason == Reason::SlotsExhausted && one.path == "spec.faults[0]")
    );
}

#[test]
fn faults_end_and_bad_ones_are_not_injected() {
    let good = "percent: '1', abort: {httpStatus: 503}";
    let one = |until: &str, more: &str| shop(&fault("f", &format!("until: {until}, faults: [{{name: x, {more}}}]")));
    assert_eq!(faults(&one("never", good)).len(), 1);
    let over = one("'2026-11-22T00:00:00Z'", good);
    assert!(faults(&over).is_empty());
    assert_eq!(found(&over), [("spec.until".to_owned(), Reason::Expired)]);
    assert!(over.reports.values().next().unwrap().rules_in_force.is_empty());
    for bad in [
        "percent: '1', bandwidth: {response: 64Ki}",
        "percent: '1', abort: {httpStatus: 503}, trigger: OnHeader",
        "percent: '1', abort: {grpcStatus: OK}",
        "percent: '1', delay: {fixed: 0s}",
        "percent: '1', delay: {fixed: 1s}, abort: {httpStatus: 503}",
        "percent: '101', abort: {httpStatus: 503}",
        "percent: '1', abort: {httpStatus: 503}, match: {souces: []}",
        "percent: '1', abort: {httpStatus: 503}, match: {http: []}",
    ] {
        let model = one("never", bad);
        assert!(faults(&model).is_empty(), "{bad}");
        assert_eq!(
            model.reports.values().next().unwrap().rules_failed,
            ["x".into()],
            "{bad}"
        );
    }
    // A target that is not understood gets no faults.
    let model = shop(&fault(
        "f",
        &format!(
            "targetRefs: [{{kind: Service, name: payments, sectionName: htpp}}], until: never, faults: [{{name: x, {good}}}]"
        ),
    ));
    assert!(faults(&model).is_empty());
}

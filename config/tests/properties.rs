//! Properties of parse and link: the order of objects does not matter, and no input makes them panic.

#![allow(clippy::indexing_slicing, reason = "a test that cannot go on must stop")]

mod common;

use std::sync::Arc;

use common::*;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use serde_json::{Value, json};
use tulle_config::{Objects, parse};

/// A field's value: mostly one that means something here, sometimes anything.
fn word() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => prop::sample::select(vec![
            "payments", "orders", "shop", "other", "tulle-system", "http", "tcp-db", "web", "80", "8000", "5432", "GET", "/", "/a", "/a/", "/a/b",
            "x-a", "tulle.local", "spiffe://tulle.local/ns/shop/sa/orders", "1s", "0s", "5", "never", "2026-12-01T12:00:00Z", "a", "b", "c",
        ]).prop_map(str::to_owned),
        1 => ".{0,12}",
        1 => "[(\\[{*+?|^$.\\\\a-c)\\]}0-9,]{0,10}",
    ]
}

fn few(element: BoxedStrategy<Value>) -> BoxedStrategy<Value> {
    prop::collection::vec(element, 0..4).prop_map(Value::Array).boxed()
}

/// An object with some of these fields, and sometimes one that nobody knows.
fn some(fields: Vec<(&'static str, BoxedStrategy<Value>)>) -> BoxedStrategy<Value> {
    let optional: Vec<BoxedStrategy<Option<(&'static str, Value)>>> = fields
        .into_iter()
        .map(|(name, value)| prop::option::of(value.prop_map(move |value| (name, value))).boxed())
        .collect();
    (optional, prop::bool::weighted(0.03))
        .prop_map(|(fields, unknown)| {
            let mut map: serde_json::Map<String, Value> = fields
                .into_iter()
                .flatten()
                .map(|(name, value)| (name.to_owned(), value))
                .collect();
            if unknown {
                map.insert("nobodyKnows".to_owned(), json!(1));
            }
            Value::Object(map)
        })
        .boxed()
}

fn with(base: BoxedStrategy<Value>, name: &'static str, value: BoxedStrategy<Value>) -> BoxedStrategy<Value> {
    (base, value)
        .prop_map(move |(mut base, value)| {
            base[name] = value;
            base
        })
        .boxed()
}

fn text() -> BoxedStrategy<Value> {
    word().prop_map(Value::String).boxed()
}

fn pick(values: &'static [&'static str]) -> BoxedStrategy<Value> {
    prop::sample::select(values).prop_map(|value| json!(value)).boxed()
}

fn number(most: u32) -> BoxedStrategy<Value> {
    (0..=most).prop_map(|number| json!(number)).boxed()
}

fn source() -> BoxedStrategy<Value> {
    let orders = json!({"type": "ServiceAccount", "serviceAccount": {"namespace": "shop", "name": "orders"}});
    let other = json!({"type": "Namespace", "namespace": {"name": "other"}});
    mostly(vec![orders, other, json!({"type": "Unauthenticated"})], any_source())
}

fn any_source() -> BoxedStrategy<Value> {
    let spiffe = (prop::sample::select(vec!["Exact", "PathPrefix", "TrustDomain"]), word())
        .prop_map(|(m, v)| json!({"type": "SPIFFE", "spiffe": {"match": m, "value": v}}));
    prop_oneof![
        (word(), word())
            .prop_map(|(a, b)| json!({"type": "ServiceAccount", "serviceAccount": {"namespace": a, "name": b}})),
        word().prop_map(|a| json!({"type": "Namespace", "namespace": {"name": a}})),
        spiffe,
        Just(json!({"type": "Authenticated"})),
        Just(json!({"type": "Unauthenticated"})),
        some(vec![("namespace", Just(json!({"name": "shop"})).boxed())]).prop_map(|mut v| {
            v["type"] = json!("Authenticated");
            v
        }),
    ]
    .boxed()
}

fn value_match() -> BoxedStrategy<Value> {
    (word(), word(), any::<bool>())
        .prop_map(|(n, v, r)| json!({"name": n, "value": v, "type": if r { "RegularExpression" } else { "Exact" }}))
        .boxed()
}

/// Mostly one of the good values, sometimes anything.
fn mostly(good: Vec<Value>, wild: BoxedStrategy<Value>) -> BoxedStrategy<Value> {
    prop_oneof![4 => prop::sample::select(good), 1 => wild].boxed()
}

fn http() -> BoxedStrategy<Value> {
    let paths = vec![json!("/"), json!("/a"), json!("/a/"), json!("/a/b")];
    let query = prop_oneof![5 => Just(json!(null)), 1 => few(value_match())].boxed();
    let header = mostly(
        vec![
            json!({"name": "x-a", "value": "b"}),
            json!({"name": "x-b", "value": "c"}),
        ],
        value_match(),
    );
    some(vec![
        (
            "path",
            some(vec![
                ("type", pick(&["Exact", "PathPrefix", "RegularExpression"])),
                ("value", mostly(paths, text())),
            ]),
        ),
        ("method", mostly(vec![json!("GET"), json!("POST")], text())),
        ("headers", few(header)),
        ("queryParams", query),
    ])
}

fn targets() -> BoxedStrategy<Value> {
    let one = some(vec![
        ("name", text()),
        ("sectionName", text()),
        (
            "selector",
            some(vec![("matchLabels", Just(json!({"app": "payments"})).boxed())]),
        ),
    ]);
    few(with(
        one,
        "kind",
        pick(&["Service", "Service", "Workload", "Namespace", "Mesh", "HTTPRoute"]),
    ))
}

fn permission_spec() -> BoxedStrategy<Value> {
    let rule = some(vec![
        ("name", text()),
        ("sources", few(source())),
        ("http", few(http())),
        ("ports", few(text())),
        ("grpc", Just(json!([{}])).boxed()),
    ]);
    let base = some(vec![
        ("targetRefs", targets()),
        ("mode", pick(&["Enforce", "Enforce", "Shadow"])),
    ]);
    with(with(base, "action", pick(&["Allow", "Deny"])), "rules", few(rule))
}

fn filter() -> BoxedStrategy<Value> {
    let header = with(with(Just(json!({})).boxed(), "name", text()), "value", text());
    let path = some(vec![("replaceFullPath", text()), ("replacePrefixMatch", text())]);
    let path = with(path, "type", pick(&["ReplaceFullPath", "ReplacePrefixMatch"]));
    let edit = some(vec![
        ("set", few(header.clone())),
        ("add", few(header)),
        ("remove", few(text())),
    ]);
    let rewrite = some(vec![("hostname", text()), ("path", path.clone())]);
    let redirect = vec![
        ("path", path),
        ("port", number(70)),
        ("statusCode", number(400)),
        ("scheme", text()),
    ];
    let filter = vec![
        ("requestHeaderModifier", edit),
        ("urlRewrite", rewrite),
        ("requestRedirect", some(redirect)),
    ];
    with(
        some(filter),
        "type",
        pick(&["RequestHeaderModifier", "URLRewrite", "RequestRedirect", "CORS"]),
    )
}

fn route_spec() -> BoxedStrategy<Value> {
    let parent = vec![
        ("port", number(100)),
        ("namespace", text()),
        ("sectionName", text()),
        ("kind", text()),
    ];
    let backend = vec![("port", number(100)), ("weight", number(3)), ("namespace", text())];
    let retry = vec![
        ("attempts", number(12)),
        ("codes", few(number(600))),
        ("backoff", text()),
    ];
    let backends = vec![json!({"name": "payments", "namespace": "shop", "port": 80, "weight": 2})];
    let rule = some(vec![
        ("name", mostly(vec![json!("one"), json!("two"), json!("three")], text())),
        ("matches", few(http())),
        ("filters", mostly(vec![json!([])], few(filter()))),
        (
            "backendRefs",
            few(mostly(backends, with(some(backend), "name", text()))),
        ),
        (
            "timeouts",
            mostly(
                vec![json!({"request": "2s"})],
                some(vec![("request", text()), ("backendRequest", text())]),
            ),
        ),
        (
            "retry",
            mostly(vec![json!({"attempts": 2, "codes": [503]})], some(retry)),
        ),
    ]);
    let spec = some(vec![
        ("rules", few(rule)),
        ("upstream", some(vec![("connectTimeout", text())])),
    ]);
    let parents = vec![
        json!({"name": "payments", "port": 80}),
        json!({"name": "payments", "namespace": "shop"}),
    ];
    with(
        spec,
        "parentRefs",
        few(mostly(parents, with(some(parent), "name", text()))),
    )
}

fn request_match() -> BoxedStrategy<Value> {
    some(vec![("sources", few(source())), ("http", few(http()))])
}

fn name() -> BoxedStrategy<Value> {
    mostly(vec![json!("one"), json!("two"), json!("three"), json!("four")], text())
}

fn limit_spec() -> BoxedStrategy<Value> {
    let rate = with(some(vec![("burst", number(20))]), "requests", number(1_100_000));
    let rate = with(rate, "unit", pick(&["Second", "Minute", "Hour"]));
    let keys = few(pick(&["SourceIdentity", "Path"])
        .prop_map(|v| json!({"type": v}))
        .boxed());
    let answer = some(vec![
        ("status", number(600)),
        ("headers", Just(json!({"a": "b"})).boxed()),
    ]);
    let limit = some(vec![
        ("match", request_match()),
        (
            "key",
            mostly(vec![json!([]), json!([{"type": "SourceIdentity"}])], keys),
        ),
        ("scope", pick(&["Proxy", "Proxy", "Proxy", "Workload"])),
        ("onLimit", mostly(vec![json!(null)], answer)),
    ]);
    let limit = with(with(limit, "rate", rate), "name", name());
    some(vec![
        ("targetRefs", targets()),
        ("mode", pick(&["Enforce", "Shadow"])),
        ("limits", few(limit)),
    ])
}

fn fault_spec() -> BoxedStrategy<Value> {
    let any_effect = some(vec![
        ("delay", with(Just(json!({})).boxed(), "fixed", text())),
        ("abort", some(vec![("httpStatus", number(700)), ("grpcStatus", text())])),
    ]);
    let effects = vec![json!({"delay": {"fixed": "1s"}}), json!({"abort": {"httpStatus": 503}})];
    let fault =
        (mostly(effects, any_effect), request_match(), any::<bool>()).prop_map(|(mut fault, matches, narrow)| {
            if narrow {
                fault["match"] = matches;
            }
            fault
        });
    let fault = with(
        fault.boxed(),
        "trigger",
        pick(&["Always", "Always", "Always", "OnHeader"]),
    );
    let fault = with(with(fault, "name", name()), "percent", mostly(vec![json!("5")], text()));
    let whole = some(vec![("targetRefs", targets()), ("maxActive", number(3))]);
    with(
        with(whole, "until", mostly(vec![json!("never")], text())),
        "faults",
        few(fault),
    )
}

fn objects_of(kind: &'static str, spec: BoxedStrategy<Value>) -> BoxedStrategy<Value> {
    let namespace = prop::sample::select(vec!["shop", "other", "tulle-system"]);
    (namespace, prop::sample::select(vec!["p", "q", "r"]), spec)
        .prop_map(move |(namespace, name, spec)| json!({"apiVersion": "mesh.tulle.dev/v1alpha1", "kind": kind, "metadata": {"name": name, "namespace": namespace}, "spec": spec}))
        .boxed()
}

fn any_objects() -> BoxedStrategy<Objects> {
    let one = prop_oneof![
        3 => objects_of("TrafficPermission", permission_spec()),
        2 => objects_of("TrafficRoute", route_spec()),
        2 => objects_of("RateLimit", limit_spec()),
        2 => objects_of("FaultInjection", fault_spec()),
    ];
    prop::collection::vec(one, 0..8)
        .prop_map(|values| {
            let mut all = objects(SHOP);
            for value in values {
                add_value(&mut all, value);
            }
            all
        })
        .boxed()
}

/// The same objects, the other way round.
fn reversed(objects: &Objects) -> Objects {
    fn back<T>(list: &[Arc<T>]) -> Vec<Arc<T>> {
        list.iter().rev().cloned().collect()
    }
    Objects {
        meshes: back(&objects.meshes),
        permissions: back(&objects.permissions),
        routes: back(&objects.routes),
        rate_limits: back(&objects.rate_limits),
        faults: back(&objects.faults),
        workloads: back(&objects.workloads),
        services: back(&objects.services),
        endpoint_slices: back(&objects.endpoint_slices),
        namespaces: back(&objects.namespaces),
    }
}

/// Rotated, so that together with the reverse most orders of few objects occur.
fn rotated(objects: &Objects, by: usize) -> Objects {
    fn turn<T>(list: &mut [Arc<T>], by: usize) {
        if !list.is_empty() {
            let by = by % list.len();
            list.rotate_left(by);
        }
    }
    let mut objects = objects.clone();
    turn(&mut objects.permissions, by);
    turn(&mut objects.routes, by);
    turn(&mut objects.rate_limits, by);
    turn(&mut objects.faults, by);
    turn(&mut objects.workloads, by);
    turn(&mut objects.services, by);
    objects
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    /// Also: no panic, whatever is written.
    #[test]
    fn order_does_not_matter(objects in any_objects(), by in 0_usize..8) {
        let expected = model(&objects);
        prop_assert_eq!(&expected, &model(&reversed(&objects)));
        prop_assert_eq!(&expected, &model(&rotated(&objects, by)));
    }

    /// A Deny never lets anybody in, whatever is wrong with it.
    #[test]
    fn a_deny_only_takes_away(spec in permission_spec()) {
        let mut spec = spec;
        spec["action"] = json!("Deny");
        let before = model(&objects(SHOP));
        let mut all = objects(SHOP);
        add_value(&mut all, json!({"kind": "TrafficPermission", "metadata": {"name": "p", "namespace": "shop"}, "spec": spec}));
        let after = model(&all);
        for (key, workload) in &after.workloads {
            for port in workload.ports.keys().copied().chain([0]) {
                let (old, new) = (allowed(&before, &key.to_string(), port), allowed(&after, &key.to_string(), port));
                prop_assert!(new.iter().all(|id| old.contains(id)));
            }
        }
    }

    /// An object that has errors names its rules as failed or not in force, or its targets as unresolved: nothing fails silently.
    #[test]
    fn every_error_shows_in_a_report_or_is_about_the_object(objects in any_objects()) {
        let model = model(&objects);
        for one in model.diagnostics.iter().filter(|one| one.severity == tulle_config::Severity::Error) {
            if let (Some(rule), Some(report)) = (&one.rule, model.reports.get(&one.object)) {
                let partly = one.reason == crds::conditions::Reason::BackendNotFound || one.path.contains("backendRefs[");
                prop_assert!(partly || report.rules_failed.contains(rule), "{}", one);
            }
        }
    }
}

#[test]
fn parse_alone_is_enough_for_the_webhook() {
    let parsed = parse::parse(&objects(&permission("p", "action: Allow, rules: [{}]")), now());
    assert_eq!(parsed.diagnostics.len(), 1);
}

/// The properties above are about something: among the generated objects are good rules and failed ones of every kind.
#[test]
fn generated_objects_are_good_and_bad() {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let strategy = any_objects();
    let mut seen = std::collections::BTreeMap::<(String, bool), usize>::new();
    for _ in 0..200 {
        let all = strategy.new_tree(&mut runner).map(|tree| tree.current()).ok();
        let model = model(&all.unwrap_or_default());
        for report in model
            .reports
            .values()
            .filter(|report| report.targets.iter().any(|target| !target.ports.is_empty()))
        {
            *seen.entry((report.object.kind.to_string(), true)).or_default() += report.rules_in_force.len();
            *seen.entry((report.object.kind.to_string(), false)).or_default() += report.rules_failed.len();
        }
    }
    for kind in ["TrafficPermission", "TrafficRoute", "RateLimit", "FaultInjection"] {
        for good in [true, false] {
            let count = seen.get(&(kind.to_owned(), good)).copied().unwrap_or_default();
            assert!(count > 3, "{kind} {good}: {count}");
        }
    }
}

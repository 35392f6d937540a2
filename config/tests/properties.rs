//! Properties of parse and link: the order of objects does not matter, and no input makes them panic.

mod common;

use std::sync::Arc;

use common::*;
use proptest::prelude::*;
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

fn http() -> BoxedStrategy<Value> {
    some(vec![
        (
            "path",
            some(vec![
                ("type", pick(&["Exact", "PathPrefix", "RegularExpression"])),
                ("value", text()),
            ]),
        ),
        ("method", text()),
        ("headers", few(value_match())),
        (
            "queryParams",
            prop_oneof![5 => Just(json!(null)), 1 => few(value_match())].boxed(),
        ),
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

fn route_spec() -> BoxedStrategy<Value> {
    let parent = with(
        some(vec![
            ("port", number(100)),
            ("namespace", text()),
            ("sectionName", text()),
            ("kind", text()),
        ]),
        "name",
        text(),
    );
    let backend = with(
        some(vec![
            ("port", number(100)),
            ("weight", number(3)),
            ("namespace", text()),
        ]),
        "name",
        text(),
    );
    let header = with(with(Just(json!({})).boxed(), "name", text()), "value", text());
    let path = with(
        some(vec![("replaceFullPath", text()), ("replacePrefixMatch", text())]),
        "type",
        pick(&["ReplaceFullPath", "ReplacePrefixMatch"]),
    );
    let filter = some(vec![
        (
            "requestHeaderModifier",
            some(vec![
                ("set", few(header.clone())),
                ("add", few(header)),
                ("remove", few(text())),
            ]),
        ),
        ("urlRewrite", some(vec![("hostname", text()), ("path", path.clone())])),
        (
            "requestRedirect",
            some(vec![
                ("hostname", text()),
                ("path", path),
                ("port", number(70)),
                ("statusCode", number(400)),
                ("scheme", text()),
            ]),
        ),
    ]);
    let filter = with(
        filter,
        "type",
        pick(&["RequestHeaderModifier", "URLRewrite", "RequestRedirect", "CORS"]),
    );
    let rule = some(vec![
        ("name", text()),
        ("matches", few(http())),
        ("filters", few(filter)),
        ("backendRefs", few(backend)),
        ("timeouts", some(vec![("request", text()), ("backendRequest", text())])),
        (
            "retry",
            some(vec![
                ("attempts", number(12)),
                ("codes", few(number(600))),
                ("backoff", text()),
            ]),
        ),
    ]);
    with(
        some(vec![
            ("rules", few(rule)),
            ("upstream", some(vec![("connectTimeout", text())])),
        ]),
        "parentRefs",
        few(parent),
    )
}

fn request_match() -> BoxedStrategy<Value> {
    some(vec![("sources", few(source())), ("http", few(http()))])
}

fn limit_spec() -> BoxedStrategy<Value> {
    let rate = with(some(vec![("burst", number(20))]), "requests", number(2_000_000));
    let rate = with(rate, "unit", pick(&["Second", "Minute", "Hour"]));
    let limit = some(vec![
        ("match", request_match()),
        (
            "key",
            few(pick(&["SourceIdentity", "Path"])
                .prop_map(|v| json!({"type": v}))
                .boxed()),
        ),
        ("scope", pick(&["Proxy", "Workload"])),
        (
            "onLimit",
            some(vec![
                ("status", number(600)),
                ("headers", Just(json!({"a": "b"})).boxed()),
            ]),
        ),
    ]);
    let limit = with(with(limit, "rate", rate), "name", text());
    some(vec![
        ("targetRefs", targets()),
        ("mode", pick(&["Enforce", "Shadow"])),
        ("limits", few(limit)),
    ])
}

fn fault_spec() -> BoxedStrategy<Value> {
    let fault = some(vec![
        ("match", request_match()),
        ("delay", with(Just(json!({})).boxed(), "fixed", text())),
        ("abort", some(vec![("httpStatus", number(700)), ("grpcStatus", text())])),
        ("trigger", pick(&["Always", "Always", "OnHeader"])),
    ]);
    let fault = with(with(fault, "name", text()), "percent", text());
    with(
        with(
            some(vec![("targetRefs", targets()), ("maxActive", number(3))]),
            "until",
            text(),
        ),
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

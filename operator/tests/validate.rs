//! Objects of ours as the API server sends them for advice: refused in the words that their status says, never for what another
//! object lacks, and never when they only want to go.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests are tests too"
)]

use std::path::Path;
use std::time::SystemTime;

use config::Settings;
use serde_json::{Value, json};
use tulle_operator::source::{SourceView, Written, view_of};
use tulle_operator::webhook::validate;

const WORLD: &str = "
apiVersion: v1
kind: Service
metadata: {name: orders, namespace: shop}
spec: {clusterIP: 10.96.0.9, selector: {app: orders}, ports: [{name: http, port: 80}, {name: echo, port: 70, appProtocol: tcp}]}
---
apiVersion: mesh.tulle.dev/v1alpha1
kind: Workload
metadata: {name: orders-1, namespace: shop, labels: {app: orders}}
spec: {address: 10.88.0.7, ports: [{name: http, port: 80}, {name: echo, port: 70, appProtocol: tcp}]}
";

fn world() -> SourceView {
    let written = Written::parse(WORLD.as_bytes().to_vec(), Path::new("world.yaml")).unwrap();
    written.applied_to(&view_of(Vec::new()), true)
}

fn object(kind: &str, spec: &str) -> Value {
    let spec: Value = serde_saphyr::from_str(spec).unwrap();
    json!({
        "apiVersion": "mesh.tulle.dev/v1alpha1", "kind": kind, "spec": spec,
        "metadata": {"name": "new", "namespace": "shop", "generation": 1, "uid": "u", "managedFields": [{"manager": "kubectl"}]},
    })
}

fn review(operation: &str, object: &Value, old: &Value) -> Value {
    let kind = json!({"group": "mesh.tulle.dev", "version": "v1alpha1", "kind": if object.is_null() { &old["kind"] } else { &object["kind"] }});
    json!({
        "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
        "request": {
            "uid": "705ab4f5", "operation": operation, "kind": kind, "namespace": "shop", "name": "new",
            "resource": {"group": "mesh.tulle.dev", "version": "v1alpha1", "resource": "any"},
            "userInfo": {"username": "a"}, "object": object, "oldObject": old, "dryRun": false,
            "options": {"kind": "CreateOptions", "apiVersion": "meta.k8s.io/v1"},
        },
    })
}

fn answered(review: &Value) -> Value {
    let answer = validate(
        review.to_string().as_bytes(),
        &world(),
        &Settings::default(),
        SystemTime::UNIX_EPOCH,
    );
    let answer = serde_json::to_value(answer.unwrap()).unwrap();
    assert_eq!(answer["response"]["uid"], "705ab4f5");
    answer["response"].clone()
}

fn created(kind: &str, spec: &str) -> Value {
    answered(&review("CREATE", &object(kind, spec), &Value::Null))
}

fn message(response: &Value) -> Vec<String> {
    let text = response["status"]["message"].as_str().unwrap_or_default();
    text.lines().map(ToOwned::to_owned).collect()
}

const GOOD: &str = "{targetRefs: [{kind: Service, name: orders, sectionName: http}], action: Allow, rules: [{name: a, sources: \
                    [{type: Authenticated}], http: [{method: GET}]}]}";

#[test]
fn a_good_object_is_accepted_in_silence() {
    let response = created("TrafficPermission", GOOD);
    assert_eq!(
        (&response["allowed"], &response["warnings"]),
        (&json!(true), &Value::Null)
    );
}

/// Kind, spec, and the first words about it.
fn wrong_by_themselves() -> Vec<(&'static str, String, &'static str)> {
    vec![
        (
            "TrafficPermission",
            GOOD.replace("http: [", "htpp: ["),
            "spec.rules[0].htpp: UnknownField: ",
        ),
        (
            "TrafficPermission",
            GOOD.replace("[{method: GET}]", "[]"),
            "spec.rules[0].http: Invalid: ",
        ),
        (
            "TrafficPermission",
            GOOD.replace("sources: [{type: Authenticated}], ", ""),
            "spec.rules[0].sources: Invalid: ",
        ),
        (
            "TrafficPermission",
            GOOD.replace("method: GET", "path: {type: RegularExpression, value: '(('}"),
            "spec.rules[0].http[0].path.value: Invalid: ",
        ),
        (
            "TrafficPermission",
            GOOD.replace("kind: Service, name: orders, sectionName: http", "kind: Mesh"),
            "spec.targetRefs[0].kind: NotPermitted: ",
        ),
        (
            "TrafficPermission",
            GOOD.replace(
                "kind: Service, name: orders, sectionName: http",
                "kind: Namespace, name: kube-system",
            ),
            "spec.targetRefs[0].name: NotPermitted: ",
        ),
        // What only an older definition lets through.
        (
            "TrafficPermission",
            GOOD.replace("rules: [", "rules: ['no', "),
            "spec.rules[0]: Invalid: ",
        ),
        (
            "TrafficPermission",
            GOOD.replace("action: Allow", "action: Permit"),
            "spec.action: Invalid: ",
        ),
    ]
}

/// The same of the other kinds.
fn other_kinds_wrong_by_themselves() -> Vec<(&'static str, String, &'static str)> {
    vec![
        (
            "RateLimit",
            "{limits: [{name: a, rate: {requests: many, unit: Second}}]}".to_owned(),
            "spec.limits[0].rate.requests: Invalid: ",
        ),
        (
            "RateLimit",
            "{limits: [{name: a, rate: {requests: 5, unit: Second}, scop: Mesh}]}".to_owned(),
            "spec.limits[0].scop: UnknownField: ",
        ),
        (
            "FaultInjection",
            "{until: later, faults: []}".to_owned(),
            "spec.until: Invalid: ",
        ),
        (
            "TrafficRoute",
            "{parentRefs: 5}".to_owned(),
            "spec.parentRefs: Invalid: ",
        ),
        (
            "TrafficRoute",
            "{parentRefs: [{name: orders}], rules: [{timeouts: {request: soon}}]}".to_owned(),
            "spec.rules[0].timeouts.request: Invalid: ",
        ),
        ("Workload", "{address: here}".to_owned(), "spec.address: Invalid: "),
        ("Workload", "{address: 5}".to_owned(), "spec.address: Invalid: "),
    ]
}

#[test]
fn what_is_wrong_with_the_object_itself_is_refused() {
    for (kind, spec, words) in [wrong_by_themselves(), other_kinds_wrong_by_themselves()].concat() {
        let response = created(kind, &spec);
        assert_eq!(response["allowed"], false, "{spec}");
        assert_eq!(
            (&response["status"]["code"], &response["status"]["reason"]),
            (&json!(422), &json!("Invalid"))
        );
        let said = message(&response);
        let start = format!("{kind}/shop/new: {words}");
        assert!(
            said.iter()
                .any(|line| line.starts_with(&start) && line.len() > start.len() + 10),
            "{start}: {said:?}"
        );
    }
}

#[test]
fn several_mistakes_are_said_at_once() {
    let spec = GOOD.replace("http: [{method: GET}]", "http: [{methods: [GET]}], ports: []");
    let response = created("TrafficPermission", &spec.replace("action", "mod: Shadow, action"));
    let said = message(&response);
    for path in ["spec.mod", "spec.rules[0].http[0].methods", "spec.rules[0].ports"] {
        let start = format!("TrafficPermission/shop/new: {path}: ");
        assert_eq!(
            said.iter().filter(|line| line.starts_with(&start)).count(),
            1,
            "{path}: {said:?}"
        );
    }
}

#[test]
fn what_other_objects_lack_is_a_warning() {
    for (spec, words) in [
        (
            GOOD.replace("name: orders", "name: later"),
            "spec.targetRefs[0].name: TargetNotFound: ",
        ),
        (
            GOOD.replace("sectionName: http", "sectionName: later"),
            "spec.targetRefs[0].sectionName: TargetNotFound: ",
        ),
        (
            GOOD.replace("sectionName: http", "sectionName: echo"),
            "ProtocolMismatch: ",
        ),
    ] {
        let response = created("TrafficPermission", &spec);
        assert_eq!(response["allowed"], true, "{spec}: {response}");
        let warnings = response["warnings"].to_string();
        assert!(warnings.contains(words), "{words}: {warnings}");
    }
}

#[test]
fn a_bad_object_stays_removable() {
    let bad = object("TrafficPermission", &GOOD.replace("http: [", "htpp: ["));
    let mut labelled = bad.clone();
    labelled["metadata"]["labels"] = json!({"a": "b"});
    let mut ending = object("TrafficPermission", &GOOD.replace("http: [", "hptp: ["));
    ending["metadata"]["deletionTimestamp"] = json!("2026-11-23T00:00:00Z");
    let mut status = review("UPDATE", &bad, &object("TrafficPermission", GOOD));
    status["request"]["subResource"] = json!("status");
    for review in [
        review("DELETE", &Value::Null, &bad),
        review("UPDATE", &labelled, &bad),
        review("UPDATE", &ending, &bad),
        status,
    ] {
        assert_eq!(answered(&review)["allowed"], true, "{review}");
    }
    let worse = object("TrafficPermission", &GOOD.replace("http: [", "hppt: ["));
    assert_eq!(answered(&review("UPDATE", &worse, &bad))["allowed"], false);
}

#[test]
fn only_one_mesh_counts_and_other_kinds_are_not_judged() {
    let mut mesh = object("Mesh", "{mtls: {mode: Strict}}");
    mesh["metadata"] = json!({"name": "second"});
    let response = answered(&review("CREATE", &mesh, &Value::Null));
    assert_eq!(response["allowed"], false);
    assert!(
        message(&response)[0].starts_with("Mesh/second: metadata.name: Invalid: "),
        "{response}"
    );
    mesh["metadata"]["name"] = json!("default");
    assert_eq!(answered(&review("CREATE", &mesh, &Value::Null))["allowed"], true);
    assert_eq!(created("MeshStatus", "{}")["allowed"], true);
}

#[test]
fn an_object_without_a_name_yet_is_judged_by_its_prefix() {
    let mut unnamed = object("TrafficPermission", &GOOD.replace("http: [", "htpp: ["));
    unnamed["metadata"] = json!({"generateName": "some-"});
    let said = message(&answered(&review("CREATE", &unnamed, &Value::Null)));
    assert!(said[0].starts_with("TrafficPermission/shop/some-: "), "{said:?}");
}

//! Pods: ports that their proxies do not take, and calls to their addresses.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on must stop")]

mod common;

use std::collections::BTreeSet;
use std::sync::Arc;

use common::*;
use crds::workload::{DIAL_ENDPOINTS, EXCLUDED_PORTS, POD, POD_GROUP};
use tulle_config::evaluator::{Answer, Caller, Destination, Operation, Request, evaluate};
use tulle_config::model::{Model, Protocol};
use tulle_config::{Compiler, Settings};
use xds::{Kind, Snapshot};

/// Two Pods behind a Service with an address, and one that calls.
fn pods(annotations: &str) -> String {
    let pod = |name: &str, address: &str, labels: &str| {
        format!(
            "\n---\nkind: Workload\nmetadata: {{name: {name}, namespace: shop, labels: {{{labels}}}, annotations: {{{POD}: uid{annotations}}}}}\n\
             spec: {{address: {address}, serviceAccount: {name}, ports: [{{name: http, port: 8080}}, {{name: http-metrics, port: 9100}}]}}"
        )
    };
    let slice = "\n---\nkind: EndpointSlice\nmetadata: {name: web-x, namespace: shop, labels: {kubernetes.io/service-name: web}}\naddressType: IPv4\n\
         ports: [{name: http, port: 8080}, {name: http-metrics, port: 9100}]\n\
         endpoints: [{addresses: [10.9.0.1], conditions: {ready: true}}, {addresses: [10.9.0.2], conditions: {ready: true}}]";
    let service = "\n---\nkind: Service\nmetadata: {name: web, namespace: shop}\nspec: {clusterIP: 240.9.9.9, selector: {app: web}, \
         ports: [{name: http, port: 80, targetPort: 8080}, {name: http-metrics, port: 9100}]}";
    pod("web-0", "10.9.0.1", "app: web")
        + &pod("web-1", "10.9.0.2", "app: web")
        + &pod("caller", "10.9.0.3", "app: caller")
        + service
        + slice
}

fn snapshot(model: &Arc<Model>, workload: &str) -> Snapshot {
    let settings = Settings::default();
    Compiler::new().snapshot(model, &settings, &key(workload)).unwrap()
}

fn names(snapshot: &Snapshot, kind: Kind, prefix: &str) -> BTreeSet<String> {
    let names = snapshot.iter(kind).map(|resource| resource.name.to_string());
    names.filter(|name| name.starts_with(prefix)).collect()
}

#[test]
fn an_excluded_port_is_plaintext_and_out_of_reach_of_policies() {
    let permission = "\n---\n{apiVersion: mesh.tulle.dev/v1alpha1, kind: TrafficPermission, metadata: {name: p, namespace: shop}, \
         spec: {targetRefs: [{kind: Service, name: web}], action: Deny, rules: [{name: all}]}}";
    let model = model_of(&(pods(&format!(", {EXCLUDED_PORTS}: '9100,7'")) + permission));
    let metrics = service_port(&model, "shop/web", 9100);
    assert_eq!(metrics.endpoints.len(), 2);
    assert!(metrics.endpoints.iter().all(|endpoint| endpoint.workload.is_none()));
    assert!(metrics.identities.is_empty());
    assert_eq!(
        metrics.protocol,
        Protocol::Http,
        "requests are still seen at the caller"
    );
    let http = service_port(&model, "shop/web", 80);
    assert!(http.endpoints.iter().all(|endpoint| endpoint.workload.is_some()));
    let ports: Vec<u16> = model.workloads[&key("shop/web-0")].ports.keys().copied().collect();
    assert_eq!(ports, [8080]);
    let reports = model.reports.values();
    let concerned: BTreeSet<u16> = reports
        .flat_map(|report| report.targets.iter().flat_map(|target| target.ports.iter()))
        .map(|(_, port)| *port)
        .collect();
    assert_eq!(concerned, [8080].into());
}

#[test]
fn an_excluded_port_lets_in_everybody_and_the_evaluator_says_so() {
    let model = model_of(&pods(&format!(", {EXCLUDED_PORTS}: '9100'")));
    let ask = |port: u16| {
        let request = Request {
            from: Caller::Plaintext,
            to: Destination::Workload {
                workload: key("shop/web-0"),
                port,
            },
            operation: Operation::Connect,
        };
        let decision = evaluate(&model, &request);
        let verdict = &decision.arrivals[0].verdict;
        (verdict.answer, verdict.rule.to_string())
    };
    assert_eq!(ask(9100), (Answer::Allowed, "excluded/9100".to_owned()));
    assert_eq!(ask(8080).0, Answer::Refused);
    assert_eq!(ask(7).0, Answer::Refused);
}

#[test]
fn a_workload_object_takes_no_endpoint_of_another_namespace() {
    let database = "\n---\nkind: Service\nmetadata: {name: db, namespace: shop}\nspec: {clusterIP: 240.9.9.7, ports: [{name: tcp, port: 5432}]}\n---\n\
         kind: EndpointSlice\nmetadata: {name: db-x, namespace: shop, labels: {kubernetes.io/service-name: db}}\naddressType: IPv4\n\
         ports: [{name: tcp, port: 5432}]\nendpoints: [{addresses: [10.9.7.7], conditions: {ready: true}}]";
    let posing = |namespace: &str| {
        format!(
            "\n---\nkind: Workload\nmetadata: {{name: posing, namespace: {namespace}}}\nspec: {{address: 10.9.7.7, serviceAccount: posing}}"
        )
    };
    let of = |namespace: &str| model_of(&(pods("") + database + &posing(namespace)));
    assert!(service_port(&of("evil"), "shop/db", 5432).identities.is_empty());
    assert_eq!(service_port(&of("shop"), "shop/db", 5432).identities.len(), 1);
}

#[test]
fn who_is_no_pod_excludes_nothing() {
    let model = model_of(&pods("").replace(POD, EXCLUDED_PORTS).replace("uid", "'9100'"));
    assert!(model.workloads[&key("shop/web-0")].ports.contains_key(&9100));
}

/// The Pods, all of which dial endpoints.
fn dialling() -> String {
    format!(", {DIAL_ENDPOINTS}: 'true'")
}

#[test]
fn a_pods_address_is_dialled_by_others_and_never_by_itself() {
    let model = model_of(&pods(&dialling()));
    let at = |address: &str| [8080, 9100].map(|port| format!("out/{address}/{port}"));
    let (first, second) = (at("10.9.0.1"), at("10.9.0.2"));
    let caller = snapshot(&model, "shop/caller");
    let all: BTreeSet<String> = first.iter().chain(&second).cloned().collect();
    assert_eq!(names(&caller, Kind::Listener, "out/10.9"), all);
    let clusters = ["direct/shop/web/80", "direct/shop/web/9100"].map(str::to_owned);
    assert_eq!(names(&caller, Kind::Cluster, "direct/"), clusters.into());
    assert_eq!(caller.dangling(), []);
    let own = snapshot(&model, "shop/web-0");
    assert_eq!(
        names(&own, Kind::Listener, "out/10.9"),
        second.into(),
        "its own address is its inbound side"
    );
    assert_eq!(names(&own, Kind::Listener, "in/").len(), 2);
}

#[test]
fn who_does_not_dial_endpoints_pays_for_none() {
    for annotations in [
        String::new(),
        dialling().replace("true", "false"),
        dialling().replace("true", "yes"),
    ] {
        let caller = snapshot(&model_of(&pods(&annotations)), "shop/caller");
        assert_eq!(names(&caller, Kind::Listener, "out/10.9"), BTreeSet::new());
        assert_eq!(names(&caller, Kind::Cluster, "direct/"), BTreeSet::new());
    }
    let model = model_of(&pods(&dialling().replace("true", "yes")));
    let found: Vec<_> = model.diagnostics.iter().map(ToString::to_string).collect();
    assert!(
        found
            .iter()
            .any(|text| text.contains("dialEndpoints") && text.contains("neither")),
        "{found:?}"
    );
}

#[test]
fn a_port_that_only_somebody_elses_service_knows_is_hidden_too() {
    // Another namespace's slice: the Pod does not know the port, and the caller's listener for it must not take what comes in.
    let foreign = "\n---\nkind: Service\nmetadata: {name: odd, namespace: other}\nspec: {clusterIP: 240.9.9.8, ports: [{name: odd, port: 7777}]}\n---\n\
         kind: EndpointSlice\nmetadata: {name: odd-x, namespace: other, labels: {kubernetes.io/service-name: odd}}\naddressType: IPv4\n\
         ports: [{name: odd, port: 7777}]\nendpoints: [{addresses: [10.9.0.1], conditions: {ready: true}}]";
    let model = model_of(&(pods(&dialling()) + foreign));
    let odd = "out/10.9.0.1/7777".to_owned();
    assert!(names(&snapshot(&model, "shop/caller"), Kind::Listener, "out/").contains(&odd));
    assert!(!names(&snapshot(&model, "shop/web-0"), Kind::Listener, "out/").contains(&odd));
    assert!(!model.workloads[&key("shop/web-0")].ports.contains_key(&7777));
}

#[test]
fn what_says_ready_is_sent_last() {
    let caller = snapshot(&model_of(&pods("")), "shop/caller");
    let late: Vec<&str> = Kind::ALL
        .into_iter()
        .filter(|kind| *kind != Kind::Secret)
        .flat_map(|kind| caller.iter(kind))
        .filter(|resource| resource.late)
        .map(|resource| &*resource.name)
        .collect();
    assert_eq!(late, ["ready"]);
}

#[test]
fn pods_whose_labels_name_no_group_belong_to_what_controls_them() {
    let all = pods(&format!(", {POD_GROUP}: shop-web"));
    let group = |yaml: &str, name: &str| workload(&model_of(yaml), name).group.to_string();
    assert_eq!(group(&all, "shop/web-0"), "web");
    assert_eq!(
        group(&all.replace("labels: {app: web}", "labels: {}"), "shop/web-0"),
        "shop-web"
    );
    // Who is no Pod is not controlled by anything.
    let none = all
        .replace("labels: {app: web}", "labels: {}")
        .replace(POD, EXCLUDED_PORTS);
    assert_eq!(
        group(
            &none.replace(&format!("{EXCLUDED_PORTS}-group"), POD_GROUP),
            "shop/web-0"
        ),
        "web-0"
    );
}

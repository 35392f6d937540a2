use std::sync::Arc;

use config::ObjectRef;
use k8s_openapi::api::core::v1::Pod;
use kube::core::DynamicObject;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::gather::Gather;
use super::raw::Raw;
use super::{PodDirectory, PodStore, pod, prune, watch};
use crate::source::{Object, Served, SourceView};

fn typed<T: DeserializeOwned>(value: &Value) -> T {
    serde_json::from_value(value.clone()).unwrap()
}

fn pod_value(name: &str, uid: &str, address: &str) -> Value {
    json!({
        "metadata": {
            "name": name, "namespace": "shop", "uid": uid, "resourceVersion": "7", "labels": {"app": "orders", "mesh.tulle.dev/injected": "a1"},
            "annotations": {"mesh.tulle.dev/excludeInboundPorts": "9100, 9101, 8080", "mesh.tulle.dev/dialEndpoints": "true", "other": "x"}, "managedFields": [{"manager": "kubectl"}],
        },
        "spec": {
            "serviceAccountName": "orders", "nodeName": "node",
            "containers": [
                {"name": "app", "image": "app", "env": [{"name": "A", "value": "b"}], "ports": [
                    {"name": "http", "containerPort": 8080}, {"name": "dns", "containerPort": 53, "protocol": "UDP"}]},
                {"name": "more", "ports": [{"name": "http", "containerPort": 9090}, {"containerPort": 8080}]},
            ],
            "initContainers": [
                {"name": "once", "ports": [{"containerPort": 1}]},
                {"name": "tulle-intercept", "args": ["intercept", "--exclude-inbound-ports=9100,9101"]},
                {"name": "beside", "restartPolicy": "Always", "ports": [{"name": "metrics", "containerPort": 9100}]},
                {"name": "tulle-proxy", "restartPolicy": "Always", "ports": [{"name": "p", "containerPort": 15021}, {"containerPort": 1}]},
            ],
        },
        "status": {"phase": "Running", "podIP": address, "podIPs": [{"ip": address}, {"ip": "fd00::7"}]},
    })
}

fn pod_of(value: &Value) -> Pod {
    let mut pod = typed(value);
    prune::pod(&mut pod);
    pod
}

fn raw_pod(value: &Value) -> Raw {
    Raw::Pod(Arc::new(pod_of(value)))
}

fn ours(kind: &'static str, name: &str, namespace: &str, spec: &Value) -> Raw {
    let mut object: DynamicObject = typed(&json!({
        "apiVersion": "mesh.tulle.dev/v1alpha1", "kind": kind,
        "metadata": {"name": name, "namespace": namespace, "generation": 3, "resourceVersion": "9", "uid": "u"},
        "spec": spec, "status": {"conditions": []},
    }));
    prune::ours(&mut object);
    Raw::Ours(kind, Arc::new(object))
}

fn slice(endpoints: &Value) -> Raw {
    Raw::Slice(Arc::new(typed(&json!({
        "metadata": {"name": "orders-x", "namespace": "shop", "labels": {"kubernetes.io/service-name": "orders"}},
        "addressType": "IPv4", "ports": [{"name": "", "port": 8080}], "endpoints": endpoints,
    }))))
}

fn endpoint(name: &str, uid: &str, address: &str) -> Value {
    json!({"addresses": [address], "conditions": {"ready": true},
        "targetRef": {"kind": "Pod", "namespace": "shop", "name": name, "uid": uid}})
}

fn gathered(raws: Vec<Raw>) -> Arc<SourceView> {
    Gather::new("tulle-system").update(raws)
}

fn get(view: &SourceView, kind: &str, namespace: &str, name: &str) -> Option<Object> {
    view.by_name.get(&ObjectRef::new(kind, namespace, name)).cloned()
}

#[test]
fn a_meshed_pod_is_a_workload() {
    let view = gathered(vec![raw_pod(&pod_value("orders-1", "uid-1", "10.88.0.7"))]);
    let [workload] = view.objects.workloads.as_slice() else {
        panic!("{view:?}")
    };
    assert_eq!(workload.spec.address.as_deref(), Some("10.88.0.7"));
    assert_eq!(workload.spec.service_account, "orders");
    assert_eq!(workload.metadata.labels.as_ref().unwrap()["app"], "orders");
    let ports: Vec<(u16, Option<&str>)> = workload
        .spec
        .ports
        .iter()
        .map(|p| (p.port, p.name.as_deref()))
        .collect();
    let expected = [(8080, Some("http")), (9090, None), (9100, Some("metrics"))];
    assert_eq!(
        ports, expected,
        "TCP only, containers that stay only, the first of a name or number"
    );
    let notes = workload.metadata.annotations.as_ref().unwrap();
    assert_eq!(notes[crds::workload::EXCLUDED_PORTS], "9100,9101");
    assert_eq!(notes[crds::workload::DIAL_ENDPOINTS], "true");
    assert!(get(&view, "Workload", "shop", "orders-1").is_some());
    assert_eq!(view.problems, []);
}

#[test]
fn pods_that_are_no_workloads() {
    let base = || pod_value("orders-1", "uid-1", "10.88.0.7");
    let changes: [(&str, Value); 6] = [
        ("/metadata/labels", json!({"mesh.tulle.dev/inject": "true"})),
        ("/spec/hostNetwork", json!(true)),
        ("/status", json!({"phase": "Pending"})),
        ("/status", Value::Null),
        ("/status/phase", json!("Succeeded")),
        ("/status/phase", json!("Failed")),
    ];
    for (path, value) in changes {
        let mut pod = base();
        let (parent, field) = path.rsplit_once('/').unwrap();
        pod.pointer_mut(parent).unwrap()[field] = value.clone();
        assert_eq!(gathered(vec![raw_pod(&pod)]).objects.workloads, [], "{path} {value}");
    }
    let mut terminating = base();
    terminating["metadata"]["deletionTimestamp"] = json!("2030-01-01T00:00:00Z");
    assert_eq!(
        gathered(vec![raw_pod(&terminating)]).objects.workloads.len(),
        1,
        "it serves until it ends"
    );
}

#[test]
fn a_pod_is_known_by_uid_account_and_addresses() {
    let (store, mut writer) = kube::runtime::reflector::store::<Pod>();
    let mut value = pod_value("orders-1", "uid-1", "10.88.0.7");
    value["metadata"]["deletionTimestamp"] = json!("1970-01-01T00:01:00Z");
    writer.apply_watcher_event(&kube::runtime::watcher::Event::Apply(pod_of(&value)));
    let found = PodStore(store.clone()).pod("shop", "orders-1").unwrap();
    assert_eq!(
        (found.uid.as_str(), found.service_account.as_str()),
        ("uid-1", "orders")
    );
    assert_eq!(
        found.addresses,
        ["10.88.0.7", "fd00::7"].map(|text| text.parse::<std::net::IpAddr>().unwrap())
    );
    assert_eq!(
        found.gone_at,
        Some(std::time::UNIX_EPOCH + std::time::Duration::from_mins(1))
    );
    assert_eq!(PodStore(store).pod("bank", "orders-1"), None);
    value["metadata"].as_object_mut().unwrap().remove("uid");
    assert_eq!(pod::info(&pod_of(&value)), None);
}

#[test]
fn an_endpoint_without_its_pod_waits() {
    let endpoints = json!([
        endpoint("orders-1", "uid-1", "10.88.0.7"),
        endpoint("orders-1", "uid-0", "10.88.0.7"),
        endpoint("orders-1", "uid-1", "10.88.0.8"),
        endpoint("orders-2", "uid-2", "10.88.0.9"),
        {"addresses": ["192.0.2.1"]},
    ]);
    let addresses = |view: &SourceView| -> Vec<String> {
        let slices = &view.objects.endpoint_slices;
        slices
            .iter()
            .flat_map(|slice| &slice.endpoints)
            .flat_map(|one| one.addresses.clone())
            .collect()
    };
    let first = raw_pod(&pod_value("orders-1", "uid-1", "10.88.0.7"));
    let same_slice = slice(&endpoints);
    let mut gather = Gather::new("tulle-system");
    assert_eq!(
        addresses(&gather.update(vec![same_slice.clone(), first.clone()])),
        ["10.88.0.7", "192.0.2.1"]
    );
    let second = raw_pod(&pod_value("orders-2", "uid-2", "10.88.0.9"));
    let view = gather.update(vec![same_slice, first, second]);
    assert_eq!(
        addresses(&view),
        ["10.88.0.7", "10.88.0.9", "192.0.2.1"],
        "once its Pod is there"
    );
}

#[test]
fn an_injected_pod_has_one_address_in_the_mesh() {
    let ends = |pod: &Value| {
        let endpoints = json!([
            endpoint("orders-1", "uid-1", "10.88.0.7"),
            endpoint("orders-1", "uid-1", "fd00::7")
        ]);
        let view = gathered(vec![raw_pod(pod), slice(&endpoints)]);
        view.objects.endpoint_slices[0].endpoints.len()
    };
    let mut pod = pod_value("orders-1", "uid-1", "10.88.0.7");
    assert_eq!(ends(&pod), 1);
    pod["metadata"]["labels"]
        .as_object_mut()
        .unwrap()
        .remove("mesh.tulle.dev/injected");
    assert_eq!(ends(&pod), 2, "plaintext goes to both");
}

/// Only the kubelet and gates of the Pod's own say that it is not ready; the node controller only doubts its node.
#[test]
fn an_endpoint_on_a_doubted_node_serves_as_the_last_resort() {
    let conditions = |containers: &str, gate: &str| {
        json!([{"type": "Ready", "status": "False"}, {"type": "ContainersReady", "status": containers},
               {"type": "example.com/gate", "status": gate}])
    };
    let (ready, terminating) = (
        json!({"ready": false, "serving": false, "terminating": false}),
        json!({"ready": false, "serving": false, "terminating": true}),
    );
    let gates = json!([{"conditionType": "example.com/gate"}]);
    let cases = [
        (conditions("True", "False"), json!([]), &ready, true),
        (conditions("False", "True"), json!([]), &ready, false),
        (json!([]), json!([]), &ready, false),
        (conditions("True", "False"), gates.clone(), &ready, false),
        (conditions("True", "True"), gates, &ready, true),
        (conditions("True", "True"), json!([]), &terminating, false),
    ];
    for (conditions, gates, endpoint_conditions, serves) in cases {
        let mut pod = pod_value("orders-1", "uid-1", "10.88.0.7");
        pod["status"]["conditions"] = conditions;
        pod["spec"]["readinessGates"] = gates;
        let mut one = endpoint("orders-1", "uid-1", "10.88.0.7");
        one["conditions"] = endpoint_conditions.clone();
        let view = gathered(vec![raw_pod(&pod), slice(&json!([one]))]);
        let found = view.objects.endpoint_slices[0].endpoints[0].conditions.clone().unwrap();
        let draining = (Some(false), Some(serves), Some(true));
        let expected = if serves {
            draining
        } else {
            (Some(false), Some(false), endpoint_conditions["terminating"].as_bool())
        };
        assert_eq!((found.ready, found.serving, found.terminating), expected, "{pod}");
    }
}

#[test]
fn what_does_not_change_stays_the_same_allocation_and_makes_no_view() {
    let raws = || {
        vec![
            raw_pod(&pod_value("orders-1", "uid-1", "10.88.0.7")),
            ours(
                "TrafficPermission",
                "p",
                "shop",
                &json!({"action": "Allow", "rules": []}),
            ),
            slice(&json!([endpoint("orders-1", "uid-1", "10.88.0.7")])),
            Raw::Namespace(Arc::new(typed(&json!({"metadata": {"name": "shop"}})))),
        ]
    };
    let mut gather = Gather::new("tulle-system");
    let first = gather.update(raws());
    assert_eq!((first.sequence, first.by_name.len()), (1, 4));
    // A list gives every object anew.
    let second = gather.update(raws());
    assert!(Arc::ptr_eq(&first, &second));
    let mut changed = raws();
    changed[1] = ours(
        "TrafficPermission",
        "p",
        "shop",
        &json!({"action": "Deny", "rules": []}),
    );
    let third = gather.update(changed);
    assert_eq!(third.sequence, 2);
    let different: Vec<&ObjectRef> = third
        .by_name
        .iter()
        .filter(|(name, object)| !first.by_name[*name].same(object))
        .map(|(name, _)| name)
        .collect();
    assert_eq!(different, [&ObjectRef::new("TrafficPermission", "shop", "p")]);
    assert_eq!(gather.update(Vec::new()).by_name.len(), 0);
}

#[test]
fn a_workload_object_cannot_pose_as_a_pod() {
    let pod = raw_pod(&pod_value("orders-1", "uid-1", "10.88.0.7"));
    let mut plain = pod_value("plain", "uid-2", "10.88.0.8");
    plain["metadata"]["labels"] = json!({});
    let workload = |name: &str, address: &str| {
        ours(
            "Workload",
            name,
            "shop",
            &json!({"address": address, "serviceAccount": "admin"}),
        )
    };
    let view = gathered(vec![
        pod,
        raw_pod(&plain),
        workload("orders-1", "192.0.2.1"),
        workload("thief", "10.88.0.7"),
        workload("thief-2", "10.88.0.8"),
        workload("vm", "192.0.2.2"),
    ]);
    let names: Vec<_> = view
        .objects
        .workloads
        .iter()
        .map(|one| one.metadata.name.as_deref().unwrap())
        .collect();
    assert_eq!(names, ["orders-1", "vm"]);
    assert_eq!(view.objects.workloads[0].spec.service_account, "orders");
    assert_eq!(view.problems.len(), 3, "{:?}", view.problems);
}

/// What cannot be read, and the kind of the object that takes its place.
#[test]
fn what_cannot_be_read_is_replaced_by_what_grants_nothing() {
    let rule = json!({"sources": [{"type": "Authenticated"}]});
    let cases = [
        (
            "TrafficPermission",
            json!({"action": "Allow", "rules": 5}),
            Served::StandIn,
        ),
        (
            "TrafficPermission",
            json!({"action": "Allow", "rules": [rule, {"sources": 5}]}),
            Served::StandIn,
        ),
        (
            "TrafficPermission",
            json!({"action": "Allow", "rules": [{"sources": [{"type": "Authenticated"}], "ports": null}]}),
            Served::StandIn,
        ),
        (
            "TrafficPermission",
            json!({"action": 5, "rules": [rule]}),
            Served::StandIn,
        ),
        (
            "TrafficPermission",
            json!({"targetRefs": {}, "action": "Deny", "rules": [rule]}),
            Served::StandIn,
        ),
        ("TrafficPermission", Value::Null, Served::StandIn),
        ("TrafficRoute", json!({"rules": 5}), Served::StandIn),
        ("RateLimit", json!([]), Served::StandIn),
        ("Workload", json!({"address": 5}), Served::Nothing),
        ("Mesh", json!({"permissions": {"defaultAction": 5}}), Served::StandIn),
    ];
    for (kind, spec, served) in cases {
        let good = ours(
            "TrafficPermission",
            "good",
            "shop",
            &json!({"action": "Allow", "rules": []}),
        );
        let view = gathered(vec![ours(kind, "broken", "shop", &spec), good]);
        let [problem] = view.problems.as_slice() else {
            panic!("{kind} {spec}: {:?}", view.problems)
        };
        assert_eq!(problem.served, served, "{kind} {spec}");
        assert!(problem.to_string().starts_with(kind), "{problem}");
        assert_eq!(get(&view, kind, "shop", "broken").is_some(), served == Served::StandIn);
        assert!(
            get(&view, "TrafficPermission", "shop", "good").is_some(),
            "the others are served"
        );
    }
}

#[test]
fn streaming_lists_are_used_where_they_are_stable() {
    for (major, minor, expected) in [
        ("1", "37", true),
        ("1", "34+", true),
        ("1", "33", false),
        ("", "", false),
    ] {
        assert_eq!(watch::streams_lists(major, minor), expected, "{major}.{minor}");
    }
}

/// What the compiler makes of it: nobody gets in who would not without the object.
#[test]
fn a_stand_in_lets_nobody_in() {
    let everybody = json!({"sources": [{"type": "Authenticated"}]});
    let broken = [
        json!({"action": "Allow", "rules": 5}),
        json!({"action": "Allow", "rules": [everybody, 5]}),
        json!({"action": "Allow", "rules": [everybody], "targetRefs": null}),
        json!({"action": "Allow", "rules": [everybody], "targetRefs": [{"kind": 5}]}),
        json!({"action": "Allow", "rules": [{"sources": [{"type": "Authenticated"}], "ports": null}]}),
        json!({"action": "Deny", "rules": [{"sources": 5}]}),
        json!({"action": "Deny", "rules": null}),
        json!({"action": "Deny", "rules": [everybody], "mode": 5}),
        json!({"action": null, "rules": [everybody]}),
        json!("nothing"),
    ];
    let model = |objects: Vec<Raw>| {
        let view = gathered(objects);
        config::build(
            &view.objects,
            &config::Settings::default(),
            std::time::SystemTime::UNIX_EPOCH,
        )
    };
    let pod = || raw_pod(&pod_value("orders-1", "uid-1", "10.88.0.7"));
    let open = |model: &config::Model, namespace: &str, name: &str| {
        let workload = &model.workloads[&config::model::Key::new(namespace, name)];
        let permission = &workload.ports[&8080].permission;
        let all = |rule: &config::model::PermissionRule| match &rule.sources {
            None => true,
            Some(sources) => sources.contains(&config::model::Source::Authenticated),
        };
        let denied = permission.deny.iter().any(|rule| all(rule) && rule.http.is_none());
        !denied && (permission.default.allow_mesh || !permission.allow.is_empty())
    };
    assert!(open(&model(vec![pod()]), "shop", "orders-1"), "open without any object");
    for spec in &broken {
        let model = model(vec![pod(), ours("TrafficPermission", "broken", "shop", spec)]);
        assert!(!open(&model, "shop", "orders-1"), "{spec}");
        assert!(
            model
                .reports
                .contains_key(&ObjectRef::new("TrafficPermission", "shop", "broken"))
        );
    }
    // From the system namespace an object whose targets cannot be read may concern everybody.
    let spec = json!({"action": "Deny", "targetRefs": [{"kind": "Mesh", "name": 5}], "rules": [{}]});
    let mesh_wide = model(vec![pod(), ours("TrafficPermission", "broken", "tulle-system", &spec)]);
    assert!(!open(&mesh_wide, "shop", "orders-1"));
    let mut mesh: DynamicObject = typed(&json!({
        "apiVersion": "mesh.tulle.dev/v1alpha1", "kind": "Mesh", "metadata": {"name": "default"},
        "spec": {"permissions": {"defaultAction": 5}, "mtls": {"mode": 5}}}));
    prune::ours(&mut mesh);
    assert!(!open(
        &model(vec![pod(), Raw::Ours("Mesh", Arc::new(mesh))]),
        "shop",
        "orders-1"
    ));
}

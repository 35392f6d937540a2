//! Injection: pods in, pods out; what is refused and with which words; and that a pod may come again.
//!
//! Each folder of `injection/` holds `pod.yaml` and `injected.yaml`. `UPDATE_GOLDEN=1` writes the latter.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests are tests too"
)]

use std::path::{Path, PathBuf};

use k8s_openapi::api::core::v1::Pod;
use proptest::prelude::*;
use serde_json::{Value, json};
use tulle_operator::inject::{InjectSettings, Injection, Refusal, inject};

fn settings() -> InjectSettings {
    InjectSettings::new("tulle:test", "tulle.tulle-system.svc:15012")
}

fn decide(pod: &Value, settings: &InjectSettings) -> Result<Injection, Refusal> {
    inject(&serde_json::from_value::<Pod>(pod.clone()).unwrap(), settings)
}

/// The pod with the patch applied, as the API server does it.
fn injected_with(pod: &Value, settings: &InjectSettings) -> Value {
    let Injection::Patched(patch) = decide(pod, settings).unwrap_or_else(|refusal| panic!("{refusal}\n{pod:#}")) else {
        panic!("left alone: {pod:#}");
    };
    // The patch travels as JSON.
    let patch: json_patch::Patch = serde_json::from_value(serde_json::to_value(&patch).unwrap()).unwrap();
    let mut pod = pod.clone();
    json_patch::patch(&mut pod, &patch).unwrap_or_else(|error| panic!("{error}\n{patch:#?}\n{pod:#}"));
    pod
}

fn injected(pod: &Value) -> Value {
    injected_with(pod, &settings())
}

fn yaml(text: &str) -> Value {
    serde_saphyr::from_str(text).unwrap()
}

fn cases() -> Vec<(PathBuf, Value)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/injection");
    let mut folders: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()).collect();
    folders.sort();
    assert!(folders.len() > 10);
    let read = |folder: PathBuf| {
        let pod = yaml(&std::fs::read_to_string(folder.join("pod.yaml")).unwrap());
        (folder, pod)
    };
    folders.into_iter().map(read).collect()
}

#[test]
fn pods_as_they_go_in_and_come_out() {
    let mut wrong = Vec::new();
    for (folder, pod) in cases() {
        let out = injected(&pod);
        let file = folder.join("injected.yaml");
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            std::fs::write(&file, serde_saphyr::to_string(&out).unwrap()).unwrap();
        }
        if std::fs::read_to_string(&file).map(|text| yaml(&text)).ok() != Some(out) {
            wrong.push(file);
        }
    }
    assert!(
        wrong.is_empty(),
        "run with UPDATE_GOLDEN=1 if this is meant: {wrong:#?}"
    );
}

#[test]
fn what_is_added_are_fields_that_kubernetes_has() {
    for (folder, pod) in cases() {
        let mut unknown = Vec::new();
        let out = injected(&pod).to_string();
        let mut from = serde_json::Deserializer::from_str(&out);
        let _pod: Pod = serde_ignored::deserialize(&mut from, |path| unknown.push(path.to_string())).unwrap();
        unknown.retain(|path| !path.ends_with("fromTomorrow"));
        assert!(unknown.is_empty(), "{}: {unknown:?}", folder.display());
    }
}

#[test]
fn ours_come_first_and_only_one_is_privileged() {
    for (folder, pod) in cases() {
        let out = injected(&pod);
        let init = out["spec"]["initContainers"].as_array().unwrap();
        let names: Vec<&str> = init.iter().map(|c| c["name"].as_str().unwrap()).collect();
        assert_eq!(names[..2], ["tulle-intercept", "tulle-proxy"], "{}", folder.display());
        assert_eq!(init[1]["restartPolicy"], "Always");
        assert_eq!(init[1]["securityContext"]["capabilities"], json!({"drop": ["ALL"]}));
        assert_eq!(
            init[0]["securityContext"]["capabilities"]["add"],
            json!(["NET_ADMIN", "NET_RAW"])
        );
        assert!(!init[0]["volumeMounts"].to_string().contains("token"));
    }
}

#[test]
fn a_pod_may_come_again() {
    for (folder, pod) in cases() {
        let once = injected(&pod);
        let Injection::Patched(patch) = decide(&once, &settings()).unwrap() else {
            panic!("{}", folder.display());
        };
        assert!(patch.0.is_empty(), "{}: {patch:#?}", folder.display());
    }
}

#[test]
fn what_other_webhooks_changed_in_ours_stays() {
    let mut once = injected(&json!({"metadata": {}, "spec": {"containers": [{"name": "a", "image": "a"}]}}));
    once["spec"]["initContainers"][1]["image"] = "mirror/envoy".into();
    once["spec"]["initContainers"][0]["imagePullPolicy"] = "IfNotPresent".into();
    assert_eq!(injected(&once), once);
}

#[test]
fn a_copy_of_a_pod_of_an_older_version_gets_the_new_one() {
    let mut new = settings();
    new.image = "tulle:new".to_owned();
    for (folder, pod) in cases() {
        let again = injected_with(&injected(&pod), &new);
        assert_eq!(again, injected_with(&pod, &new), "{}", folder.display());
    }
}

#[test]
fn a_label_keeps_a_pod_out() {
    let pod = yaml(
        "{metadata: {labels: {mesh.tulle.dev/inject: 'false'}, annotations: {mesh.tulle.dev/nonsense: x}}, spec: {hostNetwork: true, containers: []}}",
    );
    assert_eq!(decide(&pod, &settings()), Ok(Injection::LeftAlone));
}

/// A pod's metadata and spec (with one container), and the words of its refusal.
const REFUSED: &[(&str, &str, &str)] = &[
    (
        "{labels: {mesh.tulle.dev/inject: 'no'}}",
        "{}",
        "metadata.labels[mesh.tulle.dev/inject]: \"no\" says neither",
    ),
    (
        "{labels: {mesh.tulle.dev/inject: 'False'}}",
        "{}",
        "\"False\" says neither",
    ),
    (
        "{}",
        "{hostNetwork: true}",
        "spec.hostNetwork: a pod in the host's network cannot be intercepted",
    ),
    ("{}", "{os: {name: windows}}", "spec.os: only Linux"),
    (
        "{annotations: {kubernetes.io/config.mirror: x}}",
        "{}",
        "a static pod runs as its node's file says",
    ),
    (
        "{}",
        "{securityContext: {runAsUser: 1337}}",
        "container app would run as user 1337",
    ),
    (
        "{}",
        "{c: {securityContext: {runAsUser: 1337}}}",
        "container app would run as user 1337",
    ),
    (
        "{}",
        "{initContainers: [{name: i, image: i, securityContext: {runAsUser: 1337}}]}",
        "container i would run as user 1337",
    ),
    (
        "{}",
        "{c: {ports: [{containerPort: 15001}]}}",
        "container app has port 15001, which is the proxy's",
    ),
    (
        "{}",
        "{c: {ports: [{containerPort: 15006, protocol: TCP}]}}",
        "has port 15006",
    ),
    ("{}", "{c: {ports: [{containerPort: 15021}]}}", "has port 15021"),
    (
        "{}",
        "{c: {volumeMounts: [{name: tulle-token, mountPath: /x}]}}",
        "container app mounts a volume of the proxy",
    ),
    (
        "{}",
        "{volumes: [{name: tulle-ca, emptyDir: {}}]}",
        "spec.volumes: the name tulle-ca is the mesh's",
    ),
    (
        "{}",
        "{initContainers: [{name: tulle-proxy, image: x}]}",
        "spec.initContainers: the names",
    ),
    ("{}", "{c: {name: tulle-intercept}}", "spec.containers: the names"),
    (
        "{labels: {mesh.tulle.dev/injected: abc}}",
        "{}",
        "its containers are not all there; remove the label",
    ),
    (
        "{annotations: {mesh.tulle.dev/probes: '{}'}}",
        "{}",
        "only injection writes this annotation; remove it",
    ),
    (
        "{annotations: {mesh.tulle.dev/excludeInboundPort: '80'}}",
        "{}",
        "metadata.annotations[mesh.tulle.dev/excludeInboundPort]: there is no such annotation; remove it; known are",
    ),
    (
        "{annotations: {mesh.tulle.dev/excludeInboundPorts: ''}}",
        "{}",
        "\"\" is no port; write ports from 1 to 65535",
    ),
    (
        "{annotations: {mesh.tulle.dev/excludeInboundPorts: '80,'}}",
        "{}",
        "\"\" is no port",
    ),
    (
        "{annotations: {mesh.tulle.dev/excludeInboundPorts: '0'}}",
        "{}",
        "\"0\" is no port",
    ),
    (
        "{annotations: {mesh.tulle.dev/excludeInboundPorts: '+80'}}",
        "{}",
        "\"+80\" is no port",
    ),
    (
        "{annotations: {mesh.tulle.dev/excludeInboundPorts: '*'}}",
        "{}",
        "\"*\" is no port",
    ),
    (
        "{annotations: {mesh.tulle.dev/excludeInboundPorts: '15006'}}",
        "{}",
        "port 15006 is the proxy's",
    ),
    (
        "{annotations: {mesh.tulle.dev/dialEndpoints: 'yes'}}",
        "{}",
        "\"yes\" is neither \"true\" nor \"false\"; write \"true\" for a pod that calls others",
    ),
    (
        "{annotations: {mesh.tulle.dev/excludeOutboundPorts: '70000'}}",
        "{}",
        "\"70000\" is no port",
    ),
    (
        "{annotations: {mesh.tulle.dev/excludeOutboundCIDRs: 10.0.0.0/33}}",
        "{}",
        "\"10.0.0.0/33\" is not an address block",
    ),
    (
        "{annotations: {mesh.tulle.dev/excludeOutboundCIDRs: '10.0.0.0/8 -j ACCEPT'}}",
        "{}",
        "is not an address block",
    ),
    (
        "{annotations: {mesh.tulle.dev/proxyCPU: lots}}",
        "{}",
        "\"lots\" is no amount of CPU",
    ),
    (
        "{annotations: {mesh.tulle.dev/proxyCPU: 0m}}",
        "{}",
        "\"0m\" is no amount of CPU",
    ),
    (
        "{annotations: {mesh.tulle.dev/proxyCPU: '0.0'}}",
        "{}",
        "\"0.0\" is no amount of CPU",
    ),
    (
        "{annotations: {mesh.tulle.dev/proxyMemory: 1 Gi}}",
        "{}",
        "\"1 Gi\" is no amount of memory",
    ),
    (
        "{annotations: {mesh.tulle.dev/proxyLogLevel: loud}}",
        "{}",
        "\"loud\" is no log level; write one of trace",
    ),
    (
        "{}",
        "{c: {readinessProbe: {httpGet: {port: web}}}}",
        "spec.containers.0.readinessProbe.httpGet.port: container app has no port named \"web\"",
    ),
    (
        "{}",
        "{c: {livenessProbe: {tcpSocket: {port: 15006}}}}",
        "port 15006 is the proxy's",
    ),
    ("{}", "{c: {startupProbe: {grpc: {port: 0}}}}", "0 is no port"),
    // Looks rewritten, but nobody knows what it was.
    (
        "{}",
        "{c: {readinessProbe: {httpGet: {port: 15021, path: /probe/app/readiness}}}}",
        "port 15021 is the proxy's",
    ),
];

#[test]
fn what_cannot_be_in_the_mesh_is_refused_with_a_reason() {
    for (metadata, spec, words) in REFUSED {
        let (metadata, mut spec) = (yaml(metadata), yaml(spec));
        let mut container = json!({"name": "app", "image": "a"});
        if let Some(Value::Object(more)) = spec.as_object_mut().unwrap().remove("c") {
            container.as_object_mut().unwrap().extend(more);
        }
        spec["containers"] = json!([container]);
        let pod = json!({"metadata": metadata, "spec": spec});
        let refusal = decide(&pod, &settings()).expect_err(words);
        assert!(refusal.to_string().contains(words), "expected {words}\nfound {refusal}");
        assert!(!refusal.advice.is_empty() && !refusal.field.is_empty());
    }
    let nothing = decide(&json!({"metadata": {}}), &settings()).unwrap_err();
    assert_eq!(nothing.field, "spec");
}

#[test]
fn a_table_that_injection_did_not_write_is_refused() {
    let mut pod = injected(&json!({"metadata": {}, "spec": {"containers": [{"name": "a", "image": "a"}]}}));
    for table in [
        "",
        "[]",
        "{\"a\": {\"readiness\": {\"http\": {\"port\": 1}}}}",
        "{\"a\": {\"other\": {}}}",
    ] {
        pod["metadata"]["annotations"]["mesh.tulle.dev/probes"] = table.into();
        let refusal = decide(&pod, &settings()).expect_err(table).to_string();
        assert!(refusal.contains("not as injection wrote it"), "{refusal}");
    }
}

fn probe() -> impl Strategy<Value = Option<Value>> {
    prop_oneof![
        Just(None),
        (1_u16..10_000, "[a-z/?=]{0,8}")
            .prop_map(|(port, path)| Some(json!({"httpGet": {"port": port, "path": path}}))),
        (1_u16..10_000, 1_u8..30)
            .prop_map(|(port, period)| Some(json!({"tcpSocket": {"port": port}, "periodSeconds": period}))),
        (1_u16..10_000).prop_map(|port| Some(json!({"grpc": {"port": port}}))),
        Just(Some(json!({"exec": {"command": ["true"]}}))),
    ]
}

fn container(name: String) -> impl Strategy<Value = Value> {
    (probe(), probe(), probe()).prop_map(move |(readiness, liveness, stop)| {
        let mut container = json!({"name": name, "image": "a"});
        let stop = stop.and_then(|probe| probe.get("httpGet").cloned());
        let fields = [("readinessProbe", readiness), ("livenessProbe", liveness)];
        for (field, probe) in fields {
            if let Some(probe) = probe {
                container[field] = probe;
            }
        }
        if let Some(action) = stop {
            container["lifecycle"] = json!({"preStop": {"httpGet": action}});
        }
        container
    })
}

proptest! {
    /// Whatever another webhook adds in between, and wherever, the end is the same as if it had come first.
    #[test]
    fn what_comes_later_is_injected_as_if_it_had_been_there(
        first in container("first".to_owned()),
        later in container("later".to_owned()),
        early in container("early".to_owned()),
    ) {
        let mut pod = json!({"metadata": {"name": "p"}, "spec": {"initContainers": [], "containers": [first]}});
        let mut grown = injected(&pod);
        for pod in [&mut pod, &mut grown] {
            pod["spec"]["containers"].as_array_mut().unwrap().push(later.clone());
            pod["spec"]["initContainers"].as_array_mut().unwrap().insert(0, early.clone());
        }
        let (all, grown) = (injected(&pod), injected(&grown));
        prop_assert_eq!(&all, &grown);
        prop_assert_eq!(&injected(&grown), &grown);
    }
}

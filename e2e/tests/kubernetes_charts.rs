//! The charts as text: what they render is the same each time, complete, and refused if a value is wrong.
//!
//! `UPDATE_CHART=1 cargo test -p tulle-e2e --test kubernetes_charts` writes the part of the values' schema that is made from the kinds.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "helpers of tests are tests too"
)]

use std::fs;

use operator::envoy_binary::PINNED;
use serde_json::{Value, json};
use tulle_e2e::install::{NAMESPACE, Renderer, TULLE, chart};

/// Every value that has a meaning, none of them the default.
const ALL: &str = r#"
image: {repository: example.org/tulle, tag: "7", digest: "", pullPolicy: Always}
envoyImage: example.org/envoy:v1.40.0
imagePullSecrets: [pull]
replicas: 3
resources: {requests: {cpu: 0.5, memory: 1Gi}, limits: {memory: 2Gi}}
logLevel: debug
mesh:
  trustDomain: example.org
  mtls: {mode: Permissive, overrides: [{namespace: old, port: 80, mode: Strict, selector: {matchLabels: {app: a}}}]}
  permissions: {defaultAction: Deny}
  observability: {accessLog: false, traceTags: {team: a}}
podDisruptionBudget: {enabled: true, maxUnavailable: 50%}
networkPolicy: {enabled: true, apiServerPorts: [16443]}
metrics: {annotations: false}
podAnnotations: {team: a}
nodeSelector: {disk: fast}
tolerations: [{key: a, operator: Exists, effect: NoSchedule}]
affinity: {nodeAffinity: {}}
priorityClassName: ""
"#;

/// Values that are refused, with a word of the refusal.
const WRONG: &[(&str, &str)] = &[
    ("replica=3", "replica"),
    ("replicas=0", "replicas"),
    ("replicas=two", "replicas"),
    ("image.registry=example.org", "registry"),
    ("image.repository=", "repository"),
    ("image.tag=a b", "tag"),
    ("image.digest=sha256:1", "digest"),
    ("image.pullPolicy=Sometimes", "pullPolicy"),
    ("envoyImage=", "envoyImage"),
    ("logLevel=loud", "logLevel"),
    ("resources.requests.cpus=1", "cpus"),
    ("resources.limits.memory=much", "memory"),
    ("networkPolicy.enable=false", "enable"),
    ("networkPolicy.enabled=perhaps", "enabled"),
    ("networkPolicy.apiServerPorts={}", "apiServerPorts"),
    ("podDisruptionBudget.maxUnavailable=0", "maxUnavailable"),
    ("podDisruptionBudget.minAvailable=1", "minAvailable"),
    ("metrics=true", "metrics"),
    ("tolerations[0].keys=a", "keys"),
    ("affinity.nodes=a", "nodes"),
    ("mesh.trustDomains=a", "trustDomains"),
    ("mesh.trustDomain=A B", "trustDomain"),
    ("mesh.mtls.mode=Loose", "mode"),
    ("mesh.mtls.overrides[0].namespaces=a", "namespaces"),
    ("mesh.permissions.defaultActions=Deny", "defaultActions"),
];

/// What the chart makes, with its namespace if it has one.
const OBJECTS: &[&str] = &[
    "ClusterRole tulle",
    "ClusterRoleBinding tulle",
    "Deployment tulle-system/tulle",
    "Mesh default",
    "MutatingWebhookConfiguration tulle",
    "NetworkPolicy tulle-system/tulle",
    "Pod tulle-system/tulle-test",
    "PodDisruptionBudget tulle-system/tulle",
    "Role tulle-system/tulle",
    "RoleBinding tulle-system/tulle",
    "Service tulle-system/tulle",
    "ServiceAccount tulle-system/tulle",
    "ValidatingWebhookConfiguration tulle",
];

fn values() -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::with_suffix(".yaml").unwrap();
    fs::write(file.path(), ALL).unwrap();
    file
}

fn identity(object: &Value) -> String {
    let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str);
    let namespace = text("/metadata/namespace").map_or_else(String::new, |namespace| format!("{namespace}/"));
    format!(
        "{} {namespace}{}",
        text("/kind").unwrap(),
        text("/metadata/name").unwrap()
    )
}

#[test]
fn two_renders_are_equal() {
    let (Some(one), Some(two)) = (Renderer::find().unwrap(), Renderer::find().unwrap()) else {
        return;
    };
    let file = values();
    let all = format!("--values={}", file.path().display());
    for arguments in [&[][..], &[&*all]] {
        let text = one.template(arguments).unwrap();
        assert!(text.len() > 8000, "{text}");
        assert_eq!(text, two.template(arguments).unwrap());
        // An upgrade renders the same as an installation.
        assert_eq!(text, two.template(&[arguments, &["--is-upgrade"]].concat()).unwrap());
    }
}

#[test]
fn helm_finds_no_fault() {
    let Some(helm) = Renderer::find().unwrap() else { return };
    for name in ["tulle-crds", "tulle"] {
        let output = helm.lint(name).unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.success() && text.contains("1 chart(s) linted, 0 chart(s) failed"),
            "{text}"
        );
        assert!(!text.contains("WARN") && !text.contains("ERROR"), "{text}");
    }
}

#[test]
fn wrong_values_are_refused() {
    let Some(helm) = Renderer::find().unwrap() else { return };
    for (value, word) in WRONG {
        let refused = helm.template(&[&format!("--set={value}")]);
        let error = refused.expect_err(value).to_string();
        assert!(
            error.contains("values don't meet the specifications of the schema") && error.contains(word),
            "{value}: {error}"
        );
    }
}

#[test]
fn exactly_these_objects_are_made_and_labelled() {
    let Some(helm) = Renderer::find().unwrap() else { return };
    let objects = helm.objects(&[]).unwrap();
    let mut names: Vec<String> = objects.iter().map(identity).collect();
    names.sort();
    assert_eq!(names, OBJECTS);
    for object in &objects {
        let name = identity(object);
        assert_eq!(object.pointer("/metadata/finalizers"), None, "{name}");
        for (label, value) in [("name", "tulle"), ("instance", "tulle"), ("part-of", "tulle")] {
            let pointer = format!("/metadata/labels/app.kubernetes.io~1{label}");
            assert_eq!(object.pointer(&pointer), Some(&json!(value)), "{name}");
        }
    }
    let fewer = [
        "--set=networkPolicy.enabled=false",
        "--set=podDisruptionBudget.enabled=false",
    ];
    assert_eq!(helm.objects(&fewer).unwrap().len(), OBJECTS.len() - 2);
}

#[test]
fn values_reach_their_places() {
    let Some(helm) = Renderer::find().unwrap() else { return };
    let file = values();
    let objects = helm.objects(&[&format!("--values={}", file.path().display())]).unwrap();
    let find = |kind: &str| objects.iter().find(|object| object["kind"] == kind).unwrap();
    let deployment = find("Deployment");
    let pod = &deployment["spec"]["template"]["spec"];
    assert_eq!(deployment["spec"]["replicas"], 3);
    assert_eq!(pod["containers"][0]["image"], "example.org/tulle:7");
    assert_eq!(pod["containers"][0]["imagePullPolicy"], "Always");
    let arguments = pod["containers"][0]["args"].as_array().unwrap();
    for argument in [
        "--log=debug",
        "--image=example.org/tulle:7",
        "--envoy-image=example.org/envoy:v1.40.0",
    ] {
        assert!(arguments.contains(&json!(argument)), "{arguments:?}");
    }
    assert_eq!(pod["imagePullSecrets"], json!([{"name": "pull"}]));
    assert_eq!(pod["nodeSelector"], json!({"disk": "fast"}));
    assert_eq!(pod["tolerations"][0]["operator"], "Exists");
    assert_eq!(pod["affinity"], json!({"nodeAffinity": {}}));
    assert_eq!(pod.get("priorityClassName"), None);
    assert_eq!(pod["containers"][0]["resources"]["limits"], json!({"memory": "2Gi"}));
    let annotations = &deployment["spec"]["template"]["metadata"]["annotations"];
    assert_eq!(annotations["team"], "a");
    assert_eq!(annotations.get("prometheus.io/scrape"), None);
    assert_eq!(find("PodDisruptionBudget")["spec"]["maxUnavailable"], "50%");
    assert_eq!(find("NetworkPolicy")["spec"]["egress"][2]["ports"][0]["port"], 16443);
    assert_eq!(find("Mesh")["spec"]["permissions"]["defaultAction"], "Deny");
    assert_eq!(find("Mesh")["spec"]["trustDomain"], "example.org");
    let digest = format!("sha256:{}", "a".repeat(64));
    let objects = helm.objects(&[&format!("--set=image.digest={digest}")]).unwrap();
    let deployment = objects.iter().find(|object| object["kind"] == "Deployment").unwrap();
    let image = &deployment["spec"]["template"]["spec"]["containers"][0]["image"];
    assert_eq!(*image, format!("{TULLE}@{digest}"));
}

#[test]
fn the_mesh_is_there_and_stays() {
    let Some(helm) = Renderer::find().unwrap() else { return };
    let objects = helm.objects(&[]).unwrap();
    let mesh = objects.iter().find(|object| object["kind"] == "Mesh").unwrap();
    // Never empty: where it was more before, server-side apply would make it null.
    assert_eq!(mesh["spec"], json!({"trustDomain": "tulle.local"}));
    // The operator would otherwise tell every proxy the defaults while it is being uninstalled.
    assert_eq!(mesh["metadata"]["annotations"]["helm.sh/resource-policy"], "keep");
}

/// A schema of values from that of a kind: what the API server would keep for us to refuse is refused at once.
fn strict(schema: &mut Value) {
    let fields = schema.as_object_mut().unwrap();
    fields.retain(|name, _| !name.starts_with("x-kubernetes") && name != "format" && name != "default");
    if let Some(properties) = fields.get_mut("properties") {
        properties.as_object_mut().unwrap().values_mut().for_each(strict);
        fields.insert("additionalProperties".to_owned(), json!(false));
    }
    fields.get_mut("items").into_iter().for_each(strict);
}

#[test]
fn the_values_of_the_mesh_are_those_of_its_kind() {
    let path = chart("tulle").join("values.schema.json");
    let mut schema: Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
    let kinds = crds::all();
    let mesh = kinds.iter().find(|kind| kind.spec.names.kind == "Mesh").unwrap();
    let mesh = serde_json::to_value(mesh).unwrap();
    let mut wanted = mesh["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"].clone();
    strict(&mut wanted);
    if std::env::var_os("UPDATE_CHART").is_some_and(|value| value == "1") {
        schema["properties"]["mesh"] = wanted.clone();
        fs::write(&path, serde_json::to_string_pretty(&schema).unwrap() + "\n").unwrap();
    }
    assert!(
        schema["properties"]["mesh"] == wanted,
        "values.schema.json differs from the kind Mesh; write it with UPDATE_CHART=1"
    );
}

#[test]
fn versions_agree() {
    let read = |file: &str| -> Value {
        serde_saphyr::from_str(&fs::read_to_string(chart("tulle").join(file)).unwrap()).unwrap()
    };
    let (about, values) = (read("Chart.yaml"), read("values.yaml"));
    assert_eq!(about["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(about["appVersion"], env!("CARGO_PKG_VERSION"));
    assert_eq!(about["kubeVersion"], ">=1.33.0-0");
    assert_eq!(values["envoyImage"], format!("docker.io/envoyproxy/envoy:v{PINNED}"));
    assert_eq!(values["image"]["repository"], TULLE);
    assert_eq!(NAMESPACE, "tulle-system");
}

//! The cluster that other tests stand on: what a mesh needs of Kubernetes works on it, and it leaves nothing behind.

use std::fs;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use serde_json::Value;
use tulle_e2e::cluster::{Cluster, Component, Layout};
use tulle_e2e::harness::{own_program, wait_until};
use tulle_e2e::pods::say;
use tulle_e2e::probe::call::CallSummary;

const NAMESPACE: &str = "tulle-e2e-cluster";
const IMAGE: &str = "localhost/tulle-e2e:cluster-test";
const DOCKERFILE: &str = "FROM debian:bookworm-slim\n\
    COPY tulle-e2e /usr/local/bin/tulle-e2e\n\
    RUN tulle-e2e --help > /help.txt\n";
/// The machine may have other work.
const LIMIT: Duration = Duration::from_mins(2);

/// `echo` answers on 80 with what is redirected to its sidecar, on 90 itself.
const OBJECTS: &str = r#"
apiVersion: apps/v1
kind: Deployment
metadata: {name: echo}
spec:
  replicas: 2
  selector: {matchLabels: {app: echo}}
  template:
    metadata: {labels: {app: echo}}
    spec:
      terminationGracePeriodSeconds: 1
      initContainers:
        - name: redirect
          image: IMAGE
          command: [iptables, -t, nat, -A, PREROUTING, -p, tcp, --dport, "8080", -j, REDIRECT, --to-ports, "8081"]
          securityContext: {runAsUser: 0, capabilities: {drop: [ALL], add: [NET_ADMIN, NET_RAW]}}
        - name: sidecar
          image: IMAGE
          restartPolicy: Always
          command: [tulle-e2e, app, --version, sidecar, --http, "8081"]
          startupProbe: {httpGet: {path: /, port: 8081}, periodSeconds: 1, failureThreshold: 60}
      containers:
        - name: app
          image: IMAGE
          command: [sh, -c, "echo the application begins; exec tulle-e2e app --version app --http 8080,9090"]
          readinessProbe: {tcpSocket: {port: 9090}, periodSeconds: 1}
---
apiVersion: v1
kind: Service
metadata: {name: echo}
spec:
  selector: {app: echo}
  ports: [{name: http, port: 80, targetPort: 8080}, {name: direct, port: 90, targetPort: 9090}]
---
apiVersion: v1
kind: Service
metadata: {name: echo-headless}
spec:
  clusterIP: None
  selector: {app: echo}
  ports: [{name: direct, port: 9090}]
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: caller}
---
apiVersion: v1
kind: Pod
metadata: {name: caller}
spec:
  serviceAccountName: caller
  terminationGracePeriodSeconds: 1
  containers:
    - name: caller
      image: IMAGE
      command: [tulle-e2e, app, --http, "7000"]
      volumeMounts: [{name: token, mountPath: /token}]
  volumes:
    - name: token
      projected: {sources: [{serviceAccountToken: {audience: tulle, path: token, expirationSeconds: 600}}]}
"#;

/// kubectl in the test's namespace.
fn kubectl(cluster: &Cluster, arguments: &[&str]) -> Result<String> {
    cluster.kubectl(&[&["--namespace", NAMESPACE][..], arguments].concat())
}

fn until(what: &str, mut ask: impl FnMut() -> Result<bool>) -> Result<()> {
    wait_until(what, LIMIT, Duration::from_millis(200), || Ok(ask()?.then_some(())))
}

fn load(cluster: &Cluster) -> Result<()> {
    let context = tempfile::tempdir()?;
    fs::copy(own_program()?, context.path().join("tulle-e2e"))?;
    let dockerfile = context.path().join("Dockerfile");
    fs::write(&dockerfile, DOCKERFILE)?;
    cluster.load_image(&dockerfile, context.path(), IMAGE)
}

fn deploy(cluster: &Cluster) -> Result<()> {
    load(cluster)?;
    cluster.kubectl(&["delete", "namespace", NAMESPACE, "--ignore-not-found", "--timeout=120s"])?;
    cluster.kubectl(&["create", "namespace", NAMESPACE])?;
    // Its controller makes it a moment later, and pods are refused without it.
    until("the default account", || {
        Ok(kubectl(cluster, &["get", "serviceaccount", "default"]).is_ok())
    })?;
    let objects = OBJECTS.replace("image: IMAGE", &format!("image: {IMAGE}"));
    cluster.kubectl_with_input(&["--namespace", NAMESPACE, "apply", "--filename=-"], &objects)?;
    kubectl(cluster, &["rollout", "status", "deployment/echo", "--timeout=120s"])?;
    kubectl(
        cluster,
        &["wait", "--for=condition=Ready", "pod/caller", "--timeout=120s"],
    )
    .map(drop)
}

/// Who answered a pod's five requests.
fn answers(cluster: &Cluster, url: &str, who: &str) -> Result<()> {
    let call = ["exec", "caller", "--", "tulle-e2e", "call", url, "--count=5", "--fresh"];
    let printed = kubectl(cluster, &call)?;
    let summary: CallSummary = serde_json::from_str(&printed)?;
    ensure!(summary.all(200) && summary.version(who) == 5, "{url}: {printed}");
    Ok(())
}

fn field(cluster: &Cluster, object: &str, path: &str) -> Result<String> {
    kubectl(cluster, &["get", object, &format!("--output=jsonpath={path}")])
}

pub(crate) fn what_a_mesh_needs_of_kubernetes_works(cluster: &Cluster) -> Result<()> {
    deploy(cluster)?;
    services(cluster)?;
    logs(cluster)?;
    tokens(cluster)?;
    // Helm reaches the cluster.
    cluster.helm(&["list", "--all-namespaces", "--output=json"])?;
    if cluster.is_own() {
        api_server_away(cluster)?;
    }
    cluster
        .kubectl(&["delete", "namespace", NAMESPACE, "--timeout=120s"])
        .map(drop)
}

/// By name, by `ClusterIP`, by pod address and by a name for pods; redirected and not.
fn services(cluster: &Cluster) -> Result<()> {
    // Rules of the packet filter follow the endpoints a moment later.
    until("the Service by name", || {
        answers(cluster, "http://echo/", "sidecar").map(|()| true)
    })?;
    answers(
        cluster,
        &format!("http://echo.{NAMESPACE}.svc.cluster.local:90/"),
        "app",
    )?;
    let ip = field(cluster, "service/echo", "{.spec.clusterIP}")?;
    answers(cluster, &format!("http://{ip}/"), "sidecar")?;
    answers(cluster, "http://echo-headless:9090/", "app")?;
    let pod = kubectl(
        cluster,
        &[
            "get",
            "pods",
            "--selector=app=echo",
            "--output=jsonpath={.items[0].status.podIP}",
        ],
    )?;
    answers(cluster, &format!("http://{pod}:8080/"), "sidecar")
}

fn logs(cluster: &Cluster) -> Result<()> {
    let logs = kubectl(cluster, &["logs", "deployment/echo", "--container=app"])?;
    ensure!(logs.contains("the application begins"), "{logs}");
    Ok(())
}

/// The projected token is good for its audience only, and says whose it is.
fn tokens(cluster: &Cluster) -> Result<()> {
    let token = kubectl(cluster, &["exec", "caller", "--", "cat", "/token/token"])?;
    let review = |audience: &str| -> Result<Value> {
        let object = serde_json::json!({
            "apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview",
            "spec": {"token": token, "audiences": [audience]},
        });
        let answer = cluster.kubectl_with_input(&["create", "--filename=-", "--output=json"], &object.to_string())?;
        Ok(serde_json::from_str(&answer)?)
    };
    let ours = review("tulle")?;
    ensure!(at(&ours, "/status/authenticated") == true, "{ours}");
    let name = format!("system:serviceaccount:{NAMESPACE}:caller");
    ensure!(at(&ours, "/status/user/username") == name, "{ours}");
    let uid = field(cluster, "pod/caller", "{.metadata.uid}")?;
    let bound = at(&ours, "/status/user/extra/authentication.kubernetes.io~1pod-uid/0");
    ensure!(bound == uid, "{ours}");
    let other = review("https://kubernetes.default.svc")?;
    ensure!(at(&other, "/status/authenticated") != true, "{other}");
    let keys = serde_json::from_str(&cluster.kubectl(&["get", "--raw=/openid/v1/jwks"])?)?;
    ensure!(at(&keys, "/keys/0/alg") == "RS256", "{keys}");
    Ok(())
}

fn at(value: &Value, path: &str) -> Value {
    value.pointer(path).cloned().unwrap_or_default()
}

/// Pods go on without the API server, and it comes back with all that it knew.
fn api_server_away(cluster: &Cluster) -> Result<()> {
    let ip = field(cluster, "service/echo", "{.spec.clusterIP}")?;
    cluster.stop(Component::ApiServer)?;
    ensure!(
        cluster.kubectl(&["get", "--raw=/readyz"]).is_err(),
        "the API server was stopped"
    );
    // The host reaches a ClusterIP as pods do; nobody can `exec` now.
    let call = Command::new(own_program()?)
        .args(["call", &format!("http://{ip}:90/")])
        .stderr(Stdio::inherit())
        .output()?;
    let summary: CallSummary = serde_json::from_slice(&call.stdout)?;
    ensure!(summary.all(200), "{summary:?}");
    cluster.start(Component::ApiServer)?;
    until("the API server is back", || {
        Ok(cluster.kubectl(&["get", "--raw=/readyz"]).is_ok())
    })?;
    field(cluster, "pod/caller", "{.metadata.uid}").map(drop)
}

/// The cluster is another one afterwards, in the same place.
pub(crate) fn down_leaves_nothing_and_the_next_start_is_clean(cluster: &Cluster) -> Result<()> {
    let layout = Layout::from_environment();
    // With pods that would be made again, and others that nobody owns.
    deploy(cluster)?;
    ensure!(!Cluster::leftovers(&layout)?.is_empty(), "a cluster that is up shows");
    let start = Instant::now();
    cluster.clone().down()?;
    say(&format!("down took {:.1} s", start.elapsed().as_secs_f64()));
    let left = Cluster::leftovers(&layout)?;
    ensure!(left.is_empty(), "{}", left.join("\n"));

    let start = Instant::now();
    let cluster = Cluster::up(layout)?;
    say(&format!("a warm start took {:.1} s", start.elapsed().as_secs_f64()));
    let pods = cluster.kubectl(&[
        "get",
        "pods",
        "--all-namespaces",
        "--output=jsonpath={.items[*].metadata.namespace}",
    ])?;
    ensure!(pods == "kube-system", "only cluster DNS runs: {pods}");
    let again = Cluster::ensure()?;
    ensure!(again.kubeconfig() == cluster.kubeconfig(), "the same cluster");
    Ok(())
}

//! What breaks and what changes under 200 requests a second between pods of the mesh: replicas of the operator, a node, the API server,
//! the service account of a Deployment, all pods of another one. No request fails, and what is applied afterwards holds.
//!
//! Requests are sent once and nothing is retried, neither by the load nor by the mesh.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use operator::process::Pid;
use rustix::process::Signal;
use serde_json::Value;
use tulle_e2e::cluster::{Cluster, Component};
use tulle_e2e::harness::Steps;
use tulle_e2e::install::{Installation, NAMESPACE as SYSTEM, load_tools};
use tulle_e2e::pods::{Namespace, PodLoad, say, until};
use tulle_e2e::traffic::{HttpFlow, Spec, TcpFlow};

use super::shown::{is_ready, text};

const NAMESPACE: &str = "tulle-e2e-failures";
/// The API server is away for so long.
const AWAY: Duration = Duration::from_mins(2);
/// The load ends by itself after this time, whatever becomes of the test.
const SECONDS: f64 = 1500.0;

/// `payments` with ten pods, `ratings` with three, `steady`, which nobody touches. `preStop` is what Kubernetes asks of everything
/// that must not lose requests when it ends: callers need a moment to hear of it.
const APP: &str = "
apiVersion: v1
kind: ServiceAccount
metadata: {name: NAME}
---
apiVersion: v1
kind: Service
metadata: {name: NAME}
spec:
  selector: {app: NAME}
  ports: [{name: http, port: 80, targetPort: http}, {name: echo, port: 70, targetPort: echo}]
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: NAME}
spec:
  replicas: REPLICAS
  selector: {matchLabels: {app: NAME}}
  template:
    # The node is small, and the operator would take the place of pods that leave it none.
    metadata: {labels: {app: NAME}, annotations: {mesh.tulle.dev/proxyCPU: 10m}}
    spec:
      serviceAccountName: NAME
      terminationGracePeriodSeconds: 30
      containers:
        - name: app
          image: IMAGE
          command: [tulle-e2e, app, --name, NAME, --http, \"8080\", --tcp, \"7000\"]
          ports: [{name: http, containerPort: 8080}, {name: echo, containerPort: 7000}]
          # On a busy machine a second is short, and nobody is asked who is not ready.
          readinessProbe: {httpGet: {path: /, port: http}, periodSeconds: 1, timeoutSeconds: 5}
          lifecycle: {preStop: {sleep: {seconds: 5}}}
          resources: {requests: {cpu: 10m}}
";

/// Callers are named, so that a certificate of nobody, or of somebody else, would be noticed.
const PERMISSION: &str = "
apiVersion: mesh.tulle.dev/v1alpha1
kind: TrafficPermission
metadata: {name: NAME}
spec:
  targetRefs: [{kind: Service, name: NAME}]
  action: Allow
  rules:
    - {name: load, sources: [{type: ServiceAccount, serviceAccount: {namespace: tulle-e2e-failures, name: caller}}]}
";

const DENIAL: &str = "
apiVersion: mesh.tulle.dev/v1alpha1
kind: TrafficPermission
metadata: {name: NAME}
spec:
  targetRefs: [{kind: Service, name: steady}]
  action: Deny
  rules: [{name: path, http: [{path: {type: PathPrefix, value: /NAME}}]}]
";

struct Stage {
    installation: Installation,
    namespace: Namespace,
    load: PodLoad,
}

fn http(service: &str, http2: bool, rate: f64) -> HttpFlow {
    HttpFlow {
        name: format!("{service} {}", if http2 { "HTTP/2" } else { "HTTP/1.1" }),
        url: format!("http://{service}/"),
        rate,
        http2,
        ..HttpFlow::default()
    }
}

impl Stage {
    fn set(cluster: &Cluster) -> Result<Self> {
        let installation = Installation::ensure(cluster)?;
        let namespace = Namespace::meshed(cluster, NAMESPACE, &load_tools(cluster)?)?;
        let apps = [("payments", "10"), ("ratings", "3"), ("steady", "2")];
        for (name, replicas) in apps {
            namespace.apply(&APP.replace("NAME", name).replace("REPLICAS", replicas))?;
            namespace.apply(&PERMISSION.replace("NAME", name))?;
        }
        for (name, _) in apps {
            namespace.rolled_out(name)?;
        }
        let spec = Spec {
            http: vec![
                http("payments", false, 80.0),
                http("payments", true, 40.0),
                http("ratings", false, 40.0),
                http("steady", false, 40.0),
            ],
            tcp: vec![TcpFlow {
                address: "steady:70".to_owned(),
                interval_ms: 200,
                ..TcpFlow::default()
            }],
            seconds: SECONDS,
            ..Spec::default()
        };
        let load = PodLoad::start(&namespace, "caller", &spec)?;
        load.nothing_failed()?;
        Ok(Self {
            installation,
            namespace,
            load,
        })
    }

    /// A permission that is applied now holds soon: every part of the way of a policy works.
    fn converges(&self, name: &str) -> Result<()> {
        self.namespace.apply(&DENIAL.replace("NAME", name))?;
        let url = format!("http://steady/{name}");
        until(&format!("{name}: ten requests are denied"), || {
            Ok(self.load.call(&[&url, "-n", "10"])?.all(403))
        })?;
        self.load.nothing_failed().map(drop)
    }

    /// Two pods of the operator that are ready, none of them of these names.
    fn replicas_without(&self, gone: &BTreeSet<String>) -> Result<()> {
        until("two new replicas", || {
            let pods = self.installation.pods()?;
            let names: BTreeSet<String> = pods.iter().map(name).collect();
            Ok(pods.len() == 2 && pods.iter().all(is_ready) && names.is_disjoint(gone))
        })
    }

    fn replicas(&self) -> Result<BTreeSet<String>> {
        let names: BTreeSet<String> = self.installation.pods()?.iter().map(name).collect();
        ensure!(names.len() == 2, "two replicas: {names:?}");
        Ok(names)
    }

    /// Kills pods of the operator without a farewell.
    fn kill(&self, names: &BTreeSet<String>) -> Result<()> {
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let delete = ["delete", "pod", "--grace-period=0", "--force"];
        self.installation.kubectl(&[&delete, &names[..]].concat()).map(drop)
    }
}

fn name(pod: &Value) -> String {
    text(pod, "/metadata/name").to_owned()
}

pub(crate) fn no_request_fails(cluster: &Cluster) -> Result<()> {
    let stage = Stage::set(cluster)?;
    let mut steps = Steps::default();
    steps.run("either replica of the operator is killed", || either_replica(&stage));
    steps.run("both are deleted", || both_replicas(&stage));
    // Each connection of the load is still its first: so far nothing was done to the pods behind.
    steps.run("open connections stayed", || connections_kept(&stage));
    steps.run("a service account changes, and ten pods are replaced", || {
        rollouts(&stage)
    });
    if cluster.is_own() {
        steps.run("a node is not heard of", || doubted_node(&stage));
        steps.run("the API server is away for two minutes", || api_server_away(&stage));
    } else {
        say(
            "SKIPPED: a node is not heard of, the API server is away: those of a given cluster are not ours to be stopped",
        );
    }
    steps.run("not one request of all failed", || {
        let report = stage.load.stop()?;
        let failed = report.unanswered();
        ensure!(failed.is_empty(), "{}", failed.join("\n"));
        let answered: u64 = report.flows.values().map(|flow| flow.answered).sum();
        say(&format!("{answered} answers in {:.0} s", report.seconds));
        Ok(())
    });
    stage.namespace.leave()?;
    steps.finish()
}

fn either_replica(stage: &Stage) -> Result<()> {
    for victim in stage.replicas()? {
        let gone = BTreeSet::from([victim]);
        stage.kill(&gone)?;
        stage.replicas_without(&gone)?;
        stage.load.nothing_failed()?;
    }
    stage.converges("either")
}

fn both_replicas(stage: &Stage) -> Result<()> {
    let gone = stage.replicas()?;
    stage.installation.kubectl(&[
        "delete",
        "pods",
        "--selector=app.kubernetes.io/component=operator",
        "--wait=false",
    ])?;
    stage.replicas_without(&gone)?;
    stage.converges("both")
}

fn connections_kept(stage: &Stage) -> Result<()> {
    let report = stage.load.now()?;
    ensure!(report.connections_kept(), "{report:?}");
    Ok(())
}

/// Both at once: neither knows of the other.
fn rollouts(stage: &Stage) -> Result<()> {
    let before: BTreeSet<String> = stage
        .namespace
        .pods("app in (payments,ratings)")?
        .iter()
        .map(name)
        .collect();
    ensure!(before.len() == 13, "{before:?}");
    let account = "apiVersion: v1\nkind: ServiceAccount\nmetadata: {name: ratings-next}\n";
    stage.namespace.apply(account)?;
    stage
        .namespace
        .kubectl(&["set", "serviceaccount", "deployment/ratings", "ratings-next"])?;
    stage
        .namespace
        .kubectl(&["rollout", "restart", "deployment/payments"])?;
    for deployment in ["ratings", "payments"] {
        stage.namespace.rolled_out(deployment)?;
    }
    until("the old pods are gone", || {
        let left =
            stage
                .namespace
                .kubectl(&["get", "pods", "--output=name", "--selector=app in (payments,ratings)"])?;
        Ok(!left
            .lines()
            .any(|line| before.contains(line.trim_start_matches("pod/"))))
    })?;
    let pods = stage.namespace.pods("app=ratings")?;
    let all = pods
        .iter()
        .all(|pod| text(pod, "/spec/serviceAccountName") == "ratings-next");
    ensure!(pods.len() == 3 && all, "every pod has the new account");
    stage.load.nothing_failed().map(drop)
}

/// The kubelet is silent until the node controller has taken readiness from every pod. All of them serve on, for nothing is
/// known of the pods that was not known before.
fn doubted_node(stage: &Stage) -> Result<()> {
    let cluster = stage.installation.cluster();
    cluster.suspend(Component::Kubelet, true)?;
    let ready = [
        "get",
        "endpointslices",
        "--output=jsonpath={.items[*].endpoints[*].conditions.ready}",
    ];
    let doubted = until("no endpoint is ready", || {
        Ok(!stage.namespace.kubectl(&ready)?.contains("true"))
    })
    // Proxies have heard of that when they have heard of something later.
    .and_then(|()| enforced(stage, "unheard"));
    cluster.suspend(Component::Kubelet, false)?;
    doubted?;
    stage.converges("doubted")?;
    until("every endpoint is ready", || {
        Ok(!stage.namespace.kubectl(&ready)?.contains("false"))
    })
}

/// A new permission is enforced soon, as its status says: nobody can be asked where there is no kubelet.
fn enforced(stage: &Stage, name: &str) -> Result<()> {
    stage.namespace.apply(&DENIAL.replace("NAME", name))?;
    let (object, path) = (
        format!("trafficpermission/{name}"),
        "{.status.conditions[0].status}/{.status.conditions[0].reason}",
    );
    until(&format!("{name}: its status says that it is enforced"), || {
        Ok(stage.namespace.field(&object, path)? == "True/AllProxiesAcked")
    })
}

/// The processes of the operator, by pod.
fn operators(stage: &Stage) -> Result<Vec<(String, Pid)>> {
    let cluster = stage.installation.cluster();
    let mut found = Vec::new();
    for pod in stage.installation.pods()? {
        let uid = text(&pod, "/metadata/uid").to_owned();
        let processes = cluster.pod_processes(&uid, "tulle")?;
        let process = processes
            .first()
            .with_context(|| format!("{} runs nothing", name(&pod)))?;
        found.push((uid, *process));
    }
    ensure!(found.len() == 2, "two operators");
    Ok(found)
}

/// Meanwhile each replica of the operator is killed once and started again by the kubelet: it finds no API server.
fn api_server_away(stage: &Stage) -> Result<()> {
    let (cluster, operators) = (stage.installation.cluster(), operators(stage)?);
    let start = Instant::now();
    cluster.stop(Component::ApiServer)?;
    let away = (|| {
        for (_, process) in &operators {
            process.signal(Signal::KILL)?;
        }
        for (uid, process) in &operators {
            let restarted = |now: Vec<Pid>| now.iter().any(|one| one != process);
            until("the kubelet starts the operator again", || {
                Ok(restarted(cluster.pod_processes(uid, "tulle")?))
            })?;
        }
        until("two minutes", || Ok(start.elapsed() >= AWAY))
    })();
    cluster.start(Component::ApiServer)?;
    away?;
    until("the API server is back", || {
        Ok(cluster.kubectl(&["get", "--raw=/readyz"]).is_ok())
    })?;
    let system = Instant::now();
    stage.converges("away")?;
    say(&format!(
        "a policy is enforced {:.1} s after the API server came back to {SYSTEM}",
        system.elapsed().as_secs_f64()
    ));
    stage.replicas_without(&BTreeSet::new())
}

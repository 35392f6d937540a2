//! `kubectl get meshstatus` on the chart's installation: two replicas of the operator, real Envoys in Pods. A sidecar is killed, a
//! Deployment is scaled, a policy is broken: the row says so within 5 s. Nothing happens: nothing is written.
//!
//! `kubernetes_status` looks closer, with simulated proxies.

#![allow(
    clippy::indexing_slicing,
    reason = "a field that JSON does not have is null, and a test that cannot go on must stop"
)]

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use rustix::process::Signal;
use serde_json::Value;
use tulle_e2e::cluster::Cluster;
use tulle_e2e::harness::{Steps, wait_until};
use tulle_e2e::install::{Installation, NAMESPACE as SYSTEM, load_tools};
use tulle_e2e::pods::{LIMIT, Namespace, Written, say, until};

use super::shown::{ready, row, text};

const NAMESPACE: &str = "tulle-e2e-rows";
/// What status promises.
const SOON: Duration = Duration::from_secs(5);
/// How long nothing happens.
const QUIET: Duration = Duration::from_mins(2);

const APP: &str = "
apiVersion: v1
kind: Service
metadata: {name: NAME}
spec:
  selector: {app: NAME}
  ports: [{name: http, port: 80, targetPort: http}]
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: NAME}
spec:
  replicas: REPLICAS
  selector: {matchLabels: {app: NAME}}
  template:
    metadata: {labels: {app: NAME}, annotations: {mesh.tulle.dev/proxyCPU: 10m}}
    spec:
      terminationGracePeriodSeconds: 5
      containers:
        - name: app
          image: IMAGE
          command: [tulle-e2e, app, --name, NAME, --http, \"8080\"]
          ports: [{name: http, containerPort: 8080}]
          readinessProbe: {httpGet: {path: /, port: http}, periodSeconds: 1, timeoutSeconds: 5}
          resources: {requests: {cpu: 10m}}
";

const PERMISSION: &str = "
apiVersion: mesh.tulle.dev/v1alpha1
kind: TrafficPermission
metadata: {name: policy}
spec:
  targetRefs: [{kind: Service, name: TARGET}]
  action: Allow
  rules: [{name: all, sources: [{type: Authenticated}], http: [{path: {type: PathPrefix, value: /}}]}]
";

const ORDERS: &str = "meshstatus/orders";
const POLICY: &str = "trafficpermission/policy";

struct Stage {
    installation: Installation,
    namespace: Namespace,
}

pub(crate) fn rows_follow_and_rest(cluster: &Cluster) -> Result<()> {
    let stage = Stage {
        installation: Installation::ensure(cluster)?,
        namespace: Namespace::meshed(cluster, NAMESPACE, &load_tools(cluster)?)?,
    };
    let mut steps = Steps::default();
    deployed(&stage)?;
    if cluster.is_own() {
        steps.run("a sidecar is dead", || killed(&stage, cluster));
    } else {
        say("SKIPPED: a sidecar is dead: processes of a given cluster are not ours to be killed");
    }
    steps.run("a Deployment is scaled", || scaled(&stage));
    steps.run("a policy is broken, and mended", || broken(&stage));
    steps.run("nothing happens, nothing is written", || quiet(&stage));
    stage.namespace.leave()?;
    steps.finish()
}

impl Stage {
    /// Waits until an object is as wanted; says how long it took.
    fn follow(&self, what: &str, object: &str, wanted: impl Fn(&Value) -> bool) -> Result<()> {
        self.follow_while(what, object, || Ok(()), wanted)
    }

    /// The same, with something that is done before each look.
    fn follow_while(
        &self,
        what: &str,
        object: &str,
        meanwhile: impl Fn() -> Result<()>,
        wanted: impl Fn(&Value) -> bool,
    ) -> Result<()> {
        let (start, mut last) = (Instant::now(), Value::Null);
        let followed = wait_until(what, SOON, Duration::from_millis(50), || {
            meanwhile()?;
            last = serde_json::from_str(&self.namespace.kubectl(&["get", object, "--output=json"])?)?;
            Ok(wanted(&last).then_some(()))
        });
        followed.with_context(|| format!("{:#}", last["status"]))?;
        say(&format!("{what}: {} ms", start.elapsed().as_millis()));
        Ok(())
    }

    fn row(&self, what: &str, synced: &str, state: &str) -> Result<()> {
        self.follow(what, ORDERS, |object| row(object) == (synced, state))
    }

    /// How many proxies each replica of the operator has.
    fn shares(&self) -> Result<Vec<u64>> {
        let mut shares = Vec::new();
        for pod in self.installation.pods()? {
            let name = text(&pod, "/metadata/name");
            let path = format!("/api/v1/namespaces/{SYSTEM}/pods/{name}:8080/proxy/metrics");
            let metrics = self.installation.kubectl(&["get", "--raw", &path])?;
            let share = |line: &str| line.strip_prefix("tulle_proxies_connected ")?.parse().ok();
            shares.push(metrics.lines().find_map(share).context("no figure")?);
        }
        Ok(shares)
    }
}

/// Six proxies at two replicas, and a row for each Deployment that says the truth.
fn deployed(stage: &Stage) -> Result<()> {
    for (name, replicas) in [("orders", "4"), ("ratings", "2")] {
        stage
            .namespace
            .apply(&APP.replace("NAME", name).replace("REPLICAS", replicas))?;
    }
    for name in ["orders", "ratings"] {
        stage.namespace.rolled_out(name)?;
    }
    stage.row("four proxies", "4/4", "Healthy")?;
    until("proxies at both replicas", || {
        let shares = stage.shares()?;
        say(&format!("proxies of the replicas: {shares:?}"));
        if shares.iter().sum::<u64>() == 6 && shares.contains(&0) {
            // Each proxy chooses by chance.
            stage.namespace.kubectl(&["rollout", "restart", "deployment/orders"])?;
            stage.namespace.rolled_out("orders")?;
        }
        Ok(shares.iter().sum::<u64>() == 6 && shares.len() == 2 && !shares.contains(&0))
    })?;
    stage.row("four proxies of two replicas", "4/4", "Healthy")?;
    let table = stage.installation.cluster().kubectl(&["get", "meshstatus", "-A"])?;
    say(&format!("\n{table}"));
    let rows = |line: &&str| line.starts_with(NAMESPACE);
    ensure!(
        table.lines().filter(rows).count() == 2,
        "one row for each Deployment: {table}"
    );
    Ok(())
}

/// Envoy is killed as often as the kubelet starts it, until the row says so.
fn killed(stage: &Stage, cluster: &Cluster) -> Result<()> {
    let pods = stage.namespace.pods("app=orders")?;
    let uid = text(pods.first().context("orders has pods")?, "/metadata/uid");
    let kill = || {
        for envoy in cluster.pod_processes(uid, "envoy")? {
            envoy.signal(Signal::KILL)?;
        }
        Ok(())
    };
    ensure!(!cluster.pod_processes(uid, "envoy")?.is_empty(), "the pod has an Envoy");
    stage.follow_while("a sidecar is dead", ORDERS, kill, |object| {
        row(object) == ("3/4", "Progressing")
    })?;
    until("the kubelet starts it again", || {
        Ok(stage.shares()?.iter().sum::<u64>() == 6)
    })?;
    stage.row("the sidecar is back", "4/4", "Healthy")
}

fn scaled(stage: &Stage) -> Result<()> {
    for replicas in [6, 2] {
        let scale = ["scale", "deployment/orders", &format!("--replicas={replicas}")];
        stage.namespace.kubectl(&scale)?;
        wait_until("the Pods are there", LIMIT, Duration::from_millis(50), || {
            let list = ["get", "pods", "--selector=app=orders", "--no-headers"];
            let pods = stage.namespace.kubectl(&list)?;
            let ready = pods.lines().filter(|line| line.contains(" 2/2 ")).count();
            Ok((pods.lines().count() == replicas && ready == replicas).then_some(()))
        })?;
        let synced = format!("{replicas}/{replicas}");
        stage.row(&format!("orders has {replicas} pods"), &synced, "Healthy")?;
    }
    Ok(())
}

fn broken(stage: &Stage) -> Result<()> {
    let counted = |count: u64, default: &'static str| {
        move |object: &Value| {
            object["status"]["policyCount"] == count && text(object, "/status/defaultAction") == default
        }
    };
    let good = PERMISSION.replace("TARGET", "orders");
    for _ in ["made", "mended"] {
        stage.namespace.apply(&good)?;
        stage.follow("a policy is in the row", ORDERS, counted(1, "Deny"))?;
        stage.follow("it is enforced", POLICY, |object| {
            ready(object) == "True/AllProxiesAcked"
        })?;
        stage.namespace.apply(&PERMISSION.replace("TARGET", "nowhere"))?;
        stage.follow("a broken policy is in the row no more", ORDERS, counted(0, "Allow"))?;
        stage.follow("it says why", POLICY, |object| ready(object) == "False/TargetNotFound")?;
    }
    stage.namespace.apply(&good)?;
    stage.follow("a mended policy is in the row", ORDERS, counted(1, "Deny"))?;
    stage.row("every proxy has it", "2/2", "Healthy")
}

fn quiet(stage: &Stage) -> Result<()> {
    let cluster = stage.installation.cluster();
    let (before, start) = (Written::at_rest(cluster)?, Instant::now());
    // Not a wait for anything: the time itself is what is asked for.
    std::thread::sleep(QUIET);
    let after = Written::now(cluster)?;
    say(&format!(
        "{} s: {} writes",
        start.elapsed().as_secs(),
        after.count() - before.count()
    ));
    before.ensure_same(&after)
}

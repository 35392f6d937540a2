//! The Kubernetes source and the tokens of Pods, on a real cluster: what is applied appears in the model, and a Pod is let in
//! as itself only. The control plane runs in this process, beside the cluster; nothing is intercepted.

use std::fs;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use config::Model;
use config::model::{Key, Workload};
use operator::control_plane::{ClusterOptions, ClusterPlane, Replica, WebhookOptions};
use operator::health::Health;
use operator::source::kubernetes;
use tulle_e2e::cluster::Cluster;
use tulle_e2e::harness::own_program;
use tulle_e2e::install::Installation;
use tulle_e2e::pods::say;
use tulle_e2e::probe::ads::AdsReport;

const SYSTEM: &str = "tulle-system";
const NAMESPACE: &str = "tulle-e2e-source";
const OTHER: &str = "tulle-e2e-source-other";
const IMAGE: &str = "localhost/tulle-e2e:source-test";
const DOCKERFILE: &str = "FROM debian:bookworm-slim\nCOPY tulle-e2e /usr/local/bin/tulle-e2e\n";
/// The machine may have other work.
const LIMIT: Duration = Duration::from_mins(2);

const POD: &str = r#"
apiVersion: v1
kind: ServiceAccount
metadata: {name: NAME}
---
apiVersion: v1
kind: Pod
metadata: {name: NAME, labels: {app: NAME, INJECTED: "by-hand"}}
spec:
  serviceAccountName: NAME
  terminationGracePeriodSeconds: 1
  containers:
    - name: app
      image: IMAGE
      command: [tulle-e2e, app, --http, "7000"]
      ports: [{name: http, containerPort: 7000}]
      readinessProbe: {tcpSocket: {port: 7000}, periodSeconds: 1}
      volumeMounts: [{name: token, mountPath: /token}, {name: root, mountPath: /root-of-mesh}]
  volumes:
    - name: root
      configMap: {name: root}
    - name: token
      projected:
        sources:
          - serviceAccountToken: {audience: tulle, path: token, expirationSeconds: 600}
          - serviceAccountToken: {audience: somebody, path: other, expirationSeconds: 600}
---
apiVersion: v1
kind: Service
metadata: {name: NAME}
spec:
  selector: {app: NAME}
  ports: [{name: http, port: 80, targetPort: http}]
"#;

const PERMISSION: &str = r"
apiVersion: mesh.tulle.dev/v1alpha1
kind: TrafficPermission
metadata: {name: one}
spec:
  targetRefs: [{kind: Service, name: orders}]
  action: ACTION
  rules: [{name: all, sources: [{type: Authenticated}]}]
";

/// The cluster, with our kinds; those that this test made are removed by it.
struct Stage {
    cluster: Cluster,
    plane: ClusterPlane,
    /// Where Pods reach the plane.
    address: String,
    own_kinds: bool,
}

fn kubectl(cluster: &Cluster, namespace: &str, arguments: &[&str]) -> Result<String> {
    cluster.kubectl(&[&["--namespace", namespace][..], arguments].concat())
}

fn apply(cluster: &Cluster, namespace: &str, yaml: &str) -> Result<()> {
    let arguments = ["--namespace", namespace, "apply", "--filename=-"];
    cluster.kubectl_with_input(&arguments, yaml).map(drop)
}

fn kinds(cluster: &Cluster, verb: &[&str]) -> Result<()> {
    for kind in crds::all() {
        cluster.kubectl_with_input(&[verb, &["--filename=-"]].concat(), &serde_json::to_string(&kind)?)?;
    }
    Ok(())
}

fn namespaces(cluster: &Cluster, root: &str) -> Result<()> {
    for namespace in [NAMESPACE, OTHER] {
        let delete = ["delete", "namespace", namespace, "--ignore-not-found", "--timeout=120s"];
        cluster.kubectl(&delete)?;
        cluster.kubectl(&["create", "namespace", namespace])?;
        kubectl(
            cluster,
            namespace,
            &[
                "create",
                "configmap",
                "root",
                &format!("--from-literal=root.pem={root}"),
            ],
        )?;
    }
    Ok(())
}

impl Stage {
    async fn set(cluster: Cluster, state: &std::path::Path) -> Result<Self> {
        let own_kinds = cluster.kubectl(&["get", "crd", "meshes.mesh.tulle.dev"]).is_err();
        if own_kinds {
            kinds(&cluster, &["apply"])?;
        }
        let context = tempfile::tempdir()?;
        fs::copy(own_program()?, context.path().join("tulle-e2e"))?;
        fs::write(context.path().join("Dockerfile"), DOCKERFILE)?;
        cluster.load_image(&context.path().join("Dockerfile"), context.path(), IMAGE)?;
        if cluster.kubectl(&["get", "namespace", SYSTEM]).is_err() {
            cluster.kubectl(&["create", "namespace", SYSTEM])?;
        }
        let options = ClusterOptions {
            client: kubernetes::connect(Some(cluster.kubeconfig())).await?,
            state_dir: state.to_owned(),
            listen: "0.0.0.0:0".parse()?,
            system_namespace: SYSTEM.to_owned(),
            webhook: WebhookOptions {
                listen: "127.0.0.1:0".parse()?,
                service: "tulle".to_owned(),
                image: IMAGE.to_owned(),
                envoy_image: "docker.io/envoyproxy/envoy:v1.40.0".to_owned(),
            },
            health: Health::default(),
            replica: Replica::default(),
        };
        let plane = ClusterPlane::start(options).await?;
        namespaces(&cluster, plane.bundle_pem())?;
        let path = "--output=jsonpath={.items[0].status.addresses[?(@.type=='InternalIP')].address}";
        let node = cluster.kubectl(&["get", "nodes", path])?;
        let address = format!("{node}:{}", plane.xds_address().port());
        Ok(Self {
            cluster,
            plane,
            address,
            own_kinds,
        })
    }

    fn pod(&self, namespace: &str, name: &str, injected: bool) -> Result<()> {
        let yaml = POD
            .replace("NAME", name)
            .replace("image: IMAGE", &format!("image: {IMAGE}"))
            .replace("INJECTED", if injected { "mesh.tulle.dev/injected" } else { "other" });
        apply(&self.cluster, namespace, &yaml)?;
        let ready = [
            "wait",
            "--for=condition=Ready",
            &format!("pod/{name}"),
            "--timeout=120s",
        ];
        kubectl(&self.cluster, namespace, &ready).map(drop)
    }

    /// Waits until the model is as wanted.
    async fn until(&self, what: &str, mut wanted: impl FnMut(&Model) -> bool) -> Result<Arc<Model>> {
        let view = self.plane.engine().wait_for(|view| wanted(&view.model));
        let view = tokio::time::timeout(LIMIT, view).await;
        Ok(Arc::clone(
            &view.with_context(|| format!("{what}: not within {LIMIT:?}"))?.model,
        ))
    }

    /// What the plane answers a process in a Pod that shows a token and claims to be a node.
    fn ask(&self, from: (&str, &str), token: &str, node: &str) -> Result<AdsReport> {
        let path = "--output=jsonpath={.status.podIP}";
        let source: IpAddr = kubectl(&self.cluster, from.0, &["get", "pod", from.1, path])?.parse()?;
        let script = format!(
            "cat > /tmp/token && tulle-e2e ads {} --root /root-of-mesh/root.pem --node '{node}' --token /tmp/token \
             --source {source} --listen 20000 --identity",
            self.address
        );
        let exec = [
            "--namespace",
            from.0,
            "exec",
            "--stdin",
            from.1,
            "--",
            "sh",
            "-c",
            &script,
        ];
        Ok(serde_json::from_str(&self.cluster.kubectl_with_input(&exec, token)?)?)
    }

    fn refused(&self, case: &str, from: (&str, &str), token: &str, node: &str, why: &str) -> Result<()> {
        let report = self.ask(from, token, node)?;
        let said = report.ended.clone().unwrap_or_default();
        ensure!(
            !report.complete && report.resources == 0 && report.identity.is_none() && said.contains(why),
            "{case}: {report:?}"
        );
        Ok(())
    }

    fn file(&self, (namespace, pod): (&str, &str), file: &str) -> Result<String> {
        kubectl(&self.cluster, namespace, &["exec", pod, "--", "cat", file])
    }

    async fn clear(self) -> Result<()> {
        self.plane.shutdown(Duration::ZERO).await;
        for namespace in [NAMESPACE, OTHER] {
            self.cluster
                .kubectl(&["delete", "namespace", namespace, "--timeout=120s"])?;
        }
        if self.own_kinds {
            kinds(&self.cluster, &["delete"])?;
        }
        Ok(())
    }
}

fn workload<'a>(model: &'a Model, namespace: &str, name: &str) -> Option<&'a Workload> {
    model.workloads.get(&Key::new(namespace, name)).map(|found| &**found)
}

pub(crate) async fn a_real_cluster_is_read(cluster: &Cluster) -> Result<()> {
    if !cluster.is_own() {
        say("SKIPPED: Pods of a given cluster may not reach this process");
        return Ok(());
    }
    // An installation would answer for the same objects.
    Installation::absent(cluster)?;
    let state = tempfile::tempdir()?;
    let stage = Stage::set(cluster.clone(), state.path()).await?;
    objects(&stage).await?;
    tokens(&stage).await?;
    stage.clear().await
}

/// Pods, Services, their endpoints and policies, as they come, change and go.
async fn objects(stage: &Stage) -> Result<()> {
    stage.pod(NAMESPACE, "orders", true)?;
    let port = |model: &Model| {
        let service = model.services.get(&Key::new(NAMESPACE, "orders"))?;
        let endpoints = service.ports.get(&80)?.endpoints.clone();
        Some(endpoints.first()?.workload == Some(Key::new(NAMESPACE, "orders")))
    };
    let model = stage
        .until("a ready Pod behind its Service", |model| port(model) == Some(true))
        .await?;
    let orders = workload(&model, NAMESPACE, "orders").context("the Pod is a workload")?;
    let expected = format!("spiffe://tulle.local/ns/{NAMESPACE}/sa/orders");
    ensure!(orders.identity.to_string() == expected, "{}", orders.identity);

    let rules = |model: &Model| {
        let port = workload(model, NAMESPACE, "orders")?.ports.get(&7000)?.clone();
        Some((port.permission.allow.len(), port.permission.deny.len()))
    };
    for (action, wanted) in [("Allow", (1, 0)), ("Deny", (0, 1))] {
        apply(&stage.cluster, NAMESPACE, &PERMISSION.replace("ACTION", action))?;
        stage.until(action, |model| rules(model) == Some(wanted)).await?;
    }
    kubectl(&stage.cluster, NAMESPACE, &["delete", "trafficpermission", "one"])?;
    stage
        .until("the permission is gone", |model| rules(model) == Some((0, 0)))
        .await?;
    Ok(())
}

const ORDERS: (&str, &str) = (NAMESPACE, "orders");
const THIEF: (&str, &str) = (NAMESPACE, "thief");
const PLAIN: (&str, &str) = (NAMESPACE, "plain");
const FOREIGN: (&str, &str) = (OTHER, "orders");

fn node((namespace, name): (&str, &str)) -> String {
    format!("{namespace}/{name}")
}

/// A Pod's token counts for that Pod, from that Pod.
async fn tokens(stage: &Stage) -> Result<()> {
    stage.pod(NAMESPACE, "thief", true)?;
    stage.pod(NAMESPACE, "plain", false)?;
    stage.pod(OTHER, "orders", true)?;
    let known = |model: &Model| {
        let thief = workload(model, NAMESPACE, "thief");
        thief.and(workload(model, OTHER, "orders")).is_some()
    };
    stage.until("the Pods are workloads", known).await?;
    let file = |pod, name: &str| stage.file(pod, &format!("/token/{name}"));
    let (own, foreign) = (file(ORDERS, "token")?, file(FOREIGN, "token")?);
    let (wrong, unmeshed) = (file(ORDERS, "other")?, file(PLAIN, "token")?);
    let default = stage.file(ORDERS, "/var/run/secrets/kubernetes.io/serviceaccount/token")?;
    let create = ["create", "token", "orders", "--audience=tulle"];
    let unbound = kubectl(&stage.cluster, NAMESPACE, &create)?.trim().to_owned();

    let report = stage.ask(ORDERS, &own, &node(ORDERS))?;
    ensure!(
        report.complete && report.identity.is_some(),
        "a Pod is itself: {report:?}"
    );
    let cases = [
        ("another Pod's node id", ORDERS, &*own, THIEF, "is not for node"),
        ("another namespace's node id", ORDERS, &own, FOREIGN, "is not for node"),
        ("stolen", THIEF, &own, ORDERS, "not an address of that Pod"),
        ("stolen, as oneself", THIEF, &own, THIEF, "is not for node"),
        ("another namespace's token", ORDERS, &foreign, ORDERS, "is not for node"),
        ("wrong audience", ORDERS, &wrong, ORDERS, "audience"),
        ("the API server's token", ORDERS, &default, ORDERS, "audience"),
        ("bound to no Pod", ORDERS, &unbound, ORDERS, "bound to no Pod"),
        ("no token", ORDERS, "", ORDERS, "no token"),
        ("a Pod that is not meshed", PLAIN, &unmeshed, PLAIN, "there is no Pod"),
    ];
    for (case, from, token, claimed, why) in cases {
        stage.refused(case, from, token, &node(claimed), why)?;
    }
    deleted(stage, &own).await
}

/// The token of a deleted Pod counts no more, whether or not there is another one of its name.
async fn deleted(stage: &Stage, token: &str) -> Result<()> {
    kubectl(&stage.cluster, NAMESPACE, &["delete", "pod", "orders", "--timeout=60s"])?;
    let there = |model: &Model| workload(model, NAMESPACE, "orders").is_some();
    stage.until("the Pod is gone", |model| !there(model)).await?;
    let why = "there is no Pod";
    stage.refused("a deleted Pod's token", THIEF, token, &node(ORDERS), why)?;
    stage.pod(NAMESPACE, "orders", true)?;
    stage.until("the new Pod", there).await?;
    stage.refused("its predecessor's token", ORDERS, token, &node(ORDERS), why)?;
    let own = stage.file(ORDERS, "/token/token")?;
    let report = stage.ask(ORDERS, &own, &node(ORDERS))?;
    ensure!(report.complete, "the new Pod is itself: {report:?}");
    Ok(())
}

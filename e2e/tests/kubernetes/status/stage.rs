//! Two `tulle operator` processes beside a real cluster, and Pods whose simulated proxies are spread over both.

use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use tulle_e2e::cluster::Cluster;
use tulle_e2e::harness::{Operator, tulle, wait_until};
use tulle_e2e::install::{Installation, load_tools};
use tulle_e2e::pods::say;

/// The namespace of the test.
pub(crate) const NAMESPACE: &str = "tulle-e2e-status";
const SYSTEM: &str = "tulle-system";
/// Starting takes time, and the machine may have other work.
pub(crate) const LONG: Duration = Duration::from_mins(3);

const DEPLOYMENT: &str = r#"
apiVersion: apps/v1
kind: Deployment
metadata: {name: NAME}
spec:
  replicas: REPLICAS
  selector: {matchLabels: {deployment: NAME}}
  template:
    metadata:
      labels: {app: GROUP, deployment: NAME, mesh.tulle.dev/injected: "true"}
      annotations: {mesh.tulle.dev/injected: "true"}
    spec:
      terminationGracePeriodSeconds: 1
      containers:
        - name: app
          image: IMAGE
          command: [tulle-e2e, app, --http, "7000"]
          ports: [{name: http, containerPort: 7000}]
          readinessProbe: {tcpSocket: {port: 7000}, periodSeconds: 1}
        - name: proxy
          image: IMAGE
          command: [sh, -c, "echo ack > /tmp/mode; exec tulle-e2e sidecar SERVERS --root /root-of-mesh/root.pem --node NAMESPACE/$POD --token /token/token --source $ADDRESS --mode /tmp/mode"]
          env:
            - {name: POD, valueFrom: {fieldRef: {fieldPath: metadata.name}}}
            - {name: ADDRESS, valueFrom: {fieldRef: {fieldPath: status.podIP}}}
          volumeMounts: [{name: token, mountPath: /token}, {name: root, mountPath: /root-of-mesh}]
      volumes:
        - name: root
          configMap: {name: tulle-ca}
        - name: token
          projected: {sources: [{serviceAccountToken: {audience: tulle, path: token, expirationSeconds: 3600}}]}
---
apiVersion: v1
kind: Service
metadata: {name: GROUP}
spec:
  selector: {app: GROUP}
  ports: [{name: http, port: 80, targetPort: http}]
"#;

/// A Pod that stays out of the mesh.
const LEGACY: &str = r#"
apiVersion: v1
kind: Pod
metadata: {name: legacy-1, labels: {app: legacy, mesh.tulle.dev/inject: "false"}}
spec:
  terminationGracePeriodSeconds: 1
  containers: [{name: app, image: IMAGE, command: [tulle-e2e, app, --http, "7000"]}]
"#;

/// The names of the replicas.
pub(crate) const NAMES: [&str; 2] = ["tulle-a", "tulle-b"];

/// Cluster, replicas and Pods.
pub(crate) struct Stage {
    pub(crate) cluster: Cluster,
    pub(crate) replicas: [Operator; 2],
    servers: [String; 2],
    image: String,
}

impl Stage {
    /// Sets it, but for the Pods.
    pub(crate) fn set(cluster: Cluster) -> Result<Self> {
        Installation::only_kinds(&cluster)?;
        let image = load_tools(&cluster)?;
        namespaces(&cluster)?;
        let path = "--output=jsonpath={.items[0].status.addresses[?(@.type=='InternalIP')].address}";
        let node = cluster.kubectl(&["get", "nodes", path])?;
        let start = |name| {
            let arguments = [
                "--pod-name",
                name,
                "--pod-address",
                &node,
                "--status-listen",
                "0.0.0.0:0",
            ];
            let mut replica = Operator::start(cluster.kubeconfig(), &[&arguments[..], &["--drain", "0s"]].concat())?;
            replica.until_ready()?;
            anyhow::Ok(replica)
        };
        let replicas = [start(NAMES[0])?, start(NAMES[1])?];
        let servers = replicas
            .each_ref()
            .map(|replica| format!("{node}:{}", replica.xds.port()));
        Ok(Self {
            cluster,
            replicas,
            servers,
            image,
        })
    }

    /// A Deployment of a group whose proxies prefer one replica.
    pub(crate) fn deploy(&self, name: &str, group: &str, replicas: u32, prefers: usize) -> Result<()> {
        let [first, second] = &self.servers;
        let servers = if prefers == 0 {
            format!("{first} {second}")
        } else {
            format!("{second} {first}")
        };
        let yaml = DEPLOYMENT
            .replace("SERVERS", &servers)
            .replace("image: IMAGE", &format!("image: {}", self.image))
            .replace("NAMESPACE", NAMESPACE)
            .replace("NAME", name)
            .replace("GROUP", group)
            .replace("REPLICAS", &replicas.to_string());
        self.apply(&yaml)
    }

    /// The Pod that stays out.
    pub(crate) fn deploy_unmeshed(&self) -> Result<()> {
        self.apply(&LEGACY.replace("IMAGE", &self.image))
    }

    /// `kubectl` in the namespace.
    pub(crate) fn kubectl(&self, arguments: &[&str]) -> Result<String> {
        self.cluster
            .kubectl(&[&["--namespace", NAMESPACE][..], arguments].concat())
    }

    /// Applies objects in the namespace.
    pub(crate) fn apply(&self, yaml: &str) -> Result<()> {
        let arguments = ["--namespace", NAMESPACE, "apply", "--filename=-"];
        self.cluster.kubectl_with_input(&arguments, yaml).map(drop)
    }

    /// Tells every proxy of a Deployment what to do.
    pub(crate) fn mode(&self, deployment: &str, mode: &str) -> Result<()> {
        let label = format!("--selector=deployment={deployment}");
        let pods = self.kubectl(&["get", "pods", &label, "--output=name"])?;
        ensure!(!pods.trim().is_empty(), "{deployment} has no Pods");
        for pod in pods.lines() {
            let write = format!("echo {mode} > /tmp/mode");
            self.kubectl(&["exec", pod, "--container=proxy", "--", "sh", "-c", &write])?;
        }
        Ok(())
    }

    /// An object as the API server has it.
    pub(crate) fn object(&self, kind: &str, name: &str) -> Result<Value> {
        Ok(serde_json::from_str(&self.kubectl(&[
            "get",
            kind,
            name,
            "--output=json",
        ])?)?)
    }

    /// Waits until an object is as wanted; says how long it took.
    pub(crate) fn until(
        &self,
        what: &str,
        limit: Duration,
        (kind, name): (&str, &str),
        wanted: impl Fn(&Value) -> bool,
    ) -> Result<Value> {
        let start = std::time::Instant::now();
        let mut last = Value::Null;
        let found = wait_until(what, limit, Duration::from_millis(50), || {
            last = self.object(kind, name)?;
            Ok(wanted(&last).then(|| last.clone()))
        });
        let found = found.with_context(|| format!("{:#}", last["status"]))?;
        say(&format!("{what}: {} ms", start.elapsed().as_millis()));
        Ok(found)
    }

    /// Who holds the Lease.
    pub(crate) fn leader(&self) -> Result<usize> {
        let path = "--output=jsonpath={.spec.holderIdentity}";
        let holder = self
            .cluster
            .kubectl(&["--namespace", SYSTEM, "get", "lease", "tulle", path])?;
        let named = |name: &&str| holder.starts_with(&format!("{name}@"));
        NAMES
            .iter()
            .position(named)
            .with_context(|| format!("nobody is {holder:?}"))
    }

    /// What one replica alone knows of a row.
    pub(crate) fn own_row(&self, replica: usize, row: &str) -> Result<Value> {
        let output = Command::new(tulle()?)
            .args([
                "get",
                "meshstatus",
                row,
                "--namespace",
                NAMESPACE,
                "--output",
                "json",
                "--state",
            ])
            .arg(self.replicas[replica].state())
            .output()?;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Ok(serde_json::from_slice(&output.stdout)?)
    }

    /// Removes what it made.
    pub(crate) fn clear(self) -> Result<()> {
        let gone = ["delete", "namespace", NAMESPACE, "--timeout=120s"];
        self.cluster.kubectl(&gone)?;
        drop(self.replicas);
        Installation::absent(&self.cluster)
    }
}

fn namespaces(cluster: &Cluster) -> Result<()> {
    for namespace in [NAMESPACE, SYSTEM] {
        cluster.kubectl(&["delete", "namespace", namespace, "--ignore-not-found", "--timeout=120s"])?;
        cluster.kubectl(&["create", "namespace", namespace])?;
    }
    cluster.kubectl(&["label", "namespace", NAMESPACE, "mesh.tulle.dev/inject=true"])?;
    cluster.apply("apiVersion: mesh.tulle.dev/v1alpha1\nkind: Mesh\nmetadata: {name: default}\nspec: {}\n")?;
    Ok(())
}

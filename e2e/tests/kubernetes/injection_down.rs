//! While injection is down, a pod of the mesh is refused: it does not start without its proxy. What runs goes on, what left the
//! mesh is not concerned, and what was refused starts when injection is back.

use anyhow::{Result, ensure};
use serde_json::Value;
use tulle_e2e::cluster::Cluster;
use tulle_e2e::install::{Installation, load_tools};
use tulle_e2e::pods::{Namespace, until};

const NAMESPACE: &str = "tulle-e2e-injection";

const POD: &str = r#"
apiVersion: v1
kind: Pod
metadata: {name: NAME, labels: {app: NAME, mesh.tulle.dev/inject: "MESHED"}}
spec:
  terminationGracePeriodSeconds: 1
  containers:
    - name: app
      image: IMAGE
      command: [tulle-e2e, app, --http, "7000"]
      ports: [{name: http, containerPort: 7000}]
"#;

const SERVICE: &str = "
apiVersion: v1
kind: Service
metadata: {name: before}
spec:
  selector: {app: before}
  ports: [{name: http, port: 80, targetPort: http}]
";

const DEPLOYMENT: &str = r#"
apiVersion: apps/v1
kind: Deployment
metadata: {name: meanwhile}
spec:
  replicas: 1
  selector: {matchLabels: {app: meanwhile}}
  template:
    metadata: {labels: {app: meanwhile}}
    spec:
      terminationGracePeriodSeconds: 1
      containers:
        - name: app
          image: IMAGE
          command: [tulle-e2e, app, --http, "7000"]
"#;

fn pod(name: &str, meshed: bool) -> String {
    POD.replace("NAME", name).replace("MESHED", &meshed.to_string())
}

/// Whether the only pod with this `app` label has a proxy.
fn has_proxy(namespace: &Namespace, app: &str) -> Result<bool> {
    let pods = namespace.pods(&format!("app={app}"))?;
    ensure!(pods.len() == 1, "one pod of {app}: {}", pods.len());
    let containers = pods.first().and_then(|pod| pod.pointer("/spec/initContainers"));
    let mut names = containers.and_then(Value::as_array).into_iter().flatten();
    Ok(names.any(|one| one["name"] == "tulle-proxy"))
}

pub(crate) fn without_injection_nothing_starts_unmeshed(cluster: &Cluster) -> Result<()> {
    let installation = Installation::ensure(cluster)?;
    let namespace = Namespace::meshed(cluster, NAMESPACE, &load_tools(cluster)?)?;
    for (name, meshed) in [("before", true), ("caller", true)] {
        namespace.apply(&pod(name, meshed))?;
    }
    namespace.apply(SERVICE)?;
    namespace.ready(&["pod/before", "pod/caller"])?;
    ensure!(has_proxy(&namespace, "before")?, "injection works");

    installation.scale(0)?;
    let down = while_down(cluster, &namespace);
    installation.scale(2)?;
    down?;

    until("the API server reaches injection again", || {
        namespace.apply(&pod("after", true)).map(|()| true)
    })?;
    // Who made pods in vain tries again by itself.
    namespace.rolled_out("meanwhile")?;
    namespace.ready(&["pod/after"])?;
    for app in ["after", "meanwhile"] {
        ensure!(has_proxy(&namespace, app)?, "{app} has a proxy");
    }
    namespace.leave()
}

fn while_down(cluster: &Cluster, namespace: &Namespace) -> Result<()> {
    let refused = namespace
        .apply(&pod("refused", true))
        .err()
        .map(|error| format!("{error:#}"));
    let words = refused.unwrap_or_default();
    ensure!(
        words.contains("inject.mesh.tulle.dev"),
        "the pod is refused by name: {words:?}"
    );
    let there = namespace.kubectl(&["get", "pods", "--selector=app=refused", "--output=name"])?;
    ensure!(there.is_empty(), "nothing was started: {there}");

    namespace.apply(DEPLOYMENT)?;
    until("the Deployment says why it has no pod", || {
        let path = "{.status.conditions[?(@.type=='ReplicaFailure')].message}";
        Ok(namespace
            .field("deployment/meanwhile", path)?
            .contains("inject.mesh.tulle.dev"))
    })?;
    let there = namespace.pods("app=meanwhile")?;
    ensure!(there.is_empty(), "nothing was started: {there:?}");

    // Not concerned: who left the mesh, other namespaces, what runs already.
    namespace.apply(&pod("left", false))?;
    let run = [
        "--namespace=default",
        "run",
        "tulle-e2e-outside",
        "--image=docker.io/envoyproxy/envoy:v1.40.0",
    ];
    cluster.kubectl(&[&run[..], &["--dry-run=server"]].concat())?;
    namespace.ready(&["pod/left"])?;
    ensure!(!has_proxy(namespace, "left")?, "it left the mesh");
    let answers = namespace.call("caller", "app", &["http://before/", "-n", "10"])?;
    ensure!(answers.all(200), "{answers:?}");
    Ok(())
}

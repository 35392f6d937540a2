//! The kubelet's probes and hooks in Strict mode: what works gets ready and is left alone, what does not is found out.

use std::process::{Child, Stdio};

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use tulle_e2e::harness::Steps;
use tulle_e2e::install::TULLE;
use tulle_e2e::pods::until;

use super::stage::{SHOP, Shop};

/// Three Pods; in each a container for every kind of probe.
const PODS: &str = r#"
apiVersion: v1
kind: Pod
metadata: {name: NAME, labels: {test: probes}}
spec:
  terminationGracePeriodSeconds: 5
  containers:
  - name: http
    image: IMAGE
    args: [shop-app, --http, "8080"]
    ports: [{name: http, containerPort: 8080}]
    startupProbe: {httpGet: {path: /START, port: http}, periodSeconds: 1, failureThreshold: 30}
    readinessProbe: {httpGet: {path: /READY, port: 8080, httpHeaders: [{name: x-probe, value: "yes"}]}, periodSeconds: 1}
    livenessProbe: {httpGet: {path: /LIVE, port: http}, periodSeconds: 1}
    lifecycle:
      postStart: {httpGet: {path: /hooks/start, port: http}}
      preStop: {httpGet: {path: /hooks/stop, port: http}}
  - name: tcp
    image: IMAGE
    args: [shop-app, --tcp, "7000"]
    startupProbe: {tcpSocket: {port: 7000}, periodSeconds: 1, failureThreshold: 30}
    readinessProbe: {tcpSocket: {port: 700READY}, periodSeconds: 1}
    livenessProbe: {tcpSocket: {port: 700LIVE}, periodSeconds: 1}
  - name: grpc
    image: IMAGE
    args: [shop-app, --grpc, "9000"]
    startupProbe: {grpc: {port: 9000}, periodSeconds: 1, failureThreshold: 30}
    readinessProbe: {grpc: {port: 900READY}, periodSeconds: 1}
    livenessProbe: {grpc: {port: 900LIVE, service: shop}, periodSeconds: 1}
"#;

pub(crate) fn steps(shop: &Shop, steps: &mut Steps) {
    steps.run(
        "probes of every kind are answered, and found out where they fail",
        || probes(shop),
    );
    steps.run("postStart and preStop by HTTP are called", || hooks(shop));
}

fn apply(shop: &Shop, name: &str, ready: bool, live: bool) -> Result<()> {
    // The image that the shop runs.
    let image = shop.field(SHOP, "deployment/orders", ".spec.template.spec.containers[0].image")?;
    ensure!(image.starts_with(TULLE), "{image}");
    let path = |good: bool| if good { "healthz" } else { "status/500" };
    // Nobody listens on the next port.
    let port = |good: bool| if good { "0" } else { "1" };
    let objects = PODS
        .replace("IMAGE", &image)
        .replace("NAME", name)
        .replace("/START", "/healthz")
        .replace("/READY", &format!("/{}", path(ready)))
        .replace("/LIVE", &format!("/{}", path(live)))
        .replace("READY", port(ready))
        .replace("LIVE", port(live));
    shop.apply(SHOP, &objects)
}

/// A container: name, ready, started, how often restarted.
type Seen = (String, bool, bool, u64);

/// The application's containers of a Pod.
fn containers(shop: &Shop, name: &str) -> Result<Vec<Seen>> {
    let pod: Value = serde_json::from_str(&shop.kubectl(SHOP, &["get", "pod", name, "--output=json"])?)?;
    let list = pod.pointer("/status/containerStatuses").and_then(Value::as_array);
    let read = |one: &Value| {
        let flag = |field: &str| one.get(field).and_then(Value::as_bool).unwrap_or_default();
        let name = one.get("name").and_then(Value::as_str).unwrap_or_default();
        let restarts = one.get("restartCount").and_then(Value::as_u64).unwrap_or_default();
        (name.to_owned(), flag("ready"), flag("started"), restarts)
    };
    Ok(list.into_iter().flatten().map(read).collect())
}

fn probes(shop: &Shop) -> Result<()> {
    apply(shop, "good", true, true)?;
    apply(shop, "unready", false, true)?;
    apply(shop, "dead", true, false)?;
    let three = |name: &str, wanted: &dyn Fn(&Seen) -> bool| -> Result<bool> {
        let all = containers(shop, name)?;
        Ok(all.len() == 3 && all.iter().all(wanted))
    };
    until("all probes succeed", || three("good", &|one| one.1 && one.2))?;
    until("containers that are not alive are started again", || {
        three("dead", &|one| one.3 > 0)
    })?;
    until("containers start", || three("unready", &|one| one.2))?;
    for (name, ready) in [("good", true), ("unready", false)] {
        let all = containers(shop, name)?;
        let as_wanted = all.iter().all(|one| one.1 == ready && one.3 == 0);
        ensure!(as_wanted, "{name}: {all:?}");
    }
    let failed = [
        "get",
        "events",
        "--field-selector=involvedObject.name=unready,reason=Unhealthy",
        "--output=name",
    ];
    ensure!(
        !shop.kubectl(SHOP, &failed)?.is_empty(),
        "the kubelet says nothing of failed probes"
    );
    shop.kubectl(SHOP, &["delete", "pod", "unready", "dead", "--timeout=120s"])
        .map(drop)
}

fn hooks(shop: &Shop) -> Result<()> {
    let mut follow = shop.cluster.kubectl_command();
    follow.args(["--namespace", SHOP, "logs", "good", "--container=http", "--follow"]);
    let follow = follow.stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
    let logs = Logs(Some(follow));
    shop.kubectl(SHOP, &["delete", "pod", "good", "--timeout=120s"])?;
    let said = logs.into_text()?;
    let hooks: Vec<&str> = said.lines().filter(|line| line.contains("/hooks/")).collect();
    ensure!(hooks == ["GET /hooks/start", "GET /hooks/stop"], "{said}");
    // The shop's own, too.
    let failed = [
        "get",
        "events",
        "--field-selector=reason=FailedPreStopHook",
        "--output=name",
    ];
    let failed = shop.kubectl(SHOP, &failed)?;
    ensure!(failed.is_empty(), "{failed}");
    Ok(())
}

/// A follower of logs, ended with the test.
struct Logs(Option<Child>);

impl Logs {
    fn into_text(mut self) -> Result<String> {
        let child = self.0.take().context("it is followed once")?;
        Ok(String::from_utf8(child.wait_with_output()?.stdout)?)
    }
}

impl Drop for Logs {
    fn drop(&mut self) {
        if let Some(child) = &mut self.0 {
            child.kill().ok();
            child.wait().ok();
        }
    }
}

//! The shop on the cluster, and calls from its Pods.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use tulle_e2e::cluster::Cluster;
use tulle_e2e::install::TULLE;
use tulle_e2e::probe::CallSummary;

use super::extras;

/// The namespace of the shop.
pub(crate) const SHOP: &str = "shop";
/// A namespace that is not in the mesh.
pub(crate) const OUTSIDE: &str = "tulle-e2e-outside";

/// The applied shop.
pub(crate) struct Shop {
    pub(crate) cluster: Cluster,
}

/// A folder of `examples/shop`.
fn example(folder: &str) -> Result<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../examples/shop")
        .join(folder);
    Ok(path.to_str().context("the repository's path is text")?.to_owned())
}

impl Shop {
    /// Applies the examples, with the tag of the present image, and what this test adds.
    pub(crate) fn open(cluster: Cluster, tag: &str) -> Result<Self> {
        let shop = Self { cluster };
        shop.clear()?;
        let rendered = shop.cluster.kubectl(&["kustomize", &example("")?])?;
        let image = format!("{TULLE}:{tag}");
        let lines = rendered.lines().map(|line| match line.split_once(TULLE) {
            Some((before, _)) => format!("{before}{image}"),
            None => line.to_owned(),
        });
        shop.cluster.apply(&lines.collect::<Vec<_>>().join("\n"))?;
        for (namespace, objects) in extras::ALL {
            shop.apply(namespace, &objects.replace("IMAGE", &image))?;
        }
        Ok(shop)
    }

    fn clear(&self) -> Result<()> {
        for namespace in [SHOP, OUTSIDE] {
            let delete = ["delete", "namespace", namespace, "--ignore-not-found", "--timeout=180s"];
            self.cluster.kubectl(&delete)?;
        }
        Ok(())
    }

    /// Nobody waits for its end.
    pub(crate) fn close(self) -> Result<()> {
        let delete = ["delete", "namespace", SHOP, OUTSIDE, "--wait=false"];
        self.cluster.kubectl(&delete).map(drop)
    }

    /// Every Pod that is to get ready is, and the Job is done.
    pub(crate) fn is_ready(&self) -> Result<()> {
        for namespace in [SHOP, OUTSIDE] {
            let wanted = self.kubectl(namespace, &["get", "deployments,statefulsets", "--output=name"])?;
            for one in wanted.lines() {
                let status = ["rollout", "status", one, "--timeout=240s"];
                self.kubectl(namespace, &status)
                    .with_context(|| self.describe(namespace))?;
            }
        }
        let done = ["wait", "--for=condition=complete", "job/report", "--timeout=180s"];
        self.kubectl(SHOP, &done).with_context(|| self.describe(SHOP))?;
        let logs = self.kubectl(SHOP, &["logs", "job/report", "--container=app"])?;
        let calls = outcomes(&logs)?;
        // It may have begun before orders was there, and was told so then.
        let last = calls.outcomes.last().and_then(|call| call.status);
        ensure!(calls.status(0) == 0 && last == Some(200), "the Job's calls: {logs}");
        Ok(())
    }

    /// What a person would look at.
    fn describe(&self, namespace: &str) -> String {
        let ask = |arguments: &[&str]| self.kubectl(namespace, arguments).unwrap_or_default();
        ask(&["get", "pods", "--output=wide"]) + &ask(&["get", "events", "--sort-by=.lastTimestamp"])
    }

    pub(crate) fn kubectl(&self, namespace: &str, arguments: &[&str]) -> Result<String> {
        self.cluster
            .kubectl(&[&["--namespace", namespace][..], arguments].concat())
    }

    pub(crate) fn apply(&self, namespace: &str, objects: &str) -> Result<()> {
        let apply = ["--namespace", namespace, "apply", "--filename=-"];
        self.cluster.kubectl_with_input(&apply, objects).map(drop)
    }

    pub(crate) fn apply_policies(&self) -> Result<()> {
        self.cluster
            .kubectl(&["apply", "--kustomize", &example("policies")?])
            .map(drop)
    }

    pub(crate) fn remove(&self, kind: &str, name: &str) -> Result<()> {
        self.kubectl(SHOP, &["delete", kind, name]).map(drop)
    }

    /// What a call set from a workload brings; `from` is `deploy/orders` or `pod/ledger-0`.
    pub(crate) fn call(&self, from: &str, arguments: &[&str]) -> Result<CallSummary> {
        self.call_from(SHOP, from, arguments)
    }

    pub(crate) fn call_from(&self, namespace: &str, from: &str, arguments: &[&str]) -> Result<CallSummary> {
        let exec = ["exec", from, "--container=app", "--", "tulle", "shop-call"];
        outcomes(&self.kubectl(namespace, &[&exec[..], arguments].concat())?)
    }

    /// What a TCP server says first; empty if it says nothing.
    pub(crate) fn banner(&self, namespace: &str, from: &str, host: &str, port: u16) -> Result<String> {
        let script = format!("exec 3<>/dev/tcp/{host}/{port} && timeout 5 head -n 1 <&3; true");
        let exec = ["exec", from, "--container=app", "--", "bash", "-c", &script];
        Ok(self.kubectl(namespace, &exec)?.trim().to_owned())
    }

    /// A field of an object.
    pub(crate) fn field(&self, namespace: &str, object: &str, path: &str) -> Result<String> {
        self.kubectl(namespace, &["get", object, &format!("--output=jsonpath={{{path}}}")])
    }

    /// The addresses of a workload's Pods.
    pub(crate) fn addresses(&self, selector: &str) -> Result<Vec<String>> {
        let pods = [
            "get",
            "pods",
            "--selector",
            selector,
            "--output=jsonpath={.items[*].status.podIP}",
        ];
        let listed = self.kubectl(SHOP, &pods)?;
        let addresses: Vec<String> = listed.split_whitespace().map(str::to_owned).collect();
        ensure!(!addresses.is_empty(), "no Pod has {selector}");
        Ok(addresses)
    }
}

fn outcomes(lines: &str) -> Result<CallSummary> {
    let outcomes: Result<Vec<_>, _> = lines.lines().map(serde_json::from_str).collect();
    Ok(CallSummary::of(outcomes.with_context(|| lines.to_owned())?))
}

//! Namespaces of the mesh on a real cluster, with pods of the tests' own application, and a load that runs in a pod.
//!
//! Everything is done as users do it: by `kubectl`. What only an own cluster allows is in `cluster`.

mod load;
mod tokens;
mod written;

use std::fmt::Write as _;
use std::io::Write as _;
use std::net::IpAddr;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::cluster::Cluster;
use crate::harness::wait_until;
use crate::probe::call::CallSummary;
pub use load::PodLoad;
pub use tokens::Token;
pub use written::Written;

/// The machine may have other work.
pub const LIMIT: Duration = Duration::from_mins(3);
const LOOK: Duration = Duration::from_millis(200);

/// For people who watch, past the test harness.
pub fn say(line: &str) {
    // There is nobody to tell if this fails.
    let _ = writeln!(std::io::stderr(), "cluster test: {line}");
}

/// Asks until the answer is yes. An error counts as "not yet" and is shown if the time runs out.
pub fn until(what: &str, mut ask: impl FnMut() -> Result<bool>) -> Result<()> {
    wait_until(what, LIMIT, LOOK, || Ok(ask()?.then_some(())))
}

/// A namespace with pods of the tests' application.
#[derive(Clone, Debug)]
pub struct Namespace {
    cluster: Cluster,
    name: String,
    image: String,
}

impl Namespace {
    /// A new namespace of the mesh; one of this name that an earlier test left is removed first.
    pub fn meshed(cluster: &Cluster, name: &str, image: &str) -> Result<Self> {
        let namespace = Self::plain(cluster, name, image)?;
        cluster.kubectl(&["label", "namespace", name, "mesh.tulle.dev/inject=true"])?;
        until("the mesh's root certificate", || {
            Ok(namespace.kubectl(&["get", "configmap", "tulle-ca"]).is_ok())
        })?;
        Ok(namespace)
    }

    /// The same outside of the mesh.
    pub fn plain(cluster: &Cluster, name: &str, image: &str) -> Result<Self> {
        cluster.kubectl(&["delete", "namespace", name, "--ignore-not-found", "--timeout=120s"])?;
        cluster.kubectl(&["create", "namespace", name])?;
        let namespace = Self {
            cluster: cluster.clone(),
            name: name.to_owned(),
            image: image.to_owned(),
        };
        // Its controller makes it a moment later, and pods are refused without it.
        until("the default account", || {
            Ok(namespace.kubectl(&["get", "serviceaccount", "default"]).is_ok())
        })?;
        Ok(namespace)
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its cluster.
    pub fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    /// `kubectl` in it.
    pub fn kubectl(&self, arguments: &[&str]) -> Result<String> {
        self.cluster
            .kubectl(&[&["--namespace", &self.name], arguments].concat())
    }

    /// Applies objects; `image: IMAGE` in them is the tests' application.
    pub fn apply(&self, yaml: &str) -> Result<()> {
        let yaml = yaml.replace("image: IMAGE", &format!("image: {}", self.image));
        let apply = ["--namespace", &self.name, "apply", "--filename=-"];
        self.cluster.kubectl_with_input(&apply, &yaml).map(drop)
    }

    /// Waits until pods (`pod/x`, or `pods` with a selector) are ready.
    pub fn ready(&self, what: &[&str]) -> Result<()> {
        let wait = ["wait", "--for=condition=Ready", "--timeout=180s"];
        let ready = self.kubectl(&[&wait, what].concat()).map(drop);
        ready.with_context(|| self.diagnosis())
    }

    /// Waits until a Deployment is as it should be.
    pub fn rolled_out(&self, deployment: &str) -> Result<()> {
        let name = format!("deployment/{deployment}");
        let rolled_out = self.kubectl(&["rollout", "status", &name, "--timeout=240s"]);
        rolled_out.map(drop).with_context(|| self.diagnosis())
    }

    /// A field of an object.
    pub fn field(&self, object: &str, path: &str) -> Result<String> {
        self.kubectl(&["get", object, &format!("--output=jsonpath={path}")])
    }

    /// The address of a pod.
    pub fn address(&self, pod: &str) -> Result<IpAddr> {
        Ok(self.field(&format!("pod/{pod}"), "{.status.podIP}")?.parse()?)
    }

    /// The pods that these labels select and that are not about to end.
    pub fn pods(&self, labels: &str) -> Result<Vec<Value>> {
        let listed = self.kubectl(&["get", "pods", &format!("--selector={labels}"), "--output=json"])?;
        let mut list: Value = serde_json::from_str(&listed)?;
        let pods = list.get_mut("items").and_then(Value::as_array_mut).map(std::mem::take);
        let stays = |pod: &Value| pod.pointer("/metadata/deletionTimestamp").is_none();
        Ok(pods.unwrap_or_default().into_iter().filter(stays).collect())
    }

    /// Requests from the application container of a pod (`app` or `load`).
    pub fn call(&self, pod: &str, container: &str, arguments: &[&str]) -> Result<CallSummary> {
        let exec = ["exec", pod, "--container", container, "--", "tulle-e2e", "call"];
        Ok(serde_json::from_str(&self.kubectl(&[&exec, arguments].concat())?)?)
    }

    /// Deletes it, and waits.
    pub fn delete(self) -> Result<()> {
        let delete = ["delete", "namespace", &self.name, "--timeout=120s"];
        self.cluster.kubectl(&delete).map(drop)
    }

    /// Deletes it sometime.
    pub fn leave(self) -> Result<()> {
        let delete = ["delete", "namespace", &self.name, "--wait=false"];
        self.cluster.kubectl(&delete).map(drop)
    }

    /// What a person would look at.
    fn diagnosis(&self) -> String {
        let mut text = String::new();
        for ask in [
            &["get", "pods", "--output=wide"][..],
            &["get", "events", "--sort-by=.lastTimestamp"],
        ] {
            let answer = self.kubectl(ask).unwrap_or_else(|error| format!("{error:#}"));
            let lines: Vec<&str> = answer.lines().collect();
            let from = lines.len().saturating_sub(40);
            let _ = writeln!(text, "{}", lines.get(from..).unwrap_or_default().join("\n"));
        }
        text
    }
}

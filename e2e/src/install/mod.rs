//! Tulle on a cluster, installed as a user does it: the image from the repository's Dockerfile, both charts by helm, with
//! nothing but the image's tag set.
//!
//! Tests call `Installation::ensure`, which leaves what is there if it is the present program, and leave it installed.
//! What a test sets besides is its own affair: it must put it back, by `ensure` again.

mod diagnosis;
mod image;
mod render;

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::cluster::Cluster;
use crate::pods::until;
pub use image::{TULLE, build_tulle, load_tools, load_tulle};
pub use render::Renderer;

/// Where Tulle is installed.
pub const NAMESPACE: &str = "tulle-system";
/// The release of the control plane.
pub const RELEASE: &str = "tulle";
/// The release of the kinds.
pub const KINDS_RELEASE: &str = "tulle-crds";
/// The operator's pods.
const OPERATORS: &str = "--selector=app.kubernetes.io/component=operator";
/// How long helm waits for what it installed; the machine may have other work.
const LIMIT: &str = "--timeout=240s";

/// The two releases on a cluster.
#[derive(Clone, Debug)]
pub struct Installation {
    cluster: Cluster,
    tag: String,
}

impl Installation {
    /// Makes sure that the present program is installed with the chart's own values.
    pub fn ensure(cluster: &Cluster) -> Result<Self> {
        Self::ensure_with(cluster, &[])
    }

    /// The same with further arguments of `helm upgrade` (`--set=replicas=1`).
    pub fn ensure_with(cluster: &Cluster, arguments: &[&str]) -> Result<Self> {
        Self::ensure_image(cluster, load_tulle(cluster)?, arguments)
    }

    /// The same with an image that the cluster has.
    pub fn ensure_image(cluster: &Cluster, tag: String, arguments: &[&str]) -> Result<Self> {
        let installation = Self::new(cluster, tag);
        installation.namespace()?;
        installation.install_kinds()?;
        installation.install(arguments)?;
        image::forget_others(cluster, &installation.tag)?;
        Ok(installation)
    }

    /// Tries to install the control plane alone.
    pub fn without_kinds(cluster: &Cluster) -> Result<()> {
        let installation = Self::new(cluster, load_tulle(cluster)?);
        installation.namespace()?;
        installation.install(&[])
    }

    /// Makes sure that nothing of an installation is there, by the way that the documentation describes.
    pub fn absent(cluster: &Cluster) -> Result<()> {
        // No image is needed for that.
        Self::new(cluster, String::new()).remove()
    }

    /// The kinds alone, for a control plane beside the cluster; `absent` removes them.
    pub fn only_kinds(cluster: &Cluster) -> Result<()> {
        crds::all()
            .iter()
            .try_for_each(|kind| cluster.apply(&serde_json::to_string(kind)?))
    }

    fn new(cluster: &Cluster, tag: String) -> Self {
        let cluster = cluster.clone();
        Self { cluster, tag }
    }

    /// The namespace, with the strictest Pod Security level: the chart must do with it.
    fn namespace(&self) -> Result<()> {
        let level = json!({"pod-security.kubernetes.io/enforce": "restricted"});
        let namespace = json!({
            "apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE, "labels": level},
        });
        self.cluster.apply(&namespace.to_string())
    }

    /// Installs or upgrades the kinds.
    pub fn install_kinds(&self) -> Result<()> {
        let chart = chart(KINDS_RELEASE);
        self.helm(&["upgrade", KINDS_RELEASE, &path(&chart)?, "--install", "--wait", LIMIT])?;
        let established = ["wait", "--for=condition=Established", "crd", "--all", "--timeout=60s"];
        self.cluster.kubectl(&established).map(drop)
    }

    /// Installs or upgrades the control plane, and waits until it is ready.
    pub fn install(&self, arguments: &[&str]) -> Result<()> {
        let (chart, tag) = (path(&chart(RELEASE))?, format!("--set=image.tag={}", self.tag));
        let mut all = vec!["upgrade", RELEASE, &chart, "--install", "--wait", LIMIT, &tag];
        all.extend(arguments);
        let installed = self.helm(&all).map(drop);
        installed.with_context(|| diagnosis::describe(&self.cluster, NAMESPACE))
    }

    /// `helm test`.
    pub fn test(&self) -> Result<String> {
        let tested = self.helm(&["test", RELEASE, "--logs", LIMIT]);
        tested.with_context(|| diagnosis::describe(&self.cluster, NAMESPACE))
    }

    /// Uninstalls the control plane; what the chart keeps stays.
    pub fn uninstall(&self) -> Result<()> {
        self.helm(&["uninstall", RELEASE, "--ignore-not-found", "--wait", LIMIT])
            .map(drop)
    }

    /// Both releases, what they keep, the kinds with all objects, the namespace.
    fn remove(&self) -> Result<()> {
        self.uninstall()?;
        self.helm(&["uninstall", KINDS_RELEASE, "--ignore-not-found", "--wait", LIMIT])?;
        for kind in crds::all() {
            let name = kind.metadata.name.context("a definition has a name")?;
            let delete = ["delete", "crd", &name, "--ignore-not-found", "--timeout=120s"];
            self.cluster.kubectl(&delete)?;
        }
        let delete = ["delete", "namespace", NAMESPACE, "--ignore-not-found", "--timeout=120s"];
        self.cluster.kubectl(&delete).map(drop)
    }

    /// Changes how many replicas there are, and waits until it is so.
    pub fn scale(&self, replicas: usize) -> Result<()> {
        let count = format!("--replicas={replicas}");
        self.kubectl(&["scale", "deployment/tulle", &count])?;
        self.kubectl(&["rollout", "status", "deployment/tulle", "--timeout=180s"])?;
        // Who is about to end answers still.
        let all = ["get", "pods", "--output=name", OPERATORS];
        until("as many replicas as wanted", || {
            Ok(self.kubectl(&all)?.lines().count() == replicas)
        })
    }

    /// `kubectl` in the namespace of the installation.
    pub fn kubectl(&self, arguments: &[&str]) -> Result<String> {
        let namespace = format!("--namespace={NAMESPACE}");
        self.cluster.kubectl(&[&[&*namespace], arguments].concat())
    }

    /// The operator's pods that are not about to end, as the API server has them.
    pub fn pods(&self) -> Result<Vec<Value>> {
        let list = ["get", "pods", OPERATORS, "--output=json"];
        let mut list: Value = serde_json::from_str(&self.kubectl(&list)?)?;
        let pods = list.get_mut("items").and_then(Value::as_array_mut).map(std::mem::take);
        let stays = |pod: &Value| pod.pointer("/metadata/deletionTimestamp").is_none();
        Ok(pods.unwrap_or_default().into_iter().filter(stays).collect())
    }

    /// The tag of the image that is installed.
    pub fn tag(&self) -> &str {
        &self.tag
    }

    /// The cluster.
    pub fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    fn helm(&self, arguments: &[&str]) -> Result<String> {
        let namespace = format!("--namespace={NAMESPACE}");
        self.cluster.helm(&[arguments, &[&*namespace]].concat())
    }
}

/// The folder of a chart.
pub fn chart(name: &str) -> PathBuf {
    repository().join("helm").join(name)
}

/// The root of the repository.
fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn path(path: &Path) -> Result<String> {
    let text = path
        .to_str()
        .with_context(|| format!("{} is not UTF-8", path.display()))?;
    Ok(text.to_owned())
}

/// For people who watch.
fn say(line: &str) {
    // There is nobody to tell if this fails.
    let _ = writeln!(std::io::stderr(), "installation: {line}");
}

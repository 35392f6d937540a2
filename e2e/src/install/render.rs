//! The charts as helm renders them, without a cluster.

use std::path::PathBuf;
use std::process::{Command, Output};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::{NAMESPACE, RELEASE, chart, say};
use crate::cluster::helm_program;

/// A helm that has a home of its own: nothing that a user of this machine configured is used.
#[derive(Debug)]
pub struct Renderer {
    helm: PathBuf,
    home: tempfile::TempDir,
}

impl Renderer {
    /// None, and a word on standard error, where there is no helm.
    pub fn find() -> Result<Option<Self>> {
        let Some(helm) = helm_program() else {
            say("SKIPPED: there is no helm, neither on PATH nor from `tulle-e2e cluster up`");
            return Ok(None);
        };
        let home = tempfile::tempdir()?;
        Ok(Some(Self { helm, home }))
    }

    /// What `helm template` prints for the chart `tulle`.
    pub fn template(&self, arguments: &[&str]) -> Result<String> {
        let chart = self.chart(RELEASE)?;
        let output = self.run(&[&["template", RELEASE, &*chart], arguments].concat())?;
        if !output.status.success() {
            bail!("{}", String::from_utf8_lossy(&output.stderr));
        }
        Ok(String::from_utf8(output.stdout)?)
    }

    /// The objects of it.
    pub fn objects(&self, arguments: &[&str]) -> Result<Vec<Value>> {
        let documents = serde_saphyr::from_multiple::<Value>(&self.template(arguments)?)?;
        // A file of which nothing was rendered leaves an empty document.
        Ok(documents.into_iter().filter(Value::is_object).collect())
    }

    /// All that `helm lint --strict` says about a chart.
    pub fn lint(&self, name: &str) -> Result<Output> {
        self.run(&["lint", "--strict", &self.chart(name)?])
    }

    fn chart(&self, name: &str) -> Result<String> {
        let folder = chart(name);
        let text = folder.to_str().with_context(|| format!("{self:?}: not UTF-8"))?;
        Ok(text.to_owned())
    }

    fn run(&self, arguments: &[&str]) -> Result<Output> {
        let mut command = Command::new(&self.helm);
        command.args(arguments).arg(format!("--namespace={NAMESPACE}"));
        for name in ["HELM_CACHE_HOME", "HELM_CONFIG_HOME", "HELM_DATA_HOME"] {
            command.env(name, self.home.path().join(name));
        }
        // No cluster is asked.
        command.env("KUBECONFIG", self.home.path().join("none"));
        command.output().context("cannot run helm")
    }
}

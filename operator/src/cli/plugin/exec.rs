//! Questions that only the running control plane can answer: asked in its Pods, as `kubectl exec` does.
//!
//! Each replica counts what its own proxies report, so all are asked and their counts added.

use anyhow::{Context as _, bail, ensure};
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::{AttachParams, ListParams};
use tokio::io::AsyncReadExt as _;

use super::cluster::Cluster;
use crate::rules::RuleReport;

/// The labels of the control plane's Pods, as the chart sets them.
const SELECTOR: &str = "app.kubernetes.io/name=tulle,app.kubernetes.io/component=operator";
/// Its container.
const CONTAINER: &str = "operator";
/// Where its admin socket is, unless its arguments say otherwise.
const STATE: &str = "/run/tulle";

impl Cluster {
    /// What each rule decided, added up over all replicas.
    pub(in crate::cli) async fn rules(&self) -> anyhow::Result<RuleReport> {
        let api: Api<Pod> = Api::namespaced(self.client.clone(), &self.system_namespace);
        let pods = api.list(&ListParams::default().labels(SELECTOR)).await;
        let pods = pods
            .map_err(|error| self.why("find the control plane's Pods", &error))?
            .items;
        let ready: Vec<&Pod> = pods.iter().filter(|pod| is_ready(pod)).collect();
        ensure!(
            !ready.is_empty(),
            "no Pod of the control plane is ready in namespace {}; see `kubectl -n {0} get pods`, or name its namespace with --system-namespace",
            self.system_namespace
        );
        let mut sum: Option<RuleReport> = None;
        for pod in ready {
            let name = pod.metadata.name.as_deref().unwrap_or_default();
            let state = format!("--state={}", state(pod));
            let text = self
                .exec(&api, name, &["tulle", "get", "rules", "-A", "-o", "json", &state])
                .await?;
            let report: RuleReport = serde_json::from_str(&text)
                .with_context(|| format!("{name} answers what was not expected; is it another version?"))?;
            match &mut sum {
                None => sum = Some(report),
                Some(sum) => sum.add(report),
            }
        }
        sum.context("no replica answered")
    }

    async fn exec(&self, api: &Api<Pod>, pod: &str, command: &[&str]) -> anyhow::Result<String> {
        let params = AttachParams::default().container(CONTAINER).stdin(false);
        let mut process = api
            .exec(pod, command.iter().copied(), &params)
            .await
            .map_err(|error| self.why(&format!("run `{}` in {pod}", command.join(" ")), &error))?;
        let (mut out, mut err) = (String::new(), String::new());
        let (mut stdout, mut stderr) = (process.stdout(), process.stderr());
        let read_out = async {
            match &mut stdout {
                Some(stdout) => stdout.read_to_string(&mut out).await,
                None => Ok(0),
            }
        };
        let read_err = async {
            match &mut stderr {
                Some(stderr) => stderr.read_to_string(&mut err).await,
                None => Ok(0),
            }
        };
        let status = process.take_status();
        tokio::try_join!(read_out, read_err)?;
        let status = match status {
            Some(status) => status.await,
            None => None,
        };
        if status.is_some_and(|status| status.status.as_deref() == Some("Failure")) {
            bail!("in {pod}: {}", err.trim());
        }
        Ok(out)
    }
}

fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.iter().flat_map(|status| status.conditions.iter().flatten());
    let mut ready = conditions.filter(|condition| condition.type_ == "Ready");
    pod.metadata.deletion_timestamp.is_none() && ready.any(|condition| condition.status == "True")
}

fn state(pod: &Pod) -> &str {
    let containers = pod.spec.iter().flat_map(|spec| &spec.containers);
    let arguments = containers
        .filter(|container| container.name == CONTAINER)
        .flat_map(|container| container.args.iter().flatten());
    let mut given = arguments.filter_map(|argument| argument.strip_prefix("--state="));
    given.next().unwrap_or(STATE)
}

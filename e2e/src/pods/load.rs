//! A load in a pod. It goes on without the API server: what it saw is in its log, which is read when somebody asks.

use anyhow::{Context, Result, ensure};
use serde_json::json;

use super::{Namespace, until};
use crate::traffic::{Event, Report, Spec};

/// The container.
const CONTAINER: &str = "load";

/// A running load.
#[derive(Debug)]
pub struct PodLoad {
    namespace: Namespace,
    pod: String,
}

impl PodLoad {
    /// Starts it in a pod of this name, with a service account of this name too, and waits until every flow has had its first
    /// answer. It ends by itself after `spec.seconds`, which must be given.
    pub fn start(namespace: &Namespace, pod: &str, spec: &Spec) -> Result<Self> {
        ensure!(spec.seconds > 0.0, "a load in a pod has an end");
        // Its log has a line for each.
        let spec = Spec {
            progress_ms: 1000,
            ..spec.clone()
        };
        let container = json!({
            "name": CONTAINER, "image": namespace.image, "command": ["tulle-e2e", "traffic", "--spec", serde_json::to_string(&spec)?],
            "resources": {"requests": {"cpu": "10m"}},
        });
        let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": pod}});
        let object = json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": {"name": pod, "labels": {"app": pod}, "annotations": {"mesh.tulle.dev/proxyCPU": "10m"}},
            "spec": {
                "serviceAccountName": pod, "restartPolicy": "Never", "terminationGracePeriodSeconds": 5,
                "containers": [container],
            },
        });
        for object in [account, object] {
            namespace.apply(&object.to_string())?;
        }
        namespace.ready(&[&format!("pod/{pod}")])?;
        let load = Self {
            namespace: namespace.clone(),
            pod: pod.to_owned(),
        };
        let begun = until("the load begins", || Ok(load.events(&[])?.contains(&Event::Ready)));
        begun.with_context(|| format!("{:?}", load.now()))?;
        Ok(load)
    }

    /// The pod.
    pub fn pod(&self) -> &str {
        &self.pod
    }

    /// Requests from its pod.
    pub fn call(&self, arguments: &[&str]) -> Result<crate::probe::call::CallSummary> {
        self.namespace.call(&self.pod, CONTAINER, arguments)
    }

    /// The newest report.
    pub fn now(&self) -> Result<Report> {
        let events = self.events(&["--tail=20"])?;
        let newest = events.into_iter().rev().find_map(|event| match event {
            Event::Progress(report) | Event::Report(report) => Some(report),
            _ => None,
        });
        newest.context("the load has reported nothing")
    }

    /// Waits until each flow has had so many more answers.
    pub fn await_more(&self, answers: u64) -> Result<Report> {
        let before = self.now()?;
        let more = |now: &Report| {
            let mut flows = now.flows.iter();
            flows.all(|(name, flow)| flow.answered >= before.flow(name).answered + answers)
        };
        until("more answers", || Ok(more(&self.now()?)))?;
        self.now()
    }

    /// That until now each request was answered with 200, and that requests are answered still.
    pub fn nothing_failed(&self) -> Result<Report> {
        let report = self.await_more(20)?;
        let failed = report.unanswered();
        ensure!(failed.is_empty(), "requests failed: {}", failed.join("\n"));
        Ok(report)
    }

    /// Ends it and returns its report. The pod stays.
    pub fn stop(&self) -> Result<Report> {
        let end = [
            "exec",
            &self.pod,
            "--container",
            CONTAINER,
            "--",
            "sh",
            "-c",
            "kill -TERM 1",
        ];
        self.namespace.kubectl(&end)?;
        until("the load ends", || {
            Ok(matches!(self.events(&["--tail=1"])?.last(), Some(Event::Report(_))))
        })?;
        self.now()
    }

    fn events(&self, arguments: &[&str]) -> Result<Vec<Event>> {
        let logs = ["logs", &self.pod, "--container", CONTAINER];
        let text = self.namespace.kubectl(&[&logs, arguments].concat())?;
        // A line that is being written is no event yet.
        Ok(text
            .lines()
            .filter_map(|line| serde_json::from_str(line).ok())
            .collect())
    }
}

//! A cluster from outside: how it is reached, its objects, and what is said when something is missing.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::anyhow;
use clap::Args;
use kube::Client;
use serde_json::Value;

use crate::admin::kinds::Kind;
use crate::source::SourceView;
use crate::source::kubernetes::{connect_by, list, read_once};

/// Which cluster.
#[derive(Clone, Debug, Args)]
pub(in crate::cli) struct ClusterArgs {
    /// The KUBECONFIG. Default: as kubectl finds it
    #[arg(long, global = true, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
    /// The context in it. Default: the current one
    #[arg(long, global = true, value_name = "NAME")]
    context: Option<String>,
    /// The namespace in which Tulle is installed.
    #[arg(
        long,
        global = true,
        env = "TULLE_NAMESPACE",
        default_value = "tulle-system",
        value_name = "NAMESPACE"
    )]
    system_namespace: String,
}

/// A cluster that can be asked.
pub(in crate::cli) struct Cluster {
    pub(in crate::cli) client: Client,
    /// The context's.
    pub(in crate::cli) namespace: String,
    pub(in crate::cli) system_namespace: String,
    /// Its API server.
    pub(in crate::cli) url: String,
}

impl Cluster {
    /// By the KUBECONFIG; does not ask it yet.
    pub(in crate::cli) async fn connect(args: &ClusterArgs) -> anyhow::Result<Self> {
        let (client, config) = connect_by(args.kubeconfig.as_deref(), args.context.as_deref()).await?;
        Ok(Self {
            client,
            namespace: config.default_namespace,
            system_namespace: args.system_namespace.clone(),
            url: config.cluster_url.to_string(),
        })
    }

    /// What its control plane compiles with.
    pub(in crate::cli) fn settings(&self) -> config::Settings {
        config::Settings {
            system_namespace: self.system_namespace.as_str().into(),
            ..config::Settings::default()
        }
    }

    /// What its control plane serves, as far as objects say it.
    pub(in crate::cli) async fn view(&self) -> anyhow::Result<Arc<SourceView>> {
        let view = read_once(&self.client, &self.system_namespace).await;
        let view = view.map_err(|error| self.why(&format!("list {}", error.what), &error.source))?;
        for problem in &view.problems {
            eprintln!("warning: {problem}");
        }
        Ok(view)
    }

    /// All objects of a kind, with their status.
    pub(in crate::cli) async fn list(&self, kind: &Kind) -> anyhow::Result<Vec<Value>> {
        let (group, version) = match kind.kind.as_str() {
            "Service" | "Namespace" => ("", "v1"),
            "EndpointSlice" => ("discovery.k8s.io", "v1"),
            _ => (crds::GROUP, crds::VERSION),
        };
        let objects = list(&self.client, group, version, &kind.kind, &kind.plural).await;
        let objects = objects.map_err(|error| self.why(&format!("list {}", kind.plural), &error))?;
        let api_version = if group.is_empty() {
            version.to_owned()
        } else {
            format!("{group}/{version}")
        };
        let value = |object| {
            let mut value = serde_json::to_value(object).unwrap_or_default();
            if let Some(fields) = value.as_object_mut() {
                fields.insert("apiVersion".to_owned(), api_version.clone().into());
                fields.insert("kind".to_owned(), kind.kind.clone().into());
            }
            if let Some(metadata) = value.get_mut("metadata").and_then(Value::as_object_mut) {
                metadata.remove("managedFields");
            }
            value
        };
        Ok(objects.into_iter().map(value).collect())
    }

    /// What is wrong, in words for who asked.
    pub(in crate::cli) fn why(&self, what: &str, error: &kube::Error) -> anyhow::Error {
        match error {
            // The API server answers so to kinds that it does not know; everything else that is listed always exists.
            kube::Error::Api(status) if status.code == 404 => anyhow!(
                "the API server at {} does not know Tulle's kinds; install them with `helm install tulle-crds`, or choose another \
                 cluster with --context",
                self.url
            ),
            kube::Error::Api(status) if status.code == 403 => anyhow!(
                "you may not {what} in all namespaces: {}; ask for the right to read them (ClusterRole `view` and Tulle's kinds)",
                status.message
            ),
            kube::Error::Api(status) if status.code == 401 => anyhow!(
                "the API server at {} does not accept your credentials: {}; log in again, or choose another context with --context",
                self.url,
                status.message
            ),
            kube::Error::Api(status) => anyhow!("the API server refuses to {what}: {}", status.message),
            _ => anyhow!(chain(error)).context(format!(
                "cannot {what}: the API server at {} does not answer; is the cluster up, and is it the right context?",
                self.url
            )),
        }
    }
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let more = inner.to_string();
        if !text.contains(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        cause = inner.source();
    }
    text
}

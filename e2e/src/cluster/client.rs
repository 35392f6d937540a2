//! kubectl and helm on a cluster.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;

use super::layout::Layout;
use super::programs::Programs;
use super::shell;

/// Runs both with the right programs and KUBECONFIG.
#[derive(Clone, Debug)]
pub(super) struct Client {
    kubectl: PathBuf,
    helm: PathBuf,
    kubeconfig: PathBuf,
    /// Where they keep their own files, unless that is the user's affair.
    home: Option<PathBuf>,
}

impl Client {
    /// On our own cluster.
    pub(super) fn own(layout: &Layout, programs: &Programs) -> Self {
        Self {
            kubectl: programs.path("kubectl"),
            helm: programs.path("helm"),
            kubeconfig: layout.kubeconfig(),
            home: Some(layout.run().join("clients")),
        }
    }

    /// On somebody's cluster, with the programs that they use on it.
    pub(super) fn given(kubeconfig: &Path) -> Self {
        Self {
            kubectl: "kubectl".into(),
            helm: "helm".into(),
            kubeconfig: kubeconfig.to_owned(),
            home: None,
        }
    }

    pub(super) fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// What kubectl prints.
    pub(super) fn kubectl(&self, arguments: &[&str]) -> Result<String> {
        shell::output(self.command(&self.kubectl).args(arguments))
    }

    /// The same with something on its standard input.
    pub(super) fn kubectl_with_input(&self, arguments: &[&str], input: &str) -> Result<String> {
        shell::feed(self.command(&self.kubectl).args(arguments), input)
    }

    /// What helm prints.
    pub(super) fn helm(&self, arguments: &[&str]) -> Result<String> {
        shell::output(self.command(&self.helm).args(arguments))
    }

    /// A command for who wants to do more with it than run it to its end.
    pub(super) fn kubectl_command(&self) -> Command {
        self.command(&self.kubectl)
    }

    fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command.env("KUBECONFIG", &self.kubeconfig);
        if let Some(home) = &self.home {
            command.env("KUBECACHEDIR", home.join("kubectl"));
            let folders = [
                ("HELM_CACHE_HOME", "cache"),
                ("HELM_CONFIG_HOME", "config"),
                ("HELM_DATA_HOME", "data"),
            ];
            command.envs(folders.map(|(name, folder)| (name, home.join("helm").join(folder))));
        }
        command
    }
}

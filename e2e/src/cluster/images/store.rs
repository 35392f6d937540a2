//! containerd's images and containers, through its own client.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;

use crate::cluster::layout::Layout;
use crate::cluster::shell;

/// The containerd of a cluster.
#[derive(Debug)]
pub(in crate::cluster) struct Store {
    socket: PathBuf,
}

/// Gives containerd an image.
pub(in crate::cluster) fn import(layout: &Layout, archive: &Path) -> Result<()> {
    let mut ctr = Store::new(layout).ctr();
    shell::output(ctr.args(["images", "import"]).arg(archive)).map(drop)
}

impl Store {
    pub(in crate::cluster) fn new(layout: &Layout) -> Self {
        Self {
            socket: layout.containerd(),
        }
    }

    /// Whether it answers.
    pub(in crate::cluster) fn answers(&self) -> bool {
        shell::succeeds(self.ctr().arg("version"))
    }

    /// The names of all images.
    pub(in crate::cluster) fn images(&self) -> Result<Vec<String>> {
        self.list("images")
    }

    /// The containers that have processes.
    pub(in crate::cluster) fn tasks(&self) -> Result<Vec<String>> {
        self.list("tasks")
    }

    /// Forgets every container, whether it runs or not.
    pub(in crate::cluster) fn remove_containers(&self) -> Result<()> {
        for id in self.tasks()? {
            // The next step fails if this one did, and says why.
            shell::succeeds(self.ctr().args(["tasks", "delete", "--force", &id]));
        }
        for id in self.list("containers")? {
            shell::output(self.ctr().args(["containers", "delete", &id]))?;
        }
        Ok(())
    }

    fn list(&self, what: &str) -> Result<Vec<String>> {
        let listed = shell::output(self.ctr().args([what, "list", "--quiet"]))?;
        Ok(listed.lines().map(str::to_owned).collect())
    }

    fn ctr(&self) -> Command {
        let mut command = Command::new("ctr");
        command
            .arg("--address")
            .arg(&self.socket)
            .args(["--namespace", "k8s.io"]);
        command
    }
}

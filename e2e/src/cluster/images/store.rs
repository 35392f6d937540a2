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

    /// Forgets one image.
    pub(in crate::cluster) fn remove(&self, name: &str) -> Result<()> {
        shell::output(self.ctr().args(["images", "remove", name])).map(drop)
    }

    /// Forgets images that have no name any more, because another one got it. Only while no pod runs.
    pub(in crate::cluster) fn prune(&self) -> Result<()> {
        let listed = shell::output(self.ctr().args(["images", "list"]))?;
        let nameless = nameless(&listed);
        if nameless.is_empty() {
            return Ok(());
        }
        shell::output(self.ctr().args(["images", "remove"]).args(nameless)).map(drop)
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

/// Each image is listed by its name and by its identity, with the digest of its content (columns: reference, type,
/// digest). An identity whose content has no name is an old image.
fn nameless(listed: &str) -> Vec<&str> {
    let columns = |line| {
        let mut words = str::split_whitespace(line);
        Some((words.next()?, words.nth(1)?))
    };
    let rows: Vec<(&str, &str)> = listed.lines().filter_map(columns).collect();
    let (identities, names): (Vec<_>, Vec<_>) = rows.iter().partition(|(name, _)| name.starts_with("sha256:"));
    let old = |(_, digest): &(&str, &str)| !names.iter().any(|(_, named)| named == digest);
    identities.into_iter().filter(old).map(|(name, _)| name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_that_lost_its_name_is_nameless() {
        let listed =
            "REF TYPE DIGEST SIZE\nlocalhost/a:1 t sha256:d2 1\nsha256:old t sha256:d1 1\nsha256:new t sha256:d2 1\n";
        assert_eq!(nameless(listed), ["sha256:old"]);
        assert!(nameless("REF TYPE DIGEST SIZE\n").is_empty());
    }
}

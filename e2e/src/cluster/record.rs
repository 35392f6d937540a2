//! What a cluster made, and who may change it: one command at a time on a machine.

use std::fs::{self, File, TryLockError};
use std::io::ErrorKind;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use operator::identity::files;
use operator::process::{Entry, Registry, RunId};

use super::layout::{LINKS, Layout};

/// Shared by all state folders: the bridge and the rules of the packet filter are the machine's.
const LOCK: &str = "/run/tulle/cluster.lock";

/// Names the state folder whose cluster is on this machine.
const OWNER: &str = "/run/tulle/cluster.owner";

/// Folders outside of the state folder, whose names the programs do not let us choose.
const FOLDERS: [&str; 9] = [
    "/opt/cni",
    "/opt/containerd",
    "/run/containerd",
    "/usr/libexec/kubernetes",
    "/var/lib/cni",
    "/var/lib/kubelet",
    "/var/log/containers",
    "/var/log/pods",
    "/var/run/kubernetes",
];

/// Waits until no other command changes a cluster. Dropping the file lets the next one go on.
pub(super) fn lock(progress: &dyn Fn(&str)) -> Result<File> {
    exclusive(
        Path::new(LOCK),
        "waiting for another command that changes a cluster",
        progress,
    )
}

/// Locks a file, which is made if it is not there; says what it waits for.
pub(super) fn exclusive(path: &Path, waiting: &str, progress: &dyn Fn(&str)) -> Result<File> {
    files::ensure_dir(path.parent().unwrap_or(path), 0o755)?;
    let file = File::options().create(true).truncate(false).write(true).open(path)?;
    match file.try_lock() {
        Ok(()) => return Ok(file),
        Err(TryLockError::WouldBlock) => progress(waiting),
        Err(TryLockError::Error(error)) => return Err(error).with_context(|| path.display().to_string()),
    }
    file.lock()?;
    Ok(file)
}

/// Refuses if the cluster on this machine is another state folder's: its rules and groups look like ours.
pub(super) fn refuse_other_owner(layout: &Layout) -> Result<()> {
    let owner = fs::read_to_string(OWNER).unwrap_or_default();
    ensure!(
        owner.is_empty() || Path::new(&owner) == layout.state(),
        "the cluster on this machine is that of --state {owner}; use that, or end it first"
    );
    Ok(())
}

/// Nobody's cluster is on this machine.
pub(super) fn disown() -> Result<()> {
    match fs::remove_file(OWNER) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error).context(OWNER),
        _ => Ok(()),
    }
}

/// The record of the cluster in this state folder, if there is one (up, or left by a crash).
pub(super) fn open(layout: &Layout) -> Result<Option<Registry>> {
    Ok(Registry::previous(layout.state())?.pop())
}

/// Begins a record. Everything that is known beforehand is in it before it is made.
pub(super) fn create(layout: &Layout) -> Result<Registry> {
    files::ensure_dir(layout.state(), 0o755)?;
    let registry = Registry::create(layout.state(), &RunId::for_folder(layout.state()))?;
    let mut entries = vec![Entry::Folder { path: layout.run() }];
    let absent = FOLDERS.map(PathBuf::from).into_iter().filter(|path| !path.exists());
    entries.extend(absent.map(|path| Entry::Folder { path }));
    entries.extend(LINKS.map(|name| Entry::Link { name: name.to_owned() }));
    registry.record(&entries)?;
    files::write_atomic(Path::new(OWNER), layout.state().as_os_str().as_bytes(), 0o644)?;
    fs::create_dir_all(layout.run().join("log"))?;
    Ok(registry)
}

//! Removing a run: its processes, then its links, namespaces and folders, then its record.
//!
//! The same at the end of a run and after a crash. Only what the registry names is touched, and what is gone already is
//! fine. If something stays, the record stays too, so that the next attempt knows of it.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::process::Signal;

use super::error::NetworkError;
use super::ip::{self, Line};
use crate::process::{Entry, Registry, RegistryError, ended};

/// How long processes have to end by themselves.
const GRACE: Duration = Duration::from_secs(5);
/// How long the kernel may take to end killed ones.
const KILLED: Duration = Duration::from_secs(5);

/// Why something is left.
#[derive(Debug, thiserror::Error)]
pub enum CleanupError {
    /// The registry cannot be used.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// Processes survive SIGKILL.
    #[error(
        "processes {0:?} do not end; they wait in the kernel, look at them with `ps`; the next start of the run tries again"
    )]
    Processes(Vec<u32>),
    /// Some things could not be removed.
    #[error("not everything could be removed: {}; the next start of the run tries again", .0.join("; "))]
    Left(Vec<String>),
}

/// Removes everything that a run made.
pub fn cleanup(registry: &Registry) -> Result<(), CleanupError> {
    end_processes(registry)?;
    let mut left = Vec::new();
    for entry in registry.entries()?.into_iter().rev() {
        let removed = match entry {
            Entry::Link { name } => remove_link(&name),
            Entry::Namespace { name } => remove_namespace(&name),
            Entry::Folder { path } => remove_folder(&path),
            Entry::Run { .. } | Entry::Process { .. } => Ok(()),
        };
        left.extend(removed.err());
    }
    if !left.is_empty() {
        return Err(CleanupError::Left(left));
    }
    Ok(registry.close()?)
}

/// Removes what killed runs of this state folder left; returns their names. Runs that are under way are left alone.
pub fn cleanup_previous(state_dir: &Path) -> Result<Vec<String>, CleanupError> {
    let previous = Registry::previous(state_dir)?;
    previous.iter().try_for_each(cleanup)?;
    Ok(previous.iter().map(|registry| registry.id().to_string()).collect())
}

fn end_processes(registry: &Registry) -> Result<(), CleanupError> {
    let asked = registry.signal_all(Signal::TERM)?;
    if ended(&asked, GRACE) && registry.alive()?.is_empty() {
        return Ok(());
    }
    let mut alive = Vec::new();
    // A process may have started another one meanwhile.
    for _ in 0..3 {
        alive = registry.signal_all(Signal::KILL)?;
        if ended(&alive, KILLED) && registry.alive()?.is_empty() {
            return Ok(());
        }
    }
    Err(CleanupError::Processes(
        alive.iter().map(|process| process.pid).collect(),
    ))
}

fn remove_link(name: &str) -> Result<(), String> {
    let link = Path::new("/sys/class/net").join(name);
    if !link.exists() {
        return Ok(());
    }
    match ip::batch(None, &[Line::DeleteLink(name.to_owned())]) {
        Ok(()) => Ok(()),
        // It goes with the namespace that has its other end, which the kernel takes apart when it likes.
        Err(NetworkError::Ip { .. }) if !link.exists() => Ok(()),
        Err(error) => Err(error.to_string()),
    }
}

fn remove_namespace(name: &str) -> Result<(), String> {
    let file: PathBuf = Path::new("/run/netns").join(name);
    if !file.exists() {
        return Ok(());
    }
    match ip::batch(None, &[Line::DeleteNamespace(name.to_owned())]) {
        Ok(()) => Ok(()),
        Err(NetworkError::Ip { .. }) if !file.exists() => Ok(()),
        Err(error) => Err(error.to_string()),
    }
}

fn remove_folder(path: &Path) -> Result<(), String> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(format!("{}: {error}", path.display())),
        _ => Ok(()),
    }
}

//! What a run made, on disk, written before it is made.
//!
//! A file of JSON lines, only appended to and synced, in a folder that is locked while the run lives: whoever gets the
//! lock knows that the run is over, also after `kill -9`. A process cannot be recorded before it has a pid; it carries the
//! run's random marker in its environment instead, which was.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use rustix::process::Signal;
use serde::{Deserialize, Serialize};

use super::os::{self, Pid};
use super::run_id::RunId;
use crate::identity::files;

const LIST: &str = "created.jsonl";
const LOCK: &str = "lock";
/// The environment variable of each process of a run.
pub const MARKER: &str = "TULLE_RUN";

/// Something that must be removed at the end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "kind")]
pub enum Entry {
    /// The first line.
    Run {
        /// In the environment of each process of the run.
        marker: String,
        /// The boot in which the pids below mean something.
        boot: String,
    },
    /// A network namespace.
    Namespace {
        /// As `ip netns` knows it.
        name: String,
    },
    /// A link in the host's namespace.
    Link {
        /// As `ip link` knows it.
        name: String,
    },
    /// A folder with all that is in it.
    Folder {
        /// An absolute path.
        path: PathBuf,
    },
    /// A process, the leader of its own group.
    Process {
        /// For people.
        name: String,
        /// Which one.
        id: Pid,
    },
}

/// Why a run cannot be recorded.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// The files cannot be used.
    #[error("cannot use {path}: {source}; check that the state folder is writable by the user that runs tulle")]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Another process runs it.
    #[error("run {0} is under way in another process; end it first (Ctrl-C there), or use another folder")]
    InUse(RunId),
    /// An earlier run was not cleaned up.
    #[error("run {0} left things behind; start it again, which removes them first")]
    LeftOver(RunId),
}

/// The record of one run; exclusively ours while it lives.
#[derive(Debug)]
pub struct Registry {
    id: RunId,
    folder: PathBuf,
    marker: String,
    list: Mutex<File>,
    _lock: File,
}

impl Registry {
    /// Begins a run.
    pub fn create(state_dir: &Path, id: &RunId) -> Result<Self, RegistryError> {
        let folder = runs(state_dir).join(id.as_str());
        files::ensure_dir(&folder, 0o700).map_err(io_error(&folder))?;
        let lock = try_lock(&folder)?.ok_or_else(|| RegistryError::InUse(id.clone()))?;
        let path = folder.join(LIST);
        if path.exists() {
            return Err(RegistryError::LeftOver(id.clone()));
        }
        let registry = Self::open(id.clone(), folder, random_marker(), lock)?;
        registry.record(&[Entry::Run {
            marker: registry.marker.clone(),
            boot: os::boot_id(),
        }])?;
        files::sync_parent(&path).map_err(io_error(&path))?;
        Ok(registry)
    }

    /// The runs of this state folder that are over but were not cleaned up.
    pub fn previous(state_dir: &Path) -> Result<Vec<Self>, RegistryError> {
        let folder = runs(state_dir);
        let Ok(entries) = fs::read_dir(&folder) else {
            return Ok(Vec::new());
        };
        let mut found = Vec::new();
        for entry in entries {
            let entry = entry.map_err(io_error(&folder))?;
            let Some(id) = entry.file_name().to_str().and_then(RunId::parse) else {
                continue;
            };
            let folder = entry.path();
            if !folder.join(LIST).exists() {
                continue;
            }
            let Some(lock) = try_lock(&folder)? else { continue };
            let marker = read(&folder)?.into_iter().find_map(|entry| match entry {
                Entry::Run { marker, .. } => Some(marker),
                _ => None,
            });
            found.push(Self::open(id, folder, marker.unwrap_or_default(), lock)?);
        }
        Ok(found)
    }

    fn open(id: RunId, folder: PathBuf, marker: String, lock: File) -> Result<Self, RegistryError> {
        let path = folder.join(LIST);
        let list = OpenOptions::new()
            .create(true)
            .append(true)
            .open(&path)
            .map_err(io_error(&path))?;
        Ok(Self {
            id,
            folder,
            marker,
            list: Mutex::new(list),
            _lock: lock,
        })
    }

    /// The run's name.
    pub fn id(&self) -> &RunId {
        &self.id
    }

    /// The run's folder, for logs and other files of it.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The value of `TULLE_RUN` in each process of the run.
    pub fn marker(&self) -> &str {
        &self.marker
    }

    /// Writes down what is about to be made; returns once it is on disk.
    pub fn record(&self, entries: &[Entry]) -> Result<(), RegistryError> {
        let mut text = String::new();
        for entry in entries {
            let line = serde_json::to_string(entry)
                .map_err(io::Error::other)
                .map_err(io_error(&self.folder))?;
            text.push_str(&line);
            text.push('\n');
        }
        let mut list = self.list.lock().unwrap_or_else(PoisonError::into_inner);
        list.write_all(text.as_bytes())
            .and_then(|()| list.sync_data())
            .map_err(io_error(&self.folder.join(LIST)))
    }

    /// Everything that was written down.
    pub fn entries(&self) -> Result<Vec<Entry>, RegistryError> {
        read(&self.folder)
    }

    /// The processes of the run that are alive: the recorded ones and, by the marker, their descendants.
    pub fn alive(&self) -> Result<Vec<Pid>, RegistryError> {
        let entries = self.entries()?;
        let this_boot = entries
            .iter()
            .any(|e| matches!(e, Entry::Run { boot, .. } if *boot == os::boot_id()));
        if !this_boot {
            return Ok(Vec::new());
        }
        let recorded = entries.iter().filter_map(|entry| match entry {
            Entry::Process { id, .. } => Some(*id),
            _ => None,
        });
        let mut alive: Vec<Pid> = recorded.filter(|p| p.is_alive()).collect();
        if !self.marker.is_empty() {
            alive.extend(os::with_variable(MARKER, &self.marker));
        }
        alive.sort_unstable();
        alive.dedup();
        Ok(alive)
    }

    /// Signals every process of the run; returns them.
    pub fn signal_all(&self, signal: Signal) -> Result<Vec<Pid>, RegistryError> {
        let alive = self.alive()?;
        for process in &alive {
            process.signal(signal).map_err(io_error(&self.folder))?;
        }
        Ok(alive)
    }

    /// Forgets the run; only when nothing of it is left.
    pub fn close(&self) -> Result<(), RegistryError> {
        let path = self.folder.join(LIST);
        fs::remove_file(&path).map_err(io_error(&path))
    }
}

fn runs(state_dir: &Path) -> PathBuf {
    state_dir.join("runs")
}

fn try_lock(folder: &Path) -> Result<Option<File>, RegistryError> {
    let path = folder.join(LOCK);
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .map_err(io_error(&path))?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(source)) => Err(RegistryError::Io { path, source }),
    }
}

/// A last line without its end was being written at the crash; what it announced was never made.
fn read(folder: &Path) -> Result<Vec<Entry>, RegistryError> {
    let path = folder.join(LIST);
    let text = fs::read_to_string(&path).map_err(io_error(&path))?;
    Ok(text
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok())
        .collect())
}

fn random_marker() -> String {
    let mut random = [0_u8; 12];
    // Without randomness the marker is empty and descendants are found by their group only.
    if aws_lc_rs::rand::fill(&mut random).is_err() {
        return String::new();
    }
    random.iter().map(u8::to_string).collect::<Vec<_>>().join("-")
}

fn io_error(path: &Path) -> impl FnOnce(io::Error) -> RegistryError + use<> {
    let path = path.to_owned();
    move |source| RegistryError::Io { path, source }
}

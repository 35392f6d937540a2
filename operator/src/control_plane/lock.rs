//! One control plane for one state folder.
//!
//! A kernel lock on a file: it ends with the process however that ends, so nothing stale can block a start.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use crate::identity::files;

/// Why the state folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Somebody else has it.
    #[error("{folder} is in use by another `tulle up`{}; stop that one, or choose another folder with --state",
            .pid.as_ref().map(|pid| format!(" (process {pid})")).unwrap_or_default())]
    Taken {
        /// The state folder.
        folder: PathBuf,
        /// Who has it.
        pid: Option<String>,
    },
    /// The file cannot be made.
    #[error("cannot use the state folder {folder}: {source}; make it writable, or choose another one with --state")]
    Io {
        /// The state folder.
        folder: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// A held lock; dropping it gives the folder free.
#[derive(Debug)]
pub(super) struct StateLock {
    _file: File,
}

impl StateLock {
    /// Takes the lock, or says who has it.
    pub(super) fn take(state_dir: &Path) -> Result<Self, LockError> {
        let io = |source| LockError::Io {
            folder: state_dir.to_owned(),
            source,
        };
        files::ensure_dir(state_dir, 0o700).map_err(io)?;
        let path = state_dir.join("lock");
        let mut options = OpenOptions::new();
        let mut file = options
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .mode(0o600)
            .open(path)
            .map_err(io)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut pid = String::new();
                file.read_to_string(&mut pid).map_err(io)?;
                let pid = Some(pid.trim().to_owned()).filter(|pid| !pid.is_empty());
                return Err(LockError::Taken {
                    folder: state_dir.to_owned(),
                    pid,
                });
            }
            Err(TryLockError::Error(source)) => return Err(io(source)),
        }
        // For the message above only; the lock itself is the kernel's.
        file.set_len(0).and_then(|()| file.rewind()).map_err(io)?;
        writeln!(file, "{}", std::process::id()).map_err(io)?;
        Ok(Self { _file: file })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_folder_has_one_user_and_nothing_stale_blocks() {
        let dir = tempfile::tempdir().unwrap();
        let first = StateLock::take(dir.path()).unwrap();
        let error = StateLock::take(dir.path()).unwrap_err().to_string();
        assert!(error.contains(&std::process::id().to_string()), "{error}");
        drop(first);
        StateLock::take(dir.path()).unwrap();
    }
}

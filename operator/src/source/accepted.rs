//! The last accepted copy of each file, in the state folder.
//!
//! The copies mirror the watched folder's tree. A copy is written, whole and synced, before the content it holds is
//! served, so that after a crash nothing older than what was served can come back.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::walk;
use crate::identity::files;

/// The folder of copies.
#[derive(Debug)]
pub(super) struct AcceptedCopies {
    folder: PathBuf,
}

impl AcceptedCopies {
    /// Uses `<state_dir>/accepted`.
    pub(super) fn open(state_dir: &Path) -> io::Result<Self> {
        let folder = state_dir.join("accepted");
        files::ensure_dir(state_dir, 0o700)?;
        files::ensure_dir(&folder, 0o700)?;
        Ok(Self { folder })
    }

    /// The copy of a file.
    pub(super) fn load(&self, file: &Path) -> Option<Vec<u8>> {
        fs::read(self.folder.join(file)).ok()
    }

    /// Replaces the copy of a file.
    pub(super) fn store(&self, file: &Path, content: &[u8]) -> io::Result<()> {
        let path = self.folder.join(file);
        if let Some(parent) = path.parent() {
            self.make_room(parent)?;
        }
        if path.is_dir() {
            // What was a folder is a file now; the copies below it belong to files that are gone.
            fs::remove_dir_all(&path)?;
        }
        files::write_atomic(&path, content, 0o600)
    }

    /// Forgets the copy of a file that was removed.
    pub(super) fn remove(&self, file: &Path) -> io::Result<()> {
        let path = self.folder.join(file);
        match fs::remove_file(&path) {
            Ok(()) => files::sync_parent(&path),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Every file that has a copy.
    pub(super) fn list(&self) -> Vec<PathBuf> {
        walk::walk(&self.folder, None).files.into_keys().collect()
    }

    /// Creates a folder; a file in its way is the copy of a file that became a folder.
    fn make_room(&self, folder: &Path) -> io::Result<()> {
        let blocking = folder
            .ancestors()
            .take_while(|at| *at != self.folder)
            .find(|at| at.is_file());
        if let Some(file) = blocking {
            fs::remove_file(file)?;
        }
        files::ensure_dir(folder, 0o700)
    }
}

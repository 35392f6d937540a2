//! The files of a folder tree, by relative path.
//!
//! Hidden files and folders (a leading dot: editors' swap files, the state folder) are not ours. Links to files are
//! followed, links to folders are listed as they are, so that they are reported and never silently skipped.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::file::{self, Stamp};

/// What a walk found.
#[derive(Debug, Default)]
pub(super) struct Listing {
    /// Files that are ours, with their stamps.
    pub(super) files: BTreeMap<PathBuf, io::Result<Stamp>>,
    /// Folders that cannot be read; what is below them is unknown, not gone.
    pub(super) unreadable: BTreeMap<PathBuf, io::Error>,
}

impl Listing {
    /// The unreadable folder that this file is in.
    pub(super) fn hidden(&self, file: &Path) -> Option<(&PathBuf, &io::Error)> {
        self.unreadable.iter().find(|(folder, _)| file.starts_with(folder))
    }
}

/// Walks a tree, leaving out `exclude` (an absolute path).
pub(super) fn walk(root: &Path, exclude: Option<&Path>) -> Listing {
    let mut listing = Listing::default();
    let mut folders = vec![PathBuf::new()];
    while let Some(folder) = folders.pop() {
        let absolute = if folder.as_os_str().is_empty() {
            root.to_owned()
        } else {
            root.join(&folder)
        };
        match fs::read_dir(&absolute).and_then(Iterator::collect::<io::Result<Vec<_>>>) {
            Ok(entries) => entries
                .iter()
                .for_each(|entry| visit(entry, &folder, exclude, &mut listing, &mut folders)),
            // A folder that vanished under the walk is gone with its files.
            Err(error) if error.kind() == io::ErrorKind::NotFound && !folder.as_os_str().is_empty() => {}
            Err(error) => drop(listing.unreadable.insert(folder, error)),
        }
    }
    listing
}

fn visit(
    entry: &fs::DirEntry,
    folder: &Path,
    exclude: Option<&Path>,
    listing: &mut Listing,
    folders: &mut Vec<PathBuf>,
) {
    let (name, absolute) = (entry.file_name(), entry.path());
    if name.as_encoded_bytes().starts_with(b".") || exclude == Some(absolute.as_path()) {
        return;
    }
    let relative = folder.join(&name);
    match entry.file_type() {
        Ok(kind) if kind.is_dir() => folders.push(relative),
        Ok(kind) if kind.is_symlink() && absolute.is_dir() => {
            listing.files.insert(relative, file::stamp(&absolute));
        }
        _ if file::format_of(&absolute).is_some() => {
            let stamp = file::stamp(&absolute);
            // Gone since the folder was listed; a dangling link stays, so that it is reported.
            if matches!(&stamp, Err(error) if error.kind() == io::ErrorKind::NotFound)
                && fs::symlink_metadata(&absolute).is_err()
            {
                return;
            }
            listing.files.insert(relative, stamp);
        }
        _ => {}
    }
}

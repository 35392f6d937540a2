//! The `/etc/hosts` that a member's processes see: Service names and their virtual addresses.
//!
//! `ip netns exec` binds the file over `/etc/hosts` when a process starts, so a later change must be written into the same
//! file: a renamed one would never be seen.

use std::fs::{self, OpenOptions};
use std::io;
use std::net::IpAddr;
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// Names of an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostEntry {
    /// The address.
    pub address: IpAddr,
    /// Its names.
    pub names: Vec<String>,
}

const BASE: &str = "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n";

/// The folder of a namespace's own files under `/etc`.
pub(super) fn folder(namespace: &str) -> PathBuf {
    Path::new("/etc/netns").join(namespace)
}

/// Makes the file, which must be there before the first process.
pub(super) fn create(namespace: &str) -> io::Result<()> {
    let folder = folder(namespace);
    fs::create_dir_all(&folder)?;
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o755))?;
    write(namespace, &[])
}

/// Removes the folder.
pub(super) fn remove(namespace: &str) -> io::Result<()> {
    fs::remove_dir_all(folder(namespace))
}

/// Replaces the content, in place and in one write.
pub(super) fn write(namespace: &str, entries: &[HostEntry]) -> io::Result<()> {
    let path = folder(namespace).join("hosts");
    let mut text = BASE.to_owned();
    for entry in entries {
        let HostEntry { address, names } = entry;
        text.extend([&address.to_string(), "\t", &names.join(" "), "\n"]);
    }
    let length = text.len();
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .read(true)
        .write(true)
        .open(&path)?;
    let before = usize::try_from(file.metadata()?.len()).unwrap_or(0);
    // A reader between the two steps sees empty lines, not the end of an old entry.
    text.extend(std::iter::repeat_n('\n', before.saturating_sub(length)));
    file.write_all_at(text.as_bytes(), 0)?;
    file.set_len(length as u64)?;
    file.set_permissions(fs::Permissions::from_mode(0o644))
}

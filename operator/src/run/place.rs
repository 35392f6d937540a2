//! The folders of a run, and executables where its processes can reach them.

use std::path::{Path, PathBuf};

use anyhow::Context as _;

use super::{Isolation, RunOptions};
use crate::envoy_binary;
use crate::identity::files;
use crate::process::{ENVOY_UID, Entry, Registry};

/// Where executables are put that every user can reach; `/run` often forbids execution.
const EXECUTABLES: &str = "/var/cache/tulle/runs";
/// Where the small files of a run are: sockets have short names.
const RUNTIME: &str = "/run/tulle";

/// What a run has on disk beside its state.
pub(super) struct Files {
    /// The folder of small files.
    pub(super) runtime: PathBuf,
    /// The Envoy executable.
    pub(super) envoy: PathBuf,
    /// The folder with `tulle` in it.
    pub(super) programs: PathBuf,
}

/// Makes all of it, and writes it down before.
pub(super) fn prepare(options: &RunOptions, registry: &Registry) -> anyhow::Result<Files> {
    files::ensure_dir(&options.state_dir.join("logs"), 0o700).context("cannot make the folder of logs")?;
    match &options.isolation {
        Isolation::Namespaces => for_other_users(options, registry),
        Isolation::Loopback { files } => for_ourselves(options, registry, files),
    }
}

fn for_other_users(options: &RunOptions, registry: &Registry) -> anyhow::Result<Files> {
    let id = registry.id().as_str().to_owned();
    let runtime = PathBuf::from(RUNTIME).join(&id);
    let programs = PathBuf::from(EXECUTABLES).join(&id);
    registry.record(&[
        Entry::Folder { path: runtime.clone() },
        Entry::Folder { path: programs.clone() },
    ])?;
    for folder in [&runtime, &programs] {
        files::ensure_dir(folder, 0o755).with_context(|| format!("cannot make {}", folder.display()))?;
    }
    let program = programs.join("tulle");
    std::fs::copy(&options.program, &program).with_context(|| format!("cannot copy {}", options.program.display()))?;
    let envoy = envoy_binary::reachable_by(&options.envoy, ENVOY_UID, &programs)?;
    Ok(Files {
        runtime,
        envoy,
        programs,
    })
}

/// Everything runs as our own user: nothing is copied, and nobody else may look.
fn for_ourselves(options: &RunOptions, registry: &Registry, folder: &Path) -> anyhow::Result<Files> {
    let runtime = folder.join(format!("tulle-{}", registry.id()));
    let programs = runtime.join("bin");
    registry.record(&[Entry::Folder { path: runtime.clone() }])?;
    for folder in [&runtime, &programs] {
        files::ensure_dir(folder, 0o700).with_context(|| format!("cannot make {}", folder.display()))?;
    }
    std::os::unix::fs::symlink(&options.program, programs.join("tulle")).context("cannot link to this program")?;
    Ok(Files {
        runtime,
        envoy: options.envoy.path.clone(),
        programs,
    })
}

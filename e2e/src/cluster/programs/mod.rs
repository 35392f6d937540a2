//! The programs of a cluster: built from source or fetched once, kept in the cache, never touched again.
//!
//! A folder of the cache gets its name when all that belongs in it is there, so a folder that exists is complete. Nothing
//! is ever updated in place: another version is another folder.

mod compiler;
mod debian;
mod go;
mod kubectl;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result};
use operator::identity::files;

use compiler::Compiler;
pub(super) use debian::{install as install_packages, refusal};

/// Where the programs are.
#[derive(Clone, Debug)]
pub(super) struct Programs {
    cache: PathBuf,
}

impl Programs {
    /// Makes sure of all, building what is missing. Takes a quarter of an hour on two cores the first time, no time
    /// afterwards.
    pub(super) fn ensure(cache: &Path, progress: &dyn Fn(&str)) -> Result<Self> {
        if !Self::are_built(cache) {
            let compiler = Compiler::ensure(cache, progress)?;
            for recipe in go::RECIPES {
                complete(cache, &recipe.folder(), progress, |work| {
                    go::build(recipe, &compiler, work, progress)
                })?;
            }
            compiler.remove()?;
        }
        complete(cache, kubectl::FOLDER, progress, kubectl::fetch)?;
        Ok(Self::cached(cache))
    }

    /// The programs of the cache, without looking whether they are there.
    pub(super) fn cached(cache: &Path) -> Self {
        Self {
            cache: cache.to_owned(),
        }
    }

    /// Whether nothing would have to be built.
    fn are_built(cache: &Path) -> bool {
        go::RECIPES.iter().all(|recipe| cache.join(recipe.folder()).is_dir())
    }

    /// The path of one.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        let recipe = go::RECIPES.iter().find(|recipe| recipe.makes(name));
        let folder = recipe.map_or_else(|| kubectl::FOLDER.to_owned(), go::Recipe::folder);
        self.cache.join(folder).join(name)
    }
}

/// Makes `cache/name` unless it is there: in a folder beside it, which gets the name when `make` has succeeded.
pub(super) fn complete(
    cache: &Path,
    name: &str,
    progress: &dyn Fn(&str),
    make: impl FnOnce(&Path) -> Result<()>,
) -> Result<PathBuf> {
    let done = cache.join(name);
    if done.is_dir() {
        return Ok(done);
    }
    fs::create_dir_all(cache)?;
    let lock = cache.join(format!(".{name}.lock"));
    let _lock = files::lock(&lock).with_context(|| format!("cannot lock {}", lock.display()))?;
    if done.is_dir() {
        return Ok(done);
    }
    let work = cache.join(format!(".{name}.new"));
    if work.exists() {
        // A killed builder's; we hold the lock.
        fs::remove_dir_all(&work)?;
    }
    fs::create_dir(&work)?;
    let start = Instant::now();
    make(&work).with_context(|| format!("cannot make {name} (what it left is in {})", work.display()))?;
    fs::rename(&work, &done)?;
    files::sync_parent(&done)?;
    progress(&format!("{name} is ready after {:.0} s", start.elapsed().as_secs_f64()));
    Ok(done)
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[test]
    fn what_is_complete_is_not_made_again_and_what_failed_is() {
        let folder = tempfile::tempdir().unwrap();
        let made = Cell::new(0);
        let make = |ok: bool| {
            complete(folder.path(), "thing-1", &|_| {}, |work| {
                made.set(made.get() + 1);
                fs::write(work.join("half"), "")?;
                if ok { Ok(()) } else { Err(anyhow::anyhow!("no")) }
            })
        };
        assert!(make(false).is_err());
        assert!(!folder.path().join("thing-1").exists());
        let done = make(true).unwrap();
        assert!(done.join("half").is_file());
        make(true).unwrap();
        assert_eq!(made.get(), 2);
    }

    #[test]
    fn every_program_has_a_place() {
        let programs = Programs::cached(Path::new("/cache"));
        assert_eq!(programs.path("kubelet"), Path::new("/cache/kubernetes-1.37.2/kubelet"));
        assert_eq!(programs.path("etcd"), Path::new("/cache/etcd-3.7.3/etcd"));
        assert!(programs.path("kubectl").starts_with("/cache/kubectl-1.37.1"));
    }
}

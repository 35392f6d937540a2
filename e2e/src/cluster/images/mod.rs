//! Images without a registry: made from Dockerfiles by buildah, given to containerd as archives.
//!
//! `builder` is buildah, `builtin` are the images that every cluster has, `neighbours` is other people's software, `toolchain` is
//! the one of Rust, `store` is containerd's side.

mod builder;
mod builtin;
pub(super) mod neighbours;
mod store;
mod toolchain;

use std::path::Path;

use anyhow::Result;

use super::layout::Layout;
use super::programs::Programs;

pub use builder::Build;
pub(super) use builder::archive;
pub(super) use store::{Store, import};

/// Builds an image from a Dockerfile and packs it; everything that `FROM` may name is there.
pub(super) fn build(layout: &Layout, wanted: &Build<'_>, file: &Path) -> Result<()> {
    builtin::ensure_base(layout, &|_| {})?;
    let volumes = if wanted.rust {
        toolchain::ensure(layout, wanted.dockerfile, &|_| {})?
    } else {
        Vec::new()
    };
    builder::build(layout, wanted, &volumes)?;
    archive(layout, wanted.name, file)
}

/// Makes the archives of the images that every cluster has, unless the cache has them.
pub(super) fn prepare(layout: &Layout, programs: &Programs, progress: &dyn Fn(&str)) -> Result<()> {
    builtin::ensure_base(layout, progress)?;
    builtin::ensure_archives(layout, programs, progress)
}

/// Makes containerd and buildah forget an image.
pub(super) fn forget(layout: &Layout, name: &str) -> Result<()> {
    Store::new(layout).remove(name)?;
    builder::remove(layout, name)
}

/// Gives containerd the images that every cluster has.
pub(super) fn import_builtin(layout: &Layout, progress: &dyn Fn(&str)) -> Result<()> {
    let store = Store::new(layout);
    store.prune()?;
    let there = store.images()?;
    for (name, file) in builtin::archives(layout) {
        if !there.contains(&name) {
            progress(&format!("importing the image {name}"));
            import(layout, &file)?;
        }
    }
    Ok(())
}

//! The images that every cluster has: the base of others, the pause image, cluster DNS and stock Envoy.
//!
//! Envoy and the base have the names under which the world knows them, so that Dockerfiles and charts work unchanged.
//! Archives are in the cache; the base is in buildah's storage too, because images are built on it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use operator::envoy_binary::{PINNED, Search, default_cache_dir, locate};

use super::builder::{self, Build};
use crate::cluster::layout::Layout;
use crate::cluster::programs::{Programs, complete};
use crate::cluster::shell;

const BASE: &str = "docker.io/library/debian:bookworm-slim";
const RELEASE: &str = "bookworm";
/// The base's folder in the cache; the number changes with what is in it.
const BASE_FOLDER: &str = "base-bookworm-2";

/// An image, in its folder of the cache.
const ARCHIVE: &str = "image.tar";

const BASE_FILE: &str = "FROM scratch\nADD rootfs.tar /\nCMD [\"bash\"]\n";
const PAUSE_FILE: &str = "FROM scratch\nCOPY pause /pause\nUSER 65535:65535\nENTRYPOINT [\"/pause\"]\n";
const COREDNS_FILE: &str = "FROM scratch\nCOPY coredns /coredns\nENTRYPOINT [\"/coredns\"]\n";
/// As the stock image: a user `envoy`, and arguments of Envoy accepted without its name.
const ENVOY_FILE: &str = "FROM debian:bookworm-slim\n\
    RUN groupadd --gid 101 envoy && useradd --uid 101 --gid 101 --no-create-home --shell /usr/sbin/nologin envoy\n\
    COPY --chmod=755 envoy /usr/local/bin/envoy\n\
    COPY --chmod=755 entrypoint /docker-entrypoint.sh\n\
    USER 101:101\n\
    ENTRYPOINT [\"/docker-entrypoint.sh\"]\n\
    CMD [\"envoy\", \"--version\"]\n";
const ENVOY_ENTRYPOINT: &str = "#!/bin/sh\nset -e\ncase \"$1\" in -*) set -- envoy \"$@\" ;; esac\nexec \"$@\"\n";

/// Makes sure that Dockerfiles can begin with the base.
pub(super) fn ensure_base(layout: &Layout, progress: &dyn Fn(&str)) -> Result<()> {
    let folder = complete(layout.cache(), BASE_FOLDER, progress, |work| base(work, progress))?;
    // The name that tells this base from one that was made otherwise.
    let exact = format!("localhost/{BASE_FOLDER}:1");
    if builder::has(layout, &exact)? {
        return Ok(());
    }
    progress("making the base image");
    let dockerfile = folder.join("Dockerfile");
    builder::build(layout, &Build::new(&dockerfile, &folder, BASE), &[])?;
    builder::tag(layout, BASE, &exact)
}

/// The archives by the name of their image.
pub(super) fn archives(layout: &Layout) -> [(String, PathBuf); 3] {
    images().map(|(name, folder)| (name, layout.cache().join(folder).join(ARCHIVE)))
}

fn images() -> [(String, String); 3] {
    [
        ("localhost/pause:1".to_owned(), "image-pause-1".to_owned()),
        ("localhost/coredns:1.15.0".to_owned(), "image-coredns-1.15.0".to_owned()),
        (
            format!("docker.io/envoyproxy/envoy:v{PINNED}"),
            format!("image-envoy-{PINNED}"),
        ),
    ]
}

/// Makes the archives.
pub(super) fn ensure_archives(layout: &Layout, programs: &Programs, progress: &dyn Fn(&str)) -> Result<()> {
    let images = images();
    let [pause, coredns, envoy] = images.each_ref().map(|(name, folder)| (&**name, &**folder));
    let program = |name: &'static str| move |context: &Path| copy(&programs.path(name), &context.join(name));
    ensure(layout, pause, PAUSE_FILE, progress, program("pause"))?;
    ensure(layout, coredns, COREDNS_FILE, progress, program("coredns"))?;
    ensure(layout, envoy, ENVOY_FILE, progress, |context| {
        fs::write(context.join("entrypoint"), ENVOY_ENTRYPOINT)?;
        copy(&find_envoy(progress)?, &context.join("envoy"))
    })
    .map(drop)
}

/// Makes the archive of an image, unless the cache has it; `fill` puts into a folder what the Dockerfile wants.
pub(super) fn ensure(
    layout: &Layout,
    (name, folder): (&str, &str),
    dockerfile: &str,
    progress: &dyn Fn(&str),
    fill: impl FnOnce(&Path) -> Result<()>,
) -> Result<PathBuf> {
    let make = |work: &Path| {
        progress(&format!("building the image {name}"));
        let context = work.join("context");
        fs::create_dir(&context)?;
        fs::write(context.join("Dockerfile"), dockerfile)?;
        fill(&context)?;
        builder::build(layout, &Build::new(&context.join("Dockerfile"), &context, name), &[])?;
        builder::archive(layout, name, &work.join(ARCHIVE))?;
        // Each layer is a whole copy in this storage, and nothing is built on these.
        builder::remove(layout, name)?;
        Ok(fs::remove_dir_all(context)?)
    };
    let folder = complete(layout.cache(), folder, progress, make)?;
    Ok(folder.join(ARCHIVE))
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::copy(from, to).with_context(|| format!("cannot copy {}", from.display()))?;
    Ok(())
}

fn find_envoy(progress: &dyn Fn(&str)) -> Result<PathBuf> {
    let (xdg, home) = (std::env::var_os("XDG_CACHE_HOME"), std::env::var_os("HOME"));
    let search = Search {
        explicit: std::env::var_os("TULLE_ENVOY").map(PathBuf::from),
        path: std::env::var_os("PATH"),
        cache_dir: default_cache_dir(true, xdg.as_deref(), home.as_deref()),
    };
    Ok(locate(&search, progress)?.path)
}

fn base(work: &Path, progress: &dyn Fn(&str)) -> Result<()> {
    progress("fetching the base image with debootstrap (under a minute, once)");
    debian(work, "iptables,iproute2,ca-certificates", BASE_FILE)
}

/// A minimal Debian with these packages, and a Dockerfile for it; from the mirror that this machine uses itself.
pub(super) fn debian(work: &Path, packages: &str, dockerfile: &str) -> Result<()> {
    let root = work.join("rootfs");
    let mut command = Command::new("debootstrap");
    command.args(["--variant=minbase", &format!("--include={packages}"), RELEASE]);
    shell::output(command.arg(&root).args(mirror()))?;
    let mut tar = Command::new("tar");
    tar.args([
        "--numeric-owner",
        "--exclude=./dev/*",
        "--exclude=./proc/*",
        "--exclude=./sys/*",
    ]);
    tar.args(["--exclude=./var/cache/apt/*", "--exclude=./var/lib/apt/lists/*", "-cf"]);
    shell::output(tar.arg(work.join("rootfs.tar")).arg("-C").arg(&root).arg("."))?;
    fs::write(work.join("Dockerfile"), dockerfile)?;
    Ok(fs::remove_dir_all(root)?)
}

/// None: then debootstrap's own.
fn mirror() -> Option<String> {
    let mut command = Command::new("apt-get");
    command.args([
        "indextargets",
        "--format",
        "$(CODENAME) $(SITE)",
        "Created-By: Packages",
    ]);
    let listed = shell::output(&mut command).ok()?;
    let site = |line: &str| line.strip_prefix(RELEASE)?.strip_prefix(' ').map(str::to_owned);
    listed.lines().find_map(site)
}

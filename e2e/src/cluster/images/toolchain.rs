//! The image `rust:<version>-bookworm` that Dockerfiles build in, without a registry: a Debian with a linker, into which the
//! Rust of this machine and the packages that cargo has fetched are mounted while a build runs.
//!
//! So what compiles is this machine's Rust, whatever version the name says. Cargo writes to an overlay: what it fetches in
//! a build is gone afterwards.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::builder::{self, Build};
use super::builtin::debian;
use crate::cluster::layout::Layout;
use crate::cluster::programs::complete;
use crate::cluster::shell;

/// The image's folder in the cache; the number changes with what is in it.
const FOLDER: &str = "toolchain-bookworm-1";
const PACKAGES: &str = "gcc,libc6-dev,make,ca-certificates";
/// The places of the stock image.
const CARGO_HOME: &str = "/usr/local/cargo";
const TOOLCHAIN: &str = "/usr/local/rust";
const FILE: &str = "FROM scratch\n\
    ADD rootfs.tar /\n\
    ENV PATH=/usr/local/cargo/bin:/usr/local/rust/bin:/usr/sbin:/usr/bin:/sbin:/bin CARGO_HOME=/usr/local/cargo\n\
    CMD [\"bash\"]\n";

/// Makes the image that the Dockerfile builds in; the volumes that its steps need.
pub(super) fn ensure(layout: &Layout, dockerfile: &Path, progress: &dyn Fn(&str)) -> Result<Vec<String>> {
    let text = fs::read_to_string(dockerfile).with_context(|| format!("cannot read {}", dockerfile.display()))?;
    let tag = tag(&text).with_context(|| format!("{} has no line `FROM rust:...`", dockerfile.display()))?;
    let folder = complete(layout.cache(), FOLDER, progress, |work| {
        progress("fetching the image for compiling with debootstrap (once)");
        debian(work, PACKAGES, FILE)
    })?;
    let name = format!("docker.io/library/rust:{tag}");
    if !builder::has(layout, &name)? {
        builder::build(layout, &Build::new(&folder.join("Dockerfile"), &folder, &name), &[])?;
    }
    volumes()
}

/// This machine's Rust, and cargo's packages and settings.
fn volumes() -> Result<Vec<String>> {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let sysroot = shell::output(Command::new(rustc).args(["--print", "sysroot"]))?;
    let home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cargo")));
    let home = home.context("where cargo keeps its packages is not known; set CARGO_HOME")?;
    let mut volumes = vec![format!("{}:{TOOLCHAIN}:ro", sysroot.trim())];
    for (name, how) in [("registry", "O"), ("config.toml", "ro")] {
        let path = home.join(name);
        if path.exists() {
            volumes.push(format!("{}:{CARGO_HOME}/{name}:{how}", path.display()));
        }
    }
    // Where certificates are not those of Debian, everything that fetches here is told so by this variable.
    if let Some(file) = std::env::var_os("SSL_CERT_FILE").map(PathBuf::from) {
        volumes.push(format!("{}:/etc/ssl/certs/ca-certificates.crt:ro", file.display()));
    }
    Ok(volumes)
}

/// The tag of the image `rust` that a Dockerfile names.
fn tag(dockerfile: &str) -> Option<&str> {
    let mut froms = dockerfile.lines().filter_map(|line| line.strip_prefix("FROM "));
    let image = froms.find_map(|from| from.strip_prefix("rust:"))?;
    image.split_whitespace().next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_image_is_the_one_that_the_dockerfile_names() {
        let text = "FROM debian:bookworm-slim AS runtime\nFROM rust:1.95-bookworm AS build\nRUN true\n";
        assert_eq!(tag(text), Some("1.95-bookworm"));
        assert_eq!(tag("FROM debian:bookworm-slim\n"), None);
    }
}

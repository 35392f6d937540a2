//! What can be said of the Dockerfile without building it. `kubernetes` builds it.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};

fn read(file: &str) -> Result<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(file);
    fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))
}

/// `1.95` as a pair of numbers.
fn version(text: &str) -> Option<(u32, u32)> {
    let (major, minor) = text.split_once('.')?;
    let digits = minor.split(|letter: char| !letter.is_ascii_digit()).next()?;
    Some((major.parse().ok()?, digits.parse().ok()?))
}

#[test]
fn the_dockerfile_compiles_with_a_rust_that_is_new_enough() -> Result<()> {
    let (dockerfile, manifest) = (read("Dockerfile")?, read("Cargo.toml")?);
    let after = |text: &str, mark: &str| text.split_once(mark).and_then(|(_, rest)| version(rest));
    let used = after(&dockerfile, "FROM rust:").context("the Dockerfile names its Rust")?;
    let needed = after(&manifest, "rust-version = \"").context("the manifest names its Rust")?;
    ensure!(
        used >= needed,
        "the Dockerfile compiles with {used:?}, the workspace needs {needed:?}"
    );
    Ok(())
}

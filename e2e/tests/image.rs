//! The image that the repository's Dockerfile makes from the sources, as a release makes it, deployed by the chart.
//!
//! Runs only with `TULLE_CLUSTER_TESTS=1` and `TULLE_IMAGE_TESTS=1`: it compiles everything anew, optimised, which takes a
//! quarter of an hour on two cores. The other tests of the cluster take the program that cargo built for them.

use std::fs;
use std::io::Write;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use tulle_e2e::cluster::Cluster;
use tulle_e2e::install::{Installation, TULLE, build_tulle};

const SWITCHES: [&str; 2] = ["TULLE_CLUSTER_TESTS", "TULLE_IMAGE_TESTS"];
const TAG: &str = "e2e-sources";

fn say(line: &str) {
    // Not `eprintln!`: the test harness would keep it to itself.
    writeln!(std::io::stderr(), "image test: {line}").ok();
}

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

#[test]
fn the_image_from_the_sources_is_what_the_chart_deploys() -> Result<()> {
    if let Some(switch) = SWITCHES
        .iter()
        .find(|name| std::env::var_os(name).is_none_or(|value| value != "1"))
    {
        say(&format!(
            "SKIPPED: set {switch}=1 to run it; it compiles everything anew"
        ));
        return Ok(());
    }
    let Some(cluster) = Cluster::ensure()? else {
        return Ok(());
    };
    build_tulle(&cluster, TAG)?;
    let installation = Installation::ensure_image(&cluster, TAG.to_owned(), &[])?;
    let pods = installation.pods()?;
    ensure!(pods.len() == 2, "{} replicas", pods.len());
    for pod in pods {
        let image = pod
            .pointer("/spec/containers/0/image")
            .and_then(serde_json::Value::as_str);
        ensure!(image == Some(&*format!("{TULLE}:{TAG}")), "{image:?}");
    }
    let said = installation.test()?;
    ensure!(said.contains("Succeeded"), "{said}");
    Ok(())
}

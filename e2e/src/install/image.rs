//! Images of what was built from this repository, under names that change with their content: what the node has is not
//! built again.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use xxhash_rust::xxh3::Xxh3Default;

use super::{repository, say};
use crate::cluster::{Build, Cluster};
use crate::harness::{own_program, tulle};

/// The repository of Tulle's image: the chart's default.
pub const TULLE: &str = "ghcr.io/tulle-mesh/tulle";
/// That of the tests' application.
const TOOLS: &str = "localhost/tulle-e2e";
/// Tags that were made here begin with it.
const PREFIX: &str = "e2e-";
const TOOLS_FILE: &str = "FROM debian:bookworm-slim\n\
    COPY --chmod=755 tulle-e2e /usr/local/bin/tulle-e2e\n\
    USER 65532:65532\n\
    ENTRYPOINT [\"tulle-e2e\"]\n";

/// Gives the cluster the image of the present `tulle`; its tag.
pub fn load_tulle(cluster: &Cluster) -> Result<String> {
    let dockerfile = fs::read_to_string(repository().join("Dockerfile")).context("cannot read the Dockerfile")?;
    load(cluster, &tulle()?, TULLE, &dockerfile, Some("prebuilt"))
}

/// Builds the image as a user does, from the sources, and gives it to the cluster.
pub fn build_tulle(cluster: &Cluster, tag: &str) -> Result<()> {
    let (root, name) = (repository(), format!("{TULLE}:{tag}"));
    say(&format!(
        "building the image {name} from the sources; minutes on two cores"
    ));
    cluster.build_image(&Build {
        rust: true,
        ..Build::new(&root.join("Dockerfile"), &root, &name)
    })
}

/// Gives the cluster an image with `tulle-e2e` (the echo application, callers, loads); its name with the tag.
pub fn load_tools(cluster: &Cluster) -> Result<String> {
    let tag = load(cluster, &own_program()?, TOOLS, TOOLS_FILE, None)?;
    forget(cluster, TOOLS, &tag)?;
    Ok(format!("{TOOLS}:{tag}"))
}

/// Makes the node forget the images of earlier programs. Not before pods run the present one.
pub(super) fn forget_others(cluster: &Cluster, tag: &str) -> Result<()> {
    forget(cluster, TULLE, tag)
}

fn load(cluster: &Cluster, program: &Path, repository: &str, dockerfile: &str, target: Option<&str>) -> Result<String> {
    let tag = tag(program, dockerfile)?;
    let name = format!("{repository}:{tag}");
    if cluster.images()?.contains(&name) {
        return Ok(tag);
    }
    say(&format!("building the image {name}"));
    let context = tempfile::tempdir()?;
    let copy = context
        .path()
        .join(program.file_name().context("a program has a name")?);
    // It is large, and mostly on the same file system.
    fs::hard_link(program, &copy).or_else(|_| fs::copy(program, &copy).map(drop))?;
    let file = context.path().join("Dockerfile");
    fs::write(&file, dockerfile)?;
    cluster.build_image(&Build {
        target,
        ..Build::new(&file, context.path(), &name)
    })?;
    Ok(tag)
}

fn forget(cluster: &Cluster, repository: &str, tag: &str) -> Result<()> {
    let (prefix, present) = (format!("{repository}:{PREFIX}"), format!("{repository}:{tag}"));
    for name in cluster.images()? {
        if name.starts_with(&prefix) && name != present {
            cluster.forget_image(&name)?;
        }
    }
    Ok(())
}

fn tag(program: &Path, dockerfile: &str) -> Result<String> {
    let mut hash = Xxh3Default::new();
    hash.update(&fs::read(program).with_context(|| format!("cannot read {}", program.display()))?);
    hash.update(dockerfile.as_bytes());
    Ok(format!("{PREFIX}{:016x}", hash.digest()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_changes_with_the_program_and_with_the_recipe() {
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("program");
        fs::write(&program, "one").unwrap();
        let first = tag(&program, "FROM scratch").unwrap();
        assert_eq!(tag(&program, "FROM scratch").unwrap(), first);
        assert_ne!(tag(&program, "FROM debian").unwrap(), first);
        fs::write(&program, "two").unwrap();
        assert_ne!(tag(&program, "FROM scratch").unwrap(), first);
    }
}

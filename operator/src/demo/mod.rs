//! `tulle demo`: a small shop of real processes and real Envoys, and policies that take hold on real traffic.
//!
//! Each step shows the YAML, the requests before and after, and how long it took from saving the file until every proxy
//! concerned had acknowledged. What is shown is also checked: a step that did not come out as shown fails the demo.

mod caller;
mod probe;
mod screen;
mod steps;
mod story;

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::Context as _;
use tokio_util::sync::CancellationToken;

use crate::envoy_binary::EnvoyBinary;
use crate::run::{Isolation, Run, RunOptions, loopback_files};
use caller::Caller;
pub use screen::Screen;
use story::Story;

/// How the demo runs.
#[derive(Clone, Debug)]
pub struct DemoOptions {
    /// End after the last step.
    pub once: bool,
    /// The folder of YAML that is written; a temporary one if absent.
    pub folder: Option<PathBuf>,
    /// The Envoy to run.
    pub envoy: EnvoyBinary,
    /// This program.
    pub program: PathBuf,
    /// Loopback addresses instead of network namespaces.
    pub loopback: bool,
    /// A private folder for sockets, if there is one.
    pub runtime_dir: Option<PathBuf>,
}

/// The shop: what runs before any policy.
const SHOP: [(&str, &str); 2] = [
    ("services.yaml", include_str!("shop/services.yaml")),
    ("workloads.yaml", include_str!("shop/workloads.yaml")),
];

/// Runs the demo until its end, or until it is to end. Returns whether everything was as shown.
pub async fn run(options: DemoOptions, screen: &Screen, ending: &CancellationToken) -> anyhow::Result<bool> {
    let temporary = private_folder()?;
    let folder = options.folder.clone().unwrap_or_else(|| temporary.path().join("shop"));
    write_shop(&folder)?;
    let state_dir = temporary.path().join("state");
    let started = Instant::now();
    let run_options = RunOptions {
        folder: folder.clone(),
        state_dir: state_dir.clone(),
        envoy: options.envoy.clone(),
        program: options.program.clone(),
        plane_arguments: Vec::new(),
        isolation: if options.loopback {
            Isolation::Loopback {
                files: loopback_files(options.runtime_dir.as_deref(), &state_dir),
            }
        } else {
            Isolation::Namespaces
        },
    };
    let progress = |line: &str| screen.progress(line);
    let Some(mut run) = Run::start(run_options, ending, &progress).await? else {
        return Ok(false);
    };
    let told = ending.run_until_cancelled(tell(&mut run, screen, started)).await;
    if let (Some(Ok(_)), false) = (&told, options.once) {
        screen.farewell(&folder, &state_dir, Caller::of(&run, "shop/orders-1").as_ref());
        run.keep(ending, &progress).await;
    }
    screen.progress("removing everything that was made");
    if let Err(error) = run.stop().await {
        // What is left is written down in there.
        let kept = temporary.keep();
        return Err(error.context(format!("{} stays, which says what was made", kept.display())));
    }
    told.unwrap_or(Ok(false))
}

async fn tell(run: &mut Run, screen: &Screen, started: Instant) -> anyhow::Result<bool> {
    run.look(&|line| screen.progress(line)).await?;
    screen.done(
        &format!(
            "the shop is open: {} workloads, each with its own Envoy",
            run.members().len()
        ),
        started.elapsed(),
    );
    let mut story = Story::new(run, screen);
    story.settle().await?;
    story.table().await?;
    for step in steps::all() {
        story.step(&step).await?;
    }
    story.table().await?;
    let failed = story.failed();
    screen.verdict(failed);
    Ok(failed == 0)
}

fn write_shop(folder: &Path) -> anyhow::Result<()> {
    std::fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    for (name, content) in SHOP {
        std::fs::write(folder.join(name), content).with_context(|| format!("cannot write {name}"))?;
    }
    Ok(())
}

/// A new folder for this demo, which is removed with it. The mesh's keys and the objects that say what runs are in it: it
/// must not be one that somebody else made, and nobody else may look into it.
fn private_folder() -> anyhow::Result<tempfile::TempDir> {
    tempfile::Builder::new()
        .prefix("tulle-demo-")
        .permissions(std::fs::Permissions::from_mode(0o700))
        .tempdir()
        .context("cannot make a temporary folder")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_demo_has_a_folder_that_nobody_else_may_use() {
        let (one, other) = (private_folder().unwrap(), private_folder().unwrap());
        assert_ne!(one.path(), other.path());
        let mode = std::fs::metadata(one.path()).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
    }
}

//! `tulle demo`: a small shop of real processes and real Envoys, and policies that take hold on real traffic.
//!
//! Each step shows the YAML, the requests before and after, and how long it took from saving the file until every proxy
//! concerned had acknowledged. What is shown is also checked: a step that did not come out as shown fails the demo.

mod caller;
mod probe;
mod screen;
mod steps;
mod story;

use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::Context as _;

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

/// Runs the demo. Returns whether everything was as shown.
pub async fn run(options: DemoOptions, screen: &Screen, shutdown: impl Future<Output = ()>) -> anyhow::Result<bool> {
    tokio::pin!(shutdown);
    let temporary = tempfile_folder()?;
    let folder = options.folder.clone().unwrap_or_else(|| temporary.join("shop"));
    write_shop(&folder)?;
    let state_dir = temporary.join("state");
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
    let mut run = tokio::select! {
        run = Run::start(run_options, &progress) => run?,
        () = &mut shutdown => return Ok(false),
    };
    let told = tokio::select! {
        told = tell(&mut run, screen, started) => told,
        () = &mut shutdown => Ok(false),
    };
    if let (Ok(_), false) = (&told, options.once) {
        screen.farewell(&folder, &state_dir, Caller::of(&run, "shop/orders-1").as_ref());
        run.keep(&mut shutdown, &progress).await;
    }
    screen.progress("removing everything that was made");
    run.stop().await?;
    std::fs::remove_dir_all(&temporary).ok();
    told
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

/// A new folder for this demo: two demos do not meet.
fn tempfile_folder() -> anyhow::Result<PathBuf> {
    let folder = std::env::temp_dir().join(format!("tulle-demo-{}", std::process::id()));
    std::fs::remove_dir_all(&folder).ok();
    std::fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    Ok(folder)
}

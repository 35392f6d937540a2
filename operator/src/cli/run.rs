//! `tulle up DIR --run`: the processes of a folder, with their Envoys and the control plane.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::up::UpArgs;
use crate::envoy_binary::{self, EnvoyBinary, Search};
use crate::run::{Isolation, Run, RunOptions, loopback_files};
use crate::settings::{self, Environment};

pub(super) async fn run(args: UpArgs) -> anyhow::Result<ExitCode> {
    let progress = |line: &str| tracing::info!("{line}");
    let envoy = locate_envoy(args.envoy.clone(), |line| tracing::info!("{line}")).await?;
    let state_dir = absolute(&settings::state_dir(&args.folder, args.state.as_deref()))?;
    let isolation = isolation(args.loopback, &state_dir);
    if isolation != Isolation::Namespaces {
        tracing::warn!("{}", LOOPBACK.join(" "));
    }
    let options = RunOptions {
        folder: absolute(&args.folder)?,
        state_dir,
        isolation,
        envoy,
        program: std::env::current_exe().context("cannot find this program")?,
        plane_arguments: args
            .access_log
            .iter()
            .flat_map(|file| ["--access-log".to_owned(), file.clone()])
            .collect(),
    };
    let ending = ending()?;
    let Some(mut run) = Run::start(options, &ending, &progress).await? else {
        return Ok(ExitCode::SUCCESS);
    };
    let looked = ending.run_until_cancelled(run.look(&progress)).await.transpose();
    if let Ok(Some(changed)) = looked {
        if changed {
            tracing::info!(
                workloads = run.members().len(),
                "everything runs; Ctrl-C ends it and removes everything"
            );
        }
        run.keep(&ending, &progress).await;
    }
    tracing::info!("ending; removing everything that was made");
    run.stop().await?;
    looked.map(|_| ExitCode::SUCCESS)
}

/// Is cancelled at Ctrl-C and SIGTERM, for good: however many wait for it, and however often.
pub(super) fn ending() -> anyhow::Result<CancellationToken> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let ending = CancellationToken::new();
    let told = ending.clone();
    tokio::spawn(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        told.cancel();
    });
    Ok(ending)
}

/// What people must know who run without namespaces.
pub(super) const LOOPBACK: [&str; 3] = [
    "On loopback addresses, without namespaces and interception: NO SECURITY BOUNDARY.",
    "Any process of this machine can dial an application directly, or use another workload's outbound ports.",
    "Applications listen on TULLE_ADDRESS and call TULLE_<SERVICE>_URL.",
];

/// Network namespaces and interception need root.
pub(super) fn isolation(loopback: bool, state_dir: &Path) -> Isolation {
    let environment = Environment::read();
    if environment.is_root && !loopback {
        return Isolation::Namespaces;
    }
    Isolation::Loopback {
        files: loopback_files(environment.runtime_dir.as_deref(), state_dir),
    }
}

/// Finds Envoy, installing it if need be.
pub(super) async fn locate_envoy(
    explicit: Option<PathBuf>,
    progress: impl Fn(&str) + Send + 'static,
) -> anyhow::Result<EnvoyBinary> {
    let environment = Environment::read();
    let search = Search {
        explicit,
        path: environment.path,
        cache_dir: environment.cache_dir,
    };
    let located = tokio::task::spawn_blocking(move || envoy_binary::locate(&search, &progress)).await;
    Ok(located.context("looking for Envoy ended unexpectedly")??)
}

/// Children start in other folders.
fn absolute(path: &Path) -> anyhow::Result<PathBuf> {
    std::path::absolute(path).with_context(|| format!("cannot use {}", path.display()))
}

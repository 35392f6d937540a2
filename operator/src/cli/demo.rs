//! `tulle demo`.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Args;

use super::run::{ending, locate_envoy};
use crate::demo::{self, DemoOptions, Screen};
use crate::packages;
use crate::settings::Environment;

/// Flags of `tulle demo`.
#[derive(Clone, Debug, Args)]
pub(super) struct DemoArgs {
    /// End after the last step; the exit code says whether everything was as shown.
    #[arg(long)]
    once: bool,
    /// Loopback addresses instead of network namespaces; without root always so.
    #[arg(long)]
    loopback: bool,
    /// An Envoy to run. Default: a fitting one on PATH, else one that is installed into a cache
    #[arg(long, env = "TULLE_ENVOY", value_name = "FILE")]
    envoy: Option<PathBuf>,
    /// Write the YAML into this folder. Default: a temporary one
    #[arg(long, value_name = "DIR")]
    folder: Option<PathBuf>,
}

pub(super) async fn run(args: DemoArgs) -> anyhow::Result<ExitCode> {
    let screen = Screen::default();
    let environment = Environment::read();
    let path = environment.path.clone().unwrap_or_default();
    let loopback = args.loopback || !environment.is_root;
    if loopback {
        for line in super::run::LOOPBACK {
            screen.say(line);
        }
    } else {
        tokio::task::spawn_blocking(move || {
            packages::install_missing(&packages::INTERCEPTION, &path, &|line| Screen::default().progress(line))
        })
        .await
        .context("installing packages ended unexpectedly")??;
    }
    let envoy = locate_envoy(args.envoy, |line| Screen::default().progress(line)).await?;
    screen.progress(&format!("Envoy {} is at {}", envoy.version, envoy.path.display()));
    let program = std::env::current_exe().context("cannot find this program")?;
    let folder = args.folder.map(std::path::absolute).transpose()?;
    let options = DemoOptions {
        once: args.once,
        folder,
        envoy,
        program,
        loopback,
        runtime_dir: environment.runtime_dir,
    };
    let shown = demo::run(options, &screen, &ending()?).await?;
    Ok(if shown { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

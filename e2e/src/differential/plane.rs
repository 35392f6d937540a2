//! `tulle-e2e up`: the control plane of `tulle up` with a compiler that may be broken on purpose.
//!
//! It takes the same arguments, so that a mesh runs it in place of `tulle`. Which mutation it has stands in a file that it
//! reads when it starts: a mesh changes its compiler by killing the control plane. `tulle` itself has no such option.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use config::Mutation;
use operator::cli::{UpArgs, up_options};
use operator::control_plane::ControlPlane;
use tokio::signal::unix::{SignalKind, signal};

use crate::harness::{MeshOptions, own_program};

/// Arguments of `tulle-e2e up`.
#[derive(clap::Args, Clone, Debug)]
pub struct PlaneArgs {
    #[command(flatten)]
    up: UpArgs,
    /// The file with the name of the mutation; empty for none.
    #[arg(long)]
    mutation_file: Option<PathBuf>,
}

/// Serves until it is told to end.
pub async fn run(args: PlaneArgs) -> Result<()> {
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    let name = match &args.mutation_file {
        Some(file) => std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?,
        None => String::new(),
    };
    let mut options = up_options(&args.up)?;
    options.settings.mutation = match name.trim() {
        "" => None,
        name => Some(Mutation::named(name).with_context(|| format!("no mutation {name}"))?),
    };
    let mut terminate = signal(SignalKind::terminate())?;
    let plane = ControlPlane::start(options).await?;
    terminate.recv().await;
    plane.shutdown().await;
    Ok(())
}

/// Where the mutation of a mesh stands.
pub fn mutation_file(mesh: &str) -> PathBuf {
    std::env::temp_dir().join(format!("tulle-e2e-{mesh}.mutation"))
}

/// Runs a mesh with this control plane.
pub fn options(mutation: &Path) -> Result<MeshOptions> {
    std::fs::write(mutation, "")?;
    Ok(MeshOptions {
        program: Some(own_program()?),
        plane_arguments: vec!["--mutation-file".to_owned(), mutation.display().to_string()],
    })
}

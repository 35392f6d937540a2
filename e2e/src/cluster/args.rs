//! `tulle-e2e cluster`: the commands.

use std::io::Write;
use std::path::PathBuf;

use anyhow::{Result, bail};

use super::layout::Layout;
use super::{machine, room, say, start, status, stop};

/// Arguments of `tulle-e2e cluster`.
#[derive(clap::Subcommand, Clone, Debug)]
pub enum ClusterArgs {
    /// Start a cluster, or make sure that it is up; prints the path of its KUBECONFIG.
    Up(Folder),
    /// End it and remove all that it made, except what the next start can use again.
    Down(Folder),
    /// Say what runs. Fails if not everything does.
    Status(Folder),
}

/// Which cluster.
#[derive(clap::Args, Clone, Debug)]
pub struct Folder {
    /// The state folder [default: /var/lib/tulle-e2e].
    #[arg(long, value_name = "DIR", env = "TULLE_E2E_STATE")]
    state: Option<PathBuf>,
}

/// Runs a command.
pub fn run(args: &ClusterArgs) -> Result<()> {
    let (ClusterArgs::Up(folder) | ClusterArgs::Down(folder) | ClusterArgs::Status(folder)) = args;
    let layout = Layout::new(folder.state.as_deref());
    if let Some(reason) = machine::refusal() {
        bail!("{reason}");
    }
    room::refuse_from_outside(&layout)?;
    let mut out = std::io::stdout().lock();
    match args {
        ClusterArgs::Up(_) => {
            start::up(&layout, &say)?;
            writeln!(out, "{}", layout.kubeconfig().display())?;
        }
        ClusterArgs::Down(_) if stop::down(&layout, &say)? => say("the cluster is gone"),
        ClusterArgs::Down(_) => say("there was no cluster"),
        ClusterArgs::Status(_) => {
            let (text, all) = status::describe(&layout, &say)?;
            write!(out, "{text}")?;
            if !all {
                bail!("not everything runs; `tulle-e2e cluster up` starts it");
            }
        }
    }
    Ok(())
}

//! `tulle token create`: a join token for one workload, made from the key in the state folder.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use anyhow::Context as _;
use clap::{Args, Subcommand};

use crate::identity::JoinKey;
use crate::settings;

/// `tulle token ...`.
#[derive(Debug, Subcommand)]
pub(super) enum TokenCommand {
    /// Print a token with which the proxy of one workload can join.
    Create(CreateArgs),
}

/// Flags of `tulle token create`.
#[derive(Debug, Args)]
pub(super) struct CreateArgs {
    /// The workload, `namespace/name`.
    #[arg(value_name = "NAMESPACE/NAME")]
    workload: String,
    /// How long it can be used: 30m, 24h, at most 8760h.
    #[arg(long, default_value = "24h", value_parser = duration)]
    ttl: Duration,
    /// The state folder of the control plane.
    #[arg(long, env = "TULLE_STATE", value_name = "DIR")]
    state: Option<PathBuf>,
}

const LONGEST: Duration = Duration::from_hours(8760);

pub(super) fn run(command: &TokenCommand) -> anyhow::Result<ExitCode> {
    let TokenCommand::Create(args) = command;
    let (namespace, name) = args.workload.split_once('/').with_context(|| {
        format!(
            "{:?} names no workload; write NAMESPACE/NAME, for example shop/orders-1",
            args.workload
        )
    })?;
    let state = settings::find_state_dir(args.state.as_deref())?;
    anyhow::ensure!(
        state.join("join.key").exists(),
        "{} is not the state folder of a control plane; start `tulle up` first, or name its folder with --state",
        state.display()
    );
    let token = JoinKey::open(&state)?.issue(namespace, name, args.ttl, SystemTime::now())?;
    super::print(&format!("{token}\n"))?;
    Ok(ExitCode::SUCCESS)
}

fn duration(text: &str) -> Result<Duration, String> {
    crds::duration::parse(text)
        .filter(|duration| !duration.is_zero() && *duration <= LONGEST)
        .ok_or_else(|| "write a duration such as 30m or 24h, at most 8760h".to_owned())
}

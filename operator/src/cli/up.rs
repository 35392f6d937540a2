//! `tulle up DIR`: the control plane of a folder of YAML.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use config::{LoopbackBlock, Placement};
use tokio::signal::unix::{SignalKind, signal};

use crate::allocate::{Pool, WorkloadAddresses, kept_workload_addresses};
use crate::control_plane::{ControlPlane, ControlPlaneOptions};
use crate::netns::Subnet;
use crate::settings;

/// Flags of `tulle up`.
#[derive(Clone, Debug, Args)]
pub struct UpArgs {
    /// The folder of objects; watched for changes.
    #[arg(value_name = "DIR")]
    pub folder: PathBuf,
    /// Also start the processes described there, each with its own Envoy. With root each gets a network namespace, and
    /// applications know nothing of the mesh
    #[arg(long)]
    pub run: bool,
    /// Where the certificate authority, accepted copies and addresses are kept. Default: DIR/.tulle
    #[arg(long, env = "TULLE_STATE", value_name = "DIR")]
    pub state: Option<PathBuf>,
    /// With --run: no namespaces and no interception, but loopback addresses that applications are told (`TULLE_ADDRESS`,
    /// `TULLE_<SERVICE>_URL`). No security boundary: any process here can go around the proxies. Without root always so
    #[arg(long, requires = "run")]
    pub loopback: bool,
    /// Where proxies connect.
    #[arg(long, default_value = "127.0.0.1:15012", value_name = "ADDRESS:PORT")]
    pub listen: SocketAddr,
    /// Give workloads that are processes their addresses from this IPv4 block.
    #[arg(long, value_name = "ADDRESS/PREFIX")]
    pub workload_subnet: Option<Subnet>,
    /// What `--run --loopback` serves: each workload on loopback addresses of its own.
    #[arg(long, hide = true, conflicts_with_all = ["workload_subnet", "run"])]
    pub loopback_block: Option<LoopbackBlock>,
    /// With --run, an Envoy to run. Default: a fitting one on PATH, else one that is installed into a cache
    #[arg(long, env = "TULLE_ENVOY", value_name = "FILE")]
    pub envoy: Option<PathBuf>,
    /// Where proxies write their access log. Default: their standard output
    #[arg(long, value_name = "FILE")]
    pub access_log: Option<String>,
}

pub(super) async fn run(args: UpArgs) -> anyhow::Result<ExitCode> {
    if args.run {
        return super::run::run(args).await;
    }
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let plane = ControlPlane::start(options(&args)?).await?;
    tell(&args, &plane);
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    tracing::info!("ending; proxies go on with what they have");
    plane.shutdown().await;
    Ok(ExitCode::SUCCESS)
}

/// What the flags ask for.
pub fn options(args: &UpArgs) -> anyhow::Result<ControlPlaneOptions> {
    crate::source::check_folder(&args.folder)?;
    let state_dir = settings::state_dir(&args.folder, args.state.as_deref());
    let subnet = args.workload_subnet.map(Pool::Subnet);
    let workload_addresses = match subnet.or(args.loopback_block.map(Pool::Loopback)) {
        Some(pool) => {
            crate::identity::files::ensure_dir(&state_dir, 0o700)?;
            kept_workload_addresses(pool, &state_dir)?
        }
        None => WorkloadAddresses::default(),
    };
    Ok(ControlPlaneOptions {
        folder: args.folder.clone(),
        state_dir,
        listen: args.listen,
        workload_addresses,
        placement: args.loopback_block.map_or_else(Placement::default, Placement::Loopback),
        access_log_path: args.access_log.clone(),
        settings: config::Settings::default(),
    })
}

/// Says what runs and where to look. The log tells the rest.
fn tell(args: &UpArgs, plane: &ControlPlane) {
    let view = plane.source().view();
    let state = settings::state_dir(&args.folder, args.state.as_deref());
    let (folder, address, state) = (args.folder.display(), plane.xds_address(), state.display());
    let model = &plane.engine().view().model;
    tracing::info!(
        %folder, objects = view.by_name.len(), workloads = model.workloads.len(), xds = %address, %state,
        "the control plane is up; see it with `tulle get mesh --state {state}`"
    );
    for problem in &view.problems {
        tracing::warn!(served = ?problem.served, "{problem}");
    }
    for finding in &model.diagnostics {
        tracing::warn!(severity = ?finding.severity, "{finding}");
    }
}

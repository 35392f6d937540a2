//! `tulle operator`: the control plane of a Kubernetes cluster. Not complete yet, and therefore hidden.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use crate::control_plane::{ClusterOptions, ClusterPlane};
use crate::source::kubernetes::connect;

/// Flags of `tulle operator`.
#[derive(Clone, Debug, Args)]
pub(super) struct OperatorArgs {
    /// How to reach the API server. Default: as a Pod of the cluster does
    #[arg(long, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
    /// Where the certificate authority is kept.
    #[arg(long, env = "TULLE_STATE", value_name = "DIR")]
    state: PathBuf,
    /// Where proxies connect.
    #[arg(long, default_value = "0.0.0.0:15012", value_name = "ADDRESS:PORT")]
    listen: SocketAddr,
    /// The namespace whose policies may reach the whole mesh.
    #[arg(long, default_value = "tulle-system", value_name = "NAMESPACE")]
    system_namespace: String,
}

pub(super) async fn run(args: OperatorArgs) -> anyhow::Result<ExitCode> {
    let ending = super::run::ending()?;
    let start = async {
        let client = connect(args.kubeconfig.as_deref()).await?;
        let options = ClusterOptions {
            client,
            state_dir: args.state,
            listen: args.listen,
            system_namespace: args.system_namespace,
        };
        anyhow::Ok(ClusterPlane::start(options).await?)
    };
    let plane = tokio::select! {
        plane = start => plane?,
        () = ending.cancelled() => return Ok(ExitCode::SUCCESS),
    };
    let workloads = plane.engine().view().model.workloads.len();
    tracing::info!(xds = %plane.xds_address(), objects = plane.view().by_name.len(), workloads, "the control plane is up");
    ending.cancelled().await;
    tracing::info!("ending; proxies go on with what they have");
    plane.shutdown().await;
    Ok(ExitCode::SUCCESS)
}

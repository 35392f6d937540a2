//! `tulle operator`: the control plane of a Kubernetes cluster.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use tokio::net::TcpListener;

use crate::control_plane::{ClusterOptions, ClusterPlane, Replica, WebhookOptions};
use crate::health::{self, Health};
use crate::source::kubernetes::connect;

/// Flags of `tulle operator`.
#[derive(Clone, Debug, Args)]
pub(super) struct OperatorArgs {
    /// How to reach the API server. Default: as a Pod of the cluster does
    #[arg(long, env = "TULLE_KUBECONFIG", value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
    /// The namespace of the installation: its policies may reach the whole mesh, and the Secret `tulle-ca` is there
    #[arg(
        long,
        env = "TULLE_NAMESPACE",
        default_value = "tulle-system",
        value_name = "NAMESPACE"
    )]
    system_namespace: String,
    /// A folder for the admin socket. Nothing in it matters once the process has ended
    #[arg(long, env = "TULLE_STATE", default_value = "/run/tulle", value_name = "DIR")]
    state: PathBuf,
    /// Where proxies connect (TLS) [default: port 15012 of every address].
    #[arg(long, env = "TULLE_LISTEN", value_name = "ADDRESS:PORT")]
    listen: Option<SocketAddr>,
    /// Where the API server asks (TLS) [default: port 9443 of every address].
    #[arg(long, env = "TULLE_WEBHOOK_LISTEN", value_name = "ADDRESS:PORT")]
    webhook_listen: Option<SocketAddr>,
    /// Where `/livez`, `/readyz` and `/metrics` are (plain HTTP) [default: port 8080 of every address].
    #[arg(long, env = "TULLE_HEALTH_LISTEN", value_name = "ADDRESS:PORT")]
    health_listen: Option<SocketAddr>,
    /// The Service by which proxies and the API server reach this; webhook configurations have the same name
    #[arg(long, env = "TULLE_SERVICE", default_value = "tulle", value_name = "NAME")]
    service: String,
    /// The image of this program, for the init container of Pods.
    #[arg(long, env = "TULLE_IMAGE", default_value = concat!("ghcr.io/tulle-mesh/tulle:", env!("CARGO_PKG_VERSION")))]
    image: String,
    /// The image with Envoy, for the sidecar of Pods.
    #[arg(long, env = "TULLE_ENVOY_IMAGE", default_value_t = format!("docker.io/envoyproxy/envoy:v{}", crate::envoy_binary::PINNED), value_name = "IMAGE")]
    envoy_image: String,
    /// Where other replicas report what their proxies acknowledged (mutual TLS) [default: port 15013 of every address]
    #[arg(long, env = "TULLE_STATUS_LISTEN", value_name = "ADDRESS:PORT")]
    status_listen: Option<SocketAddr>,
    /// The name of this Pod. Without it and the address this replica takes no part in writing status
    #[arg(long, env = "TULLE_POD_NAME", value_name = "NAME")]
    pod_name: Option<String>,
    /// The address of this Pod.
    #[arg(long, env = "TULLE_POD_ADDRESS", value_name = "ADDRESS")]
    pod_address: Option<IpAddr>,
    /// When asked to end: how long to go on, not ready, until nobody is sent here any more. `0s` ends at once
    #[arg(long, env = "TULLE_DRAIN", default_value = "5s", value_parser = duration, value_name = "DURATION")]
    drain: Duration,
}

impl OperatorArgs {
    /// A port of every address, in the Pod's own family: where there is no IPv4, `0.0.0.0` is nobody's.
    fn everywhere(&self, port: u16) -> SocketAddr {
        let unspecified = match self.pod_address {
            Some(IpAddr::V6(_)) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
            _ => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        };
        (unspecified, port).into()
    }
}

fn duration(text: &str) -> Result<Duration, String> {
    crds::duration::parse(text).ok_or_else(|| format!("{text:?} is no duration; write for example \"5s\" or \"500ms\""))
}

pub(super) async fn run(args: OperatorArgs) -> anyhow::Result<ExitCode> {
    let ending = super::run::ending()?;
    let health = Health::default();
    // First of all: whoever looks sees what is waited for.
    let at = args.health_listen.unwrap_or(args.everywhere(8080));
    let listener = TcpListener::bind(at)
        .await
        .with_context(|| format!("cannot listen on {at}; choose another address with --health-listen"))?;
    tokio::spawn(health::serve(listener, health.clone()));
    let drain = args.drain;
    let plane = tokio::select! {
        plane = start(args, health) => plane?,
        () = ending.cancelled() => return Ok(ExitCode::SUCCESS),
    };
    ending.cancelled().await;
    tracing::info!(
        ?drain,
        "ending; proxies go on with what they have and connect to another replica"
    );
    plane.shutdown(drain).await;
    Ok(ExitCode::SUCCESS)
}

async fn start(args: OperatorArgs, health: Health) -> anyhow::Result<ClusterPlane> {
    let (listen, webhook_listen, status_listen) = (
        args.listen.unwrap_or(args.everywhere(15012)),
        args.webhook_listen.unwrap_or(args.everywhere(9443)),
        args.status_listen.unwrap_or(args.everywhere(15013)),
    );
    let options = ClusterOptions {
        client: connect(args.kubeconfig.as_deref()).await?,
        state_dir: args.state,
        listen,
        system_namespace: args.system_namespace,
        webhook: WebhookOptions {
            listen: webhook_listen,
            service: args.service,
            image: args.image,
            envoy_image: args.envoy_image,
        },
        health,
        replica: Replica {
            name: args.pod_name,
            address: args.pod_address,
            listen: Some(status_listen),
        },
    };
    Ok(ClusterPlane::start(options).await?)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Command {
        #[command(flatten)]
        args: OperatorArgs,
    }

    #[test]
    fn ports_are_in_the_family_of_the_pod() {
        let everywhere = |address: &[&str]| {
            let command = Command::parse_from([&["operator"], address].concat());
            command.args.everywhere(15012).to_string()
        };
        assert_eq!(everywhere(&[]), "0.0.0.0:15012");
        assert_eq!(everywhere(&["--pod-address", "10.0.0.1"]), "0.0.0.0:15012");
        assert_eq!(everywhere(&["--pod-address", "fd00::1"]), "[::]:15012");
    }
}

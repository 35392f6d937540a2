//! `tulle intercept`: what the init container of an injected pod does before anything else of the pod starts.
//!
//! It writes Envoy's bootstrap to the volume that both share, and puts the rules of the packet filter in place. Repeating it
//! changes nothing. It needs no token and talks to nobody. If it fails, the pod does not start: better than outside the mesh.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Args;

use super::proxy::host_and_port;
use crate::bootstrap::{self, BootstrapInput, OverloadSettings, Probes, StatsDetail};
use crate::identity::{XDS_SERVER_NAME, files};
use crate::inject::ProbeTable;
use crate::inject::names::PROBE_PORT;
use crate::intercept::{self, Cidr, Interception, Place};
use crate::process::ENVOY_UID;

/// Flags of `tulle intercept`.
#[derive(Debug, Args)]
pub(super) struct InterceptArgs {
    /// The pod's name.
    #[arg(long, env = "TULLE_POD_NAME")]
    pod_name: String,
    /// The pod's namespace.
    #[arg(long, env = "TULLE_POD_NAMESPACE")]
    pod_namespace: String,
    /// The pod's addresses, the first one first.
    #[arg(long, env = "TULLE_POD_IPS", value_delimiter = ',', required = true)]
    pod_ips: Vec<IpAddr>,
    /// The probes of the pod's containers, as injection wrote them.
    #[arg(long, env = "TULLE_PROBES", value_name = "JSON", default_value = "{}")]
    probes: String,
    /// The workload whose replicas share limits. Default: the pod's name
    #[arg(long)]
    group: Option<String>,
    /// Where the control plane is.
    #[arg(long, value_name = "HOST:PORT")]
    control_plane: String,
    /// The volume that is shared with Envoy.
    #[arg(long, value_name = "DIR")]
    folder: PathBuf,
    /// Where Envoy finds its token.
    #[arg(long, value_name = "FILE")]
    token: PathBuf,
    /// Where Envoy finds the mesh's root certificate.
    #[arg(long, value_name = "FILE")]
    ca: PathBuf,
    /// Ports of the pod that callers reach without Envoy.
    #[arg(long, value_delimiter = ',')]
    exclude_inbound_ports: Vec<u16>,
    /// Ports that the pod calls without Envoy.
    #[arg(long, value_delimiter = ',')]
    exclude_outbound_ports: Vec<u16>,
    /// Addresses that the pod calls without Envoy.
    #[arg(long, value_delimiter = ',')]
    exclude_outbound_cidrs: Vec<Cidr>,
}

pub(super) fn run(args: &InterceptArgs) -> anyhow::Result<ExitCode> {
    write_files(args)?;
    intercept::apply(&interception(args), Place::Here)?;
    tracing::info!(
        pod = format!("{}/{}", args.pod_namespace, args.pod_name),
        addresses = ?args.pod_ips,
        "connections of this pod pass its proxy"
    );
    Ok(ExitCode::SUCCESS)
}

fn write_files(args: &InterceptArgs) -> anyhow::Result<()> {
    let (xds_host, xds_port) = host_and_port(&args.control_plane)?;
    let table: ProbeTable =
        serde_json::from_str(&args.probes).context("cannot read the table of probes (TULLE_PROBES)")?;
    let address = *args.pod_ips.first().context("the pod has no address (TULLE_POD_IPS)")?;
    let input = BootstrapInput {
        node_id: format!("{}/{}", args.pod_namespace, args.pod_name),
        cluster: args.group.clone().unwrap_or_else(|| args.pod_name.clone()),
        xds_host,
        xds_port,
        xds_server_name: XDS_SERVER_NAME.to_owned(),
        token_file: args.token.clone(),
        ca_file: args.ca.clone(),
        token_sds_file: args.folder.join("token-sds.json"),
        ca_sds_file: args.folder.join("ca-sds.json"),
        admin_socket: args.folder.join("admin.sock"),
        source: None,
        overload: OverloadSettings::default(),
        stats: StatsDetail::default(),
        probes: Some(Probes {
            address,
            ipv6: args.pod_ips.iter().any(IpAddr::is_ipv6),
            table,
        }),
    };
    let rendered = bootstrap::render(&input)?;
    let bootstrap = args.folder.join("bootstrap.json");
    for (path, content) in [
        (&input.token_sds_file, &rendered.token_sds),
        (&input.ca_sds_file, &rendered.ca_sds),
        (&bootstrap, &rendered.bootstrap),
    ] {
        // Envoy's user reads them; there is no secret in them, only names of files.
        files::write_atomic(path, content.as_bytes(), 0o644)
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}

fn interception(args: &InterceptArgs) -> Interception {
    let own: BTreeSet<IpAddr> = args.pod_ips.iter().copied().collect();
    let mut interception = Interception::new(own, ENVOY_UID);
    // The kubelet has no certificate, so it reaches the probe listener without the inbound side.
    interception.excluded_inbound_ports = args.exclude_inbound_ports.iter().copied().chain([PROBE_PORT]).collect();
    interception.excluded_outbound_ports = args.exclude_outbound_ports.iter().copied().collect();
    interception.excluded_outbound = args.exclude_outbound_cidrs.iter().copied().collect();
    interception
}

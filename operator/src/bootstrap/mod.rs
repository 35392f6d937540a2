//! Envoy's bootstrap: the part of a proxy's configuration that cannot change while it runs.
//!
//! A pure function from a plain struct to file contents; nothing is written here. The bootstrap holds only what xDS
//! cannot bring: where the control plane is and how to prove oneself to it, the admin socket, the local cluster of
//! workload-wide limits, runtime layers, how the process defends itself, and where it reports what rules decided. Everything
//! else comes over ADS.

mod guard;
mod probes;
mod rule_sink;
mod xds_cluster;

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

pub use guard::{OverloadSettings, StatsDetail};
pub use probes::Probes;

/// The static cluster whose members are the replicas of the proxy's own workload group.
pub const LOCAL_CLUSTER: &str = "local";
/// The static cluster of the control plane.
pub const XDS_CLUSTER: &str = "xds";
/// The same control plane for reports: its connection is kept, and closed when there is nothing to report.
pub const REPORT_CLUSTER: &str = "reports";
/// The name of the runtime resource that the control plane serves.
pub const RUNTIME_LAYER: &str = "tulle";
/// What Envoy logs unless somebody asks for more.
pub const LOG_LEVEL: &str = "warning";
/// The longest path that fits into a Unix socket address.
const MAX_SOCKET_PATH: usize = 107;

/// Where the control plane is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum XdsHost {
    /// An address.
    Address(IpAddr),
    /// A DNS name, resolved again and again.
    Name(String),
}

/// Everything that the bootstrap depends on.
#[derive(Clone, Debug)]
pub struct BootstrapInput {
    /// `<namespace>/<workload>`.
    pub node_id: String,
    /// The workload group; its replicas share limits.
    pub cluster: String,
    /// The control plane's host.
    pub xds_host: XdsHost,
    /// The control plane's xDS port.
    pub xds_port: u16,
    /// The DNS name in the control plane's certificate.
    pub xds_server_name: String,
    /// The token file; replaced by rename when renewed.
    pub token_file: PathBuf,
    /// The root certificate of the mesh, PEM; replaced by rename when renewed.
    pub ca_file: PathBuf,
    /// Where [`BootstrapFiles::token_sds`] will be.
    pub token_sds_file: PathBuf,
    /// Where [`BootstrapFiles::ca_sds`] will be.
    pub ca_sds_file: PathBuf,
    /// The Unix socket of the admin interface.
    pub admin_socket: PathBuf,
    /// The address from which it dials; whatever fits if absent.
    pub source: Option<IpAddr>,
    /// How the process defends itself.
    pub overload: OverloadSettings,
    /// How much it counts.
    pub stats: StatsDetail,
    /// The probe listener of a pod.
    pub probes: Option<Probes>,
}

/// The contents of three files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BootstrapFiles {
    /// The bootstrap (JSON, which is also YAML).
    pub bootstrap: String,
    /// File SDS: the token, watched for changes.
    pub token_sds: String,
    /// File SDS: whom to trust as the control plane.
    pub ca_sds: String,
}

/// An input that cannot become a bootstrap.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum BootstrapError {
    /// Unix sockets have short names.
    #[error("the admin socket path {0} is longer than {MAX_SOCKET_PATH} bytes; choose a shorter state folder")]
    SocketPathTooLong(PathBuf),
    /// Envoy reads JSON, so paths must be text.
    #[error("{0:?} is not UTF-8; choose another folder")]
    PathNotText(PathBuf),
    /// Envoy watches the folder of a file.
    #[error("{0} must be an absolute path")]
    PathNotAbsolute(PathBuf),
}

/// Renders the bootstrap and its helper files.
pub fn render(input: &BootstrapInput) -> Result<BootstrapFiles, BootstrapError> {
    let admin = text(&input.admin_socket)?;
    if admin.len() > MAX_SOCKET_PATH {
        return Err(BootstrapError::SocketPathTooLong(input.admin_socket.clone()));
    }
    let mut clusters = vec![
        xds_cluster::render(input, xds_cluster::Use::Streams)?,
        local_cluster(),
        xds_cluster::render(input, xds_cluster::Use::Reports)?,
    ];
    let mut listeners = Vec::new();
    if let Some(probes) = &input.probes {
        clusters.extend(probes::clusters(input, probes)?);
        listeners.push(probes::listener(probes));
    }
    let bootstrap = json!({
        "node": {"id": input.node_id, "cluster": input.cluster},
        "admin": {"address": {"pipe": {"path": admin, "mode": 0o600}}},
        "dynamic_resources": dynamic_resources(),
        "static_resources": {"listeners": listeners, "clusters": clusters},
        // The listener that says "ready" is inside Envoy, and comes last of all (`probes`).
        "bootstrap_extensions": [{"name": "envoy.bootstrap.internal_listener", "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.bootstrap.internal_listener.v3.InternalListener",
        }}],
        "cluster_manager": cluster_manager(input.source),
        "layered_runtime": layered_runtime(),
        "overload_manager": guard::overload_manager(&input.overload),
        "stats_config": guard::stats_config(input.stats),
        "stats_flush_interval": rule_sink::interval(),
        "stats_sinks": rule_sink::sinks(),
    });
    Ok(BootstrapFiles {
        bootstrap: pretty(&bootstrap),
        token_sds: pretty(&xds_cluster::token_sds(input)?),
        ca_sds: pretty(&xds_cluster::ca_sds(input)?),
    })
}

/// The arguments of Envoy for a bootstrap file.
///
/// Hot restart is off: its shared memory would tie together proxies of one machine.
pub fn arguments(bootstrap: &Path, concurrency: u32) -> Vec<std::ffi::OsString> {
    arguments_with(bootstrap, concurrency, LOG_LEVEL)
}

/// The same, with what Envoy logs.
pub fn arguments_with(bootstrap: &Path, concurrency: u32, log_level: &str) -> Vec<std::ffi::OsString> {
    let mut arguments: Vec<std::ffi::OsString> = vec!["--config-path".into(), bootstrap.into()];
    arguments.extend(["--concurrency".into(), concurrency.to_string().into()]);
    let rest = [
        "--disable-hot-restart",
        "--drain-time-s",
        "45",
        "--drain-strategy",
        "gradual",
        "--log-level",
        log_level,
        // The default of 10 s keeps whoever reads the access log waiting.
        "--file-flush-interval-msec",
        "1000",
    ];
    arguments.extend(rest.map(Into::into));
    arguments
}

fn cluster_manager(source: Option<IpAddr>) -> Value {
    let mut manager = json!({"local_cluster_name": LOCAL_CLUSTER});
    if let (Some(source), Some(fields)) = (source, manager.as_object_mut()) {
        let bind = json!({"source_address": {"address": source.to_string(), "port_value": 0}});
        fields.insert("upstream_bind_config".to_owned(), bind);
    }
    manager
}

fn dynamic_resources() -> Value {
    let retry = json!({"retry_back_off": {"base_interval": "0.5s", "max_interval": "15s"}});
    // Without a limit: a proxy must not be LIVE with no configuration.
    let all = json!({"ads": {}, "resource_api_version": "V3", "initial_fetch_timeout": "0s"});
    json!({
        "ads_config": {
            "api_type": "DELTA_GRPC",
            "transport_api_version": "V3",
            // The node is some 60 KB, which every ACK would carry.
            "set_node_on_first_message_only": true,
            "grpc_services": [{"envoy_grpc": {"cluster_name": XDS_CLUSTER, "retry_policy": retry}}],
        },
        "cds_config": all,
        "lds_config": all,
    })
}

/// A local cluster that came by CDS would be fatal, so it is here, empty until EDS fills it.
fn local_cluster() -> Value {
    json!({
        "name": LOCAL_CLUSTER,
        "type": "EDS",
        "connect_timeout": "1s",
        "eds_cluster_config": {
            "service_name": LOCAL_CLUSTER,
            "eds_config": {"ads": {}, "resource_api_version": "V3", "initial_fetch_timeout": "5s"},
        },
    })
}

fn layered_runtime() -> Value {
    let rtds = json!({"ads": {}, "resource_api_version": "V3", "initial_fetch_timeout": "5s"});
    json!({"layers": [
        {"name": "static", "static_layer": {
            // User regexes are length-limited by the control plane; Envoy's default of 100 refuses modest ones.
            "re2.max_program_size.error_level": 32768,
            // Stale hash rings in 1.38 and again on by default in 1.40.
            "envoy.reloadable_features.coalesce_lb_rebuilds_on_batch_update": false,
        }},
        {"name": RUNTIME_LAYER, "rtds_layer": {"name": RUNTIME_LAYER, "rtds_config": rtds}},
        {"name": "admin", "admin_layer": {}},
    ]})
}

fn text(path: &Path) -> Result<&str, BootstrapError> {
    if !path.is_absolute() {
        return Err(BootstrapError::PathNotAbsolute(path.to_owned()));
    }
    path.to_str()
        .ok_or_else(|| BootstrapError::PathNotText(path.to_owned()))
}

fn pretty(value: &Value) -> String {
    format!("{value:#}\n")
}

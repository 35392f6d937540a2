//! `tulle proxy`: the Envoy of one workload, on the machine where it lives.
//!
//! Finds or installs the pinned Envoy, writes its bootstrap to a private folder, and stays in front of it: signals go on to
//! Envoy, its exit code comes back. The token file is watched by Envoy itself, so a renewed token needs no restart.

use std::ffi::OsString;
use std::net::IpAddr;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Args;
use tokio::process::Child;
use tokio::signal::unix::{SignalKind, signal};

use crate::bootstrap::{self, BootstrapInput, OverloadSettings, StatsDetail, XdsHost};
use crate::envoy_binary::{self, Search};
use crate::identity::{XDS_SERVER_NAME, files};
use crate::settings::Environment;

/// Flags of `tulle proxy`.
#[derive(Debug, Args)]
pub(super) struct ProxyArgs {
    /// The workload, `namespace/name`.
    #[arg(long, value_name = "NAMESPACE/NAME")]
    name: String,
    /// Where the control plane is.
    #[arg(long, value_name = "HOST:PORT")]
    control_plane: String,
    /// The file with the join token (`tulle token create`); replace it by renaming to renew it.
    #[arg(long, value_name = "FILE")]
    token: PathBuf,
    /// The file with the mesh's root certificate (`ca/root.pem` in the control plane's state folder).
    #[arg(long, value_name = "FILE")]
    ca: PathBuf,
    /// The group that replicas of this workload share. Default: the workload's name
    #[arg(long)]
    group: Option<String>,
    /// A private folder for the bootstrap and Envoy's admin socket. Default: a new one below /tmp, removed at the end
    #[arg(long, value_name = "DIR")]
    folder: Option<PathBuf>,
    /// The Envoy to run. Default: the one on PATH if its version fits, else it is installed
    #[arg(long, env = "TULLE_ENVOY", value_name = "FILE")]
    envoy: Option<PathBuf>,
    /// Where Envoy is installed.
    #[arg(long, value_name = "DIR")]
    cache_dir: Option<PathBuf>,
    /// Worker threads of Envoy.
    #[arg(long, default_value_t = 2)]
    concurrency: u32,
    /// Only write the bootstrap and print where it is.
    #[arg(long)]
    dry_run: bool,
}

pub(super) async fn run(args: ProxyArgs) -> anyhow::Result<ExitCode> {
    anyhow::ensure!(
        args.name.contains('/'),
        "{:?} names no workload; write NAMESPACE/NAME",
        args.name
    );
    let folder = Folder::make(args.folder.as_deref())?;
    let bootstrap = write_bootstrap(&args, &folder.path)?;
    if args.dry_run {
        super::print(&format!("{}\n", bootstrap.display()))?;
        std::mem::forget(folder);
        return Ok(ExitCode::SUCCESS);
    }
    let environment = Environment::read();
    let search = Search {
        explicit: args.envoy.clone(),
        path: environment.path,
        cache_dir: args.cache_dir.clone().unwrap_or(environment.cache_dir),
    };
    let envoy = tokio::task::spawn_blocking(move || envoy_binary::locate(&search, &|step| tracing::info!("{step}")))
        .await
        .context("looking for Envoy ended unexpectedly")??;
    tracing::info!(envoy = %envoy.path.display(), version = %envoy.version, proxy = args.name, "starting Envoy");
    let arguments: Vec<OsString> = bootstrap::arguments(&bootstrap, args.concurrency);
    let child = tokio::process::Command::new(&envoy.path)
        .args(arguments)
        .kill_on_drop(true)
        .spawn()
        .with_context(|| format!("cannot start {}", envoy.path.display()))?;
    wait(child).await
}

/// Hands signals on until Envoy ends.
async fn wait(mut child: Child) -> anyhow::Result<ExitCode> {
    let kinds = [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()];
    let [mut interrupt, mut terminate, mut hangup] = kinds.map(signal);
    let (interrupt, terminate, hangup) = (interrupt.as_mut(), terminate.as_mut(), hangup.as_mut());
    let (Ok(interrupt), Ok(terminate), Ok(hangup)) = (interrupt, terminate, hangup) else {
        anyhow::bail!("cannot listen to signals");
    };
    loop {
        tokio::select! {
            status = child.wait() => {
                let status = status?;
                let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal)).unwrap_or(1);
                return Ok(ExitCode::from(u8::try_from(code).unwrap_or(1)));
            }
            // Envoy drains on neither; both end it at once, which is what was asked for.
            _ = interrupt.recv() => forward(&child),
            _ = terminate.recv() => forward(&child),
            _ = hangup.recv() => forward(&child),
        }
    }
}

fn forward(child: &Child) {
    let pid = child
        .id()
        .and_then(|id| i32::try_from(id).ok())
        .and_then(rustix::process::Pid::from_raw);
    if let Some(pid) = pid {
        // It is our child and not yet waited for, so the number is still its own.
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).ok();
    }
}

/// Reads `HOST:PORT`.
pub(super) fn host_and_port(text: &str) -> anyhow::Result<(XdsHost, u16)> {
    let (host, port) = text
        .rsplit_once(':')
        .and_then(|(host, port)| Some((host.trim_matches(['[', ']']), port.parse::<u16>().ok()?)))
        .with_context(|| format!("{text:?} is no HOST:PORT, for example 10.0.0.1:15012"))?;
    let host = host
        .parse::<IpAddr>()
        .map_or_else(|_| XdsHost::Name(host.to_owned()), XdsHost::Address);
    Ok((host, port))
}

fn write_bootstrap(args: &ProxyArgs, folder: &Path) -> anyhow::Result<PathBuf> {
    let (xds_host, xds_port) = host_and_port(&args.control_plane)?;
    let absolute = |path: &Path| {
        std::fs::canonicalize(path).with_context(|| format!("cannot read {}; check the path", path.display()))
    };
    let name = args.name.split_once('/').map_or(args.name.as_str(), |(_, name)| name);
    let input = BootstrapInput {
        node_id: args.name.clone(),
        cluster: args.group.clone().unwrap_or_else(|| name.to_owned()),
        xds_host,
        xds_port,
        xds_server_name: XDS_SERVER_NAME.to_owned(),
        token_file: absolute(&args.token)?,
        ca_file: absolute(&args.ca)?,
        token_sds_file: folder.join("token-sds.json"),
        ca_sds_file: folder.join("ca-sds.json"),
        admin_socket: folder.join("admin.sock"),
        source: None,
        overload: OverloadSettings::default(),
        stats: StatsDetail::default(),
        probes: None,
    };
    let rendered = bootstrap::render(&input)?;
    let bootstrap = folder.join("bootstrap.json");
    for (path, content) in [
        (&input.token_sds_file, &rendered.token_sds),
        (&input.ca_sds_file, &rendered.ca_sds),
        (&bootstrap, &rendered.bootstrap),
    ] {
        files::write_atomic(path, content.as_bytes(), 0o600)
            .with_context(|| format!("cannot write {}; choose another folder with --folder", path.display()))?;
    }
    Ok(bootstrap)
}

/// A private folder; one that we made is removed at the end.
struct Folder {
    path: PathBuf,
    own: bool,
}

impl Folder {
    fn make(chosen: Option<&Path>) -> anyhow::Result<Self> {
        let path = match chosen {
            Some(path) => std::path::absolute(path)?,
            None => std::env::temp_dir().join(format!("tulle-proxy-{}", std::process::id())),
        };
        // A folder that is there already may be somebody's trap; a chosen one is the user's own matter.
        if chosen.is_none() && path.exists() {
            anyhow::bail!(
                "{} exists already; remove it, or choose a folder with --folder",
                path.display()
            );
        }
        files::ensure_dir(&path, 0o700).with_context(|| format!("cannot make {}", path.display()))?;
        Ok(Self {
            path,
            own: chosen.is_none(),
        })
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if self.own {
            std::fs::remove_dir_all(&self.path).ok();
        }
    }
}

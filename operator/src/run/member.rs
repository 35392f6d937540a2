//! One workload of a run: its seat, its Envoy and its application.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::{OpenOptionsExt as _, chown, fchown};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context as _, bail};
use k8s_openapi::api::core::v1::Service;

use super::desired::DesiredMember;
use super::ground::{Ground, Seat};
use super::listening::Sockets;
use crate::bootstrap::{self, BootstrapInput, OverloadSettings, StatsDetail, XdsHost};
use crate::identity::{JoinKey, XDS_SERVER_NAME, files};
use crate::process::{AdminClient, ProcessHandle, ProcessSpec, Restart, Supervisor, User};

/// How long a join token is valid; renewed at a third of it.
pub(super) const TOKEN_LIFETIME: Duration = Duration::from_hours(1);
/// How long a proxy may take to be configured.
const READY: Duration = Duration::from_secs(30);
/// Time that an application has to listen before somebody is told that it does not.
const SILENCE: Duration = Duration::from_secs(5);
/// Time that an application has to end.
const GRACE: Duration = Duration::from_secs(3);

/// What all members need.
#[derive(Debug)]
pub(super) struct Surroundings {
    /// The folder of small files.
    pub(super) runtime: PathBuf,
    /// The folder of logs.
    pub(super) logs: PathBuf,
    /// The mesh's root certificate.
    pub(super) ca_file: PathBuf,
    /// Signs join tokens.
    pub(super) join_key: Arc<JoinKey>,
    /// The Envoy executable.
    pub(super) envoy: PathBuf,
    /// The folder with `tulle` in it, first on the PATH of applications.
    pub(super) programs: PathBuf,
    /// The control plane.
    pub(super) xds: SocketAddr,
}

/// A workload that runs.
#[derive(Debug)]
pub(super) struct Member {
    desired: DesiredMember,
    seat: Seat,
    folder: PathBuf,
    envoy: ProcessHandle,
    application: Option<ProcessHandle>,
    environment: BTreeMap<String, String>,
    since: Instant,
    silent: BTreeSet<u16>,
    refused: BTreeSet<String>,
    hosts: Vec<Service>,
}

impl Member {
    /// Writes the proxy's files and starts it.
    pub(super) fn start(
        desired: DesiredMember,
        seat: Seat,
        surroundings: &Surroundings,
        supervisor: &Supervisor,
    ) -> anyhow::Result<Self> {
        let folder = surroundings.runtime.join(desired.member_name());
        let files = ProxyFiles {
            folder: folder.clone(),
            node: &desired.id(),
            group: &desired.group,
            address: desired.address,
            seat: &seat,
        };
        let bootstrap_file = write_files(&files, &token_of(&desired, surroundings)?, surroundings)?;
        let envoy = supervisor.start(ProcessSpec {
            name: format!("{} (envoy)", desired.id()),
            program: surroundings.envoy.clone(),
            arguments: bootstrap::arguments(&bootstrap_file, 1),
            environment: BTreeMap::new(),
            inherit_environment: false,
            folder: Some(folder.clone()),
            namespace: seat.namespace(),
            user: seat.envoy_user(),
            log: surroundings.logs.join(format!("{}.envoy.log", desired.member_name())),
            die_with_parent: true,
            restart: Restart::Always,
        });
        Ok(Self {
            desired,
            seat,
            folder,
            envoy,
            application: None,
            environment: BTreeMap::new(),
            since: Instant::now(),
            silent: BTreeSet::new(),
            refused: BTreeSet::new(),
            hosts: Vec::new(),
        })
    }

    /// What it was made from.
    pub(super) fn desired(&self) -> &DesiredMember {
        &self.desired
    }

    /// Where it runs.
    pub(super) fn seat(&self) -> &Seat {
        &self.seat
    }

    /// What its application was told about the mesh.
    pub(super) fn environment(&self) -> &BTreeMap<String, String> {
        &self.environment
    }

    /// Waits until its proxy has its configuration: an application must not start before.
    pub(super) async fn proxy_ready(&self) -> anyhow::Result<()> {
        let admin = AdminClient::new(self.folder.join("admin.sock"));
        let started = Instant::now();
        while !admin.ready().await.unwrap_or(false) {
            if started.elapsed() > READY {
                bail!(
                    "its state is {:?}; see its log and that of the control plane",
                    self.envoy.state()
                );
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }

    /// Starts the application, which is told `told` beside what its author wrote.
    pub(super) fn start_application(
        &mut self,
        told: BTreeMap<String, String>,
        surroundings: &Surroundings,
        supervisor: &Supervisor,
    ) {
        let process = &self.desired.process;
        let Some((program, arguments)) = process.command.split_first() else {
            return;
        };
        let program = if program == "tulle" {
            surroundings.programs.join("tulle")
        } else {
            program.into()
        };
        let mut environment: BTreeMap<OsString, OsString> = process
            .env
            .iter()
            .map(|(name, value)| (name.into(), value.into()))
            .collect();
        environment
            .entry("PATH".into())
            .or_insert_with(|| path_with(&surroundings.programs));
        for (name, value) in &told {
            environment.entry(name.into()).or_insert_with(|| value.into());
        }
        (self.environment, self.since) = (told, Instant::now());
        self.application = Some(
            supervisor.start(ProcessSpec {
                name: self.desired.id(),
                program,
                arguments: arguments.iter().map(Into::into).collect(),
                environment,
                inherit_environment: false,
                folder: process
                    .working_dir
                    .as_ref()
                    .map(PathBuf::from)
                    .or_else(|| Some(PathBuf::from("/"))),
                namespace: self.seat.namespace(),
                user: self.seat.application_user(self.desired.address),
                log: surroundings.logs.join(format!("{}.log", self.desired.member_name())),
                die_with_parent: true,
                restart: Restart::Always,
            }),
        );
    }

    /// Lets its processes resolve the Services' names.
    pub(super) fn set_hosts(&mut self, services: &[Service], ground: &Ground) -> anyhow::Result<()> {
        if services != self.hosts {
            ground.set_hosts(&self.desired, services)?;
            self.hosts = services.to_vec();
        }
        Ok(())
    }

    /// Says, once, on which of these ports nobody listens at the application's own loopback address, and when that is over.
    pub(super) fn complain(&mut self, ports: impl Iterator<Item = u16>, sockets: &Sockets) {
        let address = self.environment.get("TULLE_ADDRESS").and_then(|text| text.parse().ok());
        let Some(address) = address.filter(|_| self.since.elapsed() > SILENCE) else {
            return;
        };
        let listening = sockets.listening_at(address);
        let silent: BTreeSet<u16> = ports.filter(|port| !listening.contains(port)).collect();
        for port in silent.difference(&self.silent) {
            tracing::warn!(
                workload = self.desired.id(),
                "nobody listens on {address}:{port}, so callers get no answer: on loopback addresses an application must listen \
                 on the address in TULLE_ADDRESS; one that listens on all addresses clashes with its own proxy (see its log)"
            );
        }
        for port in self.silent.difference(&silent) {
            tracing::info!(workload = self.desired.id(), "somebody listens on {address}:{port} now");
        }
        self.silent = silent;
    }

    /// Says, once, what its proxy refused of what the control plane sent: it runs without that.
    pub(super) fn refused(&mut self, now: BTreeSet<String>) {
        for what in now.difference(&self.refused) {
            tracing::warn!(
                workload = self.desired.id(),
                "its proxy refused what it was sent: {what}; see `tulle get proxies` and the proxy's log"
            );
        }
        self.refused = now;
    }

    /// Writes a fresh token.
    pub(super) fn write_token(&self, surroundings: &Surroundings) -> anyhow::Result<()> {
        write_owned(
            &self.folder.join("token"),
            token_of(&self.desired, surroundings)?.as_bytes(),
            self.seat.envoy_user(),
        )
    }

    /// Ends application and proxy.
    pub(super) async fn end_processes(self) {
        if let Some(application) = self.application {
            application.stop(GRACE).await;
        }
        self.envoy.stop(GRACE).await;
    }

    /// Ends it and removes its seat.
    pub(super) async fn stop(self, ground: &mut Ground) {
        let name = self.desired.member_name();
        let folder = self.folder.clone();
        self.end_processes().await;
        std::fs::remove_dir_all(&folder).ok();
        ground.clear(&name);
    }
}

fn token_of(desired: &DesiredMember, surroundings: &Surroundings) -> anyhow::Result<String> {
    Ok(surroundings
        .join_key
        .issue(&desired.namespace, &desired.name, TOKEN_LIFETIME, SystemTime::now())?)
}

/// What a proxy's files are made from.
pub(super) struct ProxyFiles<'a> {
    pub(super) folder: PathBuf,
    pub(super) node: &'a str,
    pub(super) group: &'a str,
    pub(super) address: Ipv4Addr,
    pub(super) seat: &'a Seat,
}

/// Writes all files of a proxy; returns its bootstrap.
pub(super) fn write_files(proxy: &ProxyFiles<'_>, token: &str, around: &Surroundings) -> anyhow::Result<PathBuf> {
    let folder = &proxy.folder;
    files::ensure_dir(folder, 0o700).with_context(|| format!("cannot make {}", folder.display()))?;
    let user = proxy.seat.envoy_user();
    if let Some(User { uid, gid }) = user {
        chown(folder, Some(uid), Some(gid))?;
    }
    write_owned(&folder.join("ca.pem"), &std::fs::read(&around.ca_file)?, user)?;
    write_owned(&folder.join("token"), token.as_bytes(), user)?;
    let input = BootstrapInput {
        node_id: proxy.node.to_owned(),
        cluster: proxy.group.to_owned(),
        xds_host: XdsHost::Address(around.xds.ip()),
        xds_port: around.xds.port(),
        xds_server_name: XDS_SERVER_NAME.to_owned(),
        token_file: folder.join("token"),
        ca_file: folder.join("ca.pem"),
        token_sds_file: folder.join("token-sds.json"),
        ca_sds_file: folder.join("ca-sds.json"),
        admin_socket: folder.join("admin.sock"),
        source: proxy.seat.source(proxy.address),
        overload: OverloadSettings::default(),
        stats: StatsDetail::default(),
        probes: None,
    };
    let rendered = bootstrap::render(&input)?;
    write_owned(&input.token_sds_file, rendered.token_sds.as_bytes(), user)?;
    write_owned(&input.ca_sds_file, rendered.ca_sds.as_bytes(), user)?;
    let bootstrap_file = folder.join("bootstrap.json");
    write_owned(&bootstrap_file, rendered.bootstrap.as_bytes(), user)?;
    Ok(bootstrap_file)
}

/// Writes a file that only Envoy's user can read.
fn write_owned(path: &Path, content: &[u8], user: Option<User>) -> anyhow::Result<()> {
    let failed = || format!("cannot write {}", path.display());
    // The proxy's user owns the folder: a path in it is not to be trusted, an open file is.
    let unfinished = path.with_extension("new");
    std::fs::remove_file(&unfinished).ok();
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&unfinished)
        .with_context(failed)?;
    if let Some(User { uid, gid }) = user {
        fchown(&file, Some(uid), Some(gid)).with_context(failed)?;
    }
    file.write_all(content).with_context(failed)?;
    std::fs::rename(&unfinished, path).with_context(failed)
}

fn path_with(first: &Path) -> OsString {
    let usual = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    let mut path = OsString::from(first);
    path.push(":");
    path.push(usual);
    path
}

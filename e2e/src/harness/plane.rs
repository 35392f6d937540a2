//! A control plane alone: the real `tulle up` over a folder, without workloads, for simulated proxies.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result};
use operator::identity::JoinKey;
use operator::process::{AdminClient, ProcessHandle, ProcessSpec, ProcessState, Registry, Restart, RunId, Supervisor};
use serde_json::Value;
use tempfile::TempDir;

use super::{tulle, until};
use crate::sim::Server;

/// How long it may take to start; a thousand services are compiled meanwhile.
const START: Duration = Duration::from_mins(1);
/// Tokens outlive every test.
const TOKEN: Duration = Duration::from_hours(24);

/// A running control plane. Dropping it kills it and removes its folders.
#[derive(Debug)]
pub struct ControlPlane {
    folder: TempDir,
    state: TempDir,
    address: SocketAddr,
    supervisor: Supervisor,
    process: Option<ProcessHandle>,
    arguments: Vec<String>,
}

impl ControlPlane {
    /// Prepares the folders; `write` fills the one of objects. Nothing runs yet.
    pub fn prepare(write: impl FnOnce(&Path) -> Result<()>) -> Result<Self> {
        let (folder, state) = (tempfile::tempdir()?, tempfile::tempdir()?);
        write(folder.path())?;
        let registry = Registry::create(state.path(), &RunId::for_folder(state.path()))?;
        Ok(Self {
            address: free_address()?,
            supervisor: Supervisor::new(Arc::new(registry))?,
            process: None,
            arguments: Vec::new(),
            folder,
            state,
        })
    }

    /// Starts it and waits until it serves.
    pub async fn start(&mut self) -> Result<()> {
        let text = |path: &Path| path.as_os_str().to_owned();
        let mut arguments = vec![
            "up".into(),
            text(self.folder.path()),
            "--state".into(),
            text(self.state.path()),
        ];
        arguments.extend(["--listen".into(), self.address.to_string().into()]);
        arguments.extend(self.arguments.iter().map(Into::into));
        self.process = Some(self.supervisor.start(ProcessSpec {
            name: "control plane".to_owned(),
            program: tulle()?,
            arguments,
            environment: [("RUST_BACKTRACE".into(), "1".into())].into(),
            inherit_environment: true,
            folder: None,
            namespace: None,
            user: None,
            log: self.log(),
            die_with_parent: true,
            restart: Restart::Never,
        }));
        let ready = until("the control plane starts", START, async || {
            if let Some(ProcessState::Ended { reason, .. }) = self.process.as_ref().map(ProcessHandle::state) {
                return Ok(Some(Err(reason)));
            }
            Ok(self.admin().get("/readyz").await.is_ok().then_some(Ok(())))
        });
        match ready.await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(reason)) => anyhow::bail!("the control plane does not start ({reason}):\n{}", self.last_words()),
            Err(error) => Err(error.context(self.last_words())),
        }
    }

    /// `kill -9`, and waits until it is gone.
    pub async fn kill(&mut self) -> Result<()> {
        let Some(process) = self.process.take() else {
            return Ok(());
        };
        if let ProcessState::Running { pid } = process.state() {
            let killed = std::process::Command::new("kill")
                .args(["-KILL", &pid.to_string()])
                .status()?;
            anyhow::ensure!(killed.success(), "cannot kill the control plane");
        }
        process
            .watch()
            .wait_for(|state| matches!(state, ProcessState::Ended { .. }))
            .await?;
        Ok(())
    }

    /// The folder of objects.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Writes or replaces a file of objects as an editor does: whole or not at all.
    pub fn write(&self, file: &str, text: &str) -> Result<()> {
        write_whole(&self.folder.path().join(file), text)
    }

    /// Its log.
    pub fn log(&self) -> PathBuf {
        self.state.path().join("control-plane.log")
    }

    /// Its admin interface.
    pub fn admin(&self) -> AdminClient {
        AdminClient::new(operator::admin::socket_path(self.state.path()))
    }

    /// What it says about something, as JSON.
    pub async fn ask(&self, path: &str) -> Result<Value> {
        let body = self.admin().get(path).await?;
        serde_json::from_slice(&body).with_context(|| format!("the answer to {path} is not JSON"))
    }

    /// What it has counted since its start: its metrics that only grow.
    pub async fn counters(&self) -> Result<BTreeMap<String, u64>> {
        let text = self.admin().get("/metrics").await?;
        let pair = |line: &str| {
            let (name, value) = line.split_once(' ')?;
            Some((
                name.strip_prefix("tulle_")?.strip_suffix("_total")?.to_owned(),
                value.parse().ok()?,
            ))
        };
        Ok(String::from_utf8_lossy(&text).lines().filter_map(pair).collect())
    }

    /// How to connect to it.
    pub fn server(&self) -> Result<Server> {
        Server::new(
            self.address,
            &std::fs::read_to_string(self.state.path().join("ca/root.pem"))?,
        )
    }

    /// Its state folder.
    pub fn state(&self) -> &Path {
        self.state.path()
    }

    /// Makes join tokens.
    pub fn tokens(&self) -> Result<Tokens> {
        Ok(Tokens(JoinKey::open(self.state.path())?))
    }

    /// Its resident memory in bytes.
    pub fn memory(&self) -> Result<u64> {
        let Some(ProcessState::Running { pid }) = self.process.as_ref().map(ProcessHandle::state) else {
            anyhow::bail!("the control plane does not run");
        };
        resident(pid)
    }

    fn last_words(&self) -> String {
        let text = std::fs::read_to_string(self.log()).unwrap_or_default();
        let lines: Vec<&str> = text.lines().rev().take(30).collect();
        lines.into_iter().rev().collect::<Vec<_>>().join("\n")
    }
}

/// Makes join tokens of one control plane.
pub struct Tokens(JoinKey);

impl Tokens {
    /// A token of a workload.
    pub fn of(&self, namespace: &str, workload: &str) -> Result<String> {
        Ok(self.0.issue(namespace, workload, TOKEN, SystemTime::now())?)
    }
}

/// Writes a file whole or not at all.
pub fn write_whole(path: &Path, text: &str) -> Result<()> {
    let unfinished = path.with_extension("unfinished");
    std::fs::write(&unfinished, text).with_context(|| format!("cannot write {}", unfinished.display()))?;
    std::fs::rename(&unfinished, path).with_context(|| format!("cannot write {}", path.display()))
}

/// The resident memory of a process in bytes.
pub fn resident(pid: u32) -> Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .context("no VmRSS")?;
    let kilobytes: u64 = line.trim().trim_end_matches("kB").trim().parse()?;
    Ok(kilobytes * 1024)
}

/// An address that nobody listens on now.
pub fn free_address() -> Result<SocketAddr> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?)
}

//! `tulle operator` as a process beside a cluster.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use super::{free_address, tulle, wait_until};

/// The machine may have other work.
const LIMIT: Duration = Duration::from_mins(2);
const LOOK: Duration = Duration::from_millis(100);

/// A running control plane of a cluster. Dropping it kills it.
#[derive(Debug)]
pub struct Operator {
    child: Child,
    folder: TempDir,
    health: SocketAddr,
    /// Where proxies connect.
    pub xds: SocketAddr,
    /// Where the API server asks.
    pub webhook: SocketAddr,
}

impl Operator {
    /// Starts one with further arguments; does not wait.
    pub fn start(kubeconfig: &Path, arguments: &[&str]) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let everywhere = || Ok::<_, anyhow::Error>(SocketAddr::from((Ipv4Addr::UNSPECIFIED, free_address()?.port())));
        let (health, xds, webhook) = (free_address()?, everywhere()?, everywhere()?);
        let log = File::create(folder.path().join("log"))?;
        let child = Command::new(tulle()?)
            .arg("operator")
            .arg("--kubeconfig")
            .arg(kubeconfig)
            .arg("--state")
            .arg(folder.path().join("state"))
            .args(["--health-listen", &health.to_string()])
            .args(["--listen", &xds.to_string()])
            .args(["--webhook-listen", &webhook.to_string()])
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()?;
        Ok(Self {
            child,
            folder,
            health,
            xds,
            webhook,
        })
    }

    /// Waits until it says that it is ready.
    pub fn until_ready(&mut self) -> Result<()> {
        wait_until("a ready operator", LIMIT, LOOK, || {
            ensure_running(&mut self.child)?;
            let (status, text) = get(self.health, "/readyz")?;
            ensure!(status == 200, "{text}");
            Ok(Some(()))
        })
        .with_context(|| self.log())
    }

    /// What its port for health says: the status and the text.
    pub fn get(&self, path: &str) -> Result<(u16, String)> {
        get(self.health, path)
    }

    /// The value of one of its figures, by the beginning of its line.
    pub fn figure(&self, series: &str) -> Result<f64> {
        let (_, text) = self.get("/metrics")?;
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        Ok(line.with_context(|| format!("no {series} in:\n{text}"))?.parse()?)
    }

    /// Its state folder.
    pub fn state(&self) -> std::path::PathBuf {
        self.folder.path().join("state")
    }

    /// Ends it without asking.
    pub fn kill(&mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Asks it to end.
    pub fn terminate(&self) -> Result<()> {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        Ok(kill_process(pid.context("no pid")?, Signal::TERM)?)
    }

    /// Waits until it has ended.
    pub fn ended(&mut self) -> Result<ExitStatus> {
        let child = &mut self.child;
        wait_until("the end of an operator", LIMIT, LOOK, || Ok(child.try_wait()?))
    }

    /// What it said.
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }
}

impl Drop for Operator {
    fn drop(&mut self) {
        // If it has ended already, all is well.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

fn ensure_running(child: &mut Child) -> Result<()> {
    match child.try_wait()? {
        None => Ok(()),
        Some(status) => bail!("it has ended: {status}"),
    }
}

/// HTTP/1.1 in its simplest form.
fn get(address: SocketAddr, path: &str) -> Result<(u16, String)> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    write!(stream, "GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (head, body) = answer.split_once("\r\n\r\n").context("no answer")?;
    let status = head.split(' ').nth(1).context("no status")?.parse()?;
    Ok((status, body.to_owned()))
}

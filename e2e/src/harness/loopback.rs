//! `tulle up --run` on loopback addresses, as a child process, as people without root run it.
//!
//! Requests are sent from the test's own process: on loopback addresses the URL says who calls.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::net::{Ipv4Addr, TcpStream};
use std::os::unix::fs::{MetadataExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use operator::envoy_binary;
use operator::process::{AdminClient, RunId};
use operator::shop::Outcome;
use serde_json::Value;

use super::binary::for_everybody;
use super::mesh::search;
use super::wait::{LOOK, wait_until};
use super::yaml::PORTS;
use super::{tulle, write_whole};

/// How long anything may take; the machine may be busy.
const PATIENCE: Duration = Duration::from_mins(2);

/// Who runs it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum As {
    /// This user, who may nothing.
    User(u32),
    /// Root, with `--loopback`.
    Root,
}

/// A run on loopback addresses.
pub struct Loopback {
    root: PathBuf,
    user: As,
    program: PathBuf,
    child: Child,
    runtime: tokio::runtime::Runtime,
}

impl Loopback {
    /// Starts it on `root/objects`, which gets this text, and waits until everything runs and is acknowledged. Applications
    /// may not listen yet: [`Loopback::listening`].
    pub fn start(root: &Path, user: As, objects: &str) -> Result<Self> {
        fs::create_dir_all(root.join("objects"))?;
        write_whole(&root.join("objects/all.yaml"), objects)?;
        let program = for_everybody(&tulle()?)?;
        let envoy = envoy_binary::locate(&search(), &|_| {})?.path;
        let mut command = match user {
            As::Root => Command::new(&program),
            As::User(id) => {
                for path in [root.to_owned(), root.join("objects")] {
                    chown(path, Some(id), Some(id))?;
                }
                let mut command = Command::new("setpriv");
                command.args([
                    format!("--reuid={id}"),
                    format!("--regid={id}"),
                    "--clear-groups".to_owned(),
                ]);
                command.arg("--").arg(&program);
                command
            }
        };
        command
            .arg("up")
            .arg(root.join("objects"))
            .args(["--run", "--state"])
            .arg(root.join("state"));
        if user == As::Root {
            command.arg("--loopback");
        }
        let child = command
            .env_clear()
            .env("PATH", "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin")
            .env("HOME", root)
            .env("TULLE_ENVOY", for_everybody(&envoy)?)
            .stdin(Stdio::null())
            .stdout(File::create(root.join("out"))?)
            .stderr(File::create(root.join("log"))?)
            .spawn()?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let run = Self {
            root: root.to_owned(),
            user,
            program,
            child,
            runtime,
        };
        run.until("everything runs", || {
            Ok(run.log()?.contains("everything runs").then_some(()))
        })?;
        run.settled()?;
        Ok(run)
    }

    /// Its name.
    pub fn id(&self) -> RunId {
        RunId::for_folder(&self.root.join("state"))
    }

    /// What it said.
    pub fn log(&self) -> Result<String> {
        Ok(fs::read_to_string(self.root.join("log"))? + &fs::read_to_string(self.root.join("out"))?)
    }

    /// The log of an application (`shop.orders-1`) or its proxy (`shop.orders-1.envoy`).
    pub fn log_of(&self, process: &str) -> Result<String> {
        Ok(fs::read_to_string(
            self.root.join("state/logs").join(format!("{process}.log")),
        )?)
    }

    /// Waits for something.
    pub fn until<T>(&self, what: &str, ask: impl FnMut() -> Result<Option<T>>) -> Result<T> {
        wait_until(what, PATIENCE, LOOK, ask).or_else(|error| bail!("{error:#}; log:\n{}", self.log()?))
    }

    /// Asks the control plane.
    pub fn ask<T: serde::de::DeserializeOwned>(&self, path: &str) -> Result<T> {
        let client = AdminClient::new(self.root.join("state/admin.sock"));
        let body = self.runtime.block_on(client.get(path))?;
        Ok(serde_json::from_slice(&body)?)
    }

    /// Waits until every proxy has acknowledged everything.
    pub fn settled(&self) -> Result<()> {
        self.until("every proxy acknowledges", || {
            let known: Value = self.ask("/proxies")?;
            let proxies = known.get("proxies").and_then(Value::as_array).context("no list")?;
            let good = proxies.iter().all(|proxy| {
                ["connected", "synced"]
                    .iter()
                    .all(|fact| proxy.get(*fact) == Some(&Value::Bool(true)))
            });
            Ok((good && !proxies.is_empty()).then_some(()))
        })
    }

    /// Waits until the application of a workload (`shop/orders-1`) accepts connections on all its ports.
    pub fn listening(&self, workload: &str) -> Result<()> {
        let address: Ipv4Addr = self.variable(workload, "TULLE_ADDRESS")?.parse()?;
        for (_, _, port, _) in PORTS {
            self.until(&format!("{workload} listens on port {port}"), || {
                Ok(TcpStream::connect((address, port)).is_ok().then_some(()))
            })?;
        }
        Ok(())
    }

    /// What the application of a workload (`shop/orders-1`) is told.
    pub fn told(&self, workload: &str) -> Result<BTreeMap<String, String>> {
        self.ask(&format!("/environment/{workload}"))
    }

    /// One thing that it is told.
    pub fn variable(&self, workload: &str, name: &str) -> Result<String> {
        let mut told = self.told(workload)?;
        told.remove(name)
            .with_context(|| format!("{workload} is not told {name}: {told:?}"))
    }

    /// The address of a workload, as others dial it.
    pub fn address(&self, workload: &str) -> Result<String> {
        let list: Value = self.ask("/objects/workloads")?;
        let items = list.get("items").and_then(Value::as_array).context("no list")?;
        let is = |item: &&Value| item.pointer("/metadata/name").and_then(Value::as_str) == workload.split('/').nth(1);
        let item = items.iter().find(is).context("no such workload")?;
        Ok(item
            .pointer("/spec/address")
            .and_then(Value::as_str)
            .context("no address")?
            .to_owned())
    }

    /// Requests as `tulle shop-call` sends them.
    pub fn call(&self, arguments: &[&str]) -> Result<Vec<Outcome>> {
        let output = Command::new(&self.program).arg("shop-call").args(arguments).output()?;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let lines = String::from_utf8(output.stdout)?;
        lines.lines().map(|line| Ok(serde_json::from_str(line)?)).collect()
    }

    /// Signals the run itself and waits for its end.
    pub fn signal(&mut self, signal: &str) -> Result<()> {
        let sent = Command::new("kill")
            .args([signal, &self.child.id().to_string()])
            .status()?;
        ensure!(sent.success(), "cannot signal");
        self.child.wait()?;
        Ok(())
    }

    /// Processes, folders and records that are left of it.
    pub fn left(&self) -> Result<Vec<String>> {
        let state = self.root.join("state");
        let mut left: Vec<String> = processes(self.user, &state)?.into_iter().collect();
        let files = |folder: PathBuf| fs::read_dir(folder).into_iter().flatten().flatten();
        left.extend(files(state.join("run")).map(|entry| entry.path().display().to_string()));
        let list = state.join("runs").join(self.id().as_str()).join("created.jsonl");
        left.extend(list.exists().then(|| list.display().to_string()));
        left.extend(state.join("admin.sock").exists().then(|| "admin.sock".to_owned()));
        Ok(left)
    }
}

impl Drop for Loopback {
    fn drop(&mut self) {
        // It may have ended already; whatever is left then is removed as a next start would do it.
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = operator::netns::cleanup_previous(&self.root.join("state"));
    }
}

/// Command lines of the user's processes, or of those that name the state folder.
fn processes(user: As, state: &Path) -> Result<BTreeSet<String>> {
    let state = state.display().to_string();
    let mut found = BTreeSet::new();
    for entry in fs::read_dir("/proc")? {
        let folder = entry?.path();
        let line = fs::read(folder.join("cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        let theirs = match user {
            As::User(id) => fs::metadata(&folder).is_ok_and(|metadata| metadata.uid() == id),
            As::Root => line.contains(&state),
        };
        // A process without a command line is over, or the kernel's.
        if theirs && !line.is_empty() {
            found.insert(line);
        }
    }
    Ok(found)
}

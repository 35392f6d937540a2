//! A whole mesh in network namespaces: what `tulle up --run` runs, held by a test.
//!
//! The control plane is the real `tulle` in a process of its own, the proxies are real Envoys, the applications know
//! nothing. Folders have fixed places, so that the next start of a test that was killed finds what to remove.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use operator::envoy_binary::{self, Search};
use operator::netns::{self, MemberSpec};
use operator::process::AdminClient;
use operator::run::{Isolation, Run, RunOptions, Seat};
use serde::Deserialize;
use serde_json::Value;
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;

use super::envoy::Envoy;
use super::machine::can_run;
use super::namespace::Namespace;
use super::wait::{LOOK, wait_until};
use super::{tulle, until, write_whole};

/// How long a change may take to reach every proxy.
const CHANGE: Duration = Duration::from_secs(20);

/// A running mesh. Dropping it ends its processes and removes its namespaces.
pub struct Mesh {
    runtime: Option<Runtime>,
    run: RefCell<Option<Run>>,
    folder: PathBuf,
    state: PathBuf,
}

/// What a mesh may have of its own.
#[derive(Clone, Debug, Default)]
pub struct MeshOptions {
    /// A program that stands in for `tulle`: as the control plane, and as the applications.
    pub program: Option<PathBuf>,
    /// More arguments for the control plane.
    pub plane_arguments: Vec<String>,
}

/// What the control plane knows about proxies.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Proxies {
    /// Grows whenever something is published differently.
    pub revision: u64,
    /// The sequence of the source that is published.
    pub processed: u64,
    /// The proxies.
    pub proxies: Vec<Proxy>,
}

/// One proxy.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Proxy {
    /// `namespace/workload`.
    pub proxy: String,
    /// Whether it has a stream.
    pub connected: bool,
    /// Whether it acknowledged everything.
    pub synced: bool,
    /// Why compiling for it failed.
    pub failed: Option<String>,
    /// What it refuses.
    pub rejections: Vec<Value>,
}

impl Mesh {
    /// Starts a mesh of this name from files of objects, and waits until every workload runs.
    pub fn start(name: &str, files: &[(&str, &str)]) -> Result<Self> {
        Self::start_with(name, files, MeshOptions::default())
    }

    /// The same with a control plane of one's own.
    pub fn start_with(name: &str, files: &[(&str, &str)], with: MeshOptions) -> Result<Self> {
        ensure!(can_run(), "network namespaces need root");
        let root = std::env::temp_dir().join("tulle-e2e").join(name);
        let (folder, state) = (root.join("objects"), root.join("state"));
        netns::cleanup_previous(&state)?;
        fs::remove_dir_all(&root).ok();
        fs::create_dir_all(&folder)?;
        for (file, text) in files {
            write_whole(&folder.join(file), text)?;
        }
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()?;
        let options = RunOptions {
            folder: folder.clone(),
            state_dir: state.clone(),
            envoy: envoy_binary::locate(&search(), &|line| say(line))?,
            program: with.program.map_or_else(tulle, Ok)?,
            plane_arguments: with.plane_arguments,
            isolation: Isolation::Namespaces,
        };
        let run = runtime.block_on(Run::start(options, &CancellationToken::new(), &|line| say(line)));
        // Made before the first error can be returned: dropping it is what removes everything.
        let (run, failed) = match run {
            Ok(run) => (run, None),
            Err(error) => (None, Some(error)),
        };
        let mesh = Self {
            runtime: Some(runtime),
            run: RefCell::new(run),
            folder,
            state,
        };
        match failed {
            Some(error) => Err(error),
            None => mesh.look().and_then(|()| mesh.settled()).map(|()| mesh),
        }
    }

    fn block_on<T>(&self, future: impl Future<Output = Result<T>>) -> Result<T> {
        self.runtime.as_ref().context("the mesh is over")?.block_on(future)
    }

    /// Brings what runs in line with the objects, and waits until every application listens.
    fn look(&self) -> Result<()> {
        let workloads = {
            let mut run = self.run.borrow_mut();
            let run = run.as_mut().context("the mesh is over")?;
            self.block_on(async {
                run.look(&|line| say(line)).await?;
                run.plane().workloads().await
            })?
        };
        let members = self.members();
        for workload in workloads {
            let metadata = workload.metadata;
            let id = format!(
                "{}/{}",
                metadata.namespace.unwrap_or_default(),
                metadata.name.unwrap_or_default()
            );
            let ports: Vec<u16> = workload.spec.ports.iter().map(|port| port.port).collect();
            if members.contains_key(&id) {
                let namespace = self.workload(&id)?;
                self.await_condition(&format!("{id} listens on {ports:?}"), CHANGE, || {
                    let listening = namespace.listening()?;
                    Ok(ports.iter().all(|port| listening.contains(port)).then_some(()))
                })?;
            }
        }
        Ok(())
    }

    /// Writes a file of objects and waits until every proxy has acknowledged the change. Returns how long that took.
    pub fn apply(&self, file: &str, text: &str) -> Result<Duration> {
        self.change(|folder| write_whole(&folder.join(file), text))
    }

    /// Removes a file of objects and waits until every proxy has acknowledged the change.
    pub fn remove(&self, file: &str) -> Result<Duration> {
        self.change(|folder| Ok(fs::remove_file(folder.join(file))?))
    }

    /// Writes a file of objects and waits for nothing.
    pub fn write(&self, file: &str, text: &str) -> Result<()> {
        write_whole(&self.folder.join(file), text)
    }

    /// Like [`Mesh::apply`] for a file that holds no workloads, so that nobody looks for new ones.
    pub fn adopt(&self, file: &str, text: &str) -> Result<()> {
        self.adopted(|folder| write_whole(&folder.join(file), text))
    }

    fn change(&self, change: impl FnOnce(&Path) -> Result<()>) -> Result<Duration> {
        let start = Instant::now();
        self.adopted(change)?;
        let took = start.elapsed();
        // Workloads that came with the change.
        self.look()?;
        self.settled()?;
        Ok(took)
    }

    fn adopted(&self, change: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
        let before = self.proxies()?.processed;
        change(&self.folder)?;
        self.await_condition("the control plane reads the change", CHANGE, || {
            Ok((self.proxies()?.processed > before).then_some(()))
        })?;
        self.settled()
    }

    /// Waits until every proxy is connected and has acknowledged everything.
    pub fn settled(&self) -> Result<()> {
        let members = self.members();
        self.await_condition("every proxy acknowledges", CHANGE, || {
            let known = self.proxies()?.proxies;
            let refused: Vec<&Proxy> = known
                .iter()
                .filter(|p| !p.rejections.is_empty() || p.failed.is_some())
                .collect();
            ensure!(refused.is_empty(), "refused configuration: {refused:?}");
            let good = |name: &String| known.iter().any(|p| p.proxy == *name && p.connected && p.synced);
            Ok(members.keys().all(good).then_some(()))
        })
    }

    /// Asks again and again until there is an answer.
    pub fn await_condition<T>(&self, what: &str, limit: Duration, ask: impl FnMut() -> Result<Option<T>>) -> Result<T> {
        // The question may itself use the runtime, so waiting happens outside of it.
        wait_until(what, limit, LOOK, ask)
    }

    /// The namespaces of all workloads, by `namespace/name`.
    pub fn members(&self) -> BTreeMap<String, String> {
        let members = self.run.borrow().as_ref().map(Run::members).unwrap_or_default();
        let in_namespace = |(id, seat): (String, Seat)| Some((id, seat.namespace()?));
        members.into_iter().filter_map(in_namespace).collect()
    }

    /// The namespace of a workload (`namespace/name`).
    pub fn workload(&self, id: &str) -> Result<Namespace> {
        let mut run = self.run.borrow_mut();
        let run = run.as_mut().context("the mesh is over")?;
        let name = run
            .members()
            .get(id)
            .and_then(Seat::namespace)
            .with_context(|| format!("no workload {id} runs"))?;
        let member = run
            .network()
            .context("the mesh has no network")?
            .member(&id.replace('/', "."))
            .with_context(|| format!("{id} has no namespace"))?;
        Ok(Namespace {
            name,
            address: member.address,
            as_envoy: false,
        })
    }

    /// Adds a host outside the mesh, without interception and without an application.
    pub fn outside(&self, name: &str) -> Result<Namespace> {
        let mut run = self.run.borrow_mut();
        let run = run.as_mut().context("the mesh is over")?;
        let made = run.network().context("the mesh has no network")?.add(&[MemberSpec {
            name: name.to_owned(),
            address: None,
        }])?;
        let member = made.first().context("no namespace was made")?;
        Ok(Namespace {
            name: member.namespace.clone(),
            address: member.address,
            as_envoy: false,
        })
    }

    /// The Envoy of a workload.
    pub fn envoy(&self, id: &str) -> Result<Envoy<'_>> {
        let run_id = operator::process::RunId::for_folder(&self.state);
        let socket = Path::new("/run/tulle")
            .join(run_id.as_str())
            .join(id.replace('/', "."))
            .join("admin.sock");
        Ok(Envoy::new(
            self.runtime.as_ref().context("the mesh is over")?,
            AdminClient::new(socket),
        ))
    }

    /// What the control plane knows about proxies.
    pub fn proxies(&self) -> Result<Proxies> {
        Ok(serde_json::from_value(self.ask("/proxies")?)?)
    }

    /// What the control plane says about something, as JSON.
    pub fn ask(&self, path: &str) -> Result<Value> {
        let admin = AdminClient::new(operator::admin::socket_path(&self.state));
        self.block_on(async {
            let body = admin.get(path).await?;
            serde_json::from_slice(&body).with_context(|| format!("the answer to {path} is not JSON"))
        })
    }

    /// The folder of objects.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The state folder.
    pub fn state(&self) -> &Path {
        &self.state
    }

    /// Where the control plane listens.
    pub fn xds_address(&self) -> Result<std::net::SocketAddr> {
        Ok(self
            .run
            .borrow()
            .as_ref()
            .context("the mesh is over")?
            .plane()
            .xds_address())
    }

    /// `kill -9` of the control plane. It is started again by the run; returns once the new one answers.
    pub fn kill_control_plane(&self) -> Result<()> {
        let pid = || anyhow::Ok(self.run.borrow().as_ref().context("the mesh is over")?.plane().pid());
        let before = pid()?.context("the control plane does not run")?;
        let killed = std::process::Command::new("kill")
            .args(["-KILL", &before.to_string()])
            .status()?;
        ensure!(killed.success(), "cannot kill the control plane");
        self.await_condition("the control plane starts again", Duration::from_secs(30), || {
            Ok(pid()?.filter(|pid| *pid != before).map(drop))
        })?;
        let admin = AdminClient::new(operator::admin::socket_path(&self.state));
        self.block_on(until(
            "the control plane answers",
            Duration::from_secs(30),
            async || Ok(admin.get("/readyz").await.is_ok().then_some(())),
        ))
    }
}

impl Drop for Mesh {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            if let Some(run) = self.run.borrow_mut().take()
                && let Err(error) = runtime.block_on(run.stop())
            {
                say(&format!("the mesh did not end well: {error:#}"));
            }
            // Whatever still runs holds the run's lock.
            runtime.shutdown_timeout(Duration::from_secs(5));
        }
        if let Err(error) = netns::cleanup_previous(&self.state) {
            say(&format!("not everything was removed: {error}"));
        }
    }
}

pub(super) fn search() -> Search {
    let home = std::env::var_os("HOME");
    let cache = std::env::var_os("XDG_CACHE_HOME");
    Search {
        explicit: std::env::var_os("TULLE_ENVOY").map(PathBuf::from),
        path: std::env::var_os("PATH"),
        cache_dir: envoy_binary::default_cache_dir(true, cache.as_deref(), home.as_deref()),
    }
}

/// For people who watch a test run; libtest shows it for failed tests.
pub(super) fn say(line: &str) {
    use std::io::Write;
    // There is nobody to tell if this fails.
    let _ = writeln!(std::io::stderr(), "mesh: {line}");
}

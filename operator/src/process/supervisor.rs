//! Keeps a process running: start, watch, start again after a crash, stop.
//!
//! One task a process. When the leader of a process group ends, what is left of its group is killed while the leader is
//! still a zombie: until then its number cannot be anyone else's. The state of each process is a `watch` channel.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::process::{PidfdFlags, Signal, kill_process_group, pidfd_open};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::process::{Child, Command};
use tokio::sync::{oneshot, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::backoff::Backoff;
use super::command::{ProcessSpec, Restart};
use super::os::Pid;
use super::registry::{Entry, MARKER, Registry};
use super::spawner::Spawner;

/// A log that is longer at a start is put aside (`<name>.1`).
const LONG_LOG: u64 = 16 << 20;
/// Where programs are found by who does not inherit ours.
const USUAL_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// Time that a process has to end when its supervisor does.
const GRACE: Duration = Duration::from_secs(3);

/// What a process is doing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProcessState {
    /// Not started yet.
    Starting,
    /// Running.
    Running {
        /// Its process id.
        pid: u32,
    },
    /// Ended or not startable; will be started again.
    Waiting {
        /// How it ended, for people.
        reason: String,
        /// How often in a row.
        crashes: u32,
    },
    /// Over for good.
    Ended {
        /// How it ended, for people.
        reason: String,
        /// Whether that was success or our own wish.
        ok: bool,
    },
}

/// Starts processes and keeps them.
#[derive(Clone, Debug)]
pub struct Supervisor {
    spawner: Spawner,
    registry: Arc<Registry>,
    backoff: Backoff,
    ending: CancellationToken,
    keepers: TaskTracker,
}

/// One supervised process. Dropping it leaves the process running.
#[derive(Debug)]
pub struct ProcessHandle {
    name: String,
    state: watch::Receiver<ProcessState>,
    stop: Option<oneshot::Sender<Duration>>,
}

impl Supervisor {
    /// A supervisor whose processes belong to a run. Must be called within a tokio runtime.
    pub fn new(registry: Arc<Registry>) -> io::Result<Self> {
        Ok(Self {
            spawner: Spawner::new()?,
            registry,
            backoff: Backoff::default(),
            ending: CancellationToken::new(),
            keepers: TaskTracker::new(),
        })
    }

    /// Changes how long crashed processes wait.
    #[must_use]
    pub fn with_backoff(mut self, backoff: Backoff) -> Self {
        self.backoff = backoff;
        self
    }

    /// Starts a process and keeps it running as its spec says.
    pub fn start(&self, spec: ProcessSpec) -> ProcessHandle {
        let (state, seen) = watch::channel(ProcessState::Starting);
        let (stop, stopped) = oneshot::channel();
        let name = spec.name.clone();
        self.keepers.spawn(
            Keeper {
                supervisor: self.clone(),
                spec,
                state,
                crashes: 0,
            }
            .keep(stopped),
        );
        ProcessHandle {
            name,
            state: seen,
            stop: Some(stop),
        }
    }

    /// Ends every process that still runs, also those whose handles were dropped; none is started again, and none after
    /// this. Without it, what somebody else kills comes back.
    pub async fn end(&self) {
        self.ending.cancel();
        self.keepers.close();
        self.keepers.wait().await;
    }
}

impl ProcessHandle {
    /// The process's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it is doing now.
    pub fn state(&self) -> ProcessState {
        self.state.borrow().clone()
    }

    /// A receiver that sees each change.
    pub fn watch(&self) -> watch::Receiver<ProcessState> {
        self.state.clone()
    }

    /// Asks the process to end (SIGTERM), kills it after `grace`, and returns when it is gone.
    pub async fn stop(mut self, grace: Duration) {
        if let Some(stop) = self.stop.take() {
            // Nobody receives it if the process is over already.
            stop.send(grace).ok();
        }
        // An error means that the task is over, and so is the process.
        drop(
            self.state
                .wait_for(|state| matches!(state, ProcessState::Ended { .. }))
                .await,
        );
    }
}

struct Keeper {
    supervisor: Supervisor,
    spec: ProcessSpec,
    state: watch::Sender<ProcessState>,
    crashes: u32,
}

impl Keeper {
    async fn keep(mut self, mut stopped: oneshot::Receiver<Duration>) {
        loop {
            if self.supervisor.ending.is_cancelled() {
                return self.end("stopped".to_owned(), true);
            }
            let started = Instant::now();
            let (reason, ok) = match self.run(&mut stopped).await {
                Ok(Outcome::Stopped) => return self.end("stopped".to_owned(), true),
                Ok(Outcome::Exited(status)) => (describe(status), status.success()),
                Err(error) => (format!("cannot start {}: {error}", self.spec.program.display()), false),
            };
            let again = match self.spec.restart {
                Restart::Always => true,
                Restart::OnFailure => !ok,
                Restart::Never => false,
            };
            if !again {
                return self.end(reason, ok);
            }
            let recovered = started.elapsed() >= self.supervisor.backoff.reset_after;
            self.crashes = if recovered { 1 } else { self.crashes + 1 };
            let delay = self.supervisor.backoff.delay(self.crashes);
            let (process, log) = (&self.spec.name, self.spec.log.display());
            tracing::warn!(process, reason, crashes = self.crashes, ?delay, %log, "process ended, starting it again");
            self.state.send_replace(ProcessState::Waiting {
                reason,
                crashes: self.crashes,
            });
            tokio::select! {
                () = tokio::time::sleep(delay) => {}
                _ = self.wish(&mut stopped) => return self.end("stopped".to_owned(), true),
            }
        }
    }

    fn end(&self, reason: String, ok: bool) {
        self.state.send_replace(ProcessState::Ended { reason, ok });
    }

    async fn run(&self, stopped: &mut oneshot::Receiver<Duration>) -> io::Result<Outcome> {
        let command = command(&self.spec, self.supervisor.registry.marker())?;
        let mut child = self.supervisor.spawner.spawn(command).await?;
        let leader = Leader::of(&child)?;
        self.record(&leader);
        self.state.send_replace(ProcessState::Running { pid: leader.pid });
        let asked = tokio::select! {
            ended = leader.ended() => { ended?; false }
            grace = self.wish(stopped) => {
                leader.signal_group(Signal::TERM);
                if tokio::time::timeout(grace, leader.ended()).await.is_err() {
                    leader.signal_group(Signal::KILL);
                    leader.ended().await?;
                }
                true
            }
        };
        leader.signal_group(Signal::KILL);
        let status = child.wait().await?;
        Ok(if asked {
            Outcome::Stopped
        } else {
            Outcome::Exited(status)
        })
    }

    /// Resolves when the process is to end, with the time that it has. A dropped handle does not stop it.
    async fn wish(&self, stopped: &mut oneshot::Receiver<Duration>) -> Duration {
        tokio::select! {
            () = self.supervisor.ending.cancelled() => GRACE,
            Some(grace) = wish(stopped) => grace,
        }
    }

    fn record(&self, leader: &Leader) {
        let Some(id) = Pid::of(leader.pid) else { return };
        if let Err(error) = self.supervisor.registry.record(&[Entry::Process {
            name: self.spec.name.clone(),
            id,
        }]) {
            // Its marker still finds it.
            tracing::error!(%error, process = self.spec.name, "cannot record a process");
        }
    }
}

enum Outcome {
    Stopped,
    Exited(ExitStatus),
}

/// What the handle's owner wants; nothing if nobody can want anything any more.
async fn wish(stopped: &mut oneshot::Receiver<Duration>) -> Option<Duration> {
    if stopped.is_terminated() {
        return None;
    }
    stopped.await.ok()
}

/// The process that leads its group, not yet waited for.
struct Leader {
    pid: u32,
    handle: AsyncFd<OwnedFd>,
}

impl Leader {
    fn of(child: &Child) -> io::Result<Self> {
        let pid = child.id().ok_or_else(|| io::Error::other("the process has no id"))?;
        let handle = pidfd_open(raw(pid)?, PidfdFlags::NONBLOCK)?;
        #[allow(
            deprecated,
            reason = "the successor is unsafe; an OwnedFd is one descriptor all its life, as it demands"
        )]
        let handle = AsyncFd::with_interest(handle, Interest::READABLE)?;
        Ok(Self { pid, handle })
    }

    /// Resolves when it has ended; it is a zombie then.
    async fn ended(&self) -> io::Result<()> {
        self.handle.readable().await.map(drop)
    }

    fn signal_group(&self, signal: Signal) {
        // The only likely error is that the group is empty.
        if let Ok(pid) = raw(self.pid) {
            kill_process_group(pid, signal).ok();
        }
    }
}

fn raw(pid: u32) -> io::Result<rustix::process::Pid> {
    let pid = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw);
    pid.ok_or_else(|| io::Error::other("not a process id"))
}

fn command(spec: &ProcessSpec, marker: &str) -> io::Result<Command> {
    let mut always = BTreeMap::from([(MARKER.into(), marker.into())]);
    if !spec.inherit_environment {
        // `ip` and `setpriv` are found by it.
        always.insert("PATH".into(), USUAL_PATH.into());
    }
    let line = spec.command_line(&always)?;
    let (program, arguments) = line.words.split_first().ok_or_else(|| io::Error::other("no program"))?;
    let log = open_log(&spec.log)?;
    let mut command = Command::new(program);
    command.args(arguments).process_group(0).stdin(Stdio::null());
    command.stdout(log.try_clone()?).stderr(log);
    if !spec.inherit_environment {
        command.env_clear();
    }
    command.envs(&line.environment);
    if let Some(folder) = &spec.folder {
        command.current_dir(folder);
    }
    Ok(command)
}

fn open_log(path: &Path) -> io::Result<fs::File> {
    if fs::metadata(path).is_ok_and(|meta| meta.len() > LONG_LOG) {
        let mut old = path.as_os_str().to_owned();
        old.push(".1");
        fs::rename(path, old)?;
    }
    OpenOptions::new().create(true).append(true).open(path)
}

fn describe(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(127), _) => "exit code 127 (the program was not found or not executable for its user)".to_owned(),
        (Some(code), _) => format!("exit code {code}"),
        (None, Some(signal)) => format!("killed by signal {signal}"),
        (None, None) => "ended".to_owned(),
    }
}

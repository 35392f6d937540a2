//! The cluster that the tests share: started by the first one that needs it, ended once.

use std::panic::catch_unwind;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use anyhow::{Context, Result, bail};
use tokio::signal::unix::{SignalKind, signal};
use tulle_e2e::cluster::Cluster;
use tulle_e2e::pods::say;

use super::Test;

/// What a shell reports of a process that Ctrl-C ended.
const INTERRUPTED: i32 = 130;

/// Handles of it are the same session.
#[derive(Clone, Debug, Default)]
pub(crate) struct Session(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    cluster: Option<Cluster>,
    /// There is, or may be, a cluster that is ours to be ended: it was not there before, and is not wanted afterwards.
    ours: bool,
    /// Nothing is started any more.
    ended: bool,
}

impl Session {
    /// Runs a test on the cluster; says how long it took.
    pub(crate) fn run(&self, name: &str, test: Test) -> Result<(), String> {
        let start = Instant::now();
        // A panic is a failure like others.
        let run = |cluster: Cluster| {
            catch_unwind(|| test(&cluster)).unwrap_or_else(|_| bail!("a panic; its words are above"))
        };
        let done = self.cluster().and_then(run);
        say(&format!("{name}: {:.0} s", start.elapsed().as_secs_f64()));
        if done.is_err() {
            self.begin_anew();
        }
        done.map_err(|error| format!("{error:?}"))
    }

    /// What a failed test left must not make the others fail: they get another cluster.
    fn begin_anew(&self) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !state.ours {
            return;
        }
        state.cluster = None;
        match Cluster::clear() {
            Ok(()) => state.ours = false,
            Err(error) => say(&format!("after a failed test: {error:#}")),
        }
    }

    fn cluster(&self) -> Result<Cluster> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        anyhow::ensure!(!state.ended, "the tests are being ended");
        if let Some(cluster) = &state.cluster {
            return Ok(cluster.clone());
        }
        state.ours = state.ours || !Cluster::stays()?;
        let cluster = Cluster::ensure()?;
        // Tests remove the kinds, and with them every policy.
        anyhow::ensure!(
            cluster.is_own() || cluster.kubectl(&["get", "crd", "meshes.mesh.tulle.dev"]).is_err(),
            "the given cluster has Tulle's kinds: it is in use, or a test was interrupted; remove them as docs/install.md says, or give another"
        );
        state.cluster = Some(cluster.clone());
        Ok(cluster)
    }

    /// Takes the cluster down, if one was started here.
    pub(crate) fn end(&self) -> Result<()> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.ended = true;
        // Also one whose start failed.
        if std::mem::take(&mut state.ours) {
            Cluster::clear()
        } else {
            Ok(())
        }
    }

    /// Ends it, and the process, when somebody interrupts the tests.
    pub(crate) fn end_on_signals(&self) {
        let session = self.clone();
        on_signals(move || session.end());
    }
}

/// Does something, and ends the process, when somebody interrupts the tests.
pub(crate) fn on_signals(end: impl FnOnce() -> Result<()> + Send + 'static) {
    std::thread::spawn(move || {
        if let Err(error) = wait().and_then(|()| {
            say("interrupted: what was started is taken down");
            end()
        }) {
            say(&format!("{error:#}"));
        }
        std::process::exit(INTERRUPTED);
    });
}

/// Until the first signal.
fn wait() -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    runtime.block_on(async {
        let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
        tokio::select! {
            one = interrupt.recv() => one,
            one = terminate.recv() => one,
        }
        .context("no more signals")
    })
}

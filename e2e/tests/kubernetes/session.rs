//! The cluster that the tests share: started by the first one that needs it, ended once.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use anyhow::{Context, Result};
use libtest_mimic::Failed;
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
    /// The cluster is not ours to be ended: it was there before, or is wanted afterwards.
    stays: bool,
    /// Nothing is started any more.
    ended: bool,
}

impl Session {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Runs a test on the cluster; says how long it took.
    pub(crate) fn run(&self, name: &str, test: Test) -> Result<(), Failed> {
        let start = Instant::now();
        let done = self.cluster().and_then(|(cluster, stays)| {
            if name == super::DOWN && stays {
                say("SKIPPED: cluster_down: the cluster was there before, and is not ours to be ended");
                return Ok(());
            }
            test(&cluster)
        });
        say(&format!("{name}: {:.0} s", start.elapsed().as_secs_f64()));
        if done.is_err() {
            self.begin_anew();
        }
        done.map_err(|error| Failed::from(format!("{error:?}")))
    }

    /// What a failed test left must not make the others fail: they get another cluster.
    fn begin_anew(&self) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if state.stays {
            return;
        }
        if let Some(Err(error)) = state.cluster.take().map(Cluster::down) {
            say(&format!("after a failed test: {error:#}"));
        }
    }

    fn cluster(&self) -> Result<(Cluster, bool)> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        anyhow::ensure!(!state.ended, "the tests are being ended");
        if let Some(cluster) = &state.cluster {
            return Ok((cluster.clone(), state.stays));
        }
        state.stays = Cluster::stays()?;
        let cluster = Cluster::ensure()?;
        // Tests remove the kinds, and with them every policy.
        anyhow::ensure!(
            cluster.is_own() || cluster.kubectl(&["get", "crd", "meshes.mesh.tulle.dev"]).is_err(),
            "the given cluster has Tulle's kinds: it is in use, or a test was interrupted; remove them as docs/install.md says, or give another"
        );
        state.cluster = Some(cluster.clone());
        Ok((cluster, state.stays))
    }

    /// Takes the cluster down, if one was started here.
    pub(crate) fn end(&self) -> Result<()> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.ended = true;
        match state.cluster.take() {
            Some(cluster) if !state.stays => cluster.down(),
            _ => Ok(()),
        }
    }

    /// Ends it, and the process, when somebody interrupts the tests.
    pub(crate) fn end_on_signals(&self) {
        let session = self.clone();
        std::thread::spawn(move || {
            if let Err(error) = wait().and_then(|()| {
                say("interrupted: the cluster is taken down");
                session.end()
            }) {
                say(&format!("{error:#}"));
            }
            std::process::exit(INTERRUPTED);
        });
    }
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

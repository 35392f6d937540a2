//! The admin socket: HTTP on a Unix socket in the state folder, for `tulle get` and for people with `curl`.
//!
//! Read-only. Only the user that runs the control plane may open it (mode 0600 in a folder of mode 0700), because it shows
//! every policy. Nothing secret is served, not even there.

pub mod kinds;
mod metrics;
mod routes;
pub(crate) use metrics::{CONTENT_TYPE as METRICS_TYPE, Process};
pub(crate) use routes::version;
mod snapshot;

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use tokio::net::UnixListener;
use tokio::task::JoinHandle;
use xds::Publisher;

use crate::rules::RuleTotals;
use crate::status::StatusHandle;

/// Unix socket paths are short; the kernel counts the final zero byte too.
const LONGEST_PATH: usize = 107;

/// Why the socket cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum AdminSocketError {
    /// The path does not fit into a socket address.
    #[error("the socket path {0} is longer than {LONGEST_PATH} bytes; choose a shorter state folder with --state")]
    TooLong(PathBuf),
    /// Binding failed.
    #[error(
        "cannot make the socket {path}: {source}; make the state folder writable, or choose another one with --state"
    )]
    Bind {
        /// The socket.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// What is served.
#[derive(Clone)]
pub(crate) struct AdminState {
    pub(crate) engine: tokio::sync::watch::Receiver<std::sync::Arc<crate::engine::EngineView>>,
    pub(crate) status: StatusHandle,
    pub(crate) publisher: Publisher,
    pub(crate) rules: RuleTotals,
    pub(crate) streams: StreamFigures,
    pub(crate) process: Process,
}

impl AdminState {
    /// Our own figures, as Prometheus reads them.
    pub(crate) fn figures(&self) -> Result<String, std::fmt::Error> {
        let view = std::sync::Arc::clone(&self.engine.borrow());
        let rules = crate::rules::report(&view.model, &self.rules);
        let counted = [(self.streams)(), self.status.figures()].concat();
        metrics::text(&view, &counted, &rules, &self.process)
    }
}

/// What the xDS server did so far: names and values; those of counters end in `_total`.
pub(crate) type StreamFigures = std::sync::Arc<dyn Fn() -> Vec<(&'static str, u64)> + Send + Sync>;

/// A served socket; it is removed when this is dropped.
#[derive(Debug)]
pub struct AdminSocket {
    path: PathBuf,
    task: JoinHandle<()>,
}

impl AdminSocket {
    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for AdminSocket {
    fn drop(&mut self) {
        self.task.abort();
        // If somebody removed it already, all is well.
        fs::remove_file(&self.path).ok();
    }
}

/// Where the socket of a state folder is.
pub fn socket_path(state_dir: &Path) -> PathBuf {
    state_dir.join("admin.sock")
}

/// Serves. The caller holds the state folder's lock, so a socket that is there is a leftover.
pub(crate) fn start(state_dir: &Path, state: AdminState) -> Result<AdminSocket, AdminSocketError> {
    let path = socket_path(state_dir);
    if path.as_os_str().len() > LONGEST_PATH {
        return Err(AdminSocketError::TooLong(path));
    }
    fs::remove_file(&path).ok();
    let bind = |source| AdminSocketError::Bind {
        path: path.clone(),
        source,
    };
    let listener = UnixListener::bind(&path).map_err(bind)?;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).map_err(bind)?;
    let task = tokio::spawn(async move {
        if let Err(error) = axum::serve(listener, routes::router(state)).await {
            tracing::error!(%error, "the admin socket ended; `tulle get` does not work any more");
        }
    });
    Ok(AdminSocket { path, task })
}

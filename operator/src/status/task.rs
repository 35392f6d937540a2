//! The newest status, computed when somebody asks for it.
//!
//! Acknowledgements come in crowds and people read slowly, so nothing is computed for nobody; a slow beat only keeps the times
//! of conditions honest when nobody asks.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use config::model::Key;
use tokio::sync::watch;

use super::objects::StatusView;
use super::{Statuses, desired, keep_times};
use crate::engine::EngineView;

/// How often the status is computed when nobody asks.
const BEAT: Duration = Duration::from_secs(1);
/// Who waits for a change sees at most this many in a second.
const REST: Duration = Duration::from_millis(50);
/// What is left of a certificate changes by itself.
const STALE: Duration = Duration::from_secs(30);

type Certificates = dyn Fn() -> BTreeMap<Key, SystemTime> + Send + Sync;

/// The newest status.
#[derive(Clone)]
pub struct StatusHandle {
    engine: watch::Receiver<Arc<EngineView>>,
    certificates: Arc<Certificates>,
    last: Arc<Mutex<Computed>>,
}

struct Computed {
    view: Arc<StatusView>,
    at: Instant,
}

impl std::fmt::Debug for StatusHandle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StatusHandle").finish_non_exhaustive()
    }
}

/// Computes the first status and begins to keep it.
pub fn start(
    engine: watch::Receiver<Arc<EngineView>>,
    certificates: impl Fn() -> BTreeMap<Key, SystemTime> + Send + Sync + 'static,
) -> StatusHandle {
    let view = Arc::new(next(None, Arc::clone(&engine.borrow()), &certificates()));
    let last = Arc::new(Mutex::new(Computed {
        view,
        at: Instant::now(),
    }));
    let handle = StatusHandle {
        engine,
        certificates: Arc::new(certificates),
        last,
    };
    let (mut changes, keeper) = (handle.engine.clone(), handle.clone());
    tokio::spawn(async move {
        // Ends with the engine.
        while changes.changed().await.is_ok() {
            keeper.view();
            tokio::time::sleep(BEAT).await;
        }
    });
    handle
}

impl StatusHandle {
    /// The status as of now.
    pub fn view(&self) -> Arc<StatusView> {
        let engine = Arc::clone(&self.engine.borrow());
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if !Arc::ptr_eq(&last.view.engine, &engine) || last.at.elapsed() >= STALE {
            let view = Arc::new(next(Some(&last.view), engine, &(self.certificates)()));
            *last = Computed {
                view,
                at: Instant::now(),
            };
        }
        Arc::clone(&last.view)
    }

    /// The status as soon as its version is another than this, or what it is after `longest`.
    pub async fn changed(&self, version: u64, longest: Duration) -> Arc<StatusView> {
        let deadline = tokio::time::Instant::now() + longest;
        let mut changes = self.engine.clone();
        loop {
            changes.mark_unchanged();
            let view = self.view();
            if view.version != version {
                return view;
            }
            let change = async {
                if changes.changed().await.is_err() {
                    std::future::pending::<()>().await;
                }
                tokio::time::sleep(REST).await;
            };
            if tokio::time::timeout_at(deadline, change).await.is_err() {
                return self.view();
            }
        }
    }
}

/// The view after `before`; its version is another only if somebody could see a difference.
fn next(before: Option<&StatusView>, engine: Arc<EngineView>, certificates: &BTreeMap<Key, SystemTime>) -> StatusView {
    let now = SystemTime::now();
    let mut statuses = desired(&engine, certificates, now);
    let nothing = Statuses::default();
    let timestamp = jiff::Timestamp::try_from(now).unwrap_or_default();
    keep_times(
        before.map_or(&nothing, |before| &before.statuses),
        &mut statuses,
        timestamp,
    );
    let version = match before {
        Some(before) if before.statuses == statuses && before.engine.source.sequence == engine.source.sequence => {
            before.version
        }
        before => before.map_or(0, |before| before.version) + 1,
    };
    StatusView {
        version,
        engine,
        statuses,
    }
}

//! The newest status, computed when somebody asks for it.
//!
//! Acknowledgements come in crowds and people read slowly, so nothing is computed for nobody; a slow beat only keeps the times
//! of conditions honest when nobody asks.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use config::model::Key;
use tokio::sync::watch;

use super::objects::StatusView;
use super::{Beside, Statuses, desired, keep_times};
use crate::engine::EngineView;

/// How often the status is computed when nobody asks.
const BEAT: Duration = Duration::from_secs(1);
/// Who waits for a change sees at most this many in a second.
const REST: Duration = Duration::from_millis(50);
/// A certificate is renewed without the engine's knowledge.
const STALE: Duration = Duration::from_secs(30);

/// Figures of whoever writes status.
pub(super) type Figures = dyn Fn() -> Vec<(&'static str, u64)> + Send + Sync;

type Certificates = dyn Fn() -> BTreeMap<Key, SystemTime> + Send + Sync;

/// The newest status.
#[derive(Clone)]
pub struct StatusHandle {
    engine: watch::Receiver<Arc<EngineView>>,
    certificates: Arc<Certificates>,
    beside: watch::Sender<Arc<Beside>>,
    figures: Arc<OnceLock<Box<Figures>>>,
    last: Arc<Mutex<Computed>>,
}

struct Computed {
    view: Arc<StatusView>,
    beside: Arc<Beside>,
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
    let beside = Arc::<Beside>::default();
    let view = Arc::new(next(None, Arc::clone(&engine.borrow()), &certificates(), &beside));
    let last = Arc::new(Mutex::new(Computed {
        view,
        beside: Arc::clone(&beside),
        at: Instant::now(),
    }));
    let handle = StatusHandle {
        engine,
        certificates: Arc::new(certificates),
        beside: watch::Sender::new(beside),
        figures: Arc::default(),
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
    /// What is known beside the engine's view: to be changed by whoever knows it.
    pub fn beside(&self) -> &watch::Sender<Arc<Beside>> {
        &self.beside
    }

    /// Figures of whoever writes status, from now on; only the first call counts.
    pub(crate) fn connect(&self, figures: Box<Figures>) {
        self.figures.get_or_init(|| figures);
    }

    /// Figures of whoever writes status; none if nobody does.
    pub(crate) fn figures(&self) -> Vec<(&'static str, u64)> {
        self.figures.get().map(|figures| figures()).unwrap_or_default()
    }

    /// What this control plane alone knows: its engine's views, and when the certificates of its proxies end.
    pub(crate) fn own(&self) -> (watch::Receiver<Arc<EngineView>>, BTreeMap<Key, SystemTime>) {
        (self.engine.clone(), (self.certificates)())
    }

    /// The status as of now.
    pub fn view(&self) -> Arc<StatusView> {
        let engine = Arc::clone(&self.engine.borrow());
        let beside = Arc::clone(&self.beside.borrow());
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let same = Arc::ptr_eq(&last.view.engine, &engine) && Arc::ptr_eq(&last.beside, &beside);
        if !same || last.at.elapsed() >= STALE {
            let view = Arc::new(next(Some(&last.view), engine, &(self.certificates)(), &beside));
            *last = Computed {
                view,
                beside,
                at: Instant::now(),
            };
        }
        Arc::clone(&last.view)
    }

    /// The status as soon as its version is another than this, or what it is after `longest`.
    pub async fn changed(&self, version: u64, longest: Duration) -> Arc<StatusView> {
        let deadline = tokio::time::Instant::now() + longest;
        let (mut changes, mut beside) = (self.engine.clone(), self.beside.subscribe());
        loop {
            changes.mark_unchanged();
            beside.mark_unchanged();
            let view = self.view();
            if view.version != version {
                return view;
            }
            let change = async {
                let changed = tokio::select! {
                    changed = changes.changed() => changed,
                    changed = beside.changed() => changed,
                };
                if changed.is_err() {
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
fn next(
    before: Option<&StatusView>,
    engine: Arc<EngineView>,
    certificates: &BTreeMap<Key, SystemTime>,
    beside: &Beside,
) -> StatusView {
    let mut statuses = desired(&engine, certificates, beside);
    let nothing = Statuses::default();
    // Whole seconds, as the API server writes times.
    let timestamp = jiff::Timestamp::from_second(jiff::Timestamp::now().as_second()).unwrap_or_default();
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

//! The task that keeps the newest status. One writer, newest only, rate-limited.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use config::model::Key;
use tokio::sync::watch;

use super::objects::StatusView;
use super::{Statuses, desired, keep_times};
use crate::engine::EngineView;

/// Acknowledgements come in crowds; people read slower than this.
const REST: Duration = Duration::from_millis(50);
/// What is left of a certificate changes by itself.
const REFRESH: Duration = Duration::from_secs(30);

/// The newest status.
#[derive(Clone, Debug)]
pub struct StatusHandle {
    views: watch::Receiver<Arc<StatusView>>,
}

impl StatusHandle {
    /// The views, from the current one on.
    pub fn subscribe(&self) -> watch::Receiver<Arc<StatusView>> {
        self.views.clone()
    }

    /// The current view.
    pub fn view(&self) -> Arc<StatusView> {
        Arc::clone(&self.views.borrow())
    }
}

/// Starts the task; it ends with the engine.
pub fn start(
    mut engine: watch::Receiver<Arc<EngineView>>,
    certificates: impl Fn() -> BTreeMap<Key, SystemTime> + Send + Sync + 'static,
) -> StatusHandle {
    let first = next(None, Arc::clone(&engine.borrow_and_update()), &certificates());
    let (sender, views) = watch::channel(Arc::new(first));
    tokio::spawn(async move {
        loop {
            tokio::select! {
                changed = engine.changed() => if changed.is_err() { return },
                () = tokio::time::sleep(REFRESH) => {}
            }
            let view = Arc::clone(&engine.borrow_and_update());
            let before = Arc::clone(&sender.borrow());
            let next = next(Some(&before), view, &certificates());
            if next.version != before.version {
                sender.send_replace(Arc::new(next));
            }
            tokio::time::sleep(REST).await;
        }
    });
    StatusHandle { views }
}

/// The view after `before`; its version is another only if somebody could see a difference.
fn next(before: Option<&StatusView>, engine: Arc<EngineView>, certificates: &BTreeMap<Key, SystemTime>) -> StatusView {
    let now = SystemTime::now();
    let mut statuses = desired(&engine, certificates, now);
    let nothing = Statuses::default();
    let timestamp = jiff::Timestamp::try_from(now).unwrap_or_default();
    keep_times(before.map_or(&nothing, |before| &before.statuses), &mut statuses, timestamp);
    let version = match before {
        Some(before) if before.statuses == statuses && before.engine.source.sequence == engine.source.sequence => {
            before.version
        }
        before => before.map_or(0, |before| before.version) + 1,
    };
    StatusView { version, engine, statuses }
}

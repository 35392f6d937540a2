//! The watch of one kind: the API server -> a store of pruned objects.
//!
//! kube's runtime lists, watches, begins anew when the API server has forgotten where we were (410), and waits longer and
//! longer while it does not answer; the store keeps what was known meanwhile. Events carry nothing onward but "look again".

use std::fmt::Debug;
use std::hash::Hash;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use kube::Api;
use kube::runtime::reflector::{Lookup, Store, store::Writer};
use kube::runtime::utils::Backoff;
use kube::runtime::watcher::{self, DefaultBackoff, Event};
use kube::runtime::{WatchStreamExt, watcher as watch};
use serde::de::DeserializeOwned;
use tokio::sync::Notify;
use tokio::task::JoinSet;

/// Between two tries at last. A watch that goes on waiting when the API server is back serves the endpoints of before.
const LONGEST: Duration = Duration::from_secs(5);

/// kube's waiting, but never longer than `LONGEST`: it spares API servers that have thousands of clients like us.
#[derive(Default)]
struct Impatient(DefaultBackoff);

impl Iterator for Impatient {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        self.0.next().map(|pause| pause.min(LONGEST))
    }
}

impl Backoff for Impatient {
    fn reset(&mut self) {
        self.0.reset();
    }
}

/// Where watches run, and what they wake.
pub(crate) struct Feeds {
    pub(crate) tasks: JoinSet<()>,
    pub(crate) dirty: Arc<Notify>,
    pub(crate) config: watcher::Config,
}

impl Feeds {
    /// Begins to watch a kind.
    pub(crate) fn watch<K>(
        &mut self,
        what: &'static str,
        api: Api<K>,
        kind: <K as kube::Resource>::DynamicType,
        prune: fn(&mut K),
    ) -> Store<K>
    where
        K: kube::Resource + Lookup<DynamicType = <K as kube::Resource>::DynamicType>,
        K: Clone + Debug + DeserializeOwned + Send + Sync + 'static,
        <K as kube::Resource>::DynamicType: Clone + Eq + Hash + Send + Sync,
    {
        let writer = Writer::new(kind);
        let store = writer.as_reader();
        let events = watch(api, self.config.clone())
            .backoff(Impatient::default())
            .modify(prune)
            .reflect(writer);
        let dirty = Arc::clone(&self.dirty);
        self.tasks.spawn(async move {
            let mut events = std::pin::pin!(events);
            while let Some(event) = events.next().await {
                match event {
                    // A list is looked at once it is complete.
                    Ok(Event::Init | Event::InitApply(_)) => {}
                    Ok(Event::InitDone | Event::Apply(_) | Event::Delete(_)) => dirty.notify_one(),
                    Err(error) => tracing::warn!(
                        what,
                        error = %chain(&error),
                        "the API server does not tell; what is known is served until it answers"
                    ),
                }
            }
        });
        store
    }
}

/// An error with its causes: the first one alone often says nothing.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let inner_text = inner.to_string();
        if !text.contains(&inner_text) {
            text.push_str(": ");
            text.push_str(&inner_text);
        }
        cause = inner.source();
    }
    text
}

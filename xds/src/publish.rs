//! Where snapshots are put for streams to pick up: one latest-wins slot a proxy.
//!
//! The writer never waits for a reader and a reader never locks the writer out: a slow proxy skips what it had no time for.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use crate::identity::ProxyId;
use crate::snapshot::Snapshot;

type Slot = watch::Sender<Option<Arc<Snapshot>>>;

/// The slots of all proxies; clones share them.
#[derive(Clone, Debug, Default)]
pub struct Publisher {
    slots: Arc<Mutex<HashMap<ProxyId, Slot>>>,
}

impl Publisher {
    /// Puts a snapshot into a proxy's slot; its streams see it next.
    pub fn publish(&self, proxy: &ProxyId, snapshot: Arc<Snapshot>) {
        self.lock().entry(proxy.clone()).or_default().send_replace(Some(snapshot));
    }

    /// What is in a proxy's slot.
    pub fn current(&self, proxy: &ProxyId) -> Option<Arc<Snapshot>> {
        self.lock().get(proxy)?.borrow().clone()
    }

    /// A proxy's slot, to be told of each change.
    pub fn subscribe(&self, proxy: &ProxyId) -> watch::Receiver<Option<Arc<Snapshot>>> {
        self.lock().entry(proxy.clone()).or_default().subscribe()
    }

    /// Removes a proxy's slot: streams that still read it end.
    pub fn retire(&self, proxy: &ProxyId) {
        self.lock().remove(proxy);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<ProxyId, Slot>> {
        // Nothing that holds the lock can leave a slot half written.
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

//! One slot a proxy with its newest snapshot.
//!
//! Writers replace, readers take the newest: nobody queues, nobody waits, and a slow stream skips what is outdated.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use crate::identity::ProxyId;
use crate::snapshot::Snapshot;

type Slot = watch::Sender<Option<Arc<Snapshot>>>;

/// Hands snapshots from whoever compiles them to the streams. Clones share the slots.
#[derive(Clone, Debug, Default)]
pub struct Publisher {
    slots: Arc<Mutex<BTreeMap<ProxyId, Slot>>>,
}

impl Publisher {
    /// No proxies yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Replaces a proxy's snapshot. One with the same content only moves the revision: streams then report it as in sync
    /// without comparing anything.
    pub fn publish(&self, proxy: &ProxyId, snapshot: Arc<Snapshot>) {
        self.slots().entry(proxy.clone()).or_default().send_if_modified(|slot| {
            let same = slot.as_ref().filter(|current| current.same_content(&snapshot));
            if same.is_some_and(|current| current.revision == snapshot.revision) {
                return false;
            }
            let kept = same.map(|current| (current.layers.clone(), Arc::clone(&current.hidden)));
            *slot = Some(match kept {
                Some((layers, hidden)) => Arc::new(Snapshot {
                    revision: snapshot.revision,
                    layers,
                    hidden,
                }),
                None => snapshot,
            });
            true
        });
    }

    /// What is in a proxy's slot.
    pub fn current(&self, proxy: &ProxyId) -> Option<Arc<Snapshot>> {
        self.slots().get(proxy)?.borrow().clone()
    }

    /// The slot of a proxy; empty until its first publication. Closed when the proxy is retired.
    pub fn subscribe(&self, proxy: &ProxyId) -> watch::Receiver<Option<Arc<Snapshot>>> {
        self.slots().entry(proxy.clone()).or_default().subscribe()
    }

    /// Forgets a proxy that exists no more, and ends its streams.
    pub fn retire(&self, proxy: &ProxyId) {
        self.slots().remove(proxy);
    }

    /// Forgets a slot that nothing was published to and nobody reads.
    pub(crate) fn abandon(&self, proxy: &ProxyId) {
        let mut slots = self.slots();
        if slots
            .get(proxy)
            .is_some_and(|slot| slot.receiver_count() == 0 && slot.borrow().is_none())
        {
            slots.remove(proxy);
        }
    }

    /// The proxies with a slot, and how many streams read it.
    pub fn proxies(&self) -> Vec<(ProxyId, usize)> {
        self.slots()
            .iter()
            .map(|(proxy, slot)| (proxy.clone(), slot.receiver_count()))
            .collect()
    }

    fn slots(&self) -> MutexGuard<'_, BTreeMap<ProxyId, Slot>> {
        // No code that can panic runs under the lock.
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kind::Kind;
    use crate::proto::envoy::config::cluster::v3::Cluster;
    use crate::resource::Resource;
    use crate::snapshot::Layer;

    fn snapshot(revision: u64, name: &str) -> Arc<Snapshot> {
        let resource = Arc::new(Resource::new(Kind::Cluster, name, &Cluster::default()));
        Arc::new(Snapshot {
            revision,
            layers: vec![Arc::new(Layer::from_resources([resource]))],
            ..Snapshot::default()
        })
    }

    #[test]
    fn readers_see_the_newest_only() {
        let (publisher, proxy) = (Publisher::new(), ProxyId::new("ns/a"));
        let mut reader = publisher.subscribe(&proxy);
        assert!(reader.borrow().is_none());
        publisher.publish(&proxy, snapshot(1, "a"));
        publisher.publish(&proxy, snapshot(2, "b"));
        assert_eq!(
            reader.borrow_and_update().as_ref().map(|snapshot| snapshot.revision),
            Some(2)
        );
        publisher.publish(&proxy, snapshot(2, "b"));
        assert!(!reader.has_changed().unwrap());
    }

    #[test]
    fn the_same_content_keeps_its_layers_and_moves_the_revision() {
        let (publisher, proxy) = (Publisher::new(), ProxyId::new("ns/a"));
        let reader = publisher.subscribe(&proxy);
        publisher.publish(&proxy, snapshot(1, "a"));
        let before = reader.borrow().clone().unwrap();
        publisher.publish(&proxy, snapshot(2, "a"));
        let after = reader.borrow().clone().unwrap();
        assert_eq!(after.revision, 2);
        assert!(Arc::ptr_eq(&before.layers[0], &after.layers[0]));
    }

    #[test]
    fn a_retired_proxy_closes_its_readers() {
        let (publisher, proxy) = (Publisher::new(), ProxyId::new("ns/a"));
        let reader = publisher.subscribe(&proxy);
        assert_eq!(publisher.proxies(), [(proxy.clone(), 1)]);
        publisher.retire(&proxy);
        assert!(reader.has_changed().is_err());
        assert_eq!(publisher.proxies(), []);
    }
}

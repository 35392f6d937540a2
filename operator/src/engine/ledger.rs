//! The books on proxies: who is connected, what it was sent, what it acknowledged, what it refuses.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::SystemTime;

use config::model::Key;
use config::{Model, ObjectRef};
use xds::{Kind, Name, ProxyId, Reference, Snapshot, Version};

use super::view::{ProxyView, Rejection};

/// One proxy's page.
#[derive(Debug)]
pub(super) struct Page {
    pub(super) id: ProxyId,
    /// A proxy has a second stream for a moment when it reconnects before we know that the first one is dead.
    streams: BTreeMap<u64, Heard>,
    /// What was last published to it.
    pub(super) snapshot: Option<Arc<Snapshot>>,
    view: Arc<ProxyView>,
}

/// What one stream said.
#[derive(Clone, Debug, Default)]
struct Heard {
    acked: Option<u64>,
    rejections: Vec<Rejection>,
}

impl Page {
    /// The newest stream speaks for the proxy. Without one, what was heard last stands.
    fn refresh(&mut self) {
        let Some(heard) = self.streams.values().next_back() else {
            return;
        };
        let view = Arc::make_mut(&mut self.view);
        view.acked = heard.acked;
        view.rejections.clone_from(&heard.rejections);
    }
}

/// All pages.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    pages: BTreeMap<Key, Page>,
}

impl Ledger {
    /// A stream began.
    pub(super) fn connected(&mut self, key: &Key, id: &ProxyId, stream: u64, now: SystemTime) {
        let page = self.pages.entry(key.clone()).or_insert_with(|| Page {
            id: id.clone(),
            streams: BTreeMap::new(),
            snapshot: None,
            view: Arc::new(ProxyView {
                connected: false,
                since: now,
                sent: None,
                acked: None,
                rejections: Vec::new(),
                failed: None,
            }),
        });
        // A new stream has acknowledged nothing yet.
        page.streams.insert(stream, Heard::default());
        page.refresh();
        let view = Arc::make_mut(&mut page.view);
        if !view.connected {
            (view.connected, view.since) = (true, now);
        }
    }

    /// A stream ended.
    pub(super) fn gone(&mut self, key: &Key, stream: u64, now: SystemTime) {
        let Some(page) = self.pages.get_mut(key) else { return };
        if page.streams.remove(&stream).is_none() {
            return;
        }
        page.refresh();
        if page.streams.is_empty() {
            let view = Arc::make_mut(&mut page.view);
            (view.connected, view.since) = (false, now);
        }
    }

    /// A snapshot was published.
    pub(super) fn sent(&mut self, key: &Key, snapshot: &Arc<Snapshot>) {
        let Some(page) = self.pages.get_mut(key) else { return };
        page.snapshot = Some(Arc::clone(snapshot));
        let view = Arc::make_mut(&mut page.view);
        view.sent = Some(snapshot.revision);
        view.failed = None;
        let unchanged = |rejection: &Rejection| {
            let now = snapshot.get(rejection.kind, &rejection.name);
            now.is_some_and(|resource| rejection.version.as_ref() == Some(&resource.version))
        };
        view.rejections.retain(unchanged);
        page.streams
            .values_mut()
            .for_each(|heard| heard.rejections.retain(unchanged));
    }

    /// What would have been sent is what it has: a failure before is over.
    pub(super) fn confirmed(&mut self, key: &Key) {
        if let Some(page) = self.pages.get_mut(key).filter(|page| page.view.failed.is_some()) {
            Arc::make_mut(&mut page.view).failed = None;
        }
    }

    /// Compiling for it failed.
    pub(super) fn failed(&mut self, key: &Key, reason: &str) {
        if let Some(page) = self.pages.get_mut(key) {
            Arc::make_mut(&mut page.view).failed = Some(reason.to_owned());
        }
    }

    /// A proxy acknowledged everything up to a revision, except what it still refuses.
    pub(super) fn synced(&mut self, key: &Key, stream: u64, revision: u64, refused: &[Reference]) {
        let Some(page) = self.pages.get_mut(key) else { return };
        let Some(heard) = page.streams.get_mut(&stream) else {
            return;
        };
        heard.acked = heard.acked.max(Some(revision));
        let still = |rejection: &Rejection| {
            refused
                .iter()
                .any(|r| (r.kind, &r.name) == (rejection.kind, &rejection.name))
        };
        heard.rejections.retain(still);
        page.refresh();
    }

    /// A proxy refused resources. Says whether any of it is news.
    pub(super) fn nacked(&mut self, key: &Key, stream: u64, rejections: Vec<Rejection>) -> bool {
        let Some(page) = self.pages.get_mut(key) else {
            return false;
        };
        let Some(heard) = page.streams.get_mut(&stream) else {
            return false;
        };
        let mut news = false;
        for rejection in rejections {
            let same = |old: &Rejection| (old.kind, &old.name) == (rejection.kind, &rejection.name);
            news |= !heard
                .rejections
                .iter()
                .any(|old| same(old) && old.version == rejection.version);
            heard.rejections.retain(|old| !same(old));
            heard.rejections.push(rejection);
        }
        heard
            .rejections
            .sort_by(|a, b| (a.kind, &a.name).cmp(&(b.kind, &b.name)));
        page.refresh();
        news
    }

    /// Forgets proxies whose workload is not in the mesh any more.
    pub(super) fn forget_strangers(&mut self, strangers: &BTreeSet<Key>, model: &Model) {
        self.pages
            .retain(|key, _| model.workloads.contains_key(key) && !strangers.contains(key));
    }

    /// Every proxy.
    pub(super) fn proxies(&self) -> Vec<Key> {
        self.pages.keys().cloned().collect()
    }

    /// One page.
    pub(super) fn page(&self, key: &Key) -> Option<&Page> {
        self.pages.get(key)
    }

    /// All views.
    pub(super) fn views(&self) -> BTreeMap<Key, Arc<ProxyView>> {
        self.pages
            .iter()
            .map(|(key, page)| (key.clone(), Arc::clone(&page.view)))
            .collect()
    }
}

/// Builds the rejections of one refused batch; `message` is a client's text and is kept short.
pub(super) fn rejections(
    kind: Kind,
    names: &[Name],
    versions: &[Version],
    message: &str,
    now: SystemTime,
    blame: impl Fn(Kind, &str) -> BTreeSet<Arc<ObjectRef>>,
) -> Vec<Rejection> {
    /// Envoy's texts are far shorter; a client's memory is not ours to fill.
    const LONGEST: usize = 2048;
    let message: Arc<str> = message.chars().take(LONGEST).collect::<String>().into();
    names
        .iter()
        .enumerate()
        .map(|(index, name)| Rejection {
            kind,
            name: Arc::clone(name),
            version: versions.get(index).cloned(),
            message: Arc::clone(&message),
            objects: blame(kind, name),
            at: now,
        })
        .collect()
}

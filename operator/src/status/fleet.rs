//! Every proxy of the mesh once, whichever replica it is connected to.
//!
//! Of several connected streams of one proxy the newest counts, so the order in which reports arrive changes nothing. What
//! another replica says of an object counts only if it means the same object as we do: revisions are local numbers.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::SystemTime;

use config::ObjectRef;
use config::model::Key;

use super::report::{Report, mark};
use crate::engine::{EngineView, ProxyView};

/// All proxies.
pub(super) struct Fleet<'a> {
    /// The own view: the mesh as it is.
    pub(super) view: &'a EngineView,
    proxies: BTreeMap<&'a Key, Seen<'a>>,
    /// What each object is here; empty if nobody reports.
    marks: BTreeMap<&'a Arc<ObjectRef>, u64>,
}

/// What is known of one proxy.
pub(super) struct Seen<'a> {
    pub(super) proxy: &'a ProxyView,
    /// When its certificate ends.
    pub(super) certificate: Option<SystemTime>,
    /// Whose it is, if it is not our own.
    report: Option<&'a Report>,
}

impl<'a> Fleet<'a> {
    /// Own proxies and those of others.
    pub(super) fn new(
        view: &'a EngineView,
        certificates: &BTreeMap<Key, SystemTime>,
        reports: &'a BTreeMap<Arc<str>, Arc<Report>>,
    ) -> Self {
        let own = view.proxies.iter().map(|(key, proxy)| {
            let seen = Seen {
                proxy,
                certificate: certificates.get(key).copied(),
                report: None,
            };
            (key, seen)
        });
        let mut proxies: BTreeMap<&Key, Seen<'_>> = own.collect();
        for report in reports.values() {
            for (key, reported) in &report.proxies {
                let seen = Seen {
                    proxy: &reported.proxy,
                    certificate: reported.certificate,
                    report: Some(report),
                };
                let newest = |known: &Seen<'_>| rank(known.proxy) >= rank(seen.proxy);
                if !proxies.get(key).is_some_and(newest) {
                    proxies.insert(key, seen);
                }
            }
        }
        let marked = view.model.reports.keys().filter(|_| !reports.is_empty());
        let marks = marked
            .filter_map(|object| Some((object, mark(view, object)?)))
            .collect();
        Self { view, proxies, marks }
    }

    /// What is known of a proxy.
    pub(super) fn get(&self, key: &Key) -> Option<&Seen<'a>> {
        self.proxies.get(key)
    }

    /// Whether a proxy acknowledged the object as it is now.
    pub(super) fn has(&self, seen: &Seen<'_>, object: &Arc<ObjectRef>) -> bool {
        let Some(report) = seen.report else {
            let changed = self.view.changed_at.get(object).copied();
            return seen.proxy.has(changed.unwrap_or(self.view.revision));
        };
        let same = |theirs: &&super::Mark| self.marks.get(object) == Some(&theirs.content);
        let theirs = report.objects.get(object).filter(same);
        theirs.is_some_and(|theirs| seen.proxy.has(theirs.changed))
    }
}

/// Whose word counts: a connected stream's before a lost one's, then the newest.
fn rank(proxy: &ProxyView) -> (bool, SystemTime) {
    (proxy.connected, proxy.since)
}

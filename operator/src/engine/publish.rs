//! Compiling and publishing one proxy's snapshot, if it differs from what that proxy was sent.

use std::sync::Arc;

use config::model::Key;

use super::guard::guarded;
use super::state::State;

impl State {
    /// Every proxy that was seen and whose workload exists, connected or not.
    pub(super) fn publish_all(&mut self) {
        for key in self.ledger.proxies() {
            self.publish(&key);
        }
    }

    /// One proxy. On failure it keeps what it has.
    pub(super) fn publish(&mut self, key: &Key) {
        self.counters.snapshots += 1;
        let mut snapshot = match guarded(|| self.compiler.snapshot(&self.model, &self.settings, key)) {
            Ok(Ok(snapshot)) => snapshot,
            Ok(Err(error)) => {
                self.counters.failures += 1;
                tracing::error!(proxy = %key, %error, "no new snapshot for this proxy; it keeps what it had");
                self.ledger.failed(key, &error.to_string());
                return;
            }
            Err(panic) => {
                self.defect(&key.to_string(), &panic);
                self.ledger.failed(key, &panic);
                return;
            }
        };
        let Some(page) = self.ledger.page(key) else { return };
        if page.snapshot.as_ref().is_some_and(|last| last.same_content(&snapshot)) {
            self.ledger.confirmed(key);
            return;
        }
        snapshot.revision = self.revision;
        let snapshot = Arc::new(snapshot);
        self.publisher.publish(&page.id, Arc::clone(&snapshot));
        self.counters.published += 1;
        self.ledger.sent(key, &snapshot);
    }
}

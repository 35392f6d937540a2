//! Waiting, and the end of waiting: barriers, announced subscriptions, secrets to renew, and when a stream is in sync.

use std::sync::Arc;
use std::time::Duration;

use super::decide::Decision;
use super::stage::Stage;
use super::state::{Dirty, KindState};
use super::{Now, Session, SessionEvent};
use crate::kind::Kind;
use crate::resource::{Reference, Resource};

/// A source that always says "now" must not keep a stream busy.
const SHORTEST_RENEWAL: Duration = Duration::from_secs(1);

impl Session {
    /// Takes up the secrets whose time has come; [`Session::poll`] asks their source.
    pub fn on_secret_due(&mut self, now: Now) {
        let since = self.after_seen();
        let state = self.kinds.of_mut(Kind::Secret);
        self.secrets_due.retain(|name, at| {
            let due = *at <= now.wall;
            if due {
                state.mark(Arc::clone(name), since, false);
            }
            !due
        });
    }

    /// In how long to call [`Session::on_secret_due`] and [`Session::poll`] again, if nothing else happens.
    pub fn next_deadline(&self, now: Now) -> Option<Duration> {
        // Where the window is full, an answer is what counts, not time.
        let waiting = self.waiting.iter().filter(|(stage, _)| self.has_window(stage.kind()));
        let barriers = waiting.map(|(_, since)| since.saturating_add(self.config.barrier));
        let elapsed = barriers
            .chain(self.expected.values().copied())
            .map(|at| at.saturating_sub(now.elapsed))
            .min();
        let renewal = self.secrets_due.values().min();
        let renewal = renewal.map(|at| at.duration_since(now.wall).unwrap_or_default().max(SHORTEST_RENEWAL));
        elapsed.into_iter().chain(renewal).min()
    }

    pub(super) fn note_waiting(&mut self, stage: Stage, waiting: bool, withheld: bool, now: Now) {
        if matches!(stage, Stage::Extensions | Stage::Listeners | Stage::Routes) && self.is_overdue(stage, now) {
            // Whoever waited for a cluster once has waited enough for it.
            self.warming.clear();
        }
        if waiting {
            self.waiting.entry(stage).or_insert(now.elapsed);
        } else {
            self.waiting.remove(&stage);
        }
        if withheld {
            self.withheld.insert(stage);
        } else {
            self.withheld.remove(&stage);
        }
    }

    /// Nothing is to be sent for this name.
    pub(super) fn finish(&mut self, kind: Kind, name: &Arc<str>, refused: bool, now: Now) {
        let state = self.kinds.of_mut(kind);
        let dirty = state.dirty.remove(name);
        state.suspects.remove(name);
        if !refused {
            state.refused.remove(name);
        }
        // What a reconnecting client has already still announces subscriptions that are on their way.
        if dirty.is_some_and(|dirty| dirty.since == 0) {
            let resource = self
                .snapshot
                .as_ref()
                .and_then(|snapshot| snapshot.get(kind, name))
                .cloned();
            if let Some(resource) = resource {
                self.expect_users_of(&resource, now);
            }
        }
    }

    /// The client will subscribe to what this resource refers to.
    pub(super) fn expect_users_of(&mut self, resource: &Resource, now: Now) {
        if !resource.kind.is_wildcard() {
            return;
        }
        let deadline = now.elapsed.saturating_add(self.config.barrier);
        for reference in &resource.references {
            let by_name = !reference.kind.is_wildcard() && reference.kind != Kind::Runtime;
            if by_name && !self.kinds.of(reference.kind).names.contains(&reference.name) {
                self.expected.entry(reference.clone()).or_insert(deadline);
            }
        }
    }

    /// What is not in sync with any revision seen so far, because of something that no snapshot says.
    fn after_seen(&self) -> u64 {
        self.snapshot
            .as_ref()
            .map_or(0, |snapshot| snapshot.revision.saturating_add(1))
    }

    /// Tells how far the client has come, if that is news.
    pub(super) fn note_synced(&mut self) {
        let Some(snapshot) = &self.snapshot else { return };
        if !self.all_announced() {
            return;
        }
        let revision = match self.oldest_outstanding() {
            None => snapshot.revision,
            Some(0) => return,
            Some(since) => since - 1,
        };
        let refused = self.kinds.iter().flat_map(|(kind, state)| {
            // What is dirty has another content by now.
            let current = state.refused.keys().filter(|name| !state.dirty.contains_key(*name));
            current.map(move |name| Reference::new(kind, Arc::clone(name)))
        });
        let synced = (revision, refused.collect::<Vec<_>>());
        if self
            .synced
            .as_ref()
            .is_none_or(|last| last.0 < synced.0 || last.0 == synced.0 && last.1 != synced.1)
        {
            self.events.push(SessionEvent::Synced {
                revision: synced.0,
                refused: synced.1.clone(),
            });
            self.synced = Some(synced);
        }
    }

    /// The first revision that is not in sync yet.
    fn oldest_outstanding(&self) -> Option<u64> {
        let of_kind = |(kind, state): (Kind, &KindState)| {
            let dirty = state
                .dirty
                .iter()
                .filter(|(name, dirty)| !self.is_withheld(kind, name, **dirty));
            dirty
                .map(|(_, dirty)| dirty.since)
                .chain(state.oldest_in_flight())
                .min()
        };
        self.kinds.iter().filter_map(of_kind).min()
    }

    /// Held back because of a refusal; being in sync does not wait for it.
    fn is_withheld(&self, kind: Kind, name: &str, dirty: Dirty) -> bool {
        if self.withheld.is_empty() {
            return false;
        }
        let decision = self.decide(kind, name, dirty, self.latest);
        !matches!(decision, Decision::Done)
            && self
                .withheld
                .contains(&Stage::of(kind, &decision, dirty, self.kinds.of(kind).held.get(name)))
    }
}

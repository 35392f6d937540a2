//! The order of a round: make before break.
//!
//! A stage takes what it may send at once; a gate holds back what must come after something else, never longer than the
//! barrier (except the two that wait for something good: removals of clusters behind a refusal, and "ready").

use super::decide::Decision;
use super::state::Dirty;
use super::{Now, Session};
use crate::kind::Kind;
use crate::resource::Version;

/// The steps of a round, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Stage {
    /// Validation contexts that gain names, and certificates.
    Secrets,
    Clusters,
    /// Always after the response with their cluster.
    Endpoints,
    Extensions,
    Listeners,
    Routes,
    /// Validation contexts that lose names, once nobody uses those names any more.
    LateSecrets,
    /// Keys that end connections, once the policy that would admit them again is gone.
    Runtime,
    ListenerRemovals,
    ClusterRemovals,
    /// Listeners that say "ready".
    LateListeners,
}

/// Whether a stage may send now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Gate {
    Open,
    /// Not yet, but at most for the barrier.
    Waiting,
    /// Not yet, however long it takes.
    Closed,
    /// Not while something is refused.
    Withheld,
}

impl Stage {
    pub(super) const ALL: [Stage; 11] = [
        Stage::Secrets,
        Stage::Clusters,
        Stage::Endpoints,
        Stage::Extensions,
        Stage::Listeners,
        Stage::Routes,
        Stage::LateSecrets,
        Stage::Runtime,
        Stage::ListenerRemovals,
        Stage::ClusterRemovals,
        Stage::LateListeners,
    ];

    pub(super) fn kind(self) -> Kind {
        match self {
            Stage::Secrets | Stage::LateSecrets => Kind::Secret,
            Stage::Clusters | Stage::ClusterRemovals => Kind::Cluster,
            Stage::Endpoints => Kind::Endpoints,
            Stage::Extensions => Kind::ExtensionConfig,
            Stage::Listeners | Stage::ListenerRemovals | Stage::LateListeners => Kind::Listener,
            Stage::Routes => Kind::Route,
            Stage::Runtime => Kind::Runtime,
        }
    }

    /// The stage at which a decision is carried out. Answers to a demand come early.
    pub(super) fn of(kind: Kind, decision: &Decision, dirty: Dirty, held: Option<&Version>) -> Self {
        let removal = matches!(decision, Decision::Remove) && !dirty.forced;
        let late = matches!(decision, Decision::Send(resource) if resource.late);
        match kind {
            Kind::Cluster if removal => Stage::ClusterRemovals,
            Kind::Cluster => Stage::Clusters,
            Kind::Endpoints => Stage::Endpoints,
            Kind::Secret if late && !dirty.forced && held.is_some() => Stage::LateSecrets,
            Kind::Secret => Stage::Secrets,
            Kind::ExtensionConfig => Stage::Extensions,
            Kind::Listener if removal => Stage::ListenerRemovals,
            Kind::Listener if late => Stage::LateListeners,
            Kind::Listener => Stage::Listeners,
            Kind::Route => Stage::Routes,
            Kind::Runtime => Stage::Runtime,
        }
    }
}

impl Session {
    /// Responses of one kind wait for each other, except that the ACK of clusters waits for their endpoints.
    pub(super) fn has_window(&self, kind: Kind) -> bool {
        let window = if kind == Kind::Cluster { 4 } else { 1 };
        self.kinds.of(kind).in_flight.len() < window
    }

    /// Stages run in order, so that what an earlier one has left is in flight, or waits for something that is.
    pub(super) fn gate(&self, stage: Stage) -> Gate {
        let gate = |open: bool| if open { Gate::Open } else { Gate::Waiting };
        match stage {
            Stage::Secrets => Gate::Open,
            Stage::Clusters | Stage::Endpoints => gate(self.kinds.of(Kind::Secret).in_flight.is_empty()),
            // What uses endpoints must not overtake those that wait for their secrets.
            Stage::Extensions | Stage::Listeners | Stage::Routes => gate(
                ![Stage::Clusters, Stage::Endpoints]
                    .iter()
                    .any(|stage| self.waiting.contains_key(stage)),
            ),
            Stage::ClusterRemovals if self.refuses_users_of_clusters() => Gate::Withheld,
            Stage::LateSecrets | Stage::Runtime | Stage::ListenerRemovals | Stage::ClusterRemovals => {
                gate(self.is_quiet())
            }
            Stage::LateListeners if self.kinds.iter().any(|(_, state)| !state.refused.is_empty()) => Gate::Withheld,
            Stage::LateListeners if self.all_announced() && !self.waits_for_older_than_late_listeners() => Gate::Open,
            Stage::LateListeners => Gate::Closed,
        }
    }

    fn is_quiet(&self) -> bool {
        self.all_announced() && self.kinds.iter().all(|(_, state)| state.in_flight.is_empty())
    }

    /// The client has subscribed to all that it must, as far as we know.
    pub(super) fn all_announced(&self) -> bool {
        self.expected.is_empty() && self.config.required.iter().all(|kind| self.kinds.of(*kind).requested)
    }

    /// A client that refused a new route keeps the old one, which may use a cluster that is no longer wanted.
    fn refuses_users_of_clusters(&self) -> bool {
        let users = [Kind::ExtensionConfig, Kind::Listener, Kind::Route];
        users.into_iter().any(|kind| !self.kinds.of(kind).refused.is_empty())
    }

    /// "Ready" waits for all that was due when it was, not for what has changed since: endpoints may change all the time.
    fn waits_for_older_than_late_listeners(&self) -> bool {
        let listeners = self.kinds.of(Kind::Listener);
        let late = |name: &str| {
            let snapshot = self.snapshot.as_ref();
            snapshot
                .and_then(|snapshot| snapshot.get(Kind::Listener, name))
                .is_some_and(|resource| resource.late)
        };
        let due = listeners
            .dirty
            .iter()
            .filter(|(name, _)| late(name))
            .map(|(_, dirty)| dirty.since)
            .max()
            .unwrap_or(0);
        self.kinds.iter().any(|(kind, state)| {
            let others = state
                .dirty
                .iter()
                .filter(|(name, _)| kind != Kind::Listener || !late(name));
            state.oldest_in_flight().is_some_and(|since| since <= due)
                || others.map(|(_, dirty)| dirty.since).any(|since| since <= due)
        })
    }

    /// Whether the stage has waited for as long as it may.
    pub(super) fn is_overdue(&self, stage: Stage, now: Now) -> bool {
        self.waiting
            .get(&stage)
            .is_some_and(|since| now.elapsed.saturating_sub(*since) >= self.config.barrier)
    }
}

//! What one dirty name comes to, against the newest snapshot.

use std::sync::Arc;

use super::state::{Dirty, KindState};
use super::{Now, Session};
use crate::kind::Kind;
use crate::resource::{Reference, Resource};

/// What to do about a name.
#[derive(Clone, Debug)]
pub(super) enum Decision {
    /// Nobody wants it, or there is nothing to say, or the client has it.
    Done,
    /// The client refused exactly this.
    Refused,
    /// Send it.
    Send(Arc<Resource>),
    /// A secret that only its source can answer for; asked when it can be sent, since asking may make a certificate.
    Ask,
    /// Say that it exists no more.
    Remove,
}

impl Session {
    pub(super) fn decide(&self, kind: Kind, name: &str, dirty: Dirty, now: Now) -> Decision {
        let state = self.kinds.of(kind);
        if !state.wants(name) {
            return Decision::Done;
        }
        let current = self.snapshot.as_ref().and_then(|snapshot| snapshot.get(kind, name));
        // Whoever holds an expired resource has forgotten it by now; whoever does not must not get it.
        if let Some(resource) = current.filter(|resource| resource.expires_at.is_none_or(|at| at > now.wall)) {
            return compare(state, Arc::clone(resource), dirty.forced);
        }
        match kind {
            Kind::Secret => Decision::Ask,
            Kind::Cluster | Kind::Listener if dirty.forced => Decision::Remove,
            Kind::Cluster | Kind::Listener if !state.held.contains_key(name) => Decision::Done,
            Kind::Cluster | Kind::Listener if state.refused.get(name) == Some(&None) => Decision::Refused,
            Kind::Cluster | Kind::Listener => Decision::Remove,
            _ => self.decide_stub(kind, name, dirty.forced),
        }
    }

    /// Names that Envoy must never be told to remove are answered by a stub.
    pub(super) fn decide_stub(&self, kind: Kind, name: &str, forced: bool) -> Decision {
        (self.config.stub)(kind, name).map_or(Decision::Done, |stub| compare(self.kinds.of(kind), stub, forced))
    }

    /// Whether a listener, route or extension would use a cluster that the client does not have yet, or that is still warming.
    pub(super) fn is_blocked(&self, resource: &Resource) -> bool {
        if !matches!(resource.kind, Kind::ExtensionConfig | Kind::Listener | Kind::Route) {
            return false;
        }
        let clusters = self.kinds.of(Kind::Cluster);
        let unsent = |reference: &Reference| {
            clusters.dirty.contains_key(&reference.name)
                && !clusters.held.contains_key(&reference.name)
                && self
                    .snapshot
                    .as_ref()
                    .is_some_and(|snapshot| snapshot.get(Kind::Cluster, &reference.name).is_some())
        };
        let mut used = resource
            .references
            .iter()
            .filter(|reference| reference.kind == Kind::Cluster);
        used.any(|reference| self.warming.contains(&reference.name) || unsent(reference))
    }
}

pub(super) fn compare(state: &KindState, resource: Arc<Resource>, forced: bool) -> Decision {
    if forced {
        Decision::Send(resource)
    } else if state.held.get(&resource.name) == Some(&resource.version) {
        Decision::Done
    } else if state
        .refused
        .get(&resource.name)
        .is_some_and(|refused| refused.as_ref() == Some(&resource.version))
    {
        Decision::Refused
    } else {
        Decision::Send(resource)
    }
}

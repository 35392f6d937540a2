//! What a session remembers of each kind. Data only; names and versions are shared with the resources.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::kind::Kind;
use crate::resource::{Name, Version};

/// A name that may have to be sent; whether it has to is decided when it can be sent, against the newest snapshot.
#[derive(Clone, Copy, Debug)]
pub(super) struct Dirty {
    /// The first revision that is not in sync while this is outstanding; 0 for what a subscription asked for.
    pub(super) since: u64,
    /// Send even what the client has: it asked by name, or its cluster was replaced.
    pub(super) forced: bool,
}

/// One resource of a response that is not yet answered.
#[derive(Clone, Debug)]
pub(super) struct Item {
    pub(super) name: Name,
    /// Absent for a removal.
    pub(super) version: Option<Version>,
    /// What the client had before.
    pub(super) before: Option<Version>,
}

/// A response that is not yet answered.
#[derive(Clone, Debug)]
pub(super) struct InFlight {
    pub(super) nonce: String,
    pub(super) since: u64,
    pub(super) items: Vec<Item>,
}

/// A name out of a refused batch, to be sent alone: the version that was in the batch, and what the client had before.
#[derive(Clone, Debug)]
pub(super) struct Suspect {
    pub(super) version: Option<Version>,
    pub(super) before: Option<Version>,
}

/// Everything known about one kind.
#[derive(Debug, Default)]
#[allow(clippy::struct_excessive_bools, reason = "four independent facts, not one state")]
pub(super) struct KindState {
    pub(super) requested: bool,
    pub(super) wildcard: bool,
    pub(super) names: BTreeSet<Name>,
    /// What the client has once it accepts what is in flight. An empty version means: something, unknown what.
    pub(super) held: BTreeMap<Name, Version>,
    pub(super) dirty: BTreeMap<Name, Dirty>,
    /// The version that the client refused; absent for a removal.
    pub(super) refused: BTreeMap<Name, Option<Version>>,
    pub(super) suspects: BTreeMap<Name, Suspect>,
    /// Suspects and others take turns, so that neither holds up the other.
    pub(super) suspects_turn: bool,
    pub(super) in_flight: VecDeque<InFlight>,
    /// An answer is due even if there is nothing to say.
    pub(super) owes_answer: bool,
}

impl KindState {
    pub(super) fn wants(&self, name: &str) -> bool {
        self.wildcard || self.names.contains(name)
    }

    pub(super) fn mark(&mut self, name: Name, since: u64, forced: bool) {
        let dirty = self.dirty.entry(name).or_insert(Dirty { since, forced });
        dirty.since = dirty.since.min(since);
        dirty.forced |= forced;
    }

    /// Forgets what is known of a name.
    pub(super) fn forget(&mut self, name: &str) {
        self.held.remove(name);
        self.dirty.remove(name);
        self.refused.remove(name);
        self.suspects.remove(name);
    }

    pub(super) fn set_held(&mut self, name: &Name, version: Option<Version>) {
        match version {
            Some(version) => drop(self.held.insert(name.clone(), version)),
            None => drop(self.held.remove(name)),
        }
    }

    /// The oldest revision of what is sent but not answered.
    pub(super) fn oldest_in_flight(&self) -> Option<u64> {
        self.in_flight.iter().map(|response| response.since).min()
    }
}

/// One state a kind.
#[derive(Debug, Default)]
pub(super) struct Kinds {
    cluster: KindState,
    endpoints: KindState,
    secret: KindState,
    extension: KindState,
    listener: KindState,
    route: KindState,
    runtime: KindState,
}

impl Kinds {
    pub(super) fn of(&self, kind: Kind) -> &KindState {
        match kind {
            Kind::Cluster => &self.cluster,
            Kind::Endpoints => &self.endpoints,
            Kind::Secret => &self.secret,
            Kind::ExtensionConfig => &self.extension,
            Kind::Listener => &self.listener,
            Kind::Route => &self.route,
            Kind::Runtime => &self.runtime,
        }
    }

    pub(super) fn of_mut(&mut self, kind: Kind) -> &mut KindState {
        match kind {
            Kind::Cluster => &mut self.cluster,
            Kind::Endpoints => &mut self.endpoints,
            Kind::Secret => &mut self.secret,
            Kind::ExtensionConfig => &mut self.extension,
            Kind::Listener => &mut self.listener,
            Kind::Route => &mut self.route,
            Kind::Runtime => &mut self.runtime,
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (Kind, &KindState)> {
        Kind::ALL.into_iter().map(|kind| (kind, self.of(kind)))
    }
}

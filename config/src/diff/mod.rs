//! What changes in meaning between two models: who may call what, where requests go, what is limited or broken, and what
//! would be sent to proxies.
//!
//! Only what differs is asked about: ports with equal rules are one question, callers that no rule tells apart are one
//! caller, requests are examples of each match and near misses. A difference inside a regular expression may stay unseen; where
//! there are more examples than are asked, that is said.

mod access;
mod effects;
mod routes;
mod sent;
mod services;
mod settings;

use std::collections::BTreeSet;
use std::sync::Arc;

pub use access::AccessChange;
pub use effects::{Change, Effect, fault as say_fault, limit as say_limit};
pub use routes::{RouteChange, Unreachable, say as say_route};
pub use sent::Sent;

use crate::evaluator::Caller;
use crate::input::Settings;
use crate::model::{InboundPort, Key, Model, SpiffeId, Workload};

/// A port of a group of replicas.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Callee {
    /// The group.
    pub group: Key,
    /// The port; 0 for all undeclared ones.
    pub port: u16,
    /// One of its workloads, to ask about.
    pub workload: Key,
}

/// Callers that a change concerns.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Callers {
    /// One of them, real or made up.
    pub example: Caller,
    /// Those that exist.
    pub members: Vec<SpiffeId>,
}

/// All differences.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Diff {
    /// Who may call what.
    pub access: Vec<AccessChange>,
    /// Limits, faults, modes, and what came or went.
    pub effects: Vec<Effect>,
    /// Where requests go.
    pub routes: Vec<RouteChange>,
    /// Route rules that no request reaches any more.
    pub unreachable: Vec<Unreachable>,
    /// Ports with more matches than there are examples: more may change there than is listed.
    pub unsure: BTreeSet<String>,
    /// What proxies would be sent.
    pub sent: Sent,
}

impl Diff {
    /// Whether anything that a caller could notice, or a report would say, changes or may change.
    pub fn changes_meaning(&self) -> bool {
        let requests = self.access.is_empty() && self.routes.is_empty() && self.unreachable.is_empty();
        !(requests && self.effects.is_empty() && self.unsure.is_empty())
    }
}

/// Compares in meaning.
pub fn meaning(before: &Model, after: &Model) -> Diff {
    let mut effects = settings::changes(before, after);
    effects.extend(effects::changes(before, after));
    effects.extend(services::changes(before, after));
    let (access, mut unsure) = access::changes(before, after);
    let routes::Changes {
        routes,
        unreachable,
        unsure: routed,
    } = routes::changes(before, after);
    unsure.extend(routed);
    Diff {
        access,
        effects,
        routes,
        unreachable,
        unsure,
        sent: Sent::default(),
    }
}

/// Compares in meaning and in what would be sent.
pub fn diff(before: &Arc<Model>, after: &Arc<Model>, settings: &Settings) -> Diff {
    Diff {
        sent: sent::sent(before, after, settings),
        ..meaning(before, after)
    }
}

/// Each port that either has; one that nobody declared is as all undeclared ones are, which have the number 0.
fn ports<'a>(old: &'a Workload, new: &'a Workload) -> Vec<(u16, &'a InboundPort, &'a InboundPort)> {
    let numbers: BTreeSet<u16> = old.ports.keys().chain(new.ports.keys()).copied().collect();
    let of = |workload: &'a Workload, number: u16| -> &'a InboundPort {
        workload.ports.get(&number).unwrap_or(&workload.undeclared)
    };
    let declared = numbers
        .into_iter()
        .map(|number| (number, of(old, number), of(new, number)));
    declared.chain([(0, &*old.undeclared, &*new.undeclared)]).collect()
}

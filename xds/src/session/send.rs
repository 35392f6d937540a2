//! The next response.
//!
//! Computed when it can be sent, against the newest snapshot: there is no queue, so a slow client skips what is outdated.

use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;

use super::decide::{Decision, compare};
use super::stage::{Gate, Stage};
use super::state::{Dirty, InFlight, Item};
use super::{Now, Outgoing, Session, SessionConfig};
use crate::identity::SecretAnswer;
use crate::kind::Kind;
use crate::resource::{Name, Reference, Resource, Version};
use crate::wire::{DeltaResponse, with_ttl};

/// One name of a response.
#[derive(Debug)]
struct Pick {
    name: Name,
    since: u64,
    /// Absent for a removal.
    resource: Option<Arc<Resource>>,
}

/// What a walk over the dirty names of a stage came to.
#[derive(Debug)]
struct Walk {
    kind: Kind,
    picks: Vec<Pick>,
    bytes: usize,
    /// The first out of a refused batch: goes alone.
    suspect: Option<Pick>,
    /// Nothing to be said about these, and whether the client refused them.
    done: Vec<(Name, bool)>,
    /// What secrets the client holds already, and when to ask again.
    kept: Vec<(Name, Version, SystemTime)>,
    due: Vec<(Name, SystemTime)>,
    waiting: bool,
    withheld: bool,
}

impl Session {
    /// The next response, if there is anything to say now. Call it until it returns nothing.
    pub fn poll(&mut self, now: Now) -> Option<Outgoing> {
        self.snapshot.as_ref()?;
        self.latest = now;
        self.expected.retain(|_, deadline| *deadline > now.elapsed);
        for stage in Stage::ALL {
            if self.has_window(stage.kind())
                && let Some(outgoing) = self.run(stage, now)
            {
                return Some(outgoing);
            }
        }
        self.note_synced();
        None
    }

    fn run(&mut self, stage: Stage, now: Now) -> Option<Outgoing> {
        let kind = stage.kind();
        let mut walk = self.walk(stage, now);
        self.note_waiting(stage, walk.waiting, walk.withheld, now);
        for (name, refused) in walk.done.drain(..) {
            self.finish(kind, &name, refused, now);
        }
        for (name, version, renew_at) in walk.kept.drain(..) {
            self.kinds.of_mut(kind).held.insert(name.clone(), version);
            self.finish(kind, &name, false, now);
            self.secrets_due.insert(name, renew_at);
        }
        self.secrets_due.extend(walk.due.drain(..));
        let known = self.kinds.of_mut(kind);
        let alone = walk.suspect.filter(|_| known.suspects_turn || walk.picks.is_empty());
        known.suspects_turn = alone.is_none() && !known.suspects.is_empty();
        let picks = alone.map_or(walk.picks, |suspect| vec![suspect]);
        if picks.is_empty() {
            let answers = matches!(stage, Stage::Clusters | Stage::Listeners) && known.owes_answer && !walk.waiting;
            return answers.then(|| self.send(kind, Vec::new(), now));
        }
        Some(self.send(kind, picks, now))
    }

    /// Looks at dirty names until a response is full.
    fn walk(&self, stage: Stage, now: Now) -> Walk {
        let kind = stage.kind();
        let known = self.kinds.of(kind);
        let overdue = self.is_overdue(stage, now);
        let mut gate = None;
        let mut walk = Walk::new(kind);
        for (name, dirty) in &known.dirty {
            let decision = self.decide(kind, name, *dirty, now);
            if let Decision::Done | Decision::Refused = decision {
                walk.done.push((name.clone(), matches!(decision, Decision::Refused)));
                continue;
            }
            if Stage::of(kind, &decision, *dirty, known.held.get(name)) != stage {
                continue;
            }
            // Computed only when something would go through it: most walks find nothing.
            let gate = *gate.get_or_insert_with(|| self.gate(stage));
            let through = gate == Gate::Open || gate == Gate::Waiting && (overdue || dirty.forced);
            let blocked = !overdue && matches!(&decision, Decision::Send(resource) if self.is_blocked(resource));
            walk.withheld |= gate == Gate::Withheld;
            walk.waiting |= blocked || !through && gate == Gate::Waiting;
            if through && !blocked && !self.pick(&mut walk, name, *dirty, decision) {
                break;
            }
        }
        walk
    }

    /// Adds a name to the response; false if it is full.
    fn pick(&self, walk: &mut Walk, name: &Name, dirty: Dirty, decision: Decision) -> bool {
        let suspect = self.kinds.of(walk.kind).suspects.contains_key(name);
        if suspect && walk.suspect.is_some() {
            return true;
        }
        if !suspect && walk.is_full(&self.config) {
            return false;
        }
        let resource = match decision {
            Decision::Done | Decision::Refused => return true,
            Decision::Remove => None,
            Decision::Send(resource) => Some(resource),
            Decision::Ask => match self.ask(walk, name, dirty) {
                Some(resource) => Some(resource),
                None => return true,
            },
        };
        let bytes = resource.as_ref().map_or(name.len(), |resource| resource.body.len());
        let name = resource.as_ref().map_or(name, |resource| &resource.name).clone();
        let pick = Pick {
            name,
            since: dirty.since,
            resource,
        };
        if suspect {
            walk.suspect = Some(pick);
            return true;
        }
        if !walk.picks.is_empty() && walk.bytes + bytes > self.config.max_response_bytes {
            return false;
        }
        walk.bytes += bytes;
        walk.picks.push(pick);
        true
    }

    /// Asks for a secret, or its stub.
    fn ask(&self, walk: &mut Walk, name: &Name, dirty: Dirty) -> Option<Arc<Resource>> {
        let state = self.kinds.of(Kind::Secret);
        let held = state.held.get(name).filter(|_| !dirty.forced);
        let (decision, renew_at) = match self.secrets.secret(name, held.map(|version| &**version)) {
            Some(SecretAnswer::Keep { version, renew_at }) => {
                walk.kept.push((name.clone(), version, renew_at));
                return None;
            }
            Some(SecretAnswer::Send { resource, renew_at }) => (compare(state, resource, dirty.forced), Some(renew_at)),
            None => (self.decide_stub(Kind::Secret, name, dirty.forced), None),
        };
        walk.due.extend(renew_at.map(|renew_at| (name.clone(), renew_at)));
        if let Decision::Send(resource) = decision {
            return Some(resource);
        }
        walk.done.push((name.clone(), matches!(decision, Decision::Refused)));
        None
    }

    /// Makes the response and remembers what is in it.
    fn send(&mut self, kind: Kind, picks: Vec<Pick>, now: Now) -> Outgoing {
        self.nonces += 1;
        let mut response = DeltaResponse {
            system_version_info: self
                .snapshot
                .as_ref()
                .map(|snapshot| snapshot.revision.to_string())
                .unwrap_or_default(),
            type_url: kind.type_url().into(),
            nonce: self.nonces.to_string(),
            ..DeltaResponse::default()
        };
        let since = picks.iter().map(|pick| pick.since).min().unwrap_or(0);
        let mut items = Vec::with_capacity(picks.len());
        for Pick { name, since, resource } in picks {
            let version = resource.as_ref().map(|resource| Arc::clone(&resource.version));
            let before = self.replace_held(kind, &name, version.clone());
            match resource {
                Some(resource) => {
                    response.resources.push(body(&resource, now));
                    self.note_sent(&resource, before.is_none(), since, now);
                }
                None => response.removed_resources.push(name.to_string()),
            }
            items.push(Item { name, version, before });
        }
        let state = self.kinds.of_mut(kind);
        state.owes_answer = false;
        state.in_flight.push_back(InFlight {
            nonce: response.nonce.clone(),
            since,
            items,
        });
        Outgoing { kind, response }
    }

    /// What the client had before.
    fn replace_held(&mut self, kind: Kind, name: &Name, version: Option<Version>) -> Option<Version> {
        let state = self.kinds.of_mut(kind);
        state.dirty.remove(name);
        state.refused.remove(name);
        let before = match state.suspects.remove(name) {
            Some(suspect) if suspect.version == version => suspect.before,
            Some(_) => Some(Version::default()),
            None => state.held.get(name).cloned(),
        };
        state.set_held(name, version);
        before
    }

    fn note_sent(&mut self, resource: &Resource, new: bool, since: u64, now: Now) {
        if resource.kind == Kind::Cluster {
            if new {
                self.warming.insert(Arc::clone(&resource.name));
            }
            // A replaced cluster warms until its endpoints come again, and Envoy does not ask for them.
            let endpoints = self.kinds.of_mut(Kind::Endpoints);
            for Reference { name, .. } in resource.references.iter().filter(|to| to.kind == Kind::Endpoints) {
                if endpoints.names.contains(name) {
                    endpoints.mark(Arc::clone(name), since, true);
                } else if !endpoints.requested {
                    self.owed_endpoints.insert(Arc::clone(name));
                }
            }
        }
        self.expect_users_of(resource, now);
    }
}

impl Walk {
    fn new(kind: Kind) -> Self {
        Self {
            kind,
            picks: Vec::new(),
            bytes: 0,
            suspect: None,
            done: Vec::new(),
            kept: Vec::new(),
            due: Vec::new(),
            waiting: false,
            withheld: false,
        }
    }

    fn is_full(&self, config: &SessionConfig) -> bool {
        !self.kind.is_wildcard() && self.picks.len() >= config.max_response_resources
    }
}

/// The encoded resource, with its time to live as of now.
fn body(resource: &Resource, now: Now) -> Bytes {
    match resource.expires_at {
        None => resource.body.clone(),
        Some(at) => with_ttl(&resource.body, at.duration_since(now.wall).unwrap_or_default()),
    }
}

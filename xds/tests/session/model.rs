//! A client that behaves as Envoy does, as far as a session can tell, and that checks what it receives.
//!
//! Names carry the references: listener `3` uses route, secret and extension `3`; route `3` uses clusters `3` and `4`;
//! cluster `3` uses endpoints `3`. A cluster's answer waits for its endpoints. Content 9 is refused.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use tulle_xds::Kind::{Cluster, Endpoints, ExtensionConfig, Listener, Route, Runtime, Secret};
use tulle_xds::{Kind, Reference, Resource, Snapshot};

use crate::driver::{Driver, Seen, layer, resource, stub};

pub(crate) const BAD: u8 = 9;

/// What should be: content by kind and name.
pub(crate) type World = BTreeMap<(Kind, u8), u8>;

fn references(kind: Kind, name: u8) -> Vec<Reference> {
    let to = |kind, name: u8| Reference::new(kind, name.to_string());
    match kind {
        Cluster => vec![to(Endpoints, name)],
        Listener => vec![to(Route, name), to(Secret, name), to(ExtensionConfig, name)],
        Route => vec![to(Cluster, name), to(Cluster, name + 1)],
        _ => Vec::new(),
    }
}

fn made((&(kind, name), &content): (&(Kind, u8), &u8)) -> Resource {
    // Every third secret loses names each time.
    resource(kind, &name.to_string(), &content.to_string())
        .with_references(references(kind, name))
        .with_late(kind == Secret && name % 3 == 0)
}

pub(crate) fn snapshot(revision: u64, world: &World) -> Arc<Snapshot> {
    let (shared, own): (Vec<_>, Vec<_>) = world
        .iter()
        .map(made)
        .partition(|r| matches!(r.kind, Cluster | Endpoints));
    Arc::new(Snapshot {
        revision,
        layers: vec![layer(shared), layer(own)],
        ..Snapshot::default()
    })
}

fn version(kind: Kind, name: &str, content: u8) -> String {
    resource(kind, name, &content.to_string()).version.to_string()
}

#[derive(Default)]
struct KindModel {
    names: BTreeSet<String>,
    has: BTreeMap<String, String>,
    /// What it would declare on a new stream: without what it applied out of refused responses.
    declares: BTreeMap<String, String>,
    /// What the server sent last and had no reason to doubt.
    sent: BTreeMap<String, String>,
    /// Names that may be sent once although they did not change.
    excused: BTreeSet<String>,
    refused: BTreeMap<String, String>,
    /// Answers it has not sent yet.
    answers: VecDeque<(Seen, bool)>,
}

pub(crate) struct Client {
    pub(crate) driver: Driver,
    kinds: BTreeMap<Kind, KindModel>,
    requested: BTreeSet<Kind>,
    /// What came and is not read yet; one stream, so in order.
    inbox: VecDeque<Seen>,
    warming: BTreeSet<String>,
    world: World,
}

impl Client {
    pub(crate) fn new(snapshot: &Arc<Snapshot>) -> Self {
        let kinds = Kind::ALL.into_iter().map(|kind| (kind, KindModel::default())).collect();
        let mut client = Self {
            driver: Driver::new(),
            kinds,
            requested: BTreeSet::new(),
            inbox: VecDeque::new(),
            warming: BTreeSet::new(),
            world: World::new(),
        };
        client.kinds.get_mut(&Runtime).unwrap().names.insert("0".into());
        client.connect(snapshot, 0);
        client
    }

    /// A new stream; `order` shuffles the first requests.
    pub(crate) fn connect(&mut self, snapshot: &Arc<Snapshot>, order: usize) {
        self.driver = Driver::new();
        self.driver.session.on_snapshot(Arc::clone(snapshot));
        self.requested.clear();
        self.inbox.clear();
        // A stream that breaks between a cluster and its endpoints costs Envoy its fetch timeout: no server can know.
        self.warming.clear();
        for model in self.kinds.values_mut() {
            model.answers.clear();
            // What it applied out of a refused batch and does not declare, no new stream can know of.
            model.has = model.declares.clone();
            model.excused = model
                .names
                .iter()
                .filter(|name| !model.declares.contains_key(*name))
                .cloned()
                .collect();
            model.refused.clear();
            model.sent = model.declares.clone();
        }
        let mut kinds = Kind::ALL;
        kinds.rotate_left(order % 7);
        for kind in kinds {
            let model = &self.kinds[&kind];
            let mut names: Vec<&str> = model.names.iter().map(String::as_str).collect();
            if kind.is_wildcard() && !names.is_empty() {
                names.push("*");
            }
            if kind.is_wildcard() || !names.is_empty() {
                let has: Vec<_> = model
                    .declares
                    .iter()
                    .map(|(name, version)| (name.as_str(), version.as_str()))
                    .collect();
                self.driver.resume(kind, &names, &has);
                self.requested.insert(kind);
            }
        }
    }

    /// Takes what the session sends now, and checks it.
    pub(crate) fn receive(&mut self, world: &World) {
        for seen in self.driver.poll() {
            assert!(
                seen.removed.is_empty() || seen.kind.is_wildcard(),
                "removal of {seen:?}"
            );
            if seen.kind == Runtime
                && seen
                    .versions
                    .keys()
                    .all(|name| !self.kinds[&Runtime].excused.contains(name))
            {
                self.check_runtime_is_last(world);
            }
            for (name, version) in &seen.versions {
                self.check_new(seen.kind, name, version);
            }
            let model = self.kinds.get_mut(&seen.kind).unwrap();
            for name in &seen.removed {
                model.sent.remove(name);
            }
            self.inbox.push_back(seen);
        }
    }

    fn check_new(&mut self, kind: Kind, name: &str, version: &str) {
        let model = self.kinds.get_mut(&kind).unwrap();
        let before = model.sent.insert(name.into(), version.into());
        let excused = model.excused.remove(name);
        assert!(
            excused || before.as_deref() != Some(version),
            "{kind:?} {name} sent again unchanged"
        );
        let refused = model.refused.remove(name);
        assert!(
            excused || refused.as_deref() != Some(version),
            "{kind:?} {name} sent again after it was refused"
        );
        if kind == Cluster {
            self.kinds.get_mut(&Endpoints).unwrap().excused.insert(name.into());
        }
    }

    fn check_runtime_is_last(&self, world: &World) {
        let routes = &self.kinds[&Route];
        for (name, sent) in &routes.sent {
            let Some(content) = world.get(&(Route, name.parse().unwrap_or(u8::MAX))) else {
                continue;
            };
            let fine = *content == BAD || !routes.names.contains(name) || *sent == version(Route, name, *content);
            assert!(fine, "runtime before route {name}");
        }
    }

    /// Reads one response; if it refuses it, so many of the good ones are applied even so.
    pub(crate) fn read(&mut self, applied: usize) {
        let Some(seen) = self.inbox.pop_front() else { return };
        let kind = seen.kind;
        let bad = |name: &str, got: &str| version(kind, name, BAD) == *got;
        if seen.versions.iter().any(|(name, got)| bad(name, got)) {
            self.refuse(seen, applied);
            return;
        }
        self.apply(&seen);
        let model = self.kinds.get_mut(&kind).unwrap();
        for (name, version) in &seen.versions {
            if kind.is_wildcard() || model.names.contains(name) {
                model.declares.insert(name.clone(), version.clone());
            }
        }
        for name in &seen.removed {
            model.declares.remove(name);
        }
        model.answers.push_back((seen, true));
    }

    /// Answers one response of a kind that it has read, if it can.
    pub(crate) fn answer(&mut self, kind: Kind) {
        let model = self.kinds.get_mut(&kind).unwrap();
        let Some((seen, good)) = model.answers.pop_front() else {
            return;
        };
        if kind == Cluster && good && seen.versions.keys().any(|name| self.warming.contains(name)) {
            model.answers.push_front((seen, good));
        } else if good {
            self.driver.ack(&seen);
        } else {
            self.nack(&seen);
        }
    }

    fn apply(&mut self, seen: &Seen) {
        for (name, version) in &seen.versions {
            let model = self.kinds.get_mut(&seen.kind).unwrap();
            if !seen.kind.is_wildcard() && !model.names.contains(name) {
                continue;
            }
            if model.has.insert(name.clone(), version.clone()).as_ref() == Some(version) && seen.kind != Endpoints {
                continue; // the same again is nothing new to Envoy
            }
            match seen.kind {
                Cluster => {
                    self.warming.insert(name.clone());
                    self.subscribe(Endpoints, name);
                }
                Listener => [Route, Secret, ExtensionConfig]
                    .into_iter()
                    .for_each(|kind| self.subscribe(kind, name)),
                Endpoints => drop(self.warming.remove(name)),
                _ => {}
            }
        }
        for name in &seen.removed {
            self.kinds.get_mut(&seen.kind).unwrap().has.remove(name);
            if seen.kind == Cluster {
                self.warming.remove(name);
                self.unsubscribe(Endpoints, name);
            } else {
                for kind in [Route, Secret, ExtensionConfig] {
                    self.unsubscribe(kind, name);
                }
            }
        }
    }

    /// Applies some of the good ones of a response that it will refuse.
    fn refuse(&mut self, seen: Seen, applied: usize) {
        let mut partly = seen.clone();
        partly
            .versions
            .retain(|name, got| version(seen.kind, name, BAD) != *got);
        partly.versions = partly.versions.into_iter().take(applied).collect();
        self.apply(&partly);
        if seen.kind == Endpoints {
            // Endpoints that fail end the warming of their cluster too.
            self.warming.retain(|name| !seen.versions.contains_key(name));
        }
        self.kinds.get_mut(&seen.kind).unwrap().answers.push_back((seen, false));
    }

    /// From here on the server knows.
    fn nack(&mut self, seen: &Seen) {
        let model = self.kinds.get_mut(&seen.kind).unwrap();
        let single = seen.versions.len() + seen.removed.len() == 1;
        for (name, version) in &seen.versions {
            if model.sent.get(name) == Some(version) {
                match model.has.get(name) {
                    Some(has) => drop(model.sent.insert(name.clone(), has.clone())),
                    None => drop(model.sent.remove(name)),
                }
            }
            if single && self.world.get(&(seen.kind, name.parse().unwrap_or(u8::MAX))) == Some(&BAD) {
                model.refused.insert(name.clone(), version.clone());
            } else {
                model.excused.extend((!single).then(|| name.clone()));
                model.refused.remove(name);
            }
        }
        // What is behind it was computed on another assumption.
        let unread = self.inbox.iter().filter(|later| later.kind == seen.kind);
        for later in unread.chain(model.answers.iter().map(|(later, _)| later)) {
            model.excused.extend(later.versions.keys().cloned());
        }
        self.driver.nack(seen, "refused");
    }

    fn subscribe(&mut self, kind: Kind, name: &str) {
        if self.kinds.get_mut(&kind).unwrap().names.insert(name.into()) {
            self.demand(kind, name);
        }
    }

    /// Asks for a name, also again.
    pub(crate) fn demand(&mut self, kind: Kind, name: &str) {
        let model = self.kinds.get_mut(&kind).unwrap();
        model.names.insert(name.into());
        model.excused.insert(name.into());
        self.requested.insert(kind);
        self.driver.subscribe(kind, &[name]);
    }

    fn unsubscribe(&mut self, kind: Kind, name: &str) {
        let model = self.kinds.get_mut(&kind).unwrap();
        if model.names.remove(name) {
            model.has.remove(name);
            model.declares.remove(name);
            model.sent.remove(name);
            self.driver.change(kind, &[], &[name]);
        }
    }

    pub(crate) fn is_done(&self) -> bool {
        self.inbox.is_empty() && self.kinds.values().all(|model| model.answers.is_empty())
    }

    /// Everything is as it should be, except what this client refuses.
    pub(crate) fn check_converged(&self, world: &World) {
        assert!(
            self.warming.is_empty(),
            "clusters without endpoints: {:?}",
            self.warming
        );
        let users = [Listener, Route, ExtensionConfig];
        let refuses_a_user = self.refuses(world).iter().any(|refused| users.contains(&refused.kind));
        for (kind, model) in &self.kinds {
            let wanted = |name: &str| kind.is_wildcard() || model.names.contains(name);
            for ((_, name), content) in world.iter().filter(|((other, _), _)| other == kind) {
                let name = name.to_string();
                let want = version(*kind, &name, *content);
                let got = model.has.get(&name);
                assert!(
                    !wanted(&name) || *content == BAD || got == Some(&want),
                    "{kind:?} {name} is not up to date"
                );
            }
            for (name, got) in &model.has {
                let exists = world.contains_key(&(*kind, name.parse().unwrap_or(u8::MAX)));
                if kind.is_wildcard() {
                    let kept = *kind == Cluster && refuses_a_user;
                    assert!(exists || kept, "{kind:?} {name} should be gone");
                } else if !exists {
                    assert_eq!(
                        *got,
                        *stub(*kind, name).unwrap().version,
                        "{kind:?} {name} should be a stub"
                    );
                }
            }
        }
    }

    /// What of this world the client refuses.
    pub(crate) fn refuses(&self, world: &World) -> Vec<Reference> {
        let bad = world.iter().filter(|(_, content)| **content == BAD);
        let names = bad.map(|((kind, name), _)| (*kind, name.to_string()));
        let wanted = names.filter(|(kind, name)| kind.is_wildcard() || self.kinds[kind].names.contains(name));
        wanted.map(|(kind, name)| Reference::new(kind, name)).collect()
    }

    /// A version that was refused may come again once there was another one.
    pub(crate) fn publish(&mut self, current: &Arc<Snapshot>, world: &World) {
        self.driver.session.on_snapshot(Arc::clone(current));
        self.world.clone_from(world);
        for (kind, model) in &mut self.kinds {
            let content = |name: &str| world.get(&(*kind, name.parse().unwrap_or(u8::MAX)));
            model.refused.retain(|name, _| content(name) == Some(&BAD));
        }
    }
}

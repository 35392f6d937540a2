//! Withdrawn access: who could reach a port before and cannot now, and until when their connections are being cut.
//!
//! Only the loss of *all* access to a port counts: a caller that keeps some rule keeps its connections, and its requests are
//! judged one by one. A caller that is allowed again is left alone at once.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::SystemTime;

use config::model::{Key, PermissionRule, PortPermission, Source, SpiffeId, Workload};
use config::{Model, Transient};

/// Revocations under way.
#[derive(Debug, Default)]
pub(super) struct Revocations {
    until: BTreeMap<(Key, u16, SpiffeId), SystemTime>,
}

impl Revocations {
    /// Compares two models and takes note of what was withdrawn.
    pub(super) fn update(&mut self, before: &Model, after: &Model, now: SystemTime) {
        let end = now + after.mesh.revocation_time;
        for (key, workload) in &after.workloads {
            let Some(old) = before.workloads.get(key).filter(|old| !Arc::ptr_eq(old, workload)) else { continue };
            for (port, was, is) in permissions(old, workload) {
                for identity in before.identities.iter().filter(|id| may_reach(before, id, was) && !may_reach(after, id, is)) {
                    self.until.insert((key.clone(), port, identity.clone()), end);
                }
            }
        }
        self.until.retain(|(key, port, identity), _| {
            let permission = after.workloads.get(key).map(|workload| permission_of(workload, *port));
            permission.is_some_and(|permission| !may_reach(after, identity, permission))
        });
    }

    /// Forgets what is over and says whether anything was.
    pub(super) fn expire(&mut self, now: SystemTime) -> bool {
        let before = self.until.len();
        self.until.retain(|_, end| *end > now);
        before != self.until.len()
    }

    /// When something will be over.
    pub(super) fn next(&self) -> Option<SystemTime> {
        self.until.values().min().copied()
    }

    /// What one proxy must cut.
    pub(super) fn of(&self, proxy: &Key) -> Transient {
        let mut revoked: BTreeMap<u16, BTreeSet<SpiffeId>> = BTreeMap::new();
        for (_, port, identity) in self.until.keys().filter(|(key, _, _)| key == proxy) {
            revoked.entry(*port).or_default().insert(identity.clone());
        }
        Transient { revoked }
    }
}

/// Each port of either, with what held and what holds there.
fn permissions<'a>(
    before: &'a Workload,
    after: &'a Workload,
) -> impl Iterator<Item = (u16, &'a PortPermission, &'a PortPermission)> {
    let ports: BTreeSet<u16> = before.ports.keys().chain(after.ports.keys()).copied().chain([0]).collect();
    ports.into_iter().filter_map(|port| {
        let (was, is) = (permission_of(before, port), permission_of(after, port));
        (was != is).then_some((port, was, is))
    })
}

/// A port that is not declared falls under the rest.
fn permission_of(workload: &Workload, port: u16) -> &PortPermission {
    &workload.ports.get(&port).unwrap_or(&workload.undeclared).permission
}

/// Whether some request or connection of this identity is let in.
fn may_reach(model: &Model, identity: &SpiffeId, permission: &PortPermission) -> bool {
    let named = |rule: &PermissionRule, nobody_named: bool| match &rule.sources {
        Some(sources) => sources.iter().any(|source| covers(source, identity, &model.mesh.trust_domain)),
        None => nobody_named,
    };
    // A Deny of some requests leaves others.
    let denied = permission.deny.iter().any(|rule| rule.http.is_none() && named(rule, true));
    !denied && (permission.default.allow_mesh || permission.allow.iter().any(|rule| named(rule, false)))
}

fn covers(source: &Source, identity: &SpiffeId, trust_domain: &str) -> bool {
    match source {
        Source::Identity(named) => named == identity,
        Source::Prefix(prefix) => format!("{identity}/").starts_with(&**prefix),
        Source::Authenticated => identity
            .as_str()
            .strip_prefix("spiffe://")
            .is_some_and(|rest| rest.split('/').next() == Some(trust_domain)),
        Source::Unauthenticated => false,
    }
}

//! Withdrawn access: who could reach a port before and cannot now, and until when their connections are being cut.
//!
//! Only the loss of *all* access to a port counts: a caller that keeps some rule keeps its connections, and its requests are
//! judged one by one. A caller that is allowed again is left alone at once.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::SystemTime;

use config::access::allowed_identities;
use config::model::{InboundPort, Key, SpiffeId, Workload};
use config::{Model, Transient};

/// Revocations under way.
#[derive(Debug, Default)]
pub(super) struct Revocations {
    until: BTreeMap<Key, BTreeMap<(u16, SpiffeId), SystemTime>>,
}

impl Revocations {
    /// Compares two models and takes note of what was withdrawn.
    pub(super) fn update(&mut self, before: &Model, after: &Model, now: SystemTime) {
        let end = now + after.mesh.revocation_time;
        for (key, workload) in &after.workloads {
            let Some(old) = before.workloads.get(key).filter(|old| !Arc::ptr_eq(old, workload)) else {
                continue;
            };
            for (port, was, is) in changed_ports(old, workload) {
                // Both by the old identities: who has left the mesh may still hold a connection.
                let allowed = |port: &InboundPort| allowed_identities(before, &port.permission, port.mtls);
                for identity in allowed(was).difference(&allowed(is)) {
                    self.until
                        .entry(key.clone())
                        .or_default()
                        .insert((port, identity.clone()), end);
                }
            }
        }
        self.retain(|key, port, identity, _| {
            let port = after.workloads.get(key).map(|workload| port_of(workload, port));
            port.is_some_and(|port| !allowed_identities(after, &port.permission, port.mtls).contains(identity))
        });
    }

    /// Forgets what is over and says whether anything was.
    pub(super) fn expire(&mut self, now: SystemTime) -> bool {
        self.retain(|_, _, _, end| end > now)
    }

    /// When something will be over.
    pub(super) fn next(&self) -> Option<SystemTime> {
        self.until.values().flat_map(BTreeMap::values).min().copied()
    }

    /// What one proxy must cut.
    pub(super) fn of(&self, proxy: &Key) -> Transient {
        let mut revoked: BTreeMap<u16, BTreeSet<SpiffeId>> = BTreeMap::new();
        for (port, identity) in self.until.get(proxy).into_iter().flat_map(BTreeMap::keys) {
            revoked.entry(*port).or_default().insert(identity.clone());
        }
        Transient { revoked }
    }

    /// Says whether anything was removed.
    fn retain(&mut self, keep: impl Fn(&Key, u16, &SpiffeId, SystemTime) -> bool) -> bool {
        let mut removed = false;
        self.until.retain(|key, identities| {
            let before = identities.len();
            identities.retain(|(port, identity), end| keep(key, *port, identity, *end));
            removed |= before != identities.len();
            !identities.is_empty()
        });
        removed
    }
}

/// Each port of either whose permission is another, with what held and what holds there.
fn changed_ports<'a>(
    before: &'a Workload,
    after: &'a Workload,
) -> impl Iterator<Item = (u16, &'a InboundPort, &'a InboundPort)> {
    let ports: BTreeSet<u16> = before
        .ports
        .keys()
        .chain(after.ports.keys())
        .copied()
        .chain([0])
        .collect();
    ports.into_iter().filter_map(|port| {
        let (was, is) = (port_of(before, port), port_of(after, port));
        (was.permission != is.permission).then_some((port, was, is))
    })
}

/// A port that is not declared falls under the rest.
fn port_of(workload: &Workload, port: u16) -> &InboundPort {
    workload.ports.get(&port).unwrap_or(&workload.undeclared)
}

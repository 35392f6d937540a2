//! All faults -> the faults of each port, by slot.
//!
//! One slot holds one source and one match, so a fault may need several; it gets all of them or is not injected there.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crds::conditions::Reason;

use super::parse::{FaultNode, Injected};
use crate::link::reach::{Reach, resolve};
use crate::link::slots::assign;
use crate::link::topology::{PortId, Topology};
use crate::model::{Fault, HttpMatch, PortFaults, Source};
use crate::origin::Origin;
use crate::parse::findings::Findings;
use crate::policy::contest::{Claim, Contest, Decided};
use crate::policy::{Applied, Fate, Merged, no_requests};

/// Slots for faults at one port.
const SLOTS: u8 = 4;

/// A fault's slots, by a name of their own.
type Made = BTreeMap<String, Arc<Fault>>;

/// Merges all faults.
pub(crate) fn merge(nodes: &[FaultNode], topology: &Topology) -> Merged<PortFaults> {
    let mut contest = Contest::new();
    let mut applied: Vec<Applied> = Vec::new();
    for (number, node) in nodes.iter().enumerate() {
        applied.push(claims(number, node, topology, &mut contest));
    }
    let mut made: BTreeMap<(usize, usize), Made> = BTreeMap::new();
    let mut merged = Merged {
        ports: BTreeMap::new(),
        reports: Vec::new(),
        diagnostics: Vec::new(),
    };
    for (port, decided) in contest.decide() {
        let faults = port_faults(&port, decided, nodes, topology, &mut applied, &mut made);
        merged.ports.insert(port, faults);
    }
    for one in applied {
        merged.diagnostics.extend(one.findings.into_inner());
        merged.reports.push(one.report.finish(None));
    }
    merged
}

/// One object's claims to ports. A target that is not understood gets no faults.
fn claims(number: usize, node: &FaultNode, topology: &Topology, contest: &mut Contest<Arc<str>>) -> Applied {
    let mut findings = Findings::new(&node.head.object);
    let namespace = &node.head.object.namespace;
    let reaches: Vec<Reach> = node
        .targets
        .iter()
        .map(|target| resolve(target, namespace, topology, &mut findings))
        .collect();
    let mut applied = Applied::new(
        &node.head,
        &reaches,
        node.faults.iter().map(|fault| &fault.name),
        findings,
    );
    for (index, fault) in node.faults.iter().enumerate() {
        if fault.injected.is_none() {
            applied.report.fate(index, Fate::Failed);
        } else if !node.expired && reaches.iter().all(|reach| reach.gives.is_empty()) {
            // Nobody is there yet; it will act on whoever comes.
            applied.report.fate(index, Fate::InForce);
        }
    }
    for (index, reach) in reaches.iter().enumerate() {
        for port in &reach.gives {
            if !topology.is_http(port) {
                no_requests(&mut applied, index, reach, port, "faults");
                continue;
            }
            applied.report.reaches(index, port);
            let injected = node
                .faults
                .iter()
                .enumerate()
                .filter(|(_, fault)| fault.injected.is_some() && !node.expired);
            for (entry, fault) in injected {
                let claim = Claim {
                    specificity: reach.specificity,
                    object: Arc::clone(&node.head.object),
                    node: number,
                    entry,
                };
                contest.claim(port, Arc::clone(&fault.name), claim);
            }
        }
    }
    applied
}

fn port_faults(
    port: &PortId,
    decided: Decided,
    nodes: &[FaultNode],
    topology: &Topology,
    applied: &mut [Applied],
    made: &mut BTreeMap<(usize, usize), Made>,
) -> PortFaults {
    for (loser, winner) in &decided.lost {
        if let Some(fault) = nodes.get(loser.node).and_then(|node| node.faults.get(loser.entry))
            && let Some(applied) = applied.get_mut(loser.node)
        {
            applied.report.overridden(&fault.name, &winner.object);
        }
    }
    let mut winners = decided.winners;
    winners.sort_by_key(|winner| (Reverse(winner.specificity), winner.node, winner.entry));
    let mut named: Made = BTreeMap::new();
    for winner in winners {
        let (Some(node), Some(applied)) = (nodes.get(winner.node), applied.get_mut(winner.node)) else {
            continue;
        };
        let Some(fault) = node.faults.get(winner.entry) else {
            continue;
        };
        let Some(injected) = &fault.injected else { continue };
        let slots = made
            .entry((winner.node, winner.entry))
            .or_insert_with(|| slots(node, &fault.name, injected, topology));
        if named.len() + slots.len() > usize::from(SLOTS) {
            applied.report.fate(winner.entry, Fate::Failed);
            applied.findings.in_rule(&fault.name);
            let message = format!(
                "it needs {} of {SLOTS} slots of port {} of {}, of which {} are taken, so it is not injected there; use fewer sources and matches",
                slots.len(),
                port.1,
                port.0,
                named.len()
            );
            applied.findings.error(
                &format!("spec.faults[{}]", winner.entry),
                Reason::SlotsExhausted,
                message,
            );
            continue;
        }
        applied.report.fate(winner.entry, Fate::InForce);
        named.extend(slots.iter().map(|(name, fault)| (name.clone(), Arc::clone(fault))));
    }
    PortFaults {
        slots: assign(named, SLOTS),
    }
}

/// One slot for each source and each match, named by what is in it, so that the order in the list does not matter.
fn slots(node: &FaultNode, name: &Arc<str>, injected: &Injected, topology: &Topology) -> Made {
    let trust_domain = &topology.mesh.trust_domain;
    let sources: BTreeSet<Option<Source>> = match &injected.sources {
        None => BTreeSet::from([None]),
        Some(sources) => sources
            .iter()
            .map(|source| Some(source.resolve(trust_domain)))
            .collect(),
    };
    let matches: BTreeSet<Option<HttpMatch>> = match &injected.http {
        None => BTreeSet::from([None]),
        Some(http) => http.iter().cloned().map(Some).collect(),
    };
    let mut made = BTreeMap::new();
    for source in &sources {
        for http in &matches {
            let fault = Fault {
                origin: Origin::rule(&node.head.object, name),
                source: source.clone(),
                http: http.clone(),
                per_million: injected.per_million,
                effect: injected.effect.clone(),
                max_active: node.max_active,
                until: node.until,
            };
            made.insert(format!("{} {source:?} {http:?}", fault.origin), Arc::new(fault));
        }
    }
    made
}

//! All rate limits -> the limits of each port, by slot.
//!
//! Shadow entries compete among themselves only: a limit that refuses nothing never replaces one that does.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crds::conditions::Reason;

use super::parse::{EntryNode, LimitNode};
use crate::link::reach::{Reach, Specificity, resolve};
use crate::link::slots::assign;
use crate::link::topology::{PortId, Topology};
use crate::model::{Limit, LimitObject, PortLimits};
use crate::origin::Origin;
use crate::parse::findings::Findings;
use crate::policy::contest::{Claim, Contest, Decided};
use crate::policy::{Applied, Fate, Merged, no_requests};

/// Slots for objects at one port.
const SLOTS: u8 = 8;

/// Merges all rate limits.
pub(crate) fn merge(nodes: &[LimitNode], topology: &Topology) -> Merged<PortLimits> {
    let mut contest = Contest::new();
    let mut applied: Vec<Applied> = Vec::new();
    for (number, node) in nodes.iter().enumerate() {
        applied.push(claims(number, node, topology, &mut contest));
    }
    let mut made: BTreeMap<(usize, Vec<usize>), Arc<LimitObject>> = BTreeMap::new();
    let mut merged = Merged {
        ports: BTreeMap::new(),
        reports: Vec::new(),
        diagnostics: Vec::new(),
    };
    for (port, decided) in contest.decide() {
        let limits = port_limits(&port, &decided, nodes, topology, &mut applied, &mut made);
        merged.ports.insert(port, limits);
    }
    for one in applied {
        merged.diagnostics.extend(one.findings.into_inner());
        merged.reports.push(one.report.finish(None));
    }
    merged
}

/// One object's claims to ports.
fn claims(number: usize, node: &LimitNode, topology: &Topology, contest: &mut Contest<(Arc<str>, bool)>) -> Applied {
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
        node.limits.iter().map(|limit| &limit.name),
        findings,
    );
    for (index, limit) in node.limits.iter().enumerate() {
        if limit.failed {
            applied.report.fate(index, Fate::Failed);
        } else if reaches.iter().all(|reach| reach.takes.is_empty()) {
            // Nobody is there yet; it will act on whoever comes.
            applied.report.fate(index, Fate::InForce);
        }
    }
    for (index, reach) in reaches.iter().enumerate() {
        for port in &reach.takes {
            if !topology.is_http(port) {
                no_requests(&mut applied, index, reach, port, "limits");
                continue;
            }
            applied.report.reaches(index, port);
            for (entry, limit) in node
                .limits
                .iter()
                .enumerate()
                .filter(|(_, limit)| limit.bucket.is_some())
            {
                let claim = Claim {
                    specificity: reach.specificity,
                    object: Arc::clone(&node.head.object),
                    node: number,
                    entry,
                };
                contest.claim(port, (Arc::clone(&limit.name), node.shadow), claim);
            }
        }
    }
    applied
}

fn port_limits(
    port: &PortId,
    decided: &Decided,
    nodes: &[LimitNode],
    topology: &Topology,
    applied: &mut [Applied],
    made: &mut BTreeMap<(usize, Vec<usize>), Arc<LimitObject>>,
) -> PortLimits {
    for (loser, winner) in &decided.lost {
        if let Some(limit) = nodes.get(loser.node).and_then(|node| node.limits.get(loser.entry))
            && let Some(applied) = applied.get_mut(loser.node)
        {
            applied.report.overridden(&limit.name, &winner.object);
        }
    }
    // By object: the most specific of its winning targets, and which entries won.
    let mut objects: BTreeMap<usize, (Specificity, BTreeSet<usize>)> = BTreeMap::new();
    for winner in &decided.winners {
        let (specificity, entries) = objects
            .entry(winner.node)
            .or_insert((winner.specificity, BTreeSet::new()));
        *specificity = winner.specificity.max(*specificity);
        entries.insert(winner.entry);
    }
    let mut ranked: Vec<(usize, Specificity, BTreeSet<usize>)> = objects
        .into_iter()
        .map(|(node, (rank, won))| (node, rank, won))
        .collect();
    // Nodes are in order of name already: the sort is stable.
    ranked.sort_by_key(|(node, rank, _)| {
        (
            nodes.get(*node).is_some_and(|node| node.shadow),
            std::cmp::Reverse(*rank),
        )
    });
    let mut named = BTreeMap::new();
    for (place, (number, _, entries)) in ranked.into_iter().enumerate() {
        let (Some(node), Some(applied)) = (nodes.get(number), applied.get_mut(number)) else {
            continue;
        };
        let full = place >= usize::from(SLOTS);
        for entry in &entries {
            applied
                .report
                .fate(*entry, if full { Fate::Failed } else { Fate::InForce });
        }
        if full {
            let message = format!(
                "port {} of {} has {SLOTS} rate limits already, so this one is not in force there; put limits into one object",
                port.1, port.0
            );
            applied.findings.error("spec.limits", Reason::SlotsExhausted, message);
            continue;
        }
        let key = (number, entries.iter().copied().collect());
        let object = made
            .entry(key)
            .or_insert_with(|| Arc::new(object(node, &entries, topology)));
        named.insert(node.head.object.to_string(), Arc::clone(object));
    }
    PortLimits {
        slots: assign(named, SLOTS),
    }
}

fn object(node: &LimitNode, entries: &BTreeSet<usize>, topology: &Topology) -> LimitObject {
    let won = entries.iter().filter_map(|entry| node.limits.get(*entry));
    let mut limits: Vec<Limit> = won.filter_map(|limit| made(node, limit, topology)).collect();
    limits.sort_by(|a, b| a.origin.cmp(&b.origin));
    LimitObject {
        object: Arc::clone(&node.head.object),
        limits,
    }
}

fn made(node: &LimitNode, limit: &EntryNode, topology: &Topology) -> Option<Limit> {
    let trust_domain = &topology.mesh.trust_domain;
    let sources = limit.sources.as_ref().map(|sources| {
        let resolved: BTreeSet<_> = sources.iter().map(|source| source.resolve(trust_domain)).collect();
        resolved.into_iter().collect()
    });
    Some(Limit {
        origin: Origin::rule(&node.head.object, &limit.name),
        sources,
        http: limit.http.clone(),
        key: limit.key.clone(),
        bucket: limit.bucket.clone()?,
        status: node.answer.status,
        headers: node.answer.headers.clone(),
        shadow: node.shadow,
    })
}

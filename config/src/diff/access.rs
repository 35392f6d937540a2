//! Who may call what, before and after: calls that become allowed or denied, each with an example.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::{Callee, Callers, ports};
use crate::evaluator::{
    Answer, CallerClass, Evaluator, Likeness, Operation, Questions, Verdict, ask, decide_alike, likeness, questions,
};
use crate::model::{InboundPort, Key, Model, SpiffeId};

/// Calls that are decided differently.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessChange {
    /// What becomes of them.
    pub allowed: bool,
    /// Only the report of Shadow permissions changes.
    pub shadow: bool,
    /// Who calls.
    pub callers: Callers,
    /// Who is called.
    pub callees: Vec<Callee>,
    /// One such call.
    pub example: Operation,
    /// Every call of theirs is concerned.
    pub whole: bool,
    /// The decision before.
    pub before: Verdict,
    /// The decision after.
    pub after: Verdict,
}

/// All of them that the examples show, and where there would have been more examples.
pub(super) fn changes(before: &Model, after: &Model) -> (Vec<AccessChange>, BTreeSet<String>) {
    let identities: BTreeSet<SpiffeId> = before.identities.union(&after.identities).cloned().collect();
    let evaluators = (Evaluator::new(before), Evaluator::new(after));
    let mut found: BTreeMap<Found, Vec<Callee>> = BTreeMap::new();
    let mut unsure = BTreeSet::new();
    let pairs = pairs(before, after).into_values();
    for pair in pairs.filter(|pair| !decide_alike(pair.before, pair.after)) {
        let questions = questions(&[pair.before, pair.after], &identities, &after.mesh.trust_domain);
        if questions.truncated {
            let name = |callee: &Callee| format!("{}:{}", callee.group, callee.port);
            unsure.extend(pair.callees.iter().map(name));
        }
        for caller in &questions.callers {
            for one in compare(&evaluators, &pair, caller, &questions) {
                found.entry(one).or_default().extend(pair.callees.iter().cloned());
            }
        }
    }
    (join_callers(found), unsure)
}

/// Ports that differ alike.
struct Pair<'a> {
    before: &'a InboundPort,
    after: &'a InboundPort,
    /// The workload that is asked, and its port.
    workload: Key,
    number: u16,
    callees: BTreeSet<Callee>,
}

fn pairs<'a>(before: &'a Model, after: &'a Model) -> BTreeMap<(Likeness, Likeness), Pair<'a>> {
    let mut pairs: BTreeMap<(Likeness, Likeness), Pair<'a>> = BTreeMap::new();
    let mut groups: BTreeSet<(Key, u16, Likeness, Likeness)> = BTreeSet::new();
    for (key, new) in &after.workloads {
        let Some(old) = before.workloads.get(key).filter(|old| !Arc::ptr_eq(old, new)) else {
            continue;
        };
        for (number, was, is) in ports(old, new) {
            if same(was, is) {
                continue;
            }
            let alike = (likeness(was), likeness(is));
            let pair = pairs.entry(alike.clone()).or_insert_with(|| Pair {
                before: was,
                after: is,
                workload: key.clone(),
                number,
                callees: BTreeSet::new(),
            });
            let group = Key::new(&key.namespace, &new.group);
            if groups.insert((group.clone(), number, alike.0, alike.1)) {
                pair.callees.insert(Callee {
                    group,
                    port: number,
                    workload: key.clone(),
                });
            }
        }
    }
    pairs
}

fn same(a: &InboundPort, b: &InboundPort) -> bool {
    let permission = Arc::ptr_eq(&a.permission, &b.permission) || a.permission == b.permission;
    permission && (a.protocol, a.mtls, a.refuse_path_parameters) == (b.protocol, b.mtls, b.refuse_path_parameters)
}

/// A change without its callees.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Found {
    allowed: bool,
    shadow: bool,
    before: Verdict,
    after: Verdict,
    example: Operation,
    whole: bool,
    callers: Callers,
}

/// Everything that changes for one class of callers: one for each pair of deciding rules.
fn compare(
    (before, after): &(Evaluator<'_>, Evaluator<'_>),
    pair: &Pair<'_>,
    caller: &CallerClass,
    questions: &Questions,
) -> Vec<Found> {
    let mut changed: BTreeMap<(bool, Verdict, Verdict), (&Operation, usize)> = BTreeMap::new();
    for operation in &questions.operations {
        let request = ask(caller, &pair.workload, pair.number, operation);
        let (Some(was), Some(is)) = (decide(before, &request), decide(after, &request)) else {
            continue;
        };
        let differ = |a: &Verdict, b: &Verdict| (a.answer == Answer::Allowed) != (b.answer == Answer::Allowed);
        let (key, changes) = if differ(&was.enforced, &is.enforced) {
            ((false, was.enforced, is.enforced), true)
        } else {
            let changes = differ(&was.reported, &is.reported);
            ((true, was.reported, is.reported), changes)
        };
        if changes {
            changed.entry(key).or_insert((operation, 0)).1 += 1;
        }
    }
    let all = questions.operations.len();
    let found = changed.into_iter().map(|((shadow, was, is), (example, count))| Found {
        allowed: is.answer == Answer::Allowed,
        shadow,
        before: was,
        after: is,
        example: example.clone(),
        whole: count == all && !questions.truncated,
        callers: Callers {
            example: caller.example.clone(),
            members: caller.members.to_vec(),
        },
    });
    found.collect()
}

/// What happens, and what Shadow permissions would have happen.
struct Decided {
    enforced: Verdict,
    reported: Verdict,
}

fn decide(evaluator: &Evaluator<'_>, request: &crate::evaluator::Request) -> Option<Decided> {
    let arrival = evaluator.evaluate(request).arrivals.into_iter().next()?;
    let reported = arrival.shadow.unwrap_or_else(|| arrival.verdict.clone());
    Some(Decided {
        enforced: arrival.verdict,
        reported,
    })
}

/// Classes of callers that one change concerns alike become one.
fn join_callers(found: BTreeMap<Found, Vec<Callee>>) -> Vec<AccessChange> {
    let mut joined: Vec<AccessChange> = Vec::new();
    let mut places: BTreeMap<(Found, Vec<Callee>), usize> = BTreeMap::new();
    for (one, mut callees) in found {
        callees.sort();
        let known = !one.callers.members.is_empty();
        let anonymous = Found {
            callers: Callers {
                // Callers that exist are joined; made up ones stand for themselves.
                example: if known {
                    crate::evaluator::Caller::Plaintext
                } else {
                    one.callers.example.clone()
                },
                members: Vec::new(),
            },
            ..one.clone()
        };
        let place = places.entry((anonymous, callees.clone())).or_insert(joined.len());
        match joined.get_mut(*place).filter(|_| known) {
            Some(change) => change.callers.members.extend(one.callers.members),
            None => joined.push(AccessChange {
                allowed: one.allowed,
                shadow: one.shadow,
                callers: one.callers,
                callees,
                example: one.example,
                whole: one.whole,
                before: one.before,
                after: one.after,
            }),
        }
    }
    joined
}

//! Limits and faults that begin, end or change, and workloads and Services that come, go or become somebody else.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::Callee;
use crate::model::{Fault, InboundPort, Key, Limit, Model, MtlsMode, Workload};

/// What became of something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Change {
    /// It was not there before.
    Begins,
    /// It is not there any more.
    Ends,
    /// It is another.
    Changes,
}

/// One difference that is not about who may call.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Effect {
    /// What is concerned: `RateLimit/shop/payments/per-caller`, `Workload shop/payments-1`.
    pub subject: String,
    /// What became of it.
    pub change: Change,
    /// How, in words; may be empty.
    pub detail: String,
    /// Where it holds; empty where that says nothing.
    pub callees: Vec<Callee>,
}

/// All of them.
pub(super) fn changes(before: &Model, after: &Model) -> Vec<Effect> {
    let mut found: BTreeMap<(String, Change, String), BTreeSet<Callee>> = BTreeMap::new();
    for (key, new) in &after.workloads {
        let subject = || format!("Workload {key}");
        let Some(old) = before.workloads.get(key) else {
            found.insert((subject(), Change::Begins, String::new()), BTreeSet::new());
            continue;
        };
        if Arc::ptr_eq(old, new) {
            continue;
        }
        if old.identity != new.identity {
            let detail = format!("is {} instead of {}", new.identity, old.identity);
            found.insert((subject(), Change::Changes, detail), BTreeSet::new());
        }
        for (number, was, is) in ports(old, new) {
            let here = Callee {
                group: Key::new(&key.namespace, &new.group),
                port: number,
                workload: key.clone(),
            };
            for change in port(was, is) {
                let callees = found.entry(change).or_default();
                if !callees
                    .iter()
                    .any(|known| (&known.group, known.port) == (&here.group, here.port))
                {
                    callees.insert(here.clone());
                }
            }
        }
    }
    for key in before.workloads.keys().filter(|key| !after.workloads.contains_key(key)) {
        found.insert(
            (format!("Workload {key}"), Change::Ends, String::new()),
            BTreeSet::new(),
        );
    }
    let effect = |((subject, change, detail), callees): (_, BTreeSet<Callee>)| Effect {
        subject,
        change,
        detail,
        callees: callees.into_iter().collect(),
    };
    let mut all: Vec<Effect> = found.into_iter().map(effect).collect();
    all.extend(services(before, after));
    all
}

fn ports<'a>(old: &'a Workload, new: &'a Workload) -> impl Iterator<Item = (u16, &'a InboundPort, &'a InboundPort)> {
    let both = new
        .ports
        .iter()
        .filter_map(|(number, is)| Some((*number, &**old.ports.get(number)?, &**is)));
    both.chain([(0, &*old.undeclared, &*new.undeclared)])
}

/// What differs at one port beside its permissions.
fn port(was: &InboundPort, is: &InboundPort) -> Vec<(String, Change, String)> {
    let mut found = Vec::new();
    if was.protocol != is.protocol {
        let detail = format!("speaks {:?} instead of {:?}", is.protocol, was.protocol);
        found.push(("protocol".to_owned(), Change::Changes, detail));
    }
    if was.mtls != is.mtls {
        let says = if is.mtls == MtlsMode::Permissive {
            "accepts"
        } else {
            "refuses"
        };
        found.push((
            "mtls".to_owned(),
            Change::Changes,
            format!("the port {says} plaintext now"),
        ));
    }
    if was.limits != is.limits {
        compare(&limits(was), &limits(is), limit, &mut found);
    }
    if was.faults != is.faults {
        compare(&faults(was), &faults(is), fault, &mut found);
    }
    found
}

fn limits(port: &InboundPort) -> BTreeMap<String, Vec<&Limit>> {
    let all = port.limits.slots.values().flat_map(|object| &object.limits);
    all.map(|limit| (limit.origin.to_string(), vec![limit])).collect()
}

/// A fault with several sources or matches is several in the model.
fn faults(port: &InboundPort) -> BTreeMap<String, Vec<&Fault>> {
    let mut all: BTreeMap<String, Vec<&Fault>> = BTreeMap::new();
    for fault in port.faults.slots.values() {
        all.entry(fault.origin.to_string()).or_default().push(fault);
    }
    all
}

fn compare<T: PartialEq>(
    was: &BTreeMap<String, Vec<&T>>,
    is: &BTreeMap<String, Vec<&T>>,
    say: impl Fn(&T) -> String,
    found: &mut Vec<(String, Change, String)>,
) {
    let text = |all: &Vec<&T>| all.first().map_or_else(String::new, |one| say(one));
    for (name, new) in is {
        match was.get(name) {
            None => found.push((name.clone(), Change::Begins, text(new))),
            Some(old) if old != new => {
                let (old, new) = (text(old), text(new));
                let detail = if old == new {
                    "what it matches".to_owned()
                } else {
                    format!("{new} instead of {old}")
                };
                found.push((name.clone(), Change::Changes, detail));
            }
            Some(_) => {}
        }
    }
    for name in was.keys().filter(|name| !is.contains_key(*name)) {
        found.push((name.clone(), Change::Ends, String::new()));
    }
}

/// A limit in a few words.
pub fn limit(limit: &Limit) -> String {
    let bucket = &limit.bucket;
    let mode = if limit.shadow { ", only counted" } else { "" };
    let second = f64::from(bucket.tokens_per_fill) / bucket.fill_interval.as_secs_f64();
    // What is rarer than one a second reads better by the minute or the hour.
    let units = [("second", 1.0), ("minute", 60.0), ("hour", 3600.0)];
    let fits = units
        .into_iter()
        .find(|(_, length)| second * length >= 0.99)
        .unwrap_or(("hour", 3600.0));
    let rate = (second * fits.1 * 100.0).round() / 100.0;
    format!("{rate} a {}, at most {} at once{mode}", fits.0, bucket.max_tokens)
}

/// A fault in a few words.
pub fn fault(fault: &Fault) -> String {
    use crate::model::FaultEffect::{AbortGrpc, AbortHttp, Delay};
    let effect = match fault.effect {
        Delay(time) => format!("a delay of {time:?}"),
        AbortHttp(status) => format!("an answer {status}"),
        AbortGrpc(status) => format!("gRPC status {status}"),
    };
    format!("{effect} for {} % of requests", f64::from(fault.per_million) / 10_000.0)
}

fn services(before: &Model, after: &Model) -> Vec<Effect> {
    let effect = |key: &Key, change, detail| Effect {
        subject: format!("Service {key}"),
        change,
        detail,
        callees: Vec::new(),
    };
    let mut found = Vec::new();
    for (key, new) in &after.services {
        let Some(old) = before.services.get(key) else {
            found.push(effect(key, Change::Begins, String::new()));
            continue;
        };
        for (number, is) in &new.ports {
            match old.ports.get(number) {
                None => found.push(effect(key, Change::Changes, format!("port {number} is new"))),
                Some(was) if was.endpoints != is.endpoints => {
                    let detail = format!(
                        "port {number} has {} endpoints instead of {}",
                        is.endpoints.len(),
                        was.endpoints.len()
                    );
                    let moved = format!("port {number} has other endpoints");
                    let same_number = is.endpoints.len() == was.endpoints.len();
                    found.push(effect(key, Change::Changes, if same_number { moved } else { detail }));
                }
                Some(_) => {}
            }
        }
        let gone = old.ports.keys().filter(|number| !new.ports.contains_key(number));
        found.extend(gone.map(|number| effect(key, Change::Changes, format!("port {number} is gone"))));
    }
    let gone = before.services.keys().filter(|key| !after.services.contains_key(key));
    found.extend(gone.map(|key| effect(key, Change::Ends, String::new())));
    found
}

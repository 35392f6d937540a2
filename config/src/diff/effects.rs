//! Limits and faults that begin, end or change, and workloads that come, go or become somebody else.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::{Callee, ports};
use crate::model::{Fault, InboundPort, Key, Limit, Model, MtlsMode};

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
    found.into_iter().map(effect).collect()
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
    if was.refuse_path_parameters != is.refuse_path_parameters {
        let does = if is.refuse_path_parameters {
            "refuses them with 400"
        } else {
            "takes them"
        };
        let detail = format!("the port {does} now");
        found.push(("paths with `;`".to_owned(), Change::Changes, detail));
    }
    if was.limits != is.limits {
        let same = |a: &Limit, b: &Limit| (&a.sources, &a.http) == (&b.sources, &b.http);
        compare(&limits(was), &limits(is), limit, same, &mut found);
    }
    if was.faults != is.faults {
        let same = |a: &Fault, b: &Fault| (&a.source, &a.http) == (&b.source, &b.http);
        compare(&faults(was), &faults(is), fault, same, &mut found);
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

/// `same` tells whether two match the same.
fn compare<T: PartialEq>(
    was: &BTreeMap<String, Vec<&T>>,
    is: &BTreeMap<String, Vec<&T>>,
    say: impl Fn(&T) -> String,
    same: impl Fn(&T, &T) -> bool,
    found: &mut Vec<(String, Change, String)>,
) {
    let text = |all: &Vec<&T>| all.first().map_or_else(String::new, |one| say(one));
    for (name, new) in is {
        match was.get(name) {
            None => found.push((name.clone(), Change::Begins, text(new))),
            Some(old) if old != new => {
                let matches = old.len() == new.len() && old.iter().zip(new).all(|(a, b)| same(a, b));
                let detail = match (text(old), text(new)) {
                    (old, new) if old != new => format!("{new} instead of {old}"),
                    _ if matches => "other settings".to_owned(),
                    _ => "what it matches".to_owned(),
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

//! What one replica knows of its own streams, for the one that writes status.
//!
//! Revisions are numbers of one process. So a report holds, beside what each proxy acknowledged, which revision each object
//! changed at there and what that object was: only if that is what it is here too does an acknowledgement count.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::SystemTime;

use config::ObjectRef;
use config::model::{Concerned, Key, PolicyReport};
use xxhash_rust::xxh3::Xxh3;

use crate::engine::{EngineView, ProxyView};
use crate::source::Object;

/// What one replica reports.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Report {
    /// Each policy and route as that replica has it.
    pub objects: BTreeMap<Arc<ObjectRef>, Mark>,
    /// The proxies that are connected to it.
    pub proxies: BTreeMap<Key, Reported>,
}

/// An object as one replica has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    /// That replica's revision at which it last changed.
    pub changed: u64,
    /// What it is: the same on each replica that has the same object reach the same workloads.
    pub content: u64,
}

/// A proxy of one replica.
#[derive(Clone, Debug, PartialEq)]
pub struct Reported {
    /// What it said there.
    pub proxy: Arc<ProxyView>,
    /// When its certificate ends.
    pub certificate: Option<SystemTime>,
}

impl Report {
    /// The report of a replica with this view.
    pub fn of(view: &EngineView, certificates: &BTreeMap<Key, SystemTime>) -> Self {
        let objects = view.changed_at.iter().filter_map(|(object, changed)| {
            let content = mark(view, object)?;
            let mark = Mark {
                changed: *changed,
                content,
            };
            Some((Arc::clone(object), mark))
        });
        let connected = view.proxies.iter().filter(|(_, proxy)| proxy.connected);
        let proxies = connected.map(|(key, proxy)| {
            let reported = Reported {
                proxy: Arc::clone(proxy),
                certificate: certificates.get(key).copied(),
            };
            (key.clone(), reported)
        });
        Self {
            objects: objects.collect(),
            proxies: proxies.collect(),
        }
    }
}

/// What an object is: the API server's identity of it, and what it reaches.
pub(super) fn mark(view: &EngineView, object: &Arc<ObjectRef>) -> Option<u64> {
    let report = view.model.reports.get(object)?;
    let source = view.source.by_name.get(object);
    Some(content(report, source.map(Object::uid).unwrap_or_default()))
}

/// Only facts, and each in a form that does not depend on the version of tulle: replicas differ during an upgrade.
fn content(report: &PolicyReport, uid: &str) -> u64 {
    let mut hash = Xxh3::new();
    let mut add = |text: &str| {
        hash.update(text.as_bytes());
        hash.update(&[0]);
    };
    add(uid);
    add(&report.generation.to_string());
    report.rules_in_force.iter().for_each(|rule| add(rule));
    add("failed");
    report.rules_failed.iter().for_each(|rule| add(rule));
    for target in &report.targets {
        add(&target.path);
        target
            .ports
            .iter()
            .for_each(|(key, port)| add(&format!("{key}:{port}")));
    }
    match &report.concerned {
        Concerned::Everyone => add("everyone"),
        Concerned::Namespace(namespace) => add(&format!("namespace {namespace}")),
        Concerned::Workloads(keys) => keys.iter().for_each(|key| add(&key.to_string())),
    }
    hash.digest()
}

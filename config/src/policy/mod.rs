//! One folder a kind of policy: `parse.rs` reads one object, `merge.rs` makes what holds at each port of all objects.
//!
//! What the kinds share stands here: the head of an object, the naming of its rules, and what merging yields.

pub(crate) mod fault_injection;
pub(crate) mod rate_limit;
pub(crate) mod traffic_permission;
pub(crate) mod traffic_route;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crds::conditions::Reason;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use crate::diagnostic::Diagnostic;
use crate::link::topology::PortId;
use crate::model::{Concerned, Key, PolicyReport, TargetReport};
use crate::origin::ObjectRef;
use crate::parse::findings::Findings;
use crate::parse::value;

/// The object that a node came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) object: Arc<ObjectRef>,
    pub(crate) generation: i64,
}

impl Head {
    /// The head of an object of a kind. An object without a namespace is in `default`, as for the API server.
    pub(crate) fn new(kind: &str, metadata: &ObjectMeta) -> Self {
        let namespace = metadata.namespace.as_deref().unwrap_or("default");
        let name = metadata.name.as_deref().unwrap_or_default();
        Self { object: Arc::new(ObjectRef::new(kind, namespace, name)), generation: metadata.generation.unwrap_or_default() }
    }
}

/// The name of a rule, its index if it has none, and whether the name itself makes the rule fail. What follows in `findings`
/// is about this rule. Names are unique in an object: one that is not is replaced by the index.
pub(crate) fn rule_name(
    given: Option<&str>,
    index: usize,
    list: &str,
    taken: &mut BTreeSet<Arc<str>>,
    findings: &mut Findings,
) -> (Arc<str>, bool) {
    let name: Arc<str> = given.map_or_else(|| index.to_string().into(), Arc::from);
    if value::is_rule_name(&name) && taken.insert(Arc::clone(&name)) {
        findings.in_rule(&name);
        return (name, false);
    }
    let problem = if value::is_rule_name(&name) {
        "occurs twice in this object; give each rule its own name"
    } else {
        "is not a name; use letters, digits, `-`, `_` and `.`"
    };
    // `#` cannot occur in a good name, so this one is free.
    let replacement: Arc<str> = format!("#{index}").into();
    findings.in_rule(&replacement);
    findings.error(&format!("spec.{list}[{index}].name"), Reason::Invalid, format!("{name:?} {problem}"));
    (replacement, true)
}

/// What merging all objects of a kind yields.
#[derive(Debug)]
pub(crate) struct Merged<T> {
    /// What holds at each port that an object reaches.
    pub(crate) ports: BTreeMap<PortId, T>,
    pub(crate) reports: Vec<PolicyReport>,
    pub(crate) diagnostics: Vec<Diagnostic>,
}

/// What became of one rule.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Fate {
    /// It does nothing here, and that is no mistake.
    #[default]
    Idle,
    /// It acts.
    InForce,
    /// It failed, whatever else it does.
    Failed,
}

/// The report of one object while it grows.
#[derive(Debug)]
pub(crate) struct Report {
    head: Head,
    pub(crate) targets: Vec<TargetReport>,
    rules: Vec<(Arc<str>, Fate)>,
    overridden: BTreeSet<(Arc<str>, Arc<ObjectRef>)>,
    concerned: BTreeSet<Key>,
}

impl Report {
    /// For an object with these rules.
    pub(crate) fn new<'a>(head: &Head, targets: Vec<TargetReport>, rules: impl Iterator<Item = &'a Arc<str>>) -> Self {
        Self {
            head: head.clone(),
            targets,
            rules: rules.map(|name| (Arc::clone(name), Fate::Idle)).collect(),
            overridden: BTreeSet::new(),
            concerned: BTreeSet::new(),
        }
    }

    /// A rule's fate; the worst stays.
    pub(crate) fn fate(&mut self, rule: usize, fate: Fate) {
        if let Some((_, known)) = self.rules.get_mut(rule) {
            *known = fate.max(*known);
        }
    }

    /// A target reaches a port.
    pub(crate) fn reaches(&mut self, target: usize, port: &PortId) {
        self.concerned.insert(port.0.clone());
        if let Some(target) = self.targets.get_mut(target) {
            target.ports.insert(port.clone());
        }
    }

    /// No rule concerns this port of a target.
    pub(crate) fn not_concerned(&mut self, target: usize, port: &PortId) {
        if let Some(target) = self.targets.get_mut(target) {
            target.not_concerned.insert(port.clone());
        }
    }

    /// Another object's entry replaces this one's.
    pub(crate) fn overridden(&mut self, rule: &Arc<str>, winner: &Arc<ObjectRef>) {
        self.overridden.insert((Arc::clone(rule), Arc::clone(winner)));
    }

    /// The finished report; `concerned` says otherwise who must ACK than the workloads reached.
    pub(crate) fn finish(mut self, concerned: Option<Concerned>) -> PolicyReport {
        for target in &mut self.targets {
            // A port that one rule concerns is concerned.
            target.not_concerned.retain(|port| !target.ports.contains(port));
        }
        let with = |fate: Fate| self.rules.iter().filter(|rule| rule.1 == fate).map(|rule| Arc::clone(&rule.0)).collect();
        PolicyReport {
            rules_in_force: with(Fate::InForce),
            rules_failed: with(Fate::Failed),
            object: self.head.object,
            generation: self.head.generation,
            targets: self.targets,
            overridden: self.overridden.into_iter().collect(),
            concerned: concerned.unwrap_or(Concerned::Workloads(self.concerned)),
        }
    }
}

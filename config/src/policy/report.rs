//! The report of one object while it grows: what became of each rule and each target, for status.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::Head;
use crate::link::topology::PortId;
use crate::model::{Concerned, Key, PolicyReport, TargetReport};
use crate::origin::ObjectRef;

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
        let with = |fate: Fate| {
            self.rules
                .iter()
                .filter(|rule| rule.1 == fate)
                .map(|rule| Arc::clone(&rule.0))
                .collect()
        };
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

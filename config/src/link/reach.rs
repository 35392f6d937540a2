//! From a policy's target to workload ports: what it takes away from, what it gives to, and how specific it is.
//!
//! A namespaced policy reaches only its own namespace; the system namespace may name the mesh and other namespaces. What is not
//! resolved or not understood is read widely for what takes away and as nothing for what gives.

use std::collections::BTreeSet;
use std::sync::Arc;

use crds::conditions::Reason;

use super::topology::{PortId, Topology, UNDECLARED};
use crate::model::{Key, TargetReport};
use crate::parse::findings::Findings;
use crate::parse::target::{Target, TargetWhat};

/// How specific a target is; the greatest wins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Specificity {
    Mesh,
    Namespace,
    Workload,
    Service,
    ServicePort,
}

/// What port names in a rule refer to.
#[derive(Clone, Debug)]
enum PortNames {
    /// The ports of this Service.
    Service(Key),
    /// The ports of this one workload.
    OneWorkload,
    /// The ports of each workload; one that lacks the port is not concerned.
    EachWorkload,
}

/// The ports that a target reaches.
#[derive(Clone, Debug)]
pub(crate) struct Reach {
    /// Ports for what takes away: Deny, selection, limits.
    pub(crate) takes: BTreeSet<PortId>,
    /// Ports for what gives: Allow.
    pub(crate) gives: BTreeSet<PortId>,
    pub(crate) specificity: Specificity,
    /// The target names a port, and it exists.
    pub(crate) names_port: bool,
    pub(crate) report: TargetReport,
    names: PortNames,
}

/// What a rule's `ports` come to within a target.
#[derive(Clone, Debug, Default)]
pub(crate) struct Narrowed {
    /// Ports that are named and declared.
    pub(crate) declared: BTreeSet<PortId>,
    /// The undeclared ports of workloads on which a number falls that nobody declared.
    pub(crate) undeclared: BTreeSet<PortId>,
    /// Names that mean nothing in this target.
    pub(crate) unresolved: Vec<Arc<str>>,
}

impl Reach {
    /// Narrows the reach to the ports that a rule names.
    pub(crate) fn narrow(&self, names: &[Arc<str>], topology: &Topology) -> Narrowed {
        let mut narrowed = Narrowed::default();
        for name in names {
            let found = match &self.names {
                PortNames::Service(key) => self.narrow_service(key, name, topology, &mut narrowed),
                PortNames::OneWorkload => self.narrow_workloads(name, topology, &mut narrowed),
                PortNames::EachWorkload => {
                    self.narrow_workloads(name, topology, &mut narrowed);
                    true
                }
            };
            if !found {
                narrowed.unresolved.push(Arc::clone(name));
            }
        }
        narrowed
    }

    fn narrow_service(&self, key: &Key, name: &str, topology: &Topology, narrowed: &mut Narrowed) -> bool {
        let Some((_, port)) = topology.services.get(key).and_then(|service| service.port(name)) else {
            return false;
        };
        narrowed.declared.extend(port.behind.intersection(&self.takes).cloned());
        true
    }

    fn narrow_workloads(&self, name: &str, topology: &Topology, narrowed: &mut Narrowed) -> bool {
        let number: Option<u16> = name.parse().ok();
        let mut found = false;
        for id in &self.takes {
            let Some(facts) = topology.port(id) else { continue };
            if id.1 != UNDECLARED && (&*facts.name == name || number == Some(id.1)) {
                narrowed.declared.insert(id.clone());
                found = true;
            }
        }
        let Some(number) = number.filter(|number| *number != UNDECLARED) else {
            return found;
        };
        for id in self.takes.iter().filter(|id| id.1 == UNDECLARED) {
            if topology.port(&(id.0.clone(), number)).is_none() {
                narrowed.undeclared.insert(id.clone());
                found = true;
            }
        }
        found
    }
}

/// Resolves one target of a policy of a namespace.
pub(crate) fn resolve(target: &Target, namespace: &str, topology: &Topology, findings: &mut Findings) -> Reach {
    let mut reach = Reach {
        takes: BTreeSet::new(),
        gives: BTreeSet::new(),
        specificity: Specificity::Namespace,
        names_port: false,
        report: TargetReport {
            path: target.path.clone(),
            text: target.text.clone(),
            resolved: false,
            ports: BTreeSet::new(),
            not_concerned: BTreeSet::new(),
        },
        names: PortNames::EachWorkload,
    };
    match &target.what {
        TargetWhat::Refused => {}
        TargetWhat::Service(name) => service(&Key::new(namespace, name), target, topology, findings, &mut reach),
        TargetWhat::Workload(name) => workload(&Key::new(namespace, name), target, topology, findings, &mut reach),
        TargetWhat::Labels(labels) => {
            reach.specificity = Specificity::Workload;
            reach.takes = topology.ports_where(|place| {
                &*place.node.key.namespace == namespace
                    && labels
                        .iter()
                        .all(|(name, value)| place.node.labels.get(name) == Some(value))
            });
            reach.gives.clone_from(&reach.takes);
            reach.report.resolved = true;
        }
        TargetWhat::Namespace(name) => broad(name, namespace, target, topology, findings, &mut reach),
        TargetWhat::Mesh => mesh(namespace, target, topology, findings, &mut reach),
    }
    if target.doubtful {
        reach.report.resolved = false;
        reach.gives.clear();
    }
    reach
}

fn service(key: &Key, target: &Target, topology: &Topology, findings: &mut Findings, reach: &mut Reach) {
    reach.specificity = Specificity::Service;
    reach.names = PortNames::Service(key.clone());
    let Some(facts) = topology.services.get(key) else {
        let message = format!("there is no Service {key}; create it, or correct the name");
        findings.error(&format!("{}.name", target.path), Reason::TargetNotFound, message);
        return;
    };
    let own = |id: &&PortId| id.0.namespace == key.namespace;
    let all = || {
        facts
            .ports
            .values()
            .flat_map(|port| port.behind.iter().filter(own))
            .cloned()
            .collect()
    };
    match &target.section {
        None => {
            reach.takes = all();
            reach.gives.clone_from(&reach.takes);
            reach.report.resolved = true;
        }
        Some(section) => {
            if let Some((_, port)) = facts.port(section) {
                reach.specificity = Specificity::ServicePort;
                reach.takes = port.behind.iter().filter(own).cloned().collect();
                reach.gives.clone_from(&reach.takes);
                reach.names_port = true;
                reach.report.resolved = true;
            } else {
                reach.takes = all();
                no_section(section, target, findings);
            }
        }
    }
}

fn workload(key: &Key, target: &Target, topology: &Topology, findings: &mut Findings, reach: &mut Reach) {
    reach.specificity = Specificity::Workload;
    reach.names = PortNames::OneWorkload;
    if topology.workloads.contains_key(key) {
        reach.takes = topology.ports_where(|place| place.node.key == *key);
        reach.gives.clone_from(&reach.takes);
        reach.report.resolved = true;
    } else {
        let message = format!("there is no Workload {key}; create it, or correct the name");
        findings.error(&format!("{}.name", target.path), Reason::TargetNotFound, message);
    }
}

fn no_section(section: &str, target: &Target, findings: &mut Findings) {
    let message = format!(
        "{} has no port {section:?}, so all its ports count for what this object takes away and none for what it gives; correct the name",
        target.text.split(',').next().unwrap_or_default()
    );
    findings.error(&format!("{}.sectionName", target.path), Reason::TargetNotFound, message);
}

fn broad(
    name: &str,
    namespace: &str,
    target: &Target,
    topology: &Topology,
    findings: &mut Findings,
    reach: &mut Reach,
) {
    if name != namespace && namespace != &*topology.system_namespace {
        let message = format!(
            "only objects in {} may target another namespace; move this object to {name}",
            topology.system_namespace
        );
        findings.error(&format!("{}.name", target.path), Reason::NotPermitted, message);
        return;
    }
    reach.takes = topology.ports_where(|place| &*place.node.key.namespace == name);
    reach.gives.clone_from(&reach.takes);
    reach.report.resolved = true;
}

fn mesh(namespace: &str, target: &Target, topology: &Topology, findings: &mut Findings, reach: &mut Reach) {
    if namespace == &*topology.system_namespace {
        reach.specificity = Specificity::Mesh;
        reach.takes = topology.ports_where(|_| true);
        reach.gives.clone_from(&reach.takes);
        reach.report.resolved = true;
        return;
    }
    let message = format!(
        "only objects in {} may target the Mesh, so this one takes away from {namespace} and gives nothing; use kind Namespace",
        topology.system_namespace
    );
    findings.error(&format!("{}.kind", target.path), Reason::NotPermitted, message);
    reach.takes = topology.ports_where(|place| &*place.node.key.namespace == namespace);
}

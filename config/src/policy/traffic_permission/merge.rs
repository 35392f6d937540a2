//! All permissions -> what holds at each port.
//!
//! Order-free: rules are sets by name, selection is a flag. A failed Allow rule selects and grants nothing; a failed Deny rule
//! denies its sources on its ports, whatever they send.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crds::conditions::Reason;

use super::draft::{Draft, Drafts};
use super::parse::{About, Action, PermissionNode, RuleNode};
use crate::diagnostic::Diagnostic;
use crate::link::reach::{Reach, resolve};
use crate::link::topology::{PortId, Topology, say};
use crate::model::{HttpMatch, PermissionRule, PolicyReport, PortPermission, Source};
use crate::origin::Origin;
use crate::parse::findings::{Findings, Part};
use crate::policy::{Fate, Merged, Report};

/// Merges all permissions; every port of the topology gets an answer.
pub(crate) fn merge(nodes: &[PermissionNode], topology: &Topology) -> Merged<PortPermission> {
    let mut drafts: BTreeMap<PortId, Drafts> = BTreeMap::new();
    let mut merged = Merged {
        ports: BTreeMap::new(),
        reports: Vec::new(),
        diagnostics: Vec::new(),
    };
    for node in nodes {
        let (report, diagnostics) = apply(node, topology, &mut drafts);
        merged.reports.push(report);
        merged.diagnostics.extend(diagnostics);
    }
    for (key, place) in &topology.workloads {
        for (number, facts) in &place.ports {
            let id = (key.clone(), *number);
            let permission = drafts.remove(&id).unwrap_or_default().finish(topology, facts);
            merged.ports.insert(id, permission);
        }
    }
    merged
}

/// One object's part.
struct Applying<'a> {
    node: &'a PermissionNode,
    topology: &'a Topology,
    drafts: &'a mut BTreeMap<PortId, Drafts>,
    report: Report,
    findings: Findings,
}

fn apply(
    node: &PermissionNode,
    topology: &Topology,
    drafts: &mut BTreeMap<PortId, Drafts>,
) -> (PolicyReport, Vec<Diagnostic>) {
    let mut findings = Findings::new(&node.head.object);
    let namespace = &node.head.object.namespace;
    let reaches: Vec<Reach> = node
        .targets
        .iter()
        .map(|target| resolve(target, namespace, topology, &mut findings))
        .collect();
    let targets = reaches.iter().map(|reach| reach.report.clone()).collect();
    let report = Report::new(&node.head, targets, node.rules.iter().map(|rule| &rule.name));
    let mut applying = Applying {
        node,
        topology,
        drafts,
        report,
        findings,
    };
    for (index, rule) in node.rules.iter().enumerate() {
        let fate = if rule.failed { Fate::Failed } else { Fate::InForce };
        applying.report.fate(index, fate);
    }
    for (index, reach) in reaches.iter().enumerate() {
        applying.target(index, reach);
    }
    if node.action == Action::Deny {
        applying.say_denied_at_l4();
    }
    (applying.report.finish(None), applying.findings.into_inner())
}

impl Applying<'_> {
    fn target(&mut self, index: usize, reach: &Reach) {
        let node = self.node;
        if node.action == Action::Allow {
            for port in &reach.takes {
                self.change(port, |draft| draft.selected = true);
                self.report.reaches(index, port);
            }
        }
        for (number, rule) in node.rules.iter().enumerate() {
            self.findings.in_rule(&rule.name);
            let ports = self.ports(number, rule, reach);
            match node.action {
                Action::Allow if rule.failed => {}
                Action::Allow => self.allow(index, number, rule, reach, &ports),
                Action::Deny => self.deny(index, number, rule, &ports),
            }
        }
    }

    /// The ports of a target that a rule is about.
    fn ports<'r>(&mut self, number: usize, rule: &RuleNode, reach: &'r Reach) -> RulePorts<'r> {
        let all = RulePorts {
            ports: Cow::Borrowed(&reach.takes),
            explicit: reach.names_port,
        };
        let Part::Good(names) = &rule.ports else { return all };
        let narrowed = reach.narrow(names, self.topology);
        let mut ports = narrowed.declared;
        if self.node.action == Action::Deny {
            // A connection to a port that nobody declared is decided with all undeclared ports: denied there, never let by.
            ports.extend(narrowed.undeclared);
        }
        let nowhere = ports.is_empty() && !reach.takes.is_empty();
        let listed = RulePorts {
            ports: Cow::Owned(ports),
            explicit: true,
        };
        let at = format!("{}.ports", rule.path);
        let text = &reach.report.text;
        if narrowed.unresolved.is_empty() {
            if nowhere {
                let message = format!(
                    "no workload of {text} declares such a port, so the rule does nothing there; declare it, or correct the name"
                );
                self.findings.warning(&at, Reason::TargetNotFound, message);
            }
            return listed;
        }
        let (says, ports) = match self.node.action {
            Action::Allow => ("the rule grants nothing there", listed),
            // Which port was meant is not known, so ports without requests are meant too.
            Action::Deny => (
                "the rule denies on all ports of the target",
                RulePorts { explicit: true, ..all },
            ),
        };
        // A target that does not exist has said so already.
        if reach.report.resolved {
            self.report.fate(number, Fate::Failed);
            let message = format!(
                "{text} has no port {}, so {says}; correct the name",
                narrowed.unresolved.join(", ")
            );
            self.findings.error(&at, Reason::TargetNotFound, message);
        }
        ports
    }

    fn allow(&mut self, index: usize, number: usize, rule: &RuleNode, reach: &Reach, ports: &RulePorts<'_>) {
        let Some(made) = self.made(rule, rule.http.good().cloned()) else {
            return;
        };
        let name: Arc<str> = made.origin.to_string().into();
        for port in ports.ports.intersection(&reach.gives) {
            if !self.concerns(rule, port) {
                self.no_requests(index, number, rule, port, ports.explicit);
                continue;
            }
            self.report.reaches(index, port);
            self.change(port, |draft| {
                draft.allow.insert(Arc::clone(&name), Arc::clone(&made));
            });
        }
    }

    fn deny(&mut self, index: usize, number: usize, rule: &RuleNode, ports: &RulePorts<'_>) {
        let whole = self.made(rule, None);
        let exact = if rule.failed {
            whole.clone()
        } else {
            self.made(rule, rule.http.good().cloned())
        };
        let name: Arc<str> = Origin::rule(&self.node.head.object, &rule.name).to_string().into();
        for port in ports.ports.iter() {
            let requests = self.concerns(rule, port);
            if !requests {
                self.no_requests(index, number, rule, port, ports.explicit);
            }
            if !requests && !ports.explicit {
                continue;
            }
            let Some(made) = (if requests { &exact } else { &whole }) else {
                continue;
            };
            self.report.reaches(index, port);
            self.change(port, |draft| {
                let known = draft.deny.entry(Arc::clone(&name));
                // Two targets may bring the same rule; the wider form stays.
                known
                    .and_modify(|known| {
                        if made.http.is_none() {
                            *known = Arc::clone(made);
                        }
                    })
                    .or_insert_with(|| Arc::clone(made));
            });
        }
    }

    fn change(&mut self, port: &PortId, change: impl Fn(&mut Draft)) {
        let drafts = self.drafts.entry(port.clone()).or_default();
        drafts.change(self.node.shadow, change);
    }

    /// Whether a rule can see on a port what it is about.
    fn concerns(&self, rule: &RuleNode, port: &PortId) -> bool {
        let facts = self.topology.port(port);
        facts.is_some_and(|facts| rule.about.concerns(facts.protocol))
    }

    /// A rule about requests or calls meets a port without them.
    fn no_requests(&mut self, index: usize, number: usize, rule: &RuleNode, port: &PortId, explicit: bool) {
        if !explicit {
            self.report.not_concerned(index, port);
            return;
        }
        self.report.fate(number, Fate::Failed);
        let says = match self.node.action {
            Action::Allow => "the rule grants nothing there",
            Action::Deny => "the rule denies its sources there, whatever they send",
        };
        let is_http = self.topology.is_http(port);
        let (carries, lacks) = match rule.about {
            About::Calls if is_http => ("HTTP", "no gRPC calls are told from other requests"),
            About::Calls => ("TCP", "there are no gRPC calls"),
            About::Requests | About::Callers => ("TCP", "there are no requests"),
        };
        let message = format!(
            "{} of {} carries {carries}, in which {lacks}, so {says}; remove the match, or declare the protocol by appProtocol",
            say(port.1),
            port.0
        );
        let at = format!("{}.{}", rule.path, rule.about.field());
        self.findings.error(&at, Reason::ProtocolMismatch, message);
    }

    /// The rule as the model has it. Unreadable sources mean everybody, which only a Deny may say.
    fn made(&self, rule: &RuleNode, http: Option<Vec<HttpMatch>>) -> Option<Arc<PermissionRule>> {
        let sources = match &rule.sources {
            Part::Good(sources) => {
                let trust_domain = &self.topology.mesh.trust_domain;
                let resolved: BTreeSet<Source> = sources.iter().map(|source| source.resolve(trust_domain)).collect();
                Some(resolved.into_iter().collect())
            }
            Part::Absent | Part::Bad if self.node.action == Action::Deny => None,
            Part::Absent | Part::Bad => return None,
        };
        Some(Arc::new(PermissionRule {
            origin: Origin::rule(&self.node.head.object, &rule.name),
            sources,
            http,
        }))
    }

    fn say_denied_at_l4(&mut self) {
        for rule in self.node.rules.iter().filter(|rule| rule.failed) {
            self.findings.in_rule(&rule.name);
            let who = if rule.sources.is_bad() {
                "everybody"
            } else {
                "its sources"
            };
            let does = if self.node.shadow { "would deny" } else { "denies" };
            let message = format!(
                "the rule could not be compiled, so it {does} {who} on its ports, whatever they send; correct it"
            );
            self.findings.error(&rule.path, Reason::DeniedAtL4, message);
        }
    }
}

/// Ports of a target that one rule is about.
struct RulePorts<'r> {
    ports: Cow<'r, BTreeSet<PortId>>,
    /// The author named them, so a port that does not fit is a mistake.
    explicit: bool,
}

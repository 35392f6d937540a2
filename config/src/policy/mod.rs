//! One folder a kind of policy: `parse.rs` reads one object, `merge.rs` makes what holds at each port of all objects.
//!
//! What the kinds share stands here: the head of an object, the naming of its rules, and what merging yields.

mod contest;
pub(crate) mod fault_injection;
pub(crate) mod rate_limit;
mod report;
pub(crate) mod traffic_permission;
pub(crate) mod traffic_route;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crds::conditions::Reason;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use crate::diagnostic::Diagnostic;
use crate::link::reach::Reach;
use crate::link::topology::{PortId, say};
use crate::model::PolicyReport;
use crate::origin::ObjectRef;
use crate::parse::findings::Findings;
use crate::parse::value;

pub(crate) use report::{Fate, Report};

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
        Self {
            object: Arc::new(ObjectRef::new(kind, namespace, name)),
            generation: metadata.generation.unwrap_or_default(),
        }
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
    findings.error(
        &format!("spec.{list}[{index}].name"),
        Reason::Invalid,
        format!("{name:?} {problem}"),
    );
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

/// One object while it is merged.
#[derive(Debug)]
pub(crate) struct Applied {
    pub(crate) report: Report,
    pub(crate) findings: Findings,
}

impl Applied {
    /// For an object whose targets reach so far.
    pub(crate) fn new<'a>(
        head: &Head,
        reaches: &[Reach],
        rules: impl Iterator<Item = &'a Arc<str>>,
        findings: Findings,
    ) -> Self {
        let targets = reaches.iter().map(|reach| reach.report.clone()).collect();
        Self {
            report: Report::new(head, targets, rules),
            findings,
        }
    }
}

/// An object that is all about requests meets a port without requests: a mistake if its author named the port.
pub(crate) fn no_requests(applied: &mut Applied, index: usize, reach: &Reach, port: &PortId, what: &str) {
    applied.report.not_concerned(index, port);
    if reach.names_port {
        let message = format!(
            "{} of {} carries TCP, in which there are no requests, so these {what} do nothing there; name another port, or declare its protocol by appProtocol",
            say(port.1),
            port.0
        );
        applied.findings.error(
            &format!("{}.sectionName", reach.report.path),
            Reason::ProtocolMismatch,
            message,
        );
    }
}

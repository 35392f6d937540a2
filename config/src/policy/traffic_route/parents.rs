//! The Services that a route belongs to.
//!
//! A parent in another namespace makes it a consumer route. In a reference that is only half understood every rule fails: the
//! requests it would have routed are answered 500, they do not fall back to the Service.

use std::collections::BTreeSet;
use std::sync::Arc;

use crds::conditions::Reason;
use crds::target_ref::ParentRef;

use crate::link::topology::{ServiceFacts, Topology};
use crate::model::{Key, TargetReport};
use crate::parse::findings::Findings;
use crate::parse::report_unknown;

/// One parent of a route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ParentNode {
    /// `spec.parentRefs[0]`.
    pub(crate) path: String,
    /// As people say it.
    pub(crate) text: String,
    /// Absent if no Service is meant.
    pub(crate) service: Option<Key>,
    /// One port by number or name; absent means all.
    pub(crate) port: Option<Arc<str>>,
    /// Something in it was not understood.
    pub(crate) doubtful: bool,
}

/// Parses all parents.
pub(super) fn parents(refs: &[ParentRef], namespace: &str, findings: &mut Findings) -> Vec<ParentNode> {
    if refs.is_empty() {
        findings.error(
            "spec.parentRefs",
            Reason::Invalid,
            "is empty, so the route belongs to no Service; name one",
        );
    }
    refs.iter()
        .enumerate()
        .map(|(index, one)| parent(one, index, namespace, findings))
        .collect()
}

fn parent(one: &ParentRef, index: usize, namespace: &str, findings: &mut Findings) -> ParentNode {
    let path = format!("spec.parentRefs[{index}]");
    let mut doubtful = report_unknown(one, &path, findings);
    let kind = one.kind.as_deref().unwrap_or("Service");
    let is_service = kind == "Service"
        && one
            .group
            .as_deref()
            .is_none_or(|group| group.is_empty() || group == "core");
    if !is_service {
        findings.error(
            &format!("{path}.kind"),
            Reason::NotSupportedYet,
            format!("a {kind} is no parent yet; name a Service, or remove this parent"),
        );
    }
    let port = match (one.port, one.section_name.as_deref()) {
        (Some(port), None) => Some(port.to_string().into()),
        (None, section) => section.map(Arc::from),
        (Some(port), Some(section)) => {
            findings.error(
                &format!("{path}.sectionName"),
                Reason::Invalid,
                "names the port a second time; give `port` or `sectionName`",
            );
            doubtful |= section != port.to_string();
            Some(port.to_string().into())
        }
    };
    let service = Key::new(one.namespace.as_deref().unwrap_or(namespace), &one.name);
    let mut text = format!(
        "{kind} {}",
        if &*service.namespace == namespace {
            service.name.to_string()
        } else {
            service.to_string()
        }
    );
    if let Some(port) = &port {
        text.push_str(", port ");
        text.push_str(port);
    }
    ParentNode {
        path,
        text,
        service: is_service.then_some(service),
        port,
        doubtful,
    }
}

/// Which ports of which Service a parent comes to.
pub(super) struct Attachment {
    pub(super) report: TargetReport,
    pub(super) service: Option<Key>,
}

/// Resolves one parent: ports that carry requests are reached, others are not concerned.
pub(super) fn attach(
    parent: &ParentNode,
    routes_requests: bool,
    topology: &Topology,
    findings: &mut Findings,
) -> Attachment {
    let mut report = TargetReport {
        path: parent.path.clone(),
        text: parent.text.clone(),
        resolved: false,
        ports: BTreeSet::new(),
        not_concerned: BTreeSet::new(),
    };
    let Some(key) = &parent.service else {
        return Attachment { report, service: None };
    };
    let Some(facts) = topology.services.get(key) else {
        let message = format!("there is no Service {key}; create it, or correct the name");
        findings.error(&format!("{}.name", parent.path), Reason::TargetNotFound, message);
        return Attachment { report, service: None };
    };
    match &parent.port {
        None => {
            report.resolved = true;
            for (number, port) in &facts.ports {
                let side = if port.protocol.is_http() || !routes_requests {
                    &mut report.ports
                } else {
                    &mut report.not_concerned
                };
                side.insert((key.clone(), *number));
            }
        }
        Some(name) => one_port(key, name, facts, parent, routes_requests, &mut report, findings),
    }
    report.resolved &= !parent.doubtful;
    Attachment {
        report,
        service: Some(key.clone()),
    }
}

fn one_port(
    key: &Key,
    name: &str,
    facts: &ServiceFacts,
    parent: &ParentNode,
    routes_requests: bool,
    report: &mut TargetReport,
    findings: &mut Findings,
) {
    let Some((number, port)) = facts.port(name) else {
        let message = format!("Service {key} has no port {name}; correct it, or add the port");
        findings.error(&format!("{}.port", parent.path), Reason::TargetNotFound, message);
        return;
    };
    report.resolved = true;
    if port.protocol.is_http() || !routes_requests {
        report.ports.insert((key.clone(), number));
        return;
    }
    report.not_concerned.insert((key.clone(), number));
    let message = format!(
        "port {number} of Service {key} carries TCP, in which there are no requests to route; declare its protocol by appProtocol, or remove this parent"
    );
    findings.error(&format!("{}.port", parent.path), Reason::ProtocolMismatch, message);
}

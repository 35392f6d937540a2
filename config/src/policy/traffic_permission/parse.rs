//! One `TrafficPermission` -> one node.
//!
//! Fields keep whether they were absent, good or bad, because a bad field takes away differently in an Allow and in a Deny.

use std::collections::BTreeSet;
use std::sync::Arc;

use crds::conditions::Reason;
use crds::trafficpermission::{PermissionAction, PermissionRule, PolicyMode};

use crate::diagnostic::Diagnostic;
use crate::model::{HttpMatch, Protocol};
use crate::parse::findings::{Findings, Part};
use crate::parse::source::{SourceNode, sources};
use crate::parse::target::{Target, targets};
use crate::parse::{grpc, http, report_own_unknown};
use crate::policy::{Head, rule_name};

/// What a matching rule does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    Allow,
    Deny,
}

/// What a rule looks at, whether or not that was understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum About {
    /// The caller only.
    Callers,
    /// Requests: it concerns ports that carry HTTP, gRPC included.
    Requests,
    /// Calls: it concerns ports that carry gRPC.
    Calls,
}

impl About {
    /// Whether such a rule concerns a port of this protocol.
    pub(crate) fn concerns(self, protocol: Protocol) -> bool {
        match self {
            Self::Callers => true,
            Self::Requests => protocol.is_http(),
            Self::Calls => protocol == Protocol::Grpc,
        }
    }

    /// The field that says so.
    pub(crate) fn field(self) -> &'static str {
        if self == Self::Calls { "grpc" } else { "http" }
    }
}

/// One rule, with what of it was understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RuleNode {
    pub(crate) name: Arc<str>,
    /// `spec.rules[0]`.
    pub(crate) path: String,
    pub(crate) sources: Part<Vec<SourceNode>>,
    /// Requests or calls, any of them.
    pub(crate) http: Part<Vec<HttpMatch>>,
    pub(crate) ports: Part<Vec<Arc<str>>>,
    /// Which of both, if any.
    pub(crate) about: About,
    /// Something in it was not understood or cannot be done.
    pub(crate) failed: bool,
}

/// A `TrafficPermission`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PermissionNode {
    pub(crate) head: Head,
    pub(crate) targets: Vec<Target>,
    pub(crate) action: Action,
    pub(crate) shadow: bool,
    pub(crate) rules: Vec<RuleNode>,
}

/// Parses a `TrafficPermission`.
pub(crate) fn parse(permission: &crds::TrafficPermission) -> (PermissionNode, Vec<Diagnostic>) {
    let head = Head::new("TrafficPermission", &permission.metadata);
    let mut findings = Findings::new(&head.object);
    let spec = &permission.spec;
    // A misspelt `targetRefs` or `mode` would widen every rule.
    let broken = report_own_unknown(&spec.unknown, "spec", &mut findings);
    let mut targets = targets(spec.target_refs.as_ref(), &head.object.namespace, &mut findings);
    for target in &mut targets {
        target.doubtful |= broken;
    }
    let shadow = spec.mode == PolicyMode::Shadow;
    let action = match spec.action {
        PermissionAction::Allow => Action::Allow,
        PermissionAction::Deny => Action::Deny,
    };
    let mut names = BTreeSet::new();
    let mut rules = Vec::new();
    for (index, one) in spec.rules.iter().enumerate() {
        let (name, name_failed) = rule_name(one.name.as_deref(), index, "rules", &mut names, &mut findings);
        let mut node = rule(one, name, format!("spec.rules[{index}]"), action, &mut findings);
        node.failed |= broken || name_failed;
        rules.push(node);
    }
    findings.in_object();
    (
        PermissionNode {
            head,
            targets,
            action,
            shadow,
            rules,
        },
        findings.into_inner(),
    )
}

fn rule(rule: &PermissionRule, name: Arc<str>, path: String, action: Action, findings: &mut Findings) -> RuleNode {
    let before = findings.len();
    report_own_unknown(&rule.unknown, &path, findings);
    let sources = sources(rule.sources.as_ref(), &format!("{path}.sources"), findings);
    if sources == Part::Absent && action == Action::Allow {
        let message = "an Allow rule must name its sources; {type: Authenticated} is any mesh identity";
        findings.error(&format!("{path}.sources"), Reason::Invalid, message);
    }
    let mut http = http::policy_matches(rule.http.as_ref(), &format!("{path}.http"), findings);
    let mut about = if rule.http.is_some() {
        About::Requests
    } else {
        About::Callers
    };
    if rule.grpc.is_some() {
        let at = format!("{path}.grpc");
        // A Deny must not be passed by a GET, which servers of the Connect protocol answer on the same paths.
        let method = (action == Action::Allow).then_some(grpc::METHOD);
        let grpc = grpc::policy_matches(rule.grpc.as_ref(), &at, method, findings);
        if about == About::Requests {
            let message = "`http` and `grpc` exclude each other in one rule; make two rules";
            findings.error(&at, Reason::Invalid, message);
            http = Part::Bad;
        } else {
            (http, about) = (grpc, About::Calls);
        }
    }
    let ports = ports(rule.ports.as_ref(), &format!("{path}.ports"), findings);
    RuleNode {
        name,
        path,
        sources,
        http,
        ports,
        about,
        failed: findings.len() > before,
    }
}

fn ports(ports: Option<&Vec<String>>, path: &str, findings: &mut Findings) -> Part<Vec<Arc<str>>> {
    let Some(ports) = ports else { return Part::Absent };
    if ports.is_empty() {
        findings.error(
            path,
            Reason::Invalid,
            "is empty, which could mean all or nothing; leave it out for all ports",
        );
        return Part::Bad;
    }
    Part::Good(ports.iter().map(|port| Arc::from(port.as_str())).collect())
}

//! One `TrafficRoute` -> one node: its parents, its rules, and what it says about reaching the parent.

use std::collections::BTreeSet;
use std::time::Duration;

use crds::conditions::Reason;
use crds::trafficroute::{TrafficRouteSpec, Upstream};

use super::parents::{ParentNode, parents};
use super::rule::{RuleNode, rule};
use crate::diagnostic::Diagnostic;
use crate::parse::findings::Findings;
use crate::parse::{report_own_unknown, report_unknown, value};
use crate::policy::{Head, rule_name};

/// A `TrafficRoute`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RouteNode {
    pub(crate) head: Head,
    /// When it was created, in seconds; files say nothing.
    pub(crate) created: Option<i64>,
    pub(crate) parents: Vec<ParentNode>,
    pub(crate) rules: Vec<RuleNode>,
    /// It routes requests, even if no rule could be read.
    pub(crate) routes_requests: bool,
    pub(crate) connect_timeout: Option<Duration>,
}

/// Parses a `TrafficRoute`.
pub(crate) fn parse(route: &crds::TrafficRoute) -> (RouteNode, Vec<Diagnostic>) {
    let head = Head::new("TrafficRoute", &route.metadata);
    let mut findings = Findings::new(&head.object);
    let spec = &route.spec;
    let broken = report_own_unknown(&spec.unknown, "spec", &mut findings);
    let parents = parents(&spec.parent_refs, &head.object.namespace, &mut findings);
    let connect_timeout = spec
        .upstream
        .as_ref()
        .and_then(|upstream| connect_timeout(upstream, &mut findings));
    unsupported(spec, &mut findings);
    let mut names = BTreeSet::new();
    let mut rules = Vec::new();
    for (index, one) in spec.rules.iter().enumerate() {
        let (name, name_failed) = rule_name(one.name.as_deref(), index, "rules", &mut names, &mut findings);
        let mut node = rule(
            one,
            name,
            format!("spec.rules[{index}]"),
            &head.object.namespace,
            &mut findings,
        );
        if broken || name_failed {
            node.body = None;
        }
        rules.push(node);
    }
    findings.in_object();
    let created = route
        .metadata
        .creation_timestamp
        .as_ref()
        .map(|time| time.0.as_second());
    let routes_requests = broken || !spec.rules.is_empty();
    (
        RouteNode {
            head,
            created,
            parents,
            rules,
            routes_requests,
            connect_timeout,
        },
        findings.into_inner(),
    )
}

fn unsupported(spec: &TrafficRouteSpec, findings: &mut Findings) {
    if let Some(tcp) = &spec.tcp {
        report_unknown(tcp, "spec.tcp", findings);
        findings.error(
            "spec.tcp",
            Reason::NotSupportedYet,
            "TCP rules are not supported yet; connections go to the Service itself; remove them",
        );
    } else if spec.rules.is_empty() && spec.upstream.is_none() {
        findings.warning(
            "spec.rules",
            Reason::Invalid,
            "the object has no rules and so changes nothing; add one, or remove the object",
        );
    }
}

/// The one part of `upstream` that is in force; the others are named.
fn connect_timeout(upstream: &Upstream, findings: &mut Findings) -> Option<Duration> {
    if report_unknown(upstream, "spec.upstream", findings) {
        return None;
    }
    let written = [
        ("loadBalancer", upstream.load_balancer.is_some()),
        ("circuitBreaker", upstream.circuit_breaker.is_some()),
        ("outlierDetection", upstream.outlier_detection.is_some()),
        ("healthCheck", upstream.health_check.is_some()),
        ("failover", upstream.failover.is_some()),
    ];
    for (field, _) in written.iter().filter(|(_, written)| *written) {
        findings.error(
            &format!("spec.upstream.{field}"),
            Reason::NotSupportedYet,
            format!("{field} is not supported yet; remove it"),
        );
    }
    let path = "spec.upstream.connectTimeout";
    let timeout = value::duration(upstream.connect_timeout.as_deref()?, path, findings)?;
    if timeout.is_zero() {
        findings.error(
            path,
            Reason::Invalid,
            "0 leaves no time to connect; write for example 1s",
        );
        return None;
    }
    Some(timeout)
}

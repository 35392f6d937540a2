//! Policies whose target exists and has no port: a Service without workloads, labels that nobody carries.
//!
//! Exact for the objects at hand. A target that does not exist is an error of link already; a target none of whose ports carries
//! what the rules are about, requests or gRPC calls, is told apart in the words.

use std::sync::Arc;

use crds::conditions::Reason;

use super::rules::Rules;
use crate::diagnostic::{Diagnostic, Severity};
use crate::model::{Model, PolicyReport, TargetReport};

pub(super) fn check(model: &Model, rules: &Rules, found: &mut Vec<Diagnostic>) {
    for report in model.reports.values() {
        // What only reports is not counted port by port, and a route's ports are not workload ports.
        if rules.shadows.contains(&report.object)
            || &*report.object.kind == "TrafficRoute"
            || report.rules_in_force.is_empty()
        {
            continue;
        }
        for target in report
            .targets
            .iter()
            .filter(|target| target.resolved && target.ports.is_empty())
        {
            found.push(nowhere(report, target, rules));
        }
    }
}

fn nowhere(report: &PolicyReport, target: &TargetReport, rules: &Rules) -> Diagnostic {
    let message = if target.not_concerned.is_empty() {
        format!(
            "{} has no workload port, so nothing is protected by this; add the workloads, or correct the target",
            target.text
        )
    } else if rules.only_calls(&report.object, &report.rules_in_force) {
        format!(
            "no port of {} carries gRPC, so these rules about calls do nothing there; declare the protocol by appProtocol, or remove the matches",
            target.text
        )
    } else {
        format!(
            "every port of {} carries TCP, in which there are no requests, so these rules do nothing there; declare the protocol by appProtocol, or remove the matches",
            target.text
        )
    };
    Diagnostic {
        object: Arc::clone(&report.object),
        path: target.path.clone(),
        rule: None,
        reason: Reason::NoMatchingProxies,
        message,
        severity: Severity::Warning,
    }
}

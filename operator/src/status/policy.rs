//! The status of one policy or route: GEP-713's conditions for each target, and the summary.
//!
//! `Enforced` means that each proxy concerned has accepted configuration at least as new as the object; nothing more is
//! claimed.

use std::collections::BTreeSet;

use config::model::{Concerned, Key, PolicyReport, TargetReport};
use config::{Diagnostic, Severity};
use crds::conditions::{ConditionType, Reason};
use crds::status::{AncestorStatus, PolicyStatus, Problem};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

use super::condition::condition;
use super::counts::{Counted, concerned, count};
use super::fleet::Fleet;

/// Who writes the status.
pub const CONTROLLER: &str = "mesh.tulle.dev/tulle";
/// Lists in a status are bounded by its schema.
pub(super) const MOST_PROBLEMS: usize = 64;

type Finding = (bool, Reason, String);

/// The status of one object.
pub(super) fn status(fleet: &Fleet<'_>, report: &PolicyReport) -> PolicyStatus {
    let findings: Vec<&Diagnostic> = fleet
        .view
        .model
        .diagnostics
        .iter()
        .filter(|diagnostic| diagnostic.object == report.object)
        .collect();
    let counted = count(fleet, &report.object, &concerned(fleet.view, &report.concerned));
    let ancestors = report
        .targets
        .iter()
        .map(|target| ancestor(fleet, report, target, &findings))
        .collect();
    PolicyStatus {
        observed_generation: report.generation,
        conditions: vec![ready(report, &findings, &counted)],
        ancestors,
        acked: format!("{}/{}", counted.counts.acked, counted.counts.matched),
        proxies: counted.counts,
        rules_in_force: report.rules_in_force.iter().map(ToString::to_string).collect(),
        problems: findings
            .iter()
            .take(MOST_PROBLEMS)
            .map(|diagnostic| problem(diagnostic))
            .collect(),
        overridden: report
            .overridden
            .iter()
            .take(MOST_PROBLEMS)
            .map(|(rule, winner)| format!("{rule}: {winner}"))
            .collect(),
    }
}

pub(super) fn problem(diagnostic: &Diagnostic) -> Problem {
    Problem {
        rule: diagnostic.rule.as_ref().map(ToString::to_string),
        path: diagnostic.path.clone(),
        reason: diagnostic.reason.to_string(),
        message: diagnostic.message.clone(),
    }
}

fn ancestor(
    fleet: &Fleet<'_>,
    report: &PolicyReport,
    target: &TargetReport,
    findings: &[&Diagnostic],
) -> AncestorStatus {
    let reached = match &report.concerned {
        Concerned::Workloads(_) => target.ports.iter().map(|(key, _)| key.clone()).collect(),
        everyone => concerned(fleet.view, everyone),
    };
    let counted = count(fleet, &report.object, &reached);
    // A mistake in another target is not this one's.
    let mine = |path: &str| {
        !path.starts_with("spec.targetRefs[") && !path.starts_with("spec.parentRefs[") || path.starts_with(&target.path)
    };
    let findings: Vec<&Diagnostic> = findings.iter().copied().filter(|finding| mine(&finding.path)).collect();
    let resolved = match references(&findings) {
        Some(finding) => finding,
        None if target.resolved => (true, Reason::ResolvedRefs, "every name resolves".to_owned()),
        None => (false, Reason::TargetNotFound, format!("{} does not exist", target.text)),
    };
    let make = |kind, (status, reason, message): Finding| condition(kind, status, reason, message, report.generation);
    AncestorStatus {
        path: target.path.clone(),
        target: target.text.clone(),
        controller_name: CONTROLLER.to_owned(),
        conditions: vec![
            make(ConditionType::Accepted, accepted(report, &findings)),
            make(ConditionType::ResolvedRefs, resolved),
            make(ConditionType::Programmed, programmed(report, &counted)),
            make(ConditionType::Enforced, enforced(&counted)),
        ],
        not_concerned: port_names(&target.not_concerned),
    }
}

fn accepted(report: &PolicyReport, findings: &[&Diagnostic]) -> Finding {
    let mut errors = findings
        .iter()
        .filter(|finding| finding.severity == Severity::Error && !is_dangling(finding.reason));
    match errors.next() {
        None => (true, Reason::Accepted, "every rule is in force".to_owned()),
        Some(first) if report.rules_in_force.is_empty() => {
            (false, first.reason, format!("{}: {}", first.path, first.message))
        }
        Some(first) => {
            let others = errors.count();
            let more = if others == 0 {
                String::new()
            } else {
                format!(" (and {others} more)")
            };
            (
                true,
                Reason::PartiallyInvalid,
                format!("{}: {}{more}; the other rules are in force", first.path, first.message),
            )
        }
    }
}

/// The first reference that leads nowhere.
fn references(findings: &[&Diagnostic]) -> Option<Finding> {
    let first = findings.iter().find(|finding| is_dangling(finding.reason))?;
    Some((false, first.reason, format!("{}: {}", first.path, first.message)))
}

/// Findings that `ResolvedRefs` speaks of, not Accepted.
fn is_dangling(reason: Reason) -> bool {
    matches!(
        reason,
        Reason::TargetNotFound | Reason::BackendNotFound | Reason::NotPermitted
    )
}

fn programmed(report: &PolicyReport, counted: &Counted<'_>) -> Finding {
    if let Some((proxy, reason)) = counted.failed {
        let message = format!("no configuration for {proxy}: {reason}; this is a defect of tulle, please report it");
        return (false, Reason::Invalid, message);
    }
    // An object that selects and grants nobody has no rule in force and is still programmed.
    if report.rules_in_force.is_empty() && !report.rules_failed.is_empty() {
        return (
            false,
            Reason::NothingInForce,
            "no rule of this object is in force; see problems".to_owned(),
        );
    }
    (true, Reason::Programmed, "sent to every proxy concerned".to_owned())
}

fn enforced(counted: &Counted<'_>) -> Finding {
    let counts = &counted.counts;
    if let Some((proxy, rejection)) = counted.rejection {
        let (words, name) = (&rejection.message, &rejection.name);
        return (
            false,
            Reason::Rejected,
            format!("{proxy} refused {:?} {name}: {words}", rejection.kind),
        );
    }
    if counts.matched == 0 {
        return (false, Reason::NoMatchingProxies, "no workload is concerned".to_owned());
    }
    if counted.seen == 0 {
        let message = format!(
            "none of the {} workloads concerned has connected a proxy yet",
            counts.matched
        );
        return (false, Reason::Pending, message);
    }
    if counts.acked < counts.matched {
        let missing: Vec<String> = counted.pending.iter().take(5).map(ToString::to_string).collect();
        let (acked, missing) = (counts.acked, missing.join(" "));
        let message = format!(
            "{acked} of {} proxies have acknowledged; missing: {missing}",
            counts.matched
        );
        return (false, Reason::Pending, message);
    }
    (
        true,
        Reason::AllProxiesAcked,
        format!("{} of {} proxies have acknowledged", counts.acked, counts.matched),
    )
}

/// The summary: the first thing that is wrong, in the order of what a person should look at first. Concerning no proxy is
/// not wrong: policies may be there before what they protect.
fn ready(report: &PolicyReport, findings: &[&Diagnostic], counted: &Counted<'_>) -> Condition {
    let missing = report.targets.iter().find(|target| !target.resolved);
    let unresolved = missing.map(|target| (false, Reason::TargetNotFound, format!("{} does not exist", target.text)));
    let candidates = [
        Some(enforced(counted)).filter(|finding| finding.1 == Reason::Rejected),
        Some(accepted(report, findings)).filter(|finding| finding.1 != Reason::Accepted),
        references(findings),
        unresolved,
        Some(programmed(report, counted)).filter(|finding| !finding.0),
    ];
    let wrong = candidates
        .into_iter()
        .flatten()
        .next()
        .map(|(_, reason, message)| (false, reason, message));
    let (status, reason, message) = wrong.unwrap_or_else(|| match enforced(counted) {
        (false, Reason::NoMatchingProxies, message) => (true, Reason::NoMatchingProxies, message),
        finding => finding,
    });
    condition(ConditionType::Ready, status, reason, message, report.generation)
}

fn port_names(ports: &BTreeSet<(Key, u16)>) -> Vec<String> {
    ports
        .iter()
        .take(MOST_PROBLEMS)
        .map(|(key, port)| format!("{key}:{port}"))
        .collect()
}

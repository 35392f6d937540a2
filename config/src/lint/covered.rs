//! Permission rules that another rule makes idle: an Allow wholly inside one Deny, and a rule wholly inside another of the same
//! action.
//!
//! Certain, not complete: one rule must cover the whole other one on every port where that is in force. A Deny that the default
//! would refuse anyway is left alone: guard rails are written on purpose. A rule that failed covers nothing, since it is to be
//! corrected, and one that alone makes its port refuse paths with `;` does something.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crds::conditions::Reason;

use super::cover::{headers_agree, http_covers, sources_cover};
use super::rules::Rules;
use super::warning;
use crate::diagnostic::Diagnostic;
use crate::evaluator::likeness;
use crate::model::{HttpMatch, InboundPort, Model, PermissionRule, PortPermission};
use crate::origin::Origin;

/// What covers a rule everywhere so far, by origin; `true` for a Deny.
type Covering = BTreeSet<(bool, Origin)>;

pub(super) fn check(model: &Model, rules: &Rules, found: &mut Vec<Diagnostic>) {
    let mut covered: BTreeMap<(bool, Origin), Covering> = BTreeMap::new();
    let mut cache: Cache = BTreeMap::new();
    let trust_domain = &*model.mesh.trust_domain;
    let failed = failed(model, rules);
    let mut seen = BTreeSet::new();
    for workload in model.workloads.values() {
        for port in workload.ports.values().chain([&workload.undeclared]) {
            let permission = &port.permission;
            if !seen.insert(likeness(port)) {
                continue;
            }
            for (is_deny, list) in [(true, &permission.deny), (false, &permission.allow)] {
                for rule in list {
                    let mut here = covering(rule, is_deny, permission, trust_domain, &mut cache);
                    here.retain(|(_, other)| !failed.contains(other));
                    if refuses_alone(rule, port) {
                        here.retain(|(by_deny, _)| *by_deny != is_deny);
                    }
                    covered
                        .entry((is_deny, rule.origin.clone()))
                        .and_modify(|known| known.retain(|by| here.contains(by)))
                        .or_insert(here);
                }
            }
        }
    }
    for ((is_deny, origin), by) in &covered {
        // A Deny says more than a rule that does the same.
        let Some((by_deny, other)) = by.iter().max_by_key(|(deny, _)| *deny) else {
            continue;
        };
        let Some(rule) = rules.get(origin).filter(|rule| !rule.failed) else {
            continue;
        };
        found.push(if *by_deny && !is_deny {
            let message = format!(
                "never matches: {other} denies all of it wherever it holds, and a Deny wins; remove one of the two, or narrow the Deny"
            );
            warning(origin, &rule.path, "", Reason::NeverMatches, message)
        } else {
            let message = format!("changes nothing: {other} takes all of it already; remove it, or narrow the other one");
            warning(origin, &rule.path, "", Reason::Redundant, message)
        });
    }
}

/// Rules with an error, wherever it was found: what they do instead is not what was written.
fn failed(model: &Model, rules: &Rules) -> BTreeSet<Origin> {
    let reported = model.reports.values().flat_map(|report| {
        let names = report.rules_failed.iter();
        names.map(|name| Origin::rule(&report.object, name))
    });
    reported.chain(rules.failed()).collect()
}

/// Whether no other permission looks at the path, so that without the rule the port would take paths with `;`.
fn refuses_alone(rule: &PermissionRule, port: &InboundPort) -> bool {
    let looks = |rule: &PermissionRule| rule.http.iter().flatten().any(HttpMatch::looks_at_path);
    let all = port.permission.deny.iter().chain(&port.permission.allow);
    port.refuse_path_parameters && looks(rule) && all.filter(|other| looks(other)).count() == 1
}

/// Whether one rule covers another, by pointer: replicas share their rules.
type Cache = BTreeMap<(usize, bool, usize, bool), bool>;

fn covering(
    rule: &Arc<PermissionRule>,
    is_deny: bool,
    permission: &PortPermission,
    trust_domain: &str,
    cache: &mut Cache,
) -> Covering {
    let (deny, allow) = (&permission.deny, &permission.allow);
    // Nobody was meant: that is said out loud in the rule.
    if rule.sources.as_ref().is_some_and(Vec::is_empty) {
        return Covering::new();
    }
    let same = if is_deny { deny } else { allow };
    let others = same
        .iter()
        .map(|other| (is_deny, other))
        .chain(deny.iter().filter(|_| !is_deny).map(|other| (true, other)));
    let mut by = Covering::new();
    for (other_denies, other) in others.filter(|(_, other)| !Arc::ptr_eq(other, rule)) {
        let key = (address(rule), is_deny, address(other), other_denies);
        let covers = *cache.entry(key).or_insert_with(|| {
            let agree = other_denies == is_deny || headers_agree(other.http.as_ref());
            agree
                && takes_all(other, rule, trust_domain)
                && !(other_denies == is_deny && earlier_twin(rule, other, trust_domain))
        });
        if covers {
            by.insert((other_denies, other.origin.clone()));
        }
    }
    by
}

fn address(rule: &Arc<PermissionRule>) -> usize {
    Arc::as_ptr(rule).addr()
}

fn takes_all(wide: &PermissionRule, narrow: &PermissionRule, trust_domain: &str) -> bool {
    sources_cover(wide.sources.as_ref(), narrow.sources.as_ref(), trust_domain)
        && http_covers(wide.http.as_ref(), narrow.http.as_ref())
}

/// Of two rules that take the same, the first by name stays: it is the one that decides.
fn earlier_twin(rule: &PermissionRule, other: &PermissionRule, trust_domain: &str) -> bool {
    takes_all(rule, other, trust_domain) && rule.origin.to_string() < other.origin.to_string()
}

//! The rows of `tulle get meshstatus`: one for each group of workloads (replicas of one thing), and for each group of Pods that
//! have no proxy although they could.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use config::Model;
use config::model::{InboundPort, Key, MtlsMode, Workload};
use crds::meshstatus::{MeshStatusProxies, MeshStatusStatus, PolicyInForce, Rejection};

use super::fleet::{Fleet, Seen};
use crate::engine::ProxyView;

/// Lists in a status are bounded by its schema.
const MOST_POLICIES: usize = 256;
const MOST_RULES: usize = 64;
const MOST_REJECTIONS: usize = 32;
const MOST_UNMESHED: usize = 64;

/// The status of each group, by namespace and group name.
pub(super) fn statuses(fleet: &Fleet<'_>, unmeshed: &BTreeMap<Key, Vec<String>>) -> BTreeMap<Key, MeshStatusStatus> {
    let mut groups: BTreeMap<Key, Vec<&Arc<Workload>>> = unmeshed.keys().map(|key| (key.clone(), Vec::new())).collect();
    for (key, workload) in &fleet.view.model.workloads {
        groups
            .entry(Key::new(&key.namespace, &workload.group))
            .or_default()
            .push(workload);
    }
    groups
        .into_iter()
        .map(|(key, members)| {
            let unmeshed = unmeshed.get(&key).map(Vec::as_slice).unwrap_or_default();
            let status = status(fleet, &members, unmeshed);
            (key, status)
        })
        .collect()
}

fn status(fleet: &Fleet<'_>, members: &[&Arc<Workload>], unmeshed: &[String]) -> MeshStatusStatus {
    let proxies: Vec<(&Key, &Seen<'_>)> = members
        .iter()
        .filter_map(|workload| fleet.get(&workload.key).map(|seen| (&workload.key, seen)))
        .collect();
    let count =
        |condition: fn(&ProxyView) -> bool| number(proxies.iter().filter(|(_, seen)| condition(seen.proxy)).count());
    let counts = MeshStatusProxies {
        total: number(members.len()),
        connected: count(|proxy| proxy.connected),
        synced: count(|proxy| proxy.synced() && proxy.rejections.is_empty()),
    };
    let policies = policies(&fleet.view.model, members);
    let end = proxies
        .iter()
        .filter(|(_, seen)| seen.proxy.connected)
        .filter_map(|(_, seen)| seen.certificate)
        .min();
    let rejections = rejections(&proxies);
    MeshStatusStatus {
        synced: format!("{}/{}", counts.synced, counts.total),
        mtls: one_word(ports(members).map(|port| match port.mtls {
            MtlsMode::Strict => "Strict",
            MtlsMode::Permissive => "Permissive",
        })),
        default_action: one_word(ports(members).map(|port| {
            if port.permission.default.allow_mesh {
                "Allow"
            } else {
                "Deny"
            }
        })),
        policy_count: number(policies.len()),
        policies: policies.into_iter().take(MOST_POLICIES).collect(),
        certificate_not_after: end.map(written),
        state: state(&counts, !rejections.is_empty()).to_owned(),
        last_acked_revision: proxies.iter().map(|(_, seen)| seen.proxy.acked.unwrap_or(0)).min(),
        proxies: counts,
        rejections,
        unmeshed_pods: unmeshed.iter().take(MOST_UNMESHED).cloned().collect(),
    }
}

/// One word for a group's, or the mesh's, condition.
pub(super) fn state(counts: &MeshStatusProxies, rejected: bool) -> &'static str {
    if counts.total == 0 {
        "Unmeshed"
    } else if rejected {
        "Rejected"
    } else if counts.connected == 0 {
        "Disconnected"
    } else if counts.synced < counts.total {
        "Progressing"
    } else {
        "Healthy"
    }
}

/// The declared ports, or what holds for all others where nothing is declared.
fn ports<'a>(members: &'a [&'a Arc<Workload>]) -> impl Iterator<Item = &'a Arc<InboundPort>> {
    members.iter().flat_map(|workload| {
        let rest = workload.ports.is_empty().then_some(&workload.undeclared);
        workload.ports.values().chain(rest)
    })
}

fn one_word(words: impl Iterator<Item = &'static str>) -> String {
    let words: BTreeSet<&str> = words.collect();
    match (words.len(), words.first()) {
        (1, Some(word)) => (*word).to_owned(),
        (0, _) => String::new(),
        _ => "Mixed".to_owned(),
    }
}

fn policies(model: &Model, members: &[&Arc<Workload>]) -> Vec<PolicyInForce> {
    let keys: BTreeSet<&Key> = members.iter().map(|workload| &workload.key).collect();
    let reaches = |report: &config::model::PolicyReport| {
        report
            .targets
            .iter()
            .flat_map(|target| &target.ports)
            .any(|(key, _)| keys.contains(key))
    };
    let in_force = model.reports.values().filter(|report| {
        // A policy whose rules all failed is not in force, one without rules is.
        reaches(report) && (!report.rules_in_force.is_empty() || report.rules_failed.is_empty())
    });
    in_force
        .map(|report| PolicyInForce {
            policy: report.object.to_string(),
            rules: report
                .rules_in_force
                .iter()
                .take(MOST_RULES)
                .map(ToString::to_string)
                .collect(),
        })
        .collect()
}

fn rejections(proxies: &[(&Key, &Seen<'_>)]) -> Vec<Rejection> {
    let all = proxies
        .iter()
        .flat_map(|(key, seen)| seen.proxy.rejections.iter().map(move |rejection| (key, rejection)));
    all.take(MOST_REJECTIONS)
        .map(|(key, rejection)| Rejection {
            proxy: key.to_string(),
            resource: format!("{:?} {}", rejection.kind, rejection.name),
            object: rejection.objects.first().map(ToString::to_string),
            message: rejection.message.to_string(),
        })
        .collect()
}

/// A time as the API server writes it.
fn written(time: SystemTime) -> String {
    let time = jiff::Timestamp::try_from(time).unwrap_or_default();
    format!("{time:.0}")
}

/// A duration as `kubectl` writes ages.
pub(crate) fn human(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0..120 => format!("{seconds}s"),
        120..7_200 => format!("{}m", seconds / 60),
        7_200..172_800 => format!("{}h", seconds / 3_600),
        _ => format!("{}d", seconds / 86_400),
    }
}

/// Counts of proxies fit; a larger one would be shown as the largest.
pub(super) fn number(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

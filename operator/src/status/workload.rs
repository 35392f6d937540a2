//! The rows of `tulle get meshstatus`: one for each group of workloads (replicas of one thing).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use config::Model;
use config::model::{InboundPort, Key, MtlsMode, Workload};
use crds::meshstatus::{MeshStatusProxies, MeshStatusStatus, PolicyInForce, Rejection};

use crate::engine::{EngineView, ProxyView};

/// Lists in a status are bounded by its schema.
const MOST_POLICIES: usize = 256;
const MOST_RULES: usize = 64;
const MOST_REJECTIONS: usize = 32;

/// The status of each group, by namespace and group name.
pub(super) fn statuses(
    view: &EngineView,
    certificates: &BTreeMap<Key, SystemTime>,
    now: SystemTime,
) -> BTreeMap<Key, MeshStatusStatus> {
    let mut groups: BTreeMap<Key, Vec<&Arc<Workload>>> = BTreeMap::new();
    for (key, workload) in &view.model.workloads {
        groups
            .entry(Key::new(&key.namespace, &workload.group))
            .or_default()
            .push(workload);
    }
    groups
        .into_iter()
        .map(|(key, members)| (key, status(view, &members, certificates, now)))
        .collect()
}

fn status(
    view: &EngineView,
    members: &[&Arc<Workload>],
    certificates: &BTreeMap<Key, SystemTime>,
    now: SystemTime,
) -> MeshStatusStatus {
    let proxies: Vec<(&Key, &Arc<ProxyView>)> = members
        .iter()
        .filter_map(|workload| view.proxies.get(&workload.key).map(|proxy| (&workload.key, proxy)))
        .collect();
    let count =
        |condition: fn(&ProxyView) -> bool| number(proxies.iter().filter(|(_, proxy)| condition(proxy)).count());
    let counts = MeshStatusProxies {
        total: number(members.len()),
        connected: count(|proxy| proxy.connected),
        synced: count(|proxy| proxy.synced() && proxy.rejections.is_empty()),
    };
    let policies = policies(&view.model, members);
    let end = proxies
        .iter()
        .filter(|(_, proxy)| proxy.connected)
        .filter_map(|(key, _)| certificates.get(*key))
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
        certificate_remaining: end.map(|end| remaining(*end, now)).unwrap_or_default(),
        state: state(&counts, !rejections.is_empty()).to_owned(),
        last_acked_revision: proxies
            .iter()
            .map(|(_, proxy)| proxy.acked.unwrap_or(0))
            .min()
            .unwrap_or(0),
        proxies: counts,
        rejections,
        unmeshed_pods: Vec::new(),
    }
}

/// One word for a group's, or the mesh's, condition.
pub(super) fn state(counts: &MeshStatusProxies, rejected: bool) -> &'static str {
    if rejected {
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

fn rejections(proxies: &[(&Key, &Arc<ProxyView>)]) -> Vec<Rejection> {
    let all = proxies
        .iter()
        .flat_map(|(key, proxy)| proxy.rejections.iter().map(move |rejection| (key, rejection)));
    all.take(MOST_REJECTIONS)
        .map(|(key, rejection)| Rejection {
            proxy: key.to_string(),
            resource: format!("{:?} {}", rejection.kind, rejection.name),
            object: rejection.objects.first().map(ToString::to_string),
            message: rejection.message.to_string(),
        })
        .collect()
}

/// `21h`, as `kubectl` writes ages.
fn remaining(end: SystemTime, now: SystemTime) -> String {
    end.duration_since(now).map_or_else(|_| "expired".to_owned(), human)
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

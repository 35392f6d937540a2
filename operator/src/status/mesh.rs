//! The one line of `tulle get mesh`.

use std::collections::BTreeMap;

use config::model::{DefaultAction, Key, MtlsMode};
use config::{ObjectRef, Severity};
use crds::conditions::Reason;
use crds::mesh::MeshSummary;
use crds::meshstatus::{MeshStatusProxies, MeshStatusStatus};
use crds::status::Problem;

use super::policy::{MOST_PROBLEMS, problem};
use super::workload::{number, state};
use crate::engine::EngineView;

/// Sums up.
pub(super) fn summary(view: &EngineView, workloads: &BTreeMap<Key, MeshStatusStatus>) -> MeshSummary {
    let counts = workloads
        .values()
        .fold(MeshStatusProxies::default(), |sum, status| MeshStatusProxies {
            total: sum.total + status.proxies.total,
            connected: sum.connected + status.proxies.connected,
            synced: sum.synced + status.proxies.synced,
        });
    let in_force = view
        .model
        .reports
        .values()
        .filter(|report| !report.rules_in_force.is_empty())
        .count();
    let (problems, invalid) = problems(view);
    MeshSummary {
        proxies: counts.total.to_string(),
        synced: format!("{}/{}", counts.synced, counts.total),
        mtls: match view.model.mesh.mtls {
            MtlsMode::Strict => "Strict",
            MtlsMode::Permissive => "Permissive",
        }
        .to_owned(),
        default_action: match view.model.mesh.default_action {
            DefaultAction::AllowUntilSelected => "AllowUntilSelected",
            DefaultAction::Allow => "Allow",
            DefaultAction::Deny => "Deny",
        }
        .to_owned(),
        policies: number(in_force),
        state: match counts.total {
            _ if invalid => "Invalid",
            0 => "Empty",
            _ => state(&counts, workloads.values().any(|status| !status.rejections.is_empty())),
        }
        .to_owned(),
        problems,
    }
}

/// What is wrong with the Mesh that counts, and whether that keeps it from being what was written.
fn problems(view: &EngineView) -> (Vec<Problem>, bool) {
    let mesh = ObjectRef::new("Mesh", "", "default");
    let name = mesh.to_string();
    let findings: Vec<_> = view
        .model
        .diagnostics
        .iter()
        .filter(|one| *one.object == mesh)
        .collect();
    // What could not be read at all is found by the source, and something strict stands in for it.
    let unread: Vec<_> = view
        .source
        .problems
        .iter()
        .filter(|one| one.file.as_os_str() == name.as_str())
        .collect();
    let invalid = !unread.is_empty() || findings.iter().any(|one| one.severity == Severity::Error);
    let unread = unread.into_iter().map(|one| Problem {
        rule: None,
        path: "spec".to_owned(),
        reason: Reason::Invalid.to_string(),
        message: one.message.clone(),
    });
    let problems = unread.chain(findings.into_iter().map(problem));
    (problems.take(MOST_PROBLEMS).collect(), invalid)
}

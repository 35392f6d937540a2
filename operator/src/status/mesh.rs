//! The one line of `tulle get mesh`.

use std::collections::BTreeMap;

use config::model::{DefaultAction, Key, MtlsMode};
use crds::mesh::MeshSummary;
use crds::meshstatus::{MeshStatusProxies, MeshStatusStatus};

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
    MeshSummary {
        proxies: counts.total.to_string(),
        synced: format!("{}/{}", counts.synced, counts.connected),
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
            0 => "Empty",
            _ => state(&counts, workloads.values().any(|status| !status.rejections.is_empty())),
        }
        .to_owned(),
    }
}

//! Link: nodes -> the immutable [`Model`]. Names are resolved, objects merged, conflicts decided, each fact keeps its origin.
//!
//! Order-free: the same objects in another order give an equal model. Nothing here knows Envoy, and nothing reads a clock.

mod loopback;
pub(crate) mod ports;
pub(crate) mod reach;
pub(crate) mod slots;
mod survey;
pub(crate) mod topology;

use std::sync::Arc;

use crate::input::Settings;
use crate::model::Model;
use crate::parse::Parsed;
use crate::policy::{fault_injection, rate_limit, traffic_permission, traffic_route};

/// Links all nodes.
pub fn link(parsed: &Parsed, settings: &Settings) -> Model {
    let mut diagnostics = parsed.diagnostics.clone();
    let topology = survey::survey(parsed, &settings.system_namespace, &mut diagnostics);
    let mut permissions = traffic_permission::merge(&parsed.permissions, &topology);
    let mut limits = rate_limit::merge(&parsed.limits, &topology);
    let mut faults = fault_injection::merge(&parsed.faults, &topology);
    let mut routes = traffic_route::merge(&parsed.routes, &topology);

    if let Some(block) = settings.placement.loopback() {
        loopback::check(&topology, block, &mut diagnostics);
    }
    diagnostics.append(&mut permissions.diagnostics);
    diagnostics.append(&mut limits.diagnostics);
    diagnostics.append(&mut faults.diagnostics);
    diagnostics.append(&mut routes.diagnostics);
    diagnostics.sort_unstable();
    diagnostics.dedup();
    let mut reports = std::mem::take(&mut permissions.reports);
    reports.append(&mut limits.reports);
    reports.append(&mut faults.reports);
    reports.append(&mut routes.reports);

    Model {
        services: ports::services(&topology, &routes.tables),
        workloads: ports::workloads(&topology, &permissions.ports, &limits.ports, &faults.ports),
        identities: Arc::new(topology.identities()),
        mesh: topology.mesh,
        reports: reports
            .into_iter()
            .map(|report| (Arc::clone(&report.object), Arc::new(report)))
            .collect(),
        diagnostics,
    }
}

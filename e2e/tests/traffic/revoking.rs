//! What the tests of revocation share: grants on payments, when a caller is served, and what a busy machine may take.
use std::time::Duration;

use anyhow::Result;
use tulle_e2e::harness::{Mesh, yaml};
use tulle_e2e::traffic::Report;

/// What the mesh promises, in seconds.
pub(crate) const REVOCATION: u64 = 5;
/// Until the proxies' threads have what its main thread has acknowledged, on a busy machine.
pub(crate) const MOMENT: Duration = Duration::from_secs(2);
/// How long a condition may take.
pub(crate) const LIMIT: Duration = Duration::from_secs(40);
/// The file of the grant.
pub(crate) const PERMISSION: &str = "permission.yaml";

/// Everything of payments for these.
pub(crate) fn grant(accounts: &[&str]) -> String {
    yaml::grant("payments", "payments", accounts)
}

/// The caller is served.
pub(crate) fn passes(mesh: &Mesh, caller: &str) -> Result<()> {
    let from = mesh.workload(&format!("shop/{caller}-1"))?;
    mesh.await_condition("the caller is served", LIMIT, || {
        Ok(from
            .call(&["http://payments/charges", "-n", "10"])?
            .all(200)
            .then_some(()))
    })
}

/// For so long the machine kept somebody waiting whom nothing was taken from.
pub(crate) fn slowest(report: &Report) -> Duration {
    let all = report.flows.values().map(|flow| flow.latency.max);
    Duration::from_secs_f64(all.fold(0.0, f64::max) / 1000.0)
}

//! `kill -9` of the control plane under load: nobody notices, and after its restart no proxy receives a resource again.

use anyhow::{Result, ensure};
use tulle_e2e::harness::yaml::{account, app, object};
use tulle_e2e::harness::{Mesh, Stats, Steps, can_run};
use tulle_e2e::traffic::{GrpcFlow, HttpFlow, Spec, TcpFlow};

#[test]
fn a_killed_control_plane_is_not_noticed() -> Result<()> {
    if !can_run() {
        return Ok(());
    }
    let apps = ["frontend", "payments"].map(app).concat();
    let spec = format!(
        "targetRefs: [{{kind: Service, name: payments}}]\naction: Allow\nrules:\n- {{name: callers, sources: [{}]}}\n",
        account("frontend")
    );
    let permission = object("TrafficPermission", "payments", &spec);
    let limit = object(
        "RateLimit",
        "payments",
        "targetRefs: [{kind: Service, name: payments}]\nlimits: [{name: all, rate: {requests: 100000, unit: Second}}]\n",
    );
    let files = [
        ("apps.yaml", apps.as_str()),
        ("permission.yaml", &permission),
        ("limit.yaml", &limit),
    ];
    let mesh = Mesh::start("restart", &files)?;
    let mut steps = Steps::default();
    steps.run("kill -9 and restart under load", || killed(&mesh));
    steps.run("the new control plane serves edits", || edited(&mesh));
    steps.finish()
}

const PROXIES: [&str; 2] = ["shop/frontend-1", "shop/payments-1"];

/// How often each subscription of each Envoy has received something.
fn updates(mesh: &Mesh) -> Result<Stats> {
    let mut all = Stats::new();
    for id in PROXIES {
        for (name, value) in mesh
            .envoy(id)?
            .stats("(update_success|update_rejected|config_reload)$")?
        {
            all.insert(format!("{id} {name}"), value);
        }
    }
    Ok(all)
}

fn killed(mesh: &Mesh) -> Result<()> {
    let http = |name: &str, http2, rate| HttpFlow {
        name: name.to_owned(),
        url: "http://payments/charges".to_owned(),
        rate,
        http2,
        ..HttpFlow::default()
    };
    let spec = Spec {
        http: vec![http("http1", false, 400.0), http("http2", true, 100.0)],
        tcp: vec![TcpFlow {
            address: "payments:71".to_owned(),
            banner: true,
            ..TcpFlow::default()
        }],
        grpc: vec![GrpcFlow {
            url: "http://payments:90/shop.Payments/Watch".to_owned(),
            ..GrpcFlow::default()
        }],
        ..Spec::default()
    };
    let load = mesh.workload("shop/frontend-1")?.load(&spec)?;
    load.await_more(20)?;
    let (before, connections) = (updates(mesh)?, connections(mesh)?);
    ensure!(before.values().any(|count| *count > 0), "no counters: {before:?}");
    mesh.kill_control_plane()?;
    mesh.settled()?;
    mesh.await_condition(
        "the proxies have new streams",
        std::time::Duration::from_secs(40),
        || {
            let now = self::connections(mesh)?;
            Ok(now
                .iter()
                .zip(&connections)
                .all(|(now, before)| now > before)
                .then_some(()))
        },
    )?;
    load.await_more(20)?;
    let (after, report) = (updates(mesh)?, load.stop()?);
    let moved: Vec<&String> = after
        .iter()
        .filter(|(name, count)| before.get(*name) != Some(count))
        .map(|(n, _)| n)
        .collect();
    ensure!(moved.is_empty(), "received again after the restart: {moved:?}");
    ensure!(report.failed() == 0, "{:?}", report.flows);
    ensure!(report.connections_kept(), "{report:?}");
    for name in ["http1", "http2"] {
        ensure!(
            report.flow(name).status(200) == report.flow(name).answered,
            "{name}: {:?}",
            report.flow(name).statuses
        );
    }
    Ok(())
}

/// Connections that the proxies have made to the control plane.
fn connections(mesh: &Mesh) -> Result<Vec<u64>> {
    PROXIES
        .iter()
        .map(|id| mesh.envoy(id)?.sum("^cluster\\.xds\\.upstream_cx_total$"))
        .collect()
}

fn edited(mesh: &Mesh) -> Result<()> {
    mesh.apply(
        "deny.yaml",
        &object(
            "TrafficPermission",
            "guard",
            "targetRefs: [{kind: Service, name: payments}]\naction: Deny\nrules: [{name: none, http: [{method: DELETE}]}]\n",
        ),
    )?;
    let frontend = mesh.workload("shop/frontend-1")?;
    mesh.await_condition("the edit holds", std::time::Duration::from_secs(10), || {
        Ok(frontend
            .call(&["http://payments/", "-X", "DELETE"])?
            .all(403)
            .then_some(()))
    })?;
    ensure!(frontend.call(&["http://payments/", "-n", "10"])?.all(200));
    Ok(())
}

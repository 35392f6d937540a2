//! Edits under load: whatever is edited, every connection stays, no listener drains, and no request fails but those that
//! the policy denies. Withdrawing a grant ends that identity's connections and touches no other.

use std::time::Duration;

use anyhow::{Result, ensure};
use tulle_e2e::harness::yaml::{account, app, grant, mesh as mesh_object, object, service, workload};
use tulle_e2e::harness::{Load, Mesh, Stats, Steps, can_run};
use tulle_e2e::traffic::{GrpcFlow, HttpFlow, Spec, TcpFlow};

/// What the mesh promises for withdrawn grants, in seconds.
const REVOCATION: u64 = 5;

#[test]
fn edits_under_load_disturb_nobody() -> Result<()> {
    if !can_run() {
        return Ok(());
    }
    let apps = [
        mesh_object(&format!("{{revocationTime: {REVOCATION}s}}")),
        ["frontend", "orders"].map(app).concat(),
        service("payments", "app: payments"),
        service("payments-v1", "app: payments, version: v1"),
        service("payments-v2", "app: payments, version: v2"),
        workload("payments-v1-1", "payments", "v1"),
        workload("payments-v2-1", "payments", "v2"),
    ];
    let mesh = Mesh::start("edits", &[("apps.yaml", &apps.concat())])?;
    let mut steps = Steps::default();
    steps.run("edits of each kind", || each_kind(&mesh));
    steps.run("withdrawing a grant", || withdrawn(&mesh));
    steps.finish()
}

/// 500 requests a second on kept connections, an open TCP stream and an open gRPC stream.
fn load(mesh: &Mesh, from: &str) -> Result<Load> {
    let http = |name: &str, http2, rate| HttpFlow {
        name: name.to_owned(),
        url: "http://payments-v1/charges".to_owned(),
        rate,
        connections: 4,
        http2,
        ..HttpFlow::default()
    };
    let spec = Spec {
        http: vec![http("http1", false, 400.0), http("http2", true, 100.0)],
        tcp: vec![TcpFlow {
            address: "payments-v1:70".to_owned(),
            ..TcpFlow::default()
        }],
        grpc: vec![GrpcFlow {
            url: "http://payments-v1:90/shop.Payments/Watch".to_owned(),
            ..GrpcFlow::default()
        }],
        ..Spec::default()
    };
    mesh.workload(from)?.load(&spec)
}

/// Counters that an edit must not move, of caller and callee; those of the admin interface, of our own streams and of a backend that an edit
/// brings in do not count.
fn counters(mesh: &Mesh) -> Result<Stats> {
    let filter = "^(listener_manager\\.(listener_modified|listener_in_place_updated|total_filter_chains_draining)|\
                  (http|listener|cluster)\\..*(downstream|upstream)_cx_total)$";
    let mut all = Stats::new();
    for id in ["shop/frontend-1", "shop/payments-v1-1"] {
        for (name, value) in mesh.envoy(id)?.stats(filter)? {
            if ![
                "admin",
                "xds",
                "cluster.reports",
                "payments-v2",
                "payments/80",
                "shop.payments.80",
            ]
            .iter()
            .any(|other| name.contains(other))
            {
                all.insert(format!("{id} {name}"), value);
            }
        }
    }
    Ok(all)
}

fn each_kind(mesh: &Mesh) -> Result<()> {
    // Pools grow with the load's own crowding, which must not look like an edit's doing.
    for version in [&[][..], &["--http2"]] {
        let crowd = ["http://payments-v1/delay/100", "-n", "64", "-c", "32"];
        ensure!(
            mesh.workload("shop/frontend-1")?
                .call(&[&crowd[..], version].concat())?
                .all(200)
        );
    }
    let load = load(mesh, "shop/frontend-1")?;
    load.await_more(30)?;
    let before = counters(mesh)?;
    for id in ["shop/frontend-1", "shop/payments-v1-1"] {
        for counter in [
            "listener_modified",
            "listener_in_place_updated",
            "total_filter_chains_draining",
            "_cx_total",
        ] {
            let there = before
                .keys()
                .any(|name| name.starts_with(id) && name.ends_with(counter));
            ensure!(there, "{id} does not count {counter}: {:?}", before.keys());
        }
    }
    for (file, text) in edits() {
        mesh.apply(file, &text)?;
        load.await_more(5)?;
    }
    for file in ["permission.yaml", "deny.yaml", "route.yaml", "limit.yaml", "fault.yaml"] {
        mesh.remove(file)?;
        load.await_more(5)?;
    }
    let after = counters(mesh)?;
    let report = load.stop()?;
    ensure!(report.failed() == 0, "{:?}", report.causes());
    for name in ["http1", "http2"] {
        let flow = report.flow(name);
        ensure!(flow.status(200) == flow.answered, "{name}: {:?}", flow.statuses);
    }
    ensure!(report.connections_kept(), "connections were opened again: {report:?}");
    let moved: Vec<String> = after
        .iter()
        .filter(|(name, value)| before.get(*name).copied().unwrap_or_default() != **value)
        .map(|(name, value)| format!("{name}: {} -> {value}", before.get(name).copied().unwrap_or_default()))
        .collect();
    ensure!(moved.is_empty(), "counters moved: {moved:?}");
    Ok(())
}

/// (file, content): each kind of policy made, changed, and made differently again.
fn edits() -> Vec<(&'static str, String)> {
    let permission = |action: &str, name: &str, rules: &str| {
        let spec = format!("targetRefs: [{{kind: Service, name: payments-v1}}]\naction: {action}\nrules:\n{rules}");
        object("TrafficPermission", name, &spec)
    };
    let (frontend, orders) = (account("frontend"), account("orders"));
    let both = format!("- {{name: callers, sources: [{frontend}, {orders}]}}\n");
    let narrow = format!(
        "- name: frontend\n  sources: [{frontend}]\n  http: [{{method: GET, path: {{type: PathPrefix, value: /charges}}}}]\n\
         - {{name: streams, sources: [{frontend}], ports: [grpc, echo]}}\n"
    );
    let route = |first: u32, second: u32| {
        let spec = format!(
            "parentRefs: [{{kind: Service, name: payments-v1, port: 80}}]\nrules:\n- backendRefs:\n  \
             - {{name: payments-v1, port: 80, weight: {first}}}\n  - {{name: payments-v2, port: 80, weight: {second}}}\n"
        );
        object("TrafficRoute", "payments", &spec)
    };
    let limit = |requests: u32| {
        let spec = format!(
            "targetRefs: [{{kind: Service, name: payments-v1}}]\nlimits:\n\
             - {{name: all, rate: {{requests: {requests}, unit: Second}}}}\n"
        );
        object("RateLimit", "payments", &spec)
    };
    let fault = |percent: u32| {
        let spec = format!(
            "targetRefs: [{{kind: Service, name: payments-v1}}]\nuntil: never\nfaults:\n- name: orders\n  \
             match: {{sources: [{orders}]}}\n  percent: \"{percent}\"\n  abort: {{httpStatus: 503}}\n"
        );
        object("FaultInjection", "payments", &spec)
    };
    vec![
        ("permission.yaml", permission("Allow", "payments", &both)),
        ("permission.yaml", permission("Allow", "payments", &narrow)),
        (
            "deny.yaml",
            permission("Deny", "guard", "- name: no-deletes\n  http: [{method: DELETE}]\n"),
        ),
        ("route.yaml", route(100, 0)),
        ("route.yaml", route(90, 10)),
        ("limit.yaml", limit(100_000)),
        ("limit.yaml", limit(50_000)),
        ("fault.yaml", fault(100)),
        ("fault.yaml", fault(50)),
    ]
}

fn withdrawn(mesh: &Mesh) -> Result<()> {
    let grant = |accounts: &[&str]| grant("payments-v1", "payments", accounts);
    mesh.apply("permission.yaml", &grant(&["frontend", "orders"]))?;
    let (losing, keeping) = (load(mesh, "shop/frontend-1")?, load(mesh, "shop/orders-1")?);
    losing.await_more(10)?;
    keeping.await_more(10)?;
    mesh.apply("permission.yaml", &grant(&["orders"]))?;
    let start = std::time::Instant::now();
    let limit = Duration::from_secs(REVOCATION);
    losing.await_report(
        "the withdrawn identity's streams end",
        limit + Duration::from_secs(1),
        |report| report.flow("tcp").failed == 1 && report.flow("grpc").failed == 1,
    )?;
    losing.await_report("its requests are refused", limit, |report| {
        report.flow("http1").status(403) > 0
    })?;
    // The other identity is watched for as long as the revocation lasts.
    let left = (limit + Duration::from_secs(1))
        .saturating_sub(start.elapsed())
        .as_secs();
    keeping.await_more(10 * (left + 1))?;
    let after = losing.now().flow("http1");
    let refused = after.status(403);
    losing.await_report("all its requests are refused", limit, |report| {
        report.flow("http1").status(403) > refused + 100
    })?;
    let last = losing.stop()?.flow("http1");
    ensure!(
        last.status(200) == after.status(200),
        "requests passed after the grant was gone: {:?}",
        last.statuses
    );
    let kept = keeping.stop()?;
    ensure!(kept.failed() == 0, "{:?}", kept.causes());
    ensure!(kept.connections_kept(), "{kept:?}");
    Ok(())
}

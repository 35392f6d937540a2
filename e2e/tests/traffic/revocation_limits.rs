//! What a withdrawn grant does not cut: who keeps a part of its access, and what stock Envoy cannot cut. The latter is asserted,
//! so that the day on which it can is noticed; `docs/decisions` says the same in words.

use std::process::Stdio;
use std::time::{Duration, Instant};

use super::revoking::{LIMIT, MOMENT, PERMISSION, REVOCATION, grant, passes};
use anyhow::{Result, ensure};
use tulle_e2e::harness::yaml::{account, app, mesh as mesh_object, object};
use tulle_e2e::harness::{Mesh, Steps, can_run};
use tulle_e2e::probe::TcpReport;
use tulle_e2e::traffic::{GrpcFlow, HttpFlow, Spec, TcpFlow, WebSocketFlow};

#[test]
fn what_a_withdrawn_grant_does_not_cut() -> Result<()> {
    if !can_run() {
        return Ok(());
    }
    let apps = [
        mesh_object(&format!("{{revocationTime: {REVOCATION}s}}")),
        ["frontend", "orders", "ratings", "stock", "payments"].map(app).concat(),
    ];
    let mesh = Mesh::start("revocation-limits", &[("apps.yaml", &apps.concat())])?;
    let mut steps = Steps::default();
    steps.run("who loses a part is refused and not cut", || partly(&mesh));
    steps.run("a silent connection ends at its next byte", || silent(&mesh));
    steps.run("limit: an HTTP/1.1 download goes on", || download(&mesh));
    steps.run(
        "limit: a stream on a connection that was refused before goes on",
        || refused_before(&mesh),
    );
    steps.finish()
}

/// HTTP ports judge each request, so who keeps any access to the port keeps its connections.
fn partly(mesh: &Mesh) -> Result<()> {
    let allow = |paths: &[&str]| {
        let paths: Vec<String> = paths
            .iter()
            .map(|path| format!("{{path: {{type: PathPrefix, value: {path}}}}}"))
            .collect();
        let spec = format!(
            "targetRefs: [{{kind: Service, name: payments, sectionName: http}}]\naction: Allow\n\
             rules: [{{name: part, sources: [{}], http: [{}]}}]\n",
            account("frontend"),
            paths.join(", ")
        );
        object("TrafficPermission", "payments", &spec)
    };
    mesh.apply(PERMISSION, &allow(&["/charges", "/other", "/socket"]))?;
    passes(mesh, "frontend")?;
    let http = |name: &str, path: &str| HttpFlow {
        name: name.to_owned(),
        url: format!("http://payments{path}"),
        rate: 50.0,
        ..HttpFlow::default()
    };
    let spec = Spec {
        http: vec![http("kept", "/charges"), http("lost", "/other")],
        websocket: vec![WebSocketFlow {
            address: "payments:80".to_owned(),
            ..WebSocketFlow::default()
        }],
        ..Spec::default()
    };
    let load = mesh.workload("shop/frontend-1")?.load(&spec)?;
    load.await_more(10)?;
    mesh.apply(PERMISSION, &allow(&["/charges"]))?;
    load.await_report("requests of the lost part are refused", LIMIT, |report| {
        report.flow("lost").status(403) > 0
    })?;
    let before = load.now().flow("lost").status(200);
    // 20 messages a second: for longer than a revocation takes.
    load.await_more(20 * (REVOCATION + 2))?;
    let report = load.stop()?;
    ensure!(
        report.failed() == 0 && report.connections_kept(),
        "{:?}",
        report.causes()
    );
    let (kept, lost) = (report.flow("kept"), report.flow("lost"));
    ensure!(kept.status(200) == kept.answered, "{:?}", kept.statuses);
    // A turn of each connection may have been under way.
    ensure!(lost.status(200) <= before + 4, "requests passed: {:?}", lost.statuses);
    // The WebSocket was allowed when it began and is still open, though a new one would be refused.
    let refused = mesh.workload("shop/frontend-1")?.call(&["http://payments/socket"])?;
    ensure!(refused.all(403), "{refused:?}");
    Ok(())
}

/// Nobody may speak, so nothing is cut; the next byte is the end, and is not delivered.
fn silent(mesh: &Mesh) -> Result<()> {
    mesh.apply(PERMISSION, &grant(&["ratings", "orders"]))?;
    passes(mesh, "ratings")?;
    let pause = 1000 * (REVOCATION + 7);
    let tcp = TcpFlow {
        address: "payments:70".to_owned(),
        interval_ms: pause,
        ..TcpFlow::default()
    };
    let websocket = WebSocketFlow {
        address: "payments:80".to_owned(),
        interval_ms: pause,
        ..WebSocketFlow::default()
    };
    let spec = Spec {
        tcp: vec![tcp],
        websocket: vec![websocket],
        ..Spec::default()
    };
    let load = mesh.workload("shop/ratings-1")?.load(&spec)?;
    mesh.apply(PERMISSION, &grant(&["orders"]))?;
    let report = load.await_report("both end at their next byte", LIMIT, |report| {
        report.flows.values().all(|flow| flow.failed > 0)
    })?;
    for (name, flow) in &report.flows {
        ensure!(
            flow.answered == 1,
            "{name} was answered after the grant was gone: {flow:?}"
        );
    }
    Ok(())
}

/// An HTTP/1.1 caller that only listens says nothing by which it could be cut. Proxies talk HTTP/1.1 for it to each other, so
/// no ping goes to and fro either. Should this fail one day, the documents may promise more.
fn download(mesh: &Mesh) -> Result<()> {
    mesh.apply(PERMISSION, &grant(&["stock", "orders"]))?;
    passes(mesh, "stock")?;
    let (before, request) = (under_way(mesh)?, "GET /stream HTTP/1.1\r\nhost: payments\r\n\r\n");
    let listen = (4 * REVOCATION * 1000).to_string();
    let mut command = mesh.workload("shop/stock-1")?.tool(&[
        "tcp",
        "payments:80",
        "--at-once",
        "--send",
        request,
        "--listen",
        &listen,
    ])?;
    let child = command.stdout(Stdio::piped()).spawn()?;
    mesh.await_condition("the download is under way", LIMIT, || {
        Ok((under_way(mesh)? > before).then_some(()))
    })?;
    mesh.apply(PERMISSION, &grant(&["orders"]))?;
    let revoked = Instant::now();
    let output = child.wait_with_output()?;
    let report: TcpReport = serde_json::from_slice(&output.stdout)?;
    ensure!(report.text.starts_with("HTTP/1.1 200"), "{report:?}");
    ensure!(
        report.closed || revoked.elapsed() > Duration::from_secs(REVOCATION) + MOMENT,
        "the download was not watched for long enough"
    );
    ensure!(!report.closed, "an HTTP/1.1 download was cut: {report:?}");
    Ok(())
}

/// Requests that payments' proxy is serving.
fn under_way(mesh: &Mesh) -> Result<u64> {
    let stats = mesh.envoy("shop/payments-1")?.stats("downstream_rq_active$")?;
    let ours = stats.iter().filter(|(name, _)| !name.contains("admin"));
    Ok(ours.map(|(_, active)| active).sum())
}

/// Who is refused on a connection that it keeps has no entry there by which it could be cut: it could not know that it would
/// be granted access, and lose it again.
fn refused_before(mesh: &Mesh) -> Result<()> {
    mesh.apply(PERMISSION, &grant(&["orders", "ratings"]))?;
    // Its proxy has no connection to this port yet, makes one, and keeps it.
    let watch = "http://payments:90/shop.Payments/Watch";
    let refused = mesh.workload("shop/stock-1")?.call(&[watch, "--grpc"])?;
    ensure!(
        refused.outcomes.iter().all(|outcome| outcome.grpc_status == Some(7)),
        "{refused:?}"
    );
    mesh.apply(PERMISSION, &grant(&["stock", "orders"]))?;
    let ask = ["http://payments:90/shop.Payments/Charge", "--grpc"];
    mesh.await_condition("stock is served", LIMIT, || {
        let answered = mesh.workload("shop/stock-1")?.call(&ask)?;
        Ok(answered
            .outcomes
            .iter()
            .all(|outcome| outcome.grpc_status == Some(0))
            .then_some(()))
    })?;
    let spec = Spec {
        grpc: vec![GrpcFlow {
            url: watch.to_owned(),
            ..GrpcFlow::default()
        }],
        ..Spec::default()
    };
    let load = mesh.workload("shop/stock-1")?.load(&spec)?;
    mesh.apply(PERMISSION, &grant(&["orders"]))?;
    mesh.await_condition("new calls are refused", LIMIT, || {
        let refused = mesh.workload("shop/stock-1")?.call(&ask)?;
        Ok(refused
            .outcomes
            .iter()
            .all(|outcome| outcome.grpc_status == Some(7))
            .then_some(()))
    })?;
    // Ten messages a second, for longer than a revocation takes.
    load.await_more(10 * (REVOCATION + 3))?;
    let report = load.stop()?;
    ensure!(report.failed() == 0, "the stream was cut: {:?}", report.causes());
    Ok(())
}

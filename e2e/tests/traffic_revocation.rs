//! Revocation under load: who loses its grant is refused at once and cut in time, over every transport; nobody else
//! notices. What stock Envoy cannot do is asserted as well, so that the day on which it can is noticed.

use std::fmt::Write as _;
use std::io::Write;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, Result, ensure};
use tulle_e2e::harness::yaml::{account, app, mesh as mesh_object, object};
use tulle_e2e::harness::{Load, Mesh, Steps, can_run};
use tulle_e2e::probe::TcpReport;
use tulle_e2e::traffic::{FlowReport, GrpcFlow, HttpFlow, Report, Spec, TcpFlow, WebSocketFlow};

/// What the mesh promises, in seconds.
const REVOCATION: u64 = 5;
/// Until the proxies' threads have what its main thread has acknowledged, on a busy machine.
const MOMENT: Duration = Duration::from_secs(2);
/// Streams of each kind in a load.
const STREAMS: usize = 5;
const LIMIT: Duration = Duration::from_secs(40);

#[test]
fn who_loses_a_grant_is_cut_and_nobody_else() -> Result<()> {
    if !can_run() {
        return Ok(());
    }
    let apps = [
        mesh_object(&format!("{{revocationTime: {REVOCATION}s}}")),
        ["frontend", "orders", "ratings", "stock", "payments"].map(app).concat(),
    ];
    let mesh = Mesh::start("revocation", &[("apps.yaml", &apps.concat())])?;
    let mut steps = Steps::default();
    // Each step has a caller of its own: connections of one that was refused before are another matter (see the last step).
    steps.run("a withdrawn grant", || {
        withdrawn(&mesh, ["frontend", "orders"], |text| {
            let start = SystemTime::now();
            Ok(start + mesh.apply(PERMISSION, text)?)
        })
    });
    steps.run("a grant withdrawn while the control plane is down", || {
        withdrawn(&mesh, ["orders", "ratings"], |text| edited_while_down(&mesh, text))
    });
    steps.run("who loses a part is refused and not cut", || partly(&mesh));
    steps.run("a silent connection ends at its next byte", || silent(&mesh));
    steps.run("limit: an HTTP/1.1 download goes on", || download(&mesh));
    steps.run("limit: a stream on a connection that was refused before goes on", || {
        refused_before(&mesh)
    });
    steps.finish()
}

const PERMISSION: &str = "permission.yaml";

fn grant(accounts: &[&str]) -> String {
    let sources: Vec<String> = accounts.iter().map(|name| account(name)).collect();
    let spec = format!(
        "targetRefs: [{{kind: Service, name: payments}}]\naction: Allow\nrules: [{{name: callers, sources: [{}]}}]\n",
        sources.join(", ")
    );
    object("TrafficPermission", "payments", &spec)
}

/// All transports at once: names begin with the transport's.
fn load(mesh: &Mesh, from: &str) -> Result<Load> {
    let http = |name: &str, http2| HttpFlow {
        name: name.to_owned(),
        url: "http://payments/charges".to_owned(),
        rate: 100.0,
        connections: 4,
        http2,
        ..HttpFlow::default()
    };
    let tcp = |index| TcpFlow {
        name: format!("tcp-{index}"),
        address: "payments:70".to_owned(),
        ..TcpFlow::default()
    };
    let grpc = |index| GrpcFlow {
        name: format!("grpc-{index}"),
        url: "http://payments:90/shop.Payments/Watch".to_owned(),
    };
    let websocket = |index| WebSocketFlow {
        name: format!("websocket-{index}"),
        address: "payments:80".to_owned(),
        ..WebSocketFlow::default()
    };
    mesh.workload(from)?.load(&Spec {
        http: vec![http("http1", false), http("http2", true)],
        tcp: (0..STREAMS).map(tcp).collect(),
        grpc: (0..STREAMS).map(grpc).collect(),
        websocket: (0..STREAMS).map(websocket).collect(),
        ..Spec::default()
    })
}

/// Streams are those flows that end with their connection.
fn streams(report: &Report) -> impl Iterator<Item = (&String, &FlowReport)> {
    report.flows.iter().filter(|(name, _)| !name.starts_with("http"))
}

/// Takes the grant from the first of two callers; `withdraw` puts a new permission into force and tells when every proxy had
/// acknowledged it.
fn withdrawn(
    mesh: &Mesh,
    [loser, keeper]: [&str; 2],
    withdraw: impl FnOnce(&str) -> Result<SystemTime>,
) -> Result<()> {
    mesh.apply(PERMISSION, &grant(&[loser, keeper]))?;
    passes(mesh, loser)?;
    passes(mesh, keeper)?;
    let (losing, keeping) = (
        load(mesh, &format!("shop/{loser}-1"))?,
        load(mesh, &format!("shop/{keeper}-1"))?,
    );
    losing.await_more(10)?;
    keeping.await_more(10)?;
    let acked = withdraw(&grant(&[keeper]))?;
    losing.await_report("the streams of the revoked identity end", LIMIT, |report| {
        streams(report).all(|(_, flow)| flow.failed > 0)
    })?;
    losing.await_report("its requests are refused", LIMIT, |report| {
        ["http1", "http2"].iter().all(|name| report.flow(name).status(403) > 100)
    })?;
    // The other identity is watched for as long as a revocation lasts.
    let left = (acked + Duration::from_secs(REVOCATION) + MOMENT)
        .duration_since(SystemTime::now())
        .unwrap_or_default();
    keeping.await_more(20 + 10 * left.as_secs())?;
    let (lost, kept) = (losing.stop()?, keeping.stop()?);
    say(&figures(loser, &lost, acked)?);
    in_time(&lost, acked)?;
    ensure!(kept.failed() == 0, "others failed: {:?}", causes(&kept));
    ensure!(kept.connections_kept(), "others connected again: {kept:?}");
    for name in ["http1", "http2"] {
        let flow = kept.flow(name);
        ensure!(flow.status(200) == flow.answered, "others: {name}: {:?}", flow.statuses);
    }
    Ok(())
}

fn in_time(report: &Report, acked: SystemTime) -> Result<()> {
    let limit = Duration::from_secs(REVOCATION) + MOMENT;
    for (name, flow) in streams(report) {
        let failure = flow.failures.first().context("no failure")?;
        let ended = since(SystemTime::from(failure.at), acked);
        ensure!(ended <= limit, "{name} lived for {ended:?} after the ACK: {}", failure.cause);
    }
    for name in ["http1", "http2"] {
        let flow = report.flow(name);
        let last = flow.last_seen.get(&200).context("nothing was ever answered")?;
        let late = since(SystemTime::from(*last), acked);
        ensure!(late <= MOMENT, "{name}: a request passed {late:?} after the ACK");
        ensure!(
            flow.ports.iter().all(|ports| ports.len() == 1) || name == "http1",
            "{name}: the application's own connections were cut: {:?}",
            flow.ports
        );
    }
    Ok(())
}

/// How long after; nothing if before.
fn since(at: SystemTime, start: SystemTime) -> Duration {
    at.duration_since(start).unwrap_or_default()
}

/// Milliseconds since the last ACK, for each transport: for streams their ends, for requests the last that passed.
fn figures(loser: &str, report: &Report, acked: SystemTime) -> Result<String> {
    let mut text = format!("the streams and requests of {loser}, in ms since the last ACK\n");
    for transport in ["tcp", "grpc", "websocket"] {
        let own = streams(report).filter(|(name, _)| name.starts_with(transport));
        let ends = own.filter_map(|(_, flow)| flow.failures.first());
        let mut ms: Vec<u128> = ends
            .map(|failure| since(SystemTime::from(failure.at), acked).as_millis())
            .collect();
        ms.sort_unstable();
        let (median, max) = (ms.get(ms.len() / 2), ms.last());
        writeln!(text, "  {transport:<10} ended: median {median:?}, max {max:?}, of {}", ms.len())?;
    }
    for transport in ["http1", "http2"] {
        let flow = report.flow(transport);
        let at = |seen: Option<&_>| seen.map(|at| since(SystemTime::from(*at), acked).as_millis());
        writeln!(
            text,
            "  {transport:<10} last 200: {:?}, first 403: {:?}; {:?}, {} without an answer",
            at(flow.last_seen.get(&200)),
            at(flow.first_seen.get(&403)),
            flow.statuses,
            flow.failed
        )?;
    }
    Ok(text)
}

fn causes(report: &Report) -> Vec<String> {
    let all = report.flows.values().flat_map(|flow| &flow.failures);
    all.take(5)
        .map(|failure| format!("{} {}: {}", failure.at, failure.flow, failure.cause))
        .collect()
}

/// The control plane stands still, so that it sees nothing, is killed, and starts again with the new file.
fn edited_while_down(mesh: &Mesh, text: &str) -> Result<SystemTime> {
    let pid = control_plane(mesh)?;
    let stopped = Command::new("kill").args(["-STOP", &pid]).status()?;
    ensure!(stopped.success(), "cannot stop the control plane");
    mesh.write(PERMISSION, text)?;
    mesh.kill_control_plane()?;
    mesh.settled()?;
    Ok(SystemTime::now())
}

/// The process whose command line names our folders.
fn control_plane(mesh: &Mesh) -> Result<String> {
    let (folder, state) = (mesh.folder().to_string_lossy(), mesh.state().to_string_lossy());
    for entry in std::fs::read_dir("/proc")? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        // Most are gone or no processes.
        let words = std::fs::read_to_string(format!("/proc/{name}/cmdline")).unwrap_or_default();
        let words: Vec<&str> = words.split('\0').collect();
        if [&*folder, &*state, "up"].iter().all(|word| words.contains(word)) {
            return Ok(name);
        }
    }
    anyhow::bail!("no control plane of this mesh runs")
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
    ensure!(report.failed() == 0 && report.connections_kept(), "{:?}", causes(&report));
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
        ensure!(flow.answered == 1, "{name} was answered after the grant was gone: {flow:?}");
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
    ensure!(refused.outcomes.iter().all(|outcome| outcome.grpc_status == Some(7)), "{refused:?}");
    mesh.apply(PERMISSION, &grant(&["stock", "orders"]))?;
    let ask = ["http://payments:90/shop.Payments/Charge", "--grpc"];
    mesh.await_condition("stock is served", LIMIT, || {
        let answered = mesh.workload("shop/stock-1")?.call(&ask)?;
        Ok(answered.outcomes.iter().all(|outcome| outcome.grpc_status == Some(0)).then_some(()))
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
        Ok(refused.outcomes.iter().all(|outcome| outcome.grpc_status == Some(7)).then_some(()))
    })?;
    // Ten messages a second, for longer than a revocation takes.
    load.await_more(10 * (REVOCATION + 3))?;
    let report = load.stop()?;
    ensure!(report.failed() == 0, "the stream was cut: {:?}", causes(&report));
    Ok(())
}

/// The caller is served.
fn passes(mesh: &Mesh, caller: &str) -> Result<()> {
    let from = mesh.workload(&format!("shop/{caller}-1"))?;
    mesh.await_condition("the caller is served", LIMIT, || {
        Ok(from.call(&["http://payments/charges", "-n", "10"])?.all(200).then_some(()))
    })
}

fn say(text: &str) {
    // There is nobody to tell if this fails.
    let _ = write!(std::io::stderr(), "{text}");
}

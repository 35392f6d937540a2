//! Revocation under load: who loses its grant is refused at once and cut in time, over every transport; nobody else
//! notices. What is not cut is in `revocation_limits`.

use std::fmt::Write as _;
use std::io::Write;
use std::process::Command;
use std::time::{Duration, SystemTime};

use super::revoking::{LIMIT, MOMENT, PERMISSION, REVOCATION, grant, passes, slowest};
use anyhow::{Context, Result, ensure};
use tulle_e2e::harness::yaml::{app, mesh as mesh_object};
use tulle_e2e::harness::{Load, Mesh, Steps, can_run};
use tulle_e2e::traffic::{FlowReport, GrpcFlow, HttpFlow, Report, Spec, TcpFlow, WebSocketFlow};

/// Streams of each kind in a load.
const STREAMS: usize = 5;

#[test]
fn who_loses_a_grant_is_cut_and_nobody_else() -> Result<()> {
    if !can_run() {
        return Ok(());
    }
    let apps = [
        mesh_object(&format!("{{revocationTime: {REVOCATION}s}}")),
        ["frontend", "orders", "ratings", "payments"].map(app).concat(),
    ];
    let mesh = Mesh::start("revocation", &[("apps.yaml", &apps.concat())])?;
    let mut steps = Steps::default();
    // Each step has a caller of its own: connections of one that was refused before are
    // another matter (see the limits).
    steps.run("a withdrawn grant", || {
        withdrawn(&mesh, ["frontend", "orders"], |text| {
            let start = SystemTime::now();
            Ok(start + mesh.apply(PERMISSION, text)?)
        })
    });
    steps.run("a grant withdrawn while the control plane is down", || {
        withdrawn(&mesh, ["orders", "ratings"], |text| edited_while_down(&mesh, text))
    });
    steps.finish()
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
fn withdrawn(mesh: &Mesh, [loser, keeper]: [&str; 2], withdraw: impl FnOnce(&str) -> Result<SystemTime>) -> Result<()> {
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
        ["http1", "http2"]
            .iter()
            .all(|name| report.flow(name).status(403) > 100)
    })?;
    // The other identity is watched for as long as a revocation lasts.
    let left = (acked + Duration::from_secs(REVOCATION) + MOMENT)
        .duration_since(SystemTime::now())
        .unwrap_or_default();
    keeping.await_more(20 + 10 * left.as_secs())?;
    let (lost, kept) = (losing.stop()?, keeping.stop()?);
    say(&figures(loser, &lost, acked)?);
    in_time(&lost, acked, MOMENT + slowest(&kept))?;
    ensure!(kept.failed() == 0, "others failed: {:?}", kept.causes());
    ensure!(kept.connections_kept(), "others connected again: {kept:?}");
    for name in ["http1", "http2"] {
        let flow = kept.flow(name);
        ensure!(flow.status(200) == flow.answered, "others: {name}: {:?}", flow.statuses);
    }
    Ok(())
}

/// `moment` is what an acknowledged change and a look at the clock may take on this machine.
fn in_time(report: &Report, acked: SystemTime, moment: Duration) -> Result<()> {
    let limit = Duration::from_secs(REVOCATION) + moment;
    for (name, flow) in streams(report) {
        let failure = flow.failures.first().context("no failure")?;
        let ended = since(SystemTime::from(failure.at), acked);
        ensure!(
            ended <= limit,
            "{name} lived for {ended:?} after the ACK: {}",
            failure.cause
        );
    }
    for name in ["http1", "http2"] {
        let flow = report.flow(name);
        let last = flow.last_seen.get(&200).context("nothing was ever answered")?;
        let late = since(SystemTime::from(*last), acked);
        ensure!(late <= moment, "{name}: a request passed {late:?} after the ACK");
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
        writeln!(
            text,
            "  {transport:<10} ended: median {median:?}, max {max:?}, of {}",
            ms.len()
        )?;
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

fn say(text: &str) {
    // There is nobody to tell if this fails.
    let _ = write!(std::io::stderr(), "{text}");
}

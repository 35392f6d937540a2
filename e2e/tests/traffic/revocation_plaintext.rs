//! Revocation of callers without a certificate: who has no access to a Permissive port any more is cut in time, on every kind
//! of port; identities on the same ports notice nothing.

use std::process::{Child, Stdio};
use std::time::{Duration, SystemTime};

use super::revoking::{LIMIT, MOMENT, PERMISSION, REVOCATION, passes, slowest};
use anyhow::{Context, Result, ensure};
use tulle_e2e::harness::yaml::{account, app, mesh as settings, object};
use tulle_e2e::harness::{Load, Mesh, Namespace, Steps, can_run, tulle};
use tulle_e2e::traffic::{GrpcFlow, HttpFlow, Report, Spec, TcpFlow, WebSocketFlow};

/// Streams of each kind in a load.
const STREAMS: usize = 3;
/// A port of payments that no object names.
const UNDECLARED: u16 = 7100;
const MESH: &str = "mesh.yaml";

struct Stage {
    mesh: Mesh,
    /// A host outside the mesh.
    plain: Namespace,
}

#[test]
fn plaintext_callers_who_lose_all_access_are_cut_and_nobody_else() -> Result<()> {
    if !can_run() {
        return Ok(());
    }
    let apps = ["orders", "payments"].map(app).concat();
    let mesh = Mesh::start(
        "revocation-plaintext",
        &[("apps.yaml", &apps), (MESH, &mode("Permissive"))],
    )?;
    let plain = mesh.outside("plain")?;
    let stage = Stage { mesh, plain };
    let _served = stage.undeclared()?;
    let mut steps = Steps::default();
    let orders = account("orders");
    steps.run("an Allow selects the ports", || {
        let allow = permission("Allow", &format!("{{name: callers, sources: [{orders}]}}"));
        stage.withdrawn(PERMISSION, &allow)?;
        stage.refused()
    });
    steps.run("a Deny names them", || {
        let deny = permission("Deny", "{name: plain, sources: [{type: Unauthenticated}]}");
        stage.withdrawn(PERMISSION, &deny)?;
        stage.refused()
    });
    steps.run("the ports become Strict", || stage.withdrawn(MESH, &mode("Strict")));
    steps.run("who keeps a part is refused and not cut", || stage.partly());
    steps.run("the log names the end", || stage.log());
    steps.finish()
}

fn mode(mode: &str) -> String {
    settings(&format!("{{mtls: {{mode: {mode}}}, revocationTime: {REVOCATION}s}}"))
}

/// For the whole namespace, so that it is about undeclared ports, too.
fn permission(action: &str, rule: &str) -> String {
    object(
        "TrafficPermission",
        "payments",
        &format!("action: {action}\nrules: [{rule}]\n"),
    )
}

/// Ends with the test.
struct Served(Child);

impl Drop for Served {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Stage {
    fn payments(&self) -> Result<Namespace> {
        self.mesh.workload("shop/payments-1")
    }

    /// A server on a port that no object names.
    fn undeclared(&self) -> Result<Served> {
        let payments = self.payments()?;
        let mut command = payments.command(tulle()?);
        command.args(["shop-app", "--tcp", &UNDECLARED.to_string()]);
        let served = Served(command.stdout(Stdio::null()).spawn()?);
        self.mesh.await_condition("it listens", LIMIT, || {
            Ok(payments.listening()?.contains(&UNDECLARED).then_some(()))
        })?;
        Ok(served)
    }

    /// Everybody has access.
    fn open(&self) -> Result<()> {
        for (file, wanted) in [(MESH, Some(mode("Permissive"))), (PERMISSION, None)] {
            let there = std::fs::read_to_string(self.mesh.folder().join(file)).ok();
            match &wanted {
                // No proxy would acknowledge what changes nothing.
                _ if there == wanted => {}
                Some(text) => drop(self.mesh.apply(file, text)?),
                None => drop(self.mesh.remove(file)?),
            }
        }
        let address = self.payments()?.address;
        let url = format!("http://{address}:8080/charges");
        let mut times = 0;
        // An acknowledged change reaches Envoy's threads a moment later.
        self.mesh.await_condition("plaintext callers are served", LIMIT, || {
            let mut good = self.plain.call(&[&url, "--fresh"])?.all(200);
            for port in [7000, UNDECLARED] {
                let at = format!("{address}:{port}");
                let echoed = self
                    .plain
                    .tcp(&[&at, "--send", "hello", "--at-once", "--enough", "5"])?;
                good &= echoed.text == "hello";
            }
            times = if good { times + 1 } else { 0 };
            Ok((times == 3).then_some(()))
        })
    }

    /// Takes the access of plaintext callers to all ports.
    fn withdrawn(&self, file: &str, text: &str) -> Result<()> {
        self.open()?;
        passes(&self.mesh, "orders")?;
        let address = self.payments()?.address;
        let at = |port: u16| format!("{address}:{port}");
        let mut spec = streams(&at(8080), &at(9090), &at(7000));
        spec.tcp.push(TcpFlow {
            name: "undeclared".to_owned(),
            address: at(UNDECLARED),
            ..TcpFlow::default()
        });
        let losing = self.plain.load(&spec)?;
        let keeping = self.keeping()?;
        losing.await_more(10)?;
        keeping.await_more(10)?;
        self.mesh.apply(file, text)?;
        let acked = SystemTime::now();
        let lost = losing.await_report("the plaintext streams end", LIMIT, |report| {
            report.flows.values().all(|flow| flow.failed > 0)
        })?;
        keeping.await_more(20)?;
        let kept = keeping.stop()?;
        ensure!(kept.failed() == 0, "others failed: {:?}", kept.causes());
        ensure!(kept.connections_kept(), "others connected again: {kept:?}");
        let requests = kept.flow("http");
        ensure!(
            requests.status(200) == requests.answered,
            "others: {:?}",
            requests.statuses
        );
        in_time(&lost, acked, MOMENT + slowest(&kept))
    }

    /// Streams and requests of an identity to the same ports.
    fn keeping(&self) -> Result<Load> {
        let mut spec = streams("payments:80", "payments:90", "payments:70");
        spec.http.push(HttpFlow {
            url: "http://payments/charges".to_owned(),
            ..HttpFlow::default()
        });
        self.mesh.workload("shop/orders-1")?.load(&spec)
    }

    /// New callers are told 403 by an HTTP port; a TCP port gives them nothing.
    fn refused(&self) -> Result<()> {
        let address = self.payments()?.address;
        let url = format!("http://{address}:8080/charges");
        let answered = self.plain.call(&[&url, "--fresh", "-n", "10"])?;
        ensure!(answered.all(403), "{answered:?}");
        // On a connection that is kept as well: it is told again and again, and not cut.
        let answered = self.plain.call(&[&url, "-n", "10"])?;
        ensure!(answered.all(403), "{answered:?}");
        for port in [7000, UNDECLARED] {
            let at = format!("{address}:{port}");
            let echoed = self
                .plain
                .tcp(&[&at, "--send", "hello", "--at-once", "--enough", "5"])?;
            ensure!(echoed.received == 0, "{port}: {echoed:?}");
        }
        Ok(())
    }

    /// A WebSocket goes on, though a new one would be refused.
    fn partly(&self) -> Result<()> {
        self.open()?;
        let address = self.payments()?.address;
        let spec = Spec {
            websocket: vec![WebSocketFlow {
                address: format!("{address}:8080"),
                ..WebSocketFlow::default()
            }],
            ..Spec::default()
        };
        let load = self.plain.load(&spec)?;
        let rule =
            "{name: socket, sources: [{type: Unauthenticated}], http: [{path: {type: PathPrefix, value: /socket}}]}";
        self.mesh.apply(PERMISSION, &permission("Deny", rule))?;
        let refused = |path: &str| self.plain.call(&[&format!("http://{address}:8080{path}"), "--fresh"]);
        self.mesh.await_condition("a new one is refused", LIMIT, || {
            Ok(refused("/socket")?.all(403).then_some(()))
        })?;
        ensure!(refused("/charges")?.all(200), "the rest is not withdrawn");
        // 20 messages a second: for longer than a revocation takes.
        load.await_more(20 * (REVOCATION + 2))?;
        let report = load.stop()?;
        ensure!(report.failed() == 0, "{:?}", report.causes());
        Ok(())
    }

    /// Lines come late.
    fn log(&self) -> Result<()> {
        let log = self.mesh.state().join("logs/shop.payments-1.envoy.log");
        self.mesh.await_condition("the line of a cut connection", LIMIT, || {
            let text = std::fs::read_to_string(&log)?;
            let cut = text.lines().filter(|line| line.contains("[revoked/plaintext]"));
            // Of the declared TCP port and the undeclared one, three times.
            Ok((cut.count() >= 3 * (STREAMS + 1)).then_some(()))
        })
    }
}

/// Streams to the ports of payments.
fn streams(http: &str, grpc: &str, echo: &str) -> Spec {
    let name = |kind: &str, index: usize| format!("{kind}-{index}");
    Spec {
        tcp: (0..STREAMS)
            .map(|index| TcpFlow {
                name: name("tcp", index),
                address: echo.to_owned(),
                ..TcpFlow::default()
            })
            .collect(),
        grpc: (0..STREAMS)
            .map(|index| GrpcFlow {
                name: name("grpc", index),
                url: format!("http://{grpc}/shop.Payments/Watch"),
            })
            .collect(),
        websocket: (0..STREAMS)
            .map(|index| WebSocketFlow {
                name: name("websocket", index),
                address: http.to_owned(),
                ..WebSocketFlow::default()
            })
            .collect(),
        ..Spec::default()
    }
}

/// `moment` is what an acknowledged change and a look at the clock may take on this machine.
fn in_time(report: &Report, acked: SystemTime, moment: Duration) -> Result<()> {
    let limit = Duration::from_secs(REVOCATION) + moment;
    for (name, flow) in &report.flows {
        let failure = flow.failures.first().context("no failure")?;
        let ended = SystemTime::from(failure.at).duration_since(acked).unwrap_or_default();
        ensure!(
            ended <= limit,
            "{name} lived for {ended:?} after the ACK: {}",
            failure.cause
        );
        eprintln!("{name} ended {} ms after the ACK", ended.as_millis());
    }
    Ok(())
}

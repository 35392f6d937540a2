//! Permissive mode: callers without a certificate on real traffic, on HTTP and TCP ports, and what the log says of them.

#![allow(clippy::indexing_slicing, reason = "helpers of a test")]

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use operator::access_log::{Decided, Direction, LogLine};
use tulle_e2e::harness::yaml::{account, app, mesh as settings, object};
use tulle_e2e::harness::{Mesh, Namespace, Steps, can_run};

/// Longer than a revocation, and than Envoy keeps a line of its log to itself.
const WAIT: Duration = Duration::from_secs(30);

/// What a caller gets on the ports of payments: the status (0 without an answer), and whether the TCP ports answer.
type Gets = (u16, bool, bool);

/// The ports of payments.
const PORTS: u64 = 4;

const ALL: Gets = (200, true, true);
const FORBIDDEN: Gets = (403, false, false);
const NOTHING: Gets = (0, false, false);

struct Stage {
    mesh: Mesh,
    /// A host outside the mesh.
    plain: Namespace,
}

#[test]
fn plaintext_callers_get_what_is_meant_for_them() -> Result<()> {
    if !can_run() {
        return Ok(());
    }
    let apps = ["orders", "payments"].map(app).concat();
    let mesh = Mesh::start(
        "plaintext",
        &[("apps.yaml", &apps), ("mesh.yaml", &permissive("AllowUntilSelected"))],
    )?;
    let plain = mesh.outside("plain")?;
    let stage = Stage { mesh, plain };
    let mut steps = Steps::default();
    steps.run("a change of the mode ends no connection with a certificate", || {
        stage.switched()
    });
    steps.run("every default, with and without an Allow for others", || {
        stage.defaults()
    });
    steps.run("the source Unauthenticated lets in on the ports of its rule", || {
        stage.named()
    });
    steps.run("a Deny of plaintext callers leaves the others alone", || stage.denied());
    steps.run("a Deny without sources is about them, too", || stage.denied_with_all());
    steps.run("overrides by port, selector and namespace", || stage.overrides());
    steps.run("the log names what decided", || stage.log());
    steps.finish()
}

/// A Mesh that takes plaintext.
fn permissive(default: &str) -> String {
    settings(&format!(
        "{{mtls: {{mode: Permissive}}, permissions: {{defaultAction: {default}}}}}"
    ))
}

fn permission(action: &str, rules: &str) -> String {
    let spec = format!("targetRefs: [{{kind: Service, name: payments}}]\naction: {action}\nrules:\n{rules}");
    object("TrafficPermission", "payments", &spec)
}

impl Stage {
    fn apply(&self, mesh: &str, permission: Option<&str>) -> Result<()> {
        for (file, wanted) in [("mesh.yaml", Some(mesh)), ("permission.yaml", permission)] {
            let there = std::fs::read_to_string(self.mesh.folder().join(file)).ok();
            match wanted {
                // No proxy would acknowledge what changes nothing.
                _ if there.as_deref() == wanted => Duration::ZERO,
                Some(text) => self.mesh.apply(file, text)?,
                None => self.mesh.remove(file)?,
            };
        }
        Ok(())
    }

    /// Waits until a caller gets this, three times in a row: an acknowledged change reaches Envoy's threads a moment later.
    fn gets(&self, from: &Namespace, wanted: Gets) -> Result<()> {
        let mut last = None;
        let mut times = 0;
        let what = format!("{} gets {wanted:?}", from.name);
        let result = self.mesh.await_condition(&what, WAIT, || {
            let seen = self.ask(from)?;
            times = if seen == wanted { times + 1 } else { 0 };
            last = Some(seen);
            Ok((times == 3).then_some(()))
        });
        result.with_context(|| format!("the last answer was {last:?}"))
    }

    fn ask(&self, from: &Namespace) -> Result<Gets> {
        let payments = self.mesh.workload("shop/payments-1")?;
        // Who has a proxy dials Services; others have no name for them.
        let (http, echo, banner) = if from.name == self.plain.name {
            let at = |port: u16| format!("{}:{port}", payments.address);
            (at(8080), at(7000), at(7001))
        } else {
            (
                "payments".to_owned(),
                "payments:70".to_owned(),
                "payments:71".to_owned(),
            )
        };
        let answered = from.call(&[&format!("http://{http}/charges"), "--fresh"])?;
        let status = answered.outcomes[0].status.unwrap_or_default();
        // The proxy of a caller says so if it cannot deliver.
        let status = if status == 503 { 0 } else { status };
        let echoed = from.tcp(&[&echo, "--send", "hello", "--at-once", "--enough", "5"])?;
        ensure!(["", "hello"].contains(&echoed.text.as_str()), "{echoed:?}");
        let listened = from.tcp(&[&banner, "--send", "hello", "--at-once", "--enough", "18"])?;
        ensure!(
            ["", "payments v1 ready\n"].contains(&listened.text.as_str()),
            "{listened:?}"
        );
        Ok((status, echoed.received > 0, listened.received > 0))
    }

    fn orders(&self) -> Result<Namespace> {
        self.mesh.workload("shop/orders-1")
    }

    /// Of each port's chains only the one of plaintext callers goes, and none when it comes back. What goes is drained and then closed.
    fn switched(&self) -> Result<()> {
        let payments = self.mesh.envoy("shop/payments-1")?;
        let stat = |name: &str| payments.sum(&format!("^listener_manager\\.{name}$"));
        let draining = || stat("total_filter_chains_draining");
        let (before, dropped) = (stat("listener_in_place_updated")?, draining()?);
        ensure!(dropped == 0, "{dropped} chains drain already");
        for (mesh, updates) in [
            (settings("{mtls: {mode: Strict}}"), PORTS),
            (permissive("AllowUntilSelected"), 2 * PORTS),
        ] {
            self.apply(&mesh, None)?;
            self.mesh
                .await_condition("the ports' listeners change in place", WAIT, || {
                    Ok((stat("listener_in_place_updated")? - before == updates).then_some(()))
                })?;
            let dropped = draining()?;
            ensure!(dropped == PORTS, "{dropped} chains drain, of {PORTS} ports");
        }
        Ok(())
    }

    fn defaults(&self) -> Result<()> {
        let orders_only = permission(
            "Allow",
            &format!("- {{name: orders, sources: [{}]}}\n", account("orders")),
        );
        for (default, unselected) in [("AllowUntilSelected", ALL), ("Allow", ALL), ("Deny", FORBIDDEN)] {
            self.apply(&permissive(default), None)?;
            self.gets(&self.plain, unselected)?;
            self.gets(&self.orders()?, unselected)?;
            // Once selected, plaintext callers have to be named, whatever the default.
            self.apply(&permissive(default), Some(&orders_only))?;
            self.gets(&self.plain, FORBIDDEN)?;
            self.gets(&self.orders()?, ALL)?;
        }
        Ok(())
    }

    fn named(&self) -> Result<()> {
        let rules = "- {name: reads, sources: [{type: Unauthenticated}], http: [{method: GET}]}\n\
                     - {name: banner, sources: [{type: Unauthenticated}], ports: [banner]}\n";
        self.apply(&permissive("AllowUntilSelected"), Some(&permission("Allow", rules)))?;
        self.gets(&self.plain, (200, false, true))?;
        // Who proves an identity is not unauthenticated.
        self.gets(&self.orders()?, FORBIDDEN)?;
        let payments = self.mesh.workload("shop/payments-1")?;
        let posted = self
            .plain
            .call(&[&format!("http://{}:8080/charges", payments.address), "-X", "POST"])?;
        ensure!(posted.all(403), "{posted:?}");
        // Who says nothing is waited for, and then taken for what it is: the server begins.
        let silent = self.plain.tcp(&[
            &format!("{}:7001", payments.address),
            "--listen",
            "10000",
            "--enough",
            "18",
        ])?;
        ensure!(silent.text == "payments v1 ready\n", "{silent:?}");
        Ok(())
    }

    fn denied(&self) -> Result<()> {
        let rules = "- {name: plain, sources: [{type: Unauthenticated}]}\n";
        self.apply(&permissive("Allow"), Some(&permission("Deny", rules)))?;
        self.gets(&self.plain, FORBIDDEN)?;
        self.gets(&self.orders()?, ALL)
    }

    fn denied_with_all(&self) -> Result<()> {
        let rules = "- {name: banner, ports: [banner]}\n";
        self.apply(&permissive("Allow"), Some(&permission("Deny", rules)))?;
        self.gets(&self.plain, (200, true, false))?;
        self.gets(&self.orders()?, (200, true, false))
    }

    fn overrides(&self) -> Result<()> {
        let strict_but = |fields: &str| {
            settings(&format!(
                "{{mtls: {{mode: Strict, overrides: [{{mode: Permissive, {fields}}}]}}}}"
            ))
        };
        for (fields, wanted) in [
            ("port: 7001", (0, false, true)),
            (
                "port: 8080, selector: {matchLabels: {app: payments}}",
                (200, false, false),
            ),
            ("selector: {matchLabels: {app: payments}}", ALL),
            ("selector: {matchLabels: {app: orders}}", NOTHING),
            ("namespace: shop", ALL),
            ("namespace: shop, port: 7000", (0, true, false)),
            ("namespace: elsewhere", NOTHING),
        ] {
            self.apply(&strict_but(fields), None)?;
            self.gets(&self.plain, wanted).with_context(|| fields.to_owned())?;
            self.gets(&self.orders()?, ALL)?;
        }
        let but_strict = "{mtls: {mode: Permissive, overrides: [{mode: Strict, port: 7001}]}}";
        self.apply(&settings(but_strict), None)?;
        self.gets(&self.plain, (200, true, false))
    }

    /// The steps before have made these calls; lines come late.
    fn log(&self) -> Result<()> {
        let log = self.mesh.state().join("logs/shop.payments-1.envoy.log");
        let denied = |rule| (Decided::Denied, Some(rule));
        let allowed = |rule| (Decided::Allowed, Some(rule));
        let expected = [
            (8080, denied("default/Deny/http")),
            (7000, denied("default/Deny/echo")),
            (7001, denied("default/Deny/banner")),
            (7000, allowed("default/Allow/echo")),
            (8080, allowed("TrafficPermission/shop/payments/reads")),
            (7001, allowed("TrafficPermission/shop/payments/banner")),
            (8080, denied("TrafficPermission/shop/payments/plain")),
            (7000, denied("TrafficPermission/shop/payments/plain")),
            (7001, denied("TrafficPermission/shop/payments/banner")),
            // Strict: no rule was asked.
            (7001, (Decided::Denied, None)),
            (8080, (Decided::Denied, None)),
        ];
        self.mesh.await_condition("a line of each kind", WAIT, || {
            let text = std::fs::read(&log)?;
            let lines: Vec<LogLine> = text
                .split(|byte| *byte == b'\n')
                .filter_map(|line| LogLine::parse(line).ok())
                .filter(|line| line.direction == Direction::Inbound && line.caller.is_none())
                .collect();
            for (port, (decided, rule)) in expected {
                let says = |line: &LogLine| {
                    let there = line.destination.is_some_and(|to| to.port() == port);
                    there && line.decided == decided && line.rule.as_deref() == rule
                };
                ensure!(lines.iter().any(says), "none about {port}: {decided:?} by {rule:?}");
            }
            Ok(Some(()))
        })
    }
}

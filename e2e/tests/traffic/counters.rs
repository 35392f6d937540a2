//! What rules decided, on real traffic: known numbers of requests are shown exactly, and what never decided is shown with 0.

#![allow(clippy::indexing_slicing, reason = "helpers of a test")]

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use operator::callers::{CallerRow, Destination, Sums};
use operator::rules::{Effect, RuleReport, RuleRow};
use tulle_e2e::harness::yaml::{account, app, object};
use tulle_e2e::harness::{Mesh, Steps, can_run};

/// Several reports of a proxy.
const WAIT: Duration = Duration::from_secs(30);
/// Envoy looks every five seconds.
const QUIET: Duration = Duration::from_secs(16);

const READ: &str = "TrafficPermission/shop/payments/read";
const WRITE: &str = "TrafficPermission/shop/payments/write";
const ADMIN: &str = "TrafficPermission/shop/no-admin/admin";
const BANNER: &str = "TrafficPermission/shop/banner/listen";
const DEFAULT: &str = "default/Deny/http";
const SHADOW: &str = "TrafficPermission/shop/shadow/all";

#[test]
fn rules_are_counted_exactly_on_real_traffic() -> Result<()> {
    if !can_run() {
        return Ok(());
    }
    let apps = ["orders", "payments", "mallory"].map(app).concat();
    let (allow, deny, tcp, shadow) = (allow(), deny(), banner(), shadow());
    let files = [
        ("apps.yaml", &*apps),
        ("allow.yaml", &allow),
        ("deny.yaml", &deny),
        ("tcp.yaml", &tcp),
        ("shadow.yaml", &shadow),
    ];
    let mesh = Mesh::start("counters", &files)?;
    let mut steps = Steps::default();
    steps.run("every rule is there with 0 before the first request", || {
        nothing_yet(&mesh)
    });
    steps.run("known numbers of requests are shown exactly", || exact(&mesh));
    steps.run("nothing is sent when no rule decided anything", || silence(&mesh));
    steps.run("the command shows the same, and what never decided", || command(&mesh));
    steps.run("the access log tells the same by caller", || callers(&mesh));
    steps.run("sums survive a restart of the proxy", || restarted_proxy(&mesh));
    steps.run("a new control plane counts from 0, exactly", || {
        restarted_control_plane(&mesh)
    });
    steps.finish()
}

fn allow() -> String {
    let (orders, mallory) = (account("orders"), account("mallory"));
    let spec = format!(
        "targetRefs: [{{kind: Service, name: payments, sectionName: http}}]\naction: Allow\nrules:\n- name: read\n  \
         sources: [{orders}, {mallory}]\n  http: [{{method: GET}}]\n- name: write\n  sources: [{orders}]\n  http: [{{method: PUT}}]\n"
    );
    object("TrafficPermission", "payments", &spec)
}

fn deny() -> String {
    let spec = "targetRefs: [{kind: Service, name: payments, sectionName: http}]\naction: Deny\nrules:\n- name: admin\n  \
                http: [{path: {type: PathPrefix, value: /admin}}]\n";
    object("TrafficPermission", "no-admin", spec)
}

/// Would deny everything.
fn shadow() -> String {
    let spec = "targetRefs: [{kind: Service, name: payments, sectionName: http}]\naction: Deny\nmode: Shadow\nrules: [{name: all}]\n";
    object("TrafficPermission", "shadow", spec)
}

fn banner() -> String {
    let spec = format!(
        "targetRefs: [{{kind: Service, name: payments, sectionName: banner}}]\naction: Allow\nrules:\n- name: listen\n  \
         sources: [{}]\n",
        account("orders")
    );
    object("TrafficPermission", "banner", &spec)
}

fn rules(mesh: &Mesh) -> Result<RuleReport> {
    Ok(serde_json::from_value(mesh.ask("/rules")?)?)
}

fn row(report: &RuleReport, rule: &str) -> Result<RuleRow> {
    let found = report
        .items
        .iter()
        .find(|row| row.rule == rule && row.namespace == "shop");
    found
        .cloned()
        .with_context(|| format!("no row of {rule} in {report:?}"))
}

/// Allowed and denied of a rule.
fn figures(report: &RuleReport, rule: &str) -> Result<(u64, u64)> {
    row(report, rule).map(|row| (row.allowed, row.denied))
}

fn nothing_yet(mesh: &Mesh) -> Result<()> {
    let report = rules(mesh)?;
    for (rule, effect) in [
        (READ, Effect::Allow),
        (WRITE, Effect::Allow),
        (ADMIN, Effect::Deny),
        (SHADOW, Effect::ShadowDeny),
    ] {
        let row = row(&report, rule)?;
        ensure!(
            row.never() && row.effect == Some(effect) && row.concerned == 1,
            "{row:?}"
        );
    }
    let tcp = row(&report, BANNER)?;
    ensure!(
        !tcp.counted && !tcp.never(),
        "Envoy does not count connections: {tcp:?}"
    );
    Ok(())
}

fn exact(mesh: &Mesh) -> Result<()> {
    let (orders, mallory) = (mesh.workload("shop/orders-1")?, mesh.workload("shop/mallory-1")?);
    // An acknowledgement means that Envoy's main thread has it; workers follow within a moment.
    for refused in [
        &["http://payments/charges", "-X", "POST"][..],
        &["http://payments/admin/x"],
    ] {
        // Each connection may be another worker's.
        let fresh = [refused, &["--fresh", "-n", "20"]].concat();
        mesh.await_condition("the rules hold", WAIT, || {
            Ok(mallory.call(&fresh)?.all(403).then_some(()))
        })?;
    }
    let before = settled(mesh)?;
    ensure!(orders.call(&["http://payments/charges", "-n", "40"])?.all(200));
    ensure!(mallory.call(&["http://payments/charges", "-n", "7"])?.all(200));
    ensure!(orders.call(&["http://payments/admin/x", "-n", "11"])?.all(403));
    ensure!(
        mallory
            .call(&["http://payments/charges", "-X", "POST", "-n", "13"])?
            .all(403)
    );
    let expected = [(READ, (47, 0)), (WRITE, (0, 0)), (ADMIN, (0, 11)), (DEFAULT, (0, 13))];
    let grown = |now: &RuleReport, rule: &str| {
        let ((allowed, denied), (a, d)) = (figures(now, rule)?, figures(&before, rule)?);
        anyhow::Ok((allowed - a, denied - d))
    };
    mesh.await_condition("the figures arrive", WAIT, || {
        let now = rules(mesh)?;
        let figures = expected.map(|(rule, _)| grown(&now, rule).unwrap_or_default());
        ensure!(figures == expected.map(|(_, figures)| figures), "{figures:?}");
        Ok(Some(()))
    })?;
    // And stay: nothing is counted twice.
    let now = settled(mesh)?;
    for (rule, figures) in expected {
        ensure!(grown(&now, rule)? == figures, "{rule}: {:?}", grown(&now, rule)?);
    }
    // The candidate refuses all 71, each under one name, and the smallest one where several would.
    for (rule, would_deny) in [(SHADOW, 60), (ADMIN, 11), (READ, 0), (DEFAULT, 0)] {
        let grown = row(&now, rule)?.shadow_denied - row(&before, rule)?.shadow_denied;
        ensure!(grown == would_deny, "{rule} would deny {grown}");
    }
    ensure!(figures(&now, SHADOW)? == (0, 0), "a shadow decides nothing");
    let read = row(&now, READ)?;
    ensure!(
        read.proxies.len() == 1 && read.proxies[0].proxy == "shop/payments-1",
        "{read:?}"
    );
    ensure!(now.unknown == 0, "reports of nobody's rules: {now:?}");
    Ok(())
}

/// The report once it has not changed for longer than proxies wait with theirs.
fn settled(mesh: &Mesh) -> Result<RuleReport> {
    let mut last = rules(mesh)?;
    let mut since = Instant::now();
    while since.elapsed() < QUIET {
        std::thread::sleep(Duration::from_millis(500));
        let now = rules(mesh)?;
        if now != last {
            (last, since) = (now, Instant::now());
        }
    }
    Ok(last)
}

/// Promise 4: when nothing changes nothing is sent.
fn silence(mesh: &Mesh) -> Result<()> {
    let envoy = mesh.envoy("shop/payments-1")?;
    let sent = || envoy.stats("^cluster.reports.upstream_(rq_total|cx_total|cx_tx_bytes_total)$");
    let before = sent()?;
    ensure!(before["cluster.reports.upstream_rq_total"] > 0, "{before:?}");
    std::thread::sleep(QUIET);
    let after = sent()?;
    ensure!(
        after["cluster.reports.upstream_rq_total"] == before["cluster.reports.upstream_rq_total"],
        "{before:?} {after:?}"
    );
    // Who decides nothing never reports: not even a connection is made.
    let idle = mesh
        .envoy("shop/mallory-1")?
        .stats("^cluster.reports.upstream_(rq|cx)_total$")?;
    ensure!(idle.len() == 2 && idle.values().all(|value| *value == 0), "{idle:?}");
    Ok(())
}

fn command(mesh: &Mesh) -> Result<()> {
    let get = |arguments: &[&str]| -> Result<String> {
        let output = std::process::Command::new(tulle_e2e::harness::tulle()?)
            .args(["get", "rules", "-n", "shop", "--state"])
            .arg(mesh.state())
            .args(arguments)
            .output()?;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Ok(String::from_utf8(output.stdout)?)
    };
    let table = get(&[])?;
    ensure!(
        table.starts_with("RULE") && table.contains(WRITE) && table.contains(READ),
        "{table}"
    );
    let never = get(&["--never", "-o", "name"])?;
    ensure!(never.lines().collect::<Vec<_>>() == [WRITE], "{never}");
    let json: RuleReport = serde_json::from_str(&get(&["-o", "json"])?)?;
    ensure!(figures(&json, ADMIN)?.1 >= 11);
    Ok(())
}

/// The proxy's log holds its own words as well.
fn callers(mesh: &Mesh) -> Result<()> {
    let log = mesh.state().join("logs/shop.payments-1.envoy.log");
    let expected = [
        ("orders", READ, (40, 0, 40)),
        ("mallory", READ, (7, 0, 7)),
        ("orders", ADMIN, (0, 11, 11)),
    ];
    mesh.await_condition("the log is written", WAIT, || {
        let mut sums = Sums::new(Destination::Announced);
        sums.read(std::io::BufReader::new(std::fs::File::open(&log)?))?;
        let report = sums.report();
        for (caller, rule, figures) in expected {
            let caller = format!("spiffe://tulle.local/ns/shop/sa/{caller}");
            let of =
                |row: &&CallerRow| row.caller == caller && row.rule == rule && row.destination == "shop/payments:80";
            let row = report.items.iter().find(of);
            let row = row.with_context(|| format!("no {caller} under {rule} in {report:?}"))?;
            ensure!((row.allowed, row.denied, row.would_deny) == figures, "{row:?}");
        }
        Ok(Some(()))
    })
}

fn restarted_proxy(mesh: &Mesh) -> Result<()> {
    let before = settled(mesh)?;
    let envoy = mesh.envoy("shop/payments-1")?;
    let age = || envoy.sum("^server.uptime$");
    let old = age()?;
    envoy.quit()?;
    mesh.await_condition("the proxy is back", WAIT, || Ok((age()? < old).then_some(())))?;
    mesh.settled()?;
    let orders = mesh.workload("shop/orders-1")?;
    mesh.await_condition("it serves", WAIT, || {
        Ok(orders
            .call(&["http://payments/charges", "-X", "PUT"])?
            .all(200)
            .then_some(()))
    })?;
    mesh.await_condition("its sums go on", WAIT, || {
        let now = rules(mesh)?;
        Ok((figures(&now, WRITE)?.0 > 0).then_some(()))
    })?;
    ensure!(figures(&rules(mesh)?, READ)? == figures(&before, READ)?);
    Ok(())
}

/// Sums begin with the control plane, and say since when.
fn restarted_control_plane(mesh: &Mesh) -> Result<()> {
    // A late report about requests of before would be counted by the new one.
    let before = settled(mesh)?;
    mesh.kill_control_plane()?;
    mesh.settled()?;
    let fresh = settled(mesh)?;
    ensure!(fresh.since > before.since, "{} {}", fresh.since, before.since);
    ensure!(fresh.items.iter().all(|row| row.matched() == 0), "{fresh:?}");
    let orders = mesh.workload("shop/orders-1")?;
    ensure!(orders.call(&["http://payments/charges", "-n", "9"])?.all(200));
    mesh.await_condition("the figures arrive", WAIT, || {
        let now = figures(&rules(mesh)?, READ)?;
        ensure!(now == (9, 0), "{now:?}");
        Ok(Some(()))
    })
}

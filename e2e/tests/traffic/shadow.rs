//! Shadow permissions, gRPC rules and the denial header on real traffic: what is reported is what would have been, exactly, and
//! nobody notices.

#![allow(clippy::indexing_slicing, reason = "helpers of a test")]

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Result, ensure};
use jiff::Timestamp;
use serde_json::Value;
use tulle_e2e::harness::yaml::{account, app, mesh as settings, object};
use tulle_e2e::harness::{Mesh, Namespace, Steps, can_run};
use tulle_e2e::probe::CallSummary;

/// Envoy writes its log every so often; a change reaches its workers within a moment.
const WAIT: Duration = Duration::from_mins(1);
/// Requests of the one and of the other caller.
const REQUESTS: [(&str, usize); 2] = [("orders", 400), ("frontend", 250)];
/// Everything that tells whether a listener was touched.
const LISTENERS: &str = r"^listener_manager\.listener_(added|modified|in_place_updated|removed|create_success)$";

#[test]
fn shadows_report_exactly_and_deny_nobody() -> Result<()> {
    if !can_run() {
        return Ok(());
    }
    let apps = ["orders", "frontend", "payments"].map(app).concat();
    let mesh = Mesh::start("shadow", &[("apps.yaml", &apps)])?;
    let mut steps = Steps::default();
    let before = mesh.envoy("shop/payments-1")?.stats(LISTENERS)?;
    steps.run(
        "a shadowed Deny of everyone reports every request, and denies none",
        || deny_all(&mesh),
    );
    steps.run("a shadowed Allow of one caller reports the other", || allow_one(&mesh));
    steps.run("a shadow beside what is enforced, and headers that occur twice", || {
        beside_enforced(&mesh)
    });
    steps.run("a TCP port reports connections", || tcp(&mesh));
    steps.run("a 403 names its cause where the Mesh asks for it", || header(&mesh));
    steps.run("one gRPC method is allowed", || grpc(&mesh));
    steps.run("no listener was touched by all this", || {
        let after = mesh.envoy("shop/payments-1")?.stats(LISTENERS)?;
        ensure!(before == after && before.len() > 3, "{before:?} became {after:?}");
        Ok(())
    });
    steps.run("plaintext callers of a TCP port are reported", || plaintext(&mesh));
    steps.finish()
}

fn permission(mesh: &Mesh, name: &str, spec: &str) -> Result<()> {
    mesh.apply(&format!("{name}.yaml"), &object("TrafficPermission", name, spec))?;
    Ok(())
}

/// The lines of the proxy of payments of which the test holds, counted by caller, `shadow_denied_by` and `shadow_allowed_by`.
fn reported(mesh: &Mesh, of: impl Fn(&Value) -> bool) -> Result<BTreeMap<[String; 3], usize>> {
    let text = std::fs::read_to_string(mesh.state().join("logs/shop.payments-1.envoy.log"))?;
    let lines = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let mut counts = BTreeMap::new();
    for line in lines.filter(|line| line["direction"] == "inbound" && of(line)) {
        let field = |name: &str| line[name].as_str().unwrap_or("-").to_owned();
        let caller = field("peer").rsplit('/').next().unwrap_or_default().to_owned();
        let key = [caller, field("shadow_denied_by"), field("shadow_allowed_by")];
        *counts.entry(key).or_default() += 1;
    }
    Ok(counts)
}

fn expect(mesh: &Mesh, of: impl Fn(&Value) -> bool, wanted: &[(&str, &str, &str, usize)]) -> Result<()> {
    let wanted: BTreeMap<_, _> = wanted
        .iter()
        .map(|(caller, denied, allowed, count)| ([*caller, *denied, *allowed].map(str::to_owned), *count))
        .collect();
    let total: usize = wanted.values().sum();
    let counts = mesh.await_condition(&format!("{total} lines of the log"), WAIT, || {
        let counts = reported(mesh, &of)?;
        Ok((counts.values().sum::<usize>() >= total).then_some(counts))
    })?;
    ensure!(counts == wanted, "reported {counts:?} instead of {wanted:?}");
    Ok(())
}

fn at(path: &str) -> impl Fn(&Value) -> bool {
    move |line| line["path"].as_str() == Some(path)
}

/// Both callers at once, as many requests as they have.
fn both(mesh: &Mesh, path: &str) -> Result<()> {
    let callers: Vec<(Namespace, usize)> = REQUESTS
        .into_iter()
        .map(|(name, count)| Ok((mesh.workload(&format!("shop/{name}-1"))?, count)))
        .collect::<Result<_>>()?;
    let url = format!("http://payments{path}");
    let answers: Vec<Result<CallSummary>> = std::thread::scope(|scope| {
        let running: Vec<_> = callers
            .iter()
            .map(|(from, count)| {
                let (url, count) = (&url, count.to_string());
                scope.spawn(move || from.call(&[url, "-n", &count]))
            })
            .collect();
        running
            .into_iter()
            .map(|one| one.join().unwrap_or_else(|_| Err(anyhow::anyhow!("a caller panicked"))))
            .collect()
    });
    for (answered, (_, count)) in answers.into_iter().zip(&callers) {
        let answered = answered?;
        ensure!(answered.all(200) && answered.outcomes.len() == *count, "{answered:?}");
    }
    Ok(())
}

/// The counter of one rule at payments.
fn counter(mesh: &Mesh, rule: &str, what: &str) -> Result<u64> {
    mesh.envoy("shop/payments-1")?
        .sum(&format!(r"rbac\.policy\.{rule}\.{what}$"))
}

/// Until every worker has the shadow: its counter moves.
fn await_counted(mesh: &Mesh, rule: &str, what: &str) -> Result<()> {
    let frontend = mesh.workload("shop/frontend-1")?;
    mesh.await_condition(&format!("{rule} is counted"), WAIT, || {
        let before = counter(mesh, rule, what)?;
        ensure!(
            frontend
                .call(&["http://payments/probe", "-n", "20", "--fresh"])?
                .all(200)
        );
        Ok((counter(mesh, rule, what)? == before + 20).then_some(()))
    })
}

fn deny_all(mesh: &Mesh) -> Result<()> {
    permission(
        mesh,
        "all",
        "targetRefs: [{kind: Service, name: payments}]\naction: Deny\nmode: Shadow\nrules: [{name: everyone}]",
    )?;
    let rule = "TrafficPermission/shop/all/everyone";
    await_counted(mesh, rule, "shadow_denied")?;
    let before = counter(mesh, rule, "shadow_denied")?;
    both(mesh, "/all")?;
    let [orders, frontend] = REQUESTS;
    let wanted = [(orders.0, rule, "-", orders.1), (frontend.0, rule, "-", frontend.1)];
    expect(mesh, at("/all"), &wanted)?;
    let counted = counter(mesh, rule, "shadow_denied")? - before;
    ensure!(counted == (orders.1 + frontend.1) as u64, "counted {counted}");
    mesh.remove("all.yaml")?;
    Ok(())
}

fn allow_one(mesh: &Mesh) -> Result<()> {
    let spec = format!(
        "targetRefs: [{{kind: Service, name: payments, sectionName: http}}]\naction: Allow\nmode: Shadow\nrules: [{{name: orders, sources: [{}]}}]",
        account("orders")
    );
    permission(mesh, "one", &spec)?;
    await_counted(mesh, "default/Deny/http", "shadow_denied")?;
    both(mesh, "/one")?;
    let [orders, frontend] = REQUESTS;
    let wanted = [
        (orders.0, "-", "TrafficPermission/shop/one/orders", orders.1),
        (frontend.0, "default/Deny/http", "-", frontend.1),
    ];
    expect(mesh, at("/one"), &wanted)?;
    mesh.remove("one.yaml")?;
    Ok(())
}

fn beside_enforced(mesh: &Mesh) -> Result<()> {
    let target = "targetRefs: [{kind: Service, name: payments}]\naction: Deny";
    permission(
        mesh,
        "enforced",
        &format!("{target}\nrules: [{{name: closed, http: [{{path: {{value: /closed}}}}]}}]"),
    )?;
    permission(
        mesh,
        "roles",
        &format!("{target}\nmode: Shadow\nrules: [{{name: role, http: [{{headers: [{{name: x-role, value: b}}]}}]}}]"),
    )?;
    await_counted(mesh, "default/Allow/http", "shadow_allowed")?;
    let orders = mesh.workload("shop/orders-1")?;
    let call = |path: &str, headers: &[&str], status: u16| -> Result<()> {
        let url = format!("http://payments{path}");
        let answered = orders.call(&[&[url.as_str(), "-n", "7"][..], headers].concat())?;
        ensure!(answered.all(status), "{path}: {answered:?}");
        Ok(())
    };
    call("/closed", &["-H", "x-role: b"], 403)?;
    call("/role/twice", &["-H", "x-role: a", "-H", "x-role: b"], 200)?;
    call("/role/list", &["-H", "x-role: a, b"], 200)?;
    call("/role/other", &["-H", "x-role: bb"], 200)?;
    let (closed, role) = (
        "TrafficPermission/shop/enforced/closed",
        "TrafficPermission/shop/roles/role",
    );
    expect(mesh, at("/closed"), &[("orders", closed, "-", 7)])?;
    expect(mesh, at("/role/twice"), &[("orders", role, "-", 7)])?;
    expect(mesh, at("/role/list"), &[("orders", role, "-", 7)])?;
    expect(mesh, at("/role/other"), &[("orders", "-", "default/Allow/http", 7)])?;
    mesh.remove("roles.yaml")?;
    mesh.remove("enforced.yaml")?;
    Ok(())
}

fn echo(from: &Namespace) -> Result<()> {
    let echoed = from.tcp(&["payments:70", "--send", "hello", "--enough", "5"])?;
    ensure!(echoed.text == "hello", "{echoed:?}");
    Ok(())
}

fn tcp(mesh: &Mesh) -> Result<()> {
    let spec = format!(
        "targetRefs: [{{kind: Service, name: payments, sectionName: echo}}]\naction: Deny\nmode: Shadow\nrules: [{{name: orders, sources: [{}]}}]",
        account("orders")
    );
    permission(mesh, "connections", &spec)?;
    let (orders, frontend) = (mesh.workload("shop/orders-1")?, mesh.workload("shop/frontend-1")?);
    // Until every worker has the shadow: each connection moves its counters.
    let envoy = mesh.envoy("shop/payments-1")?;
    let counted = || envoy.sum(r"^shadow\.rbac\..*shadow_allowed$");
    mesh.await_condition("connections are counted", WAIT, || {
        let before = counted()?;
        (0..10).try_for_each(|_| echo(&frontend))?;
        let now = counted()?;
        ensure!(now >= before + 10, "10 connections: {before} became {now}");
        Ok(Some(()))
    })?;
    let start = Timestamp::now();
    for _ in 0..5 {
        echo(&orders)?;
    }
    for _ in 0..3 {
        echo(&frontend)?;
    }
    let rule = "TrafficPermission/shop/connections/orders";
    let wanted = [("frontend", "-", "default/Allow/echo", 3), ("orders", rule, "-", 5)];
    let echoes = |line: &Value| {
        let later = line["time"].as_str().and_then(|time| time.parse::<Timestamp>().ok());
        let here = line["listener"].as_str().is_some_and(|name| name.ends_with("/7000"));
        // Envoy writes whole milliseconds.
        here && later.is_some_and(|time| time.as_millisecond() >= start.as_millisecond())
    };
    expect(mesh, echoes, &wanted)?;
    mesh.remove("connections.yaml")?;
    Ok(())
}

/// What the answers name as the cause: one word, or an error if they differ.
fn cause(answered: &CallSummary) -> String {
    let header = |headers: &BTreeMap<String, String>| headers.get("x-tulle-denied-by").cloned();
    let mut causes: Vec<_> = answered
        .outcomes
        .iter()
        .map(|one| header(&one.headers).unwrap_or_else(|| "-".to_owned()))
        .collect();
    causes.sort();
    causes.dedup();
    causes.join(" ")
}

fn header(mesh: &Mesh) -> Result<()> {
    let spec = format!(
        "targetRefs: [{{kind: Service, name: payments}}]\naction: Allow\nrules: [{{name: orders, sources: [{}]}}]",
        account("orders")
    );
    permission(mesh, "some", &spec)?;
    permission(
        mesh,
        "closed",
        "targetRefs: [{kind: Service, name: payments}]\naction: Deny\nrules: [{name: path, http: [{path: {value: /closed}}]}]",
    )?;
    let fault = "targetRefs: [{kind: Service, name: payments}]\nuntil: never\nfaults:\n- {name: teapot, percent: '100', match: {http: [{path: \
                 {value: /fault}}]}, abort: {httpStatus: 403}}";
    mesh.apply("fault.yaml", &object("FaultInjection", "teapot", fault))?;
    let (orders, frontend) = (mesh.workload("shop/orders-1")?, mesh.workload("shop/frontend-1")?);
    let is = |from: &Namespace, url: &str, more: &[&str], status: u16, wanted: &str| -> Result<()> {
        mesh.await_condition(&format!("{url} is answered {status} by {wanted}"), WAIT, || {
            let answered = from.call(&[&[url, "-n", "10"][..], more].concat())?;
            let right = answered.all(status) && cause(&answered) == wanted;
            ensure!(right, "{:?} by {}", answered.statuses, cause(&answered));
            Ok(Some(()))
        })
    };
    let grpc = ["--grpc", "-d", "x"];
    let (closed, path) = ("http://payments/closed", "TrafficPermission/shop/closed/path");
    let call = "http://payments:90/shop.Payments/Charge";
    is(&orders, closed, &[], 403, "-")?;
    mesh.apply("mesh.yaml", &settings("{observability: {denialHeader: true}}"))?;
    is(&orders, closed, &[], 403, path)?;
    is(&frontend, "http://payments/open", &[], 403, "default/Deny/http")?;
    is(&orders, "http://payments/open", &[], 200, "-")?;
    is(&orders, "http://payments/fault", &[], 403, "-")?;
    is(&orders, "http://payments/a%2fb", &[], 400, "-")?;
    is(&frontend, call, &grpc, 200, "default/Deny/grpc")?;
    is(&orders, call, &grpc, 200, "-")?;
    mesh.apply("mesh.yaml", &settings("{observability: {denialHeader: false}}"))?;
    is(&orders, closed, &[], 403, "-")?;
    is(&frontend, "http://payments/open", &[], 403, "-")?;
    for file in ["mesh.yaml", "fault.yaml", "closed.yaml", "some.yaml"] {
        mesh.remove(file)?;
    }
    Ok(())
}

fn grpc(mesh: &Mesh) -> Result<()> {
    let spec = format!(
        "targetRefs: [{{kind: Service, name: payments, sectionName: grpc}}]\naction: Allow\nrules:\n- name: charge\n  sources: [{}]\n  \
         grpc: [{{method: {{service: shop.Payments, method: Charge}}}}]\n- name: any-get\n  sources: [{}]\n  grpc: [{{method: {{method: Get}}}}]",
        account("orders"),
        account("orders"),
    );
    permission(mesh, "calls", &spec)?;
    let (orders, frontend) = (mesh.workload("shop/orders-1")?, mesh.workload("shop/frontend-1")?);
    let is = |from: &Namespace, method: &str, status: u16| {
        let url = format!("http://payments:90/{method}");
        mesh.await_condition(&format!("{method} is answered {status}"), WAIT, || {
            let answered = from.call(&[&url, "--grpc", "-d", "x", "-n", "10"])?;
            let right = |status: u16| answered.outcomes.iter().all(|one| one.grpc_status == Some(status));
            Ok(right(status).then_some(()))
        })
    };
    is(&orders, "shop.Payments/Refund", 7)?;
    is(&orders, "shop.Payments/Charge", 0)?;
    is(&orders, "shop.Payments/Chargeback", 7)?;
    is(&orders, "shop.Other/Charge", 7)?;
    is(&orders, "shop.Other/Get", 0)?;
    is(&orders, "shop.Other/Forget", 7)?;
    is(&frontend, "shop.Payments/Charge", 7)?;
    mesh.remove("calls.yaml")?;
    Ok(())
}

fn plaintext(mesh: &Mesh) -> Result<()> {
    mesh.apply("mesh.yaml", &settings("{mtls: {mode: Permissive}}"))?;
    let spec = format!(
        "targetRefs: [{{kind: Service, name: payments, sectionName: echo}}]\naction: Allow\nmode: Shadow\nrules: [{{name: orders, sources: [{}]}}]",
        account("orders")
    );
    permission(mesh, "named", &spec)?;
    let (outside, payments) = (mesh.outside("plain")?, mesh.workload("shop/payments-1")?);
    let address = format!("{}:7000", payments.address);
    let connect = || outside.tcp(&[&address, "--send", "hello", "--enough", "5"]);
    mesh.await_condition("plaintext is let in", WAIT, || {
        Ok((connect()?.text == "hello").then_some(()))
    })?;
    let start = Timestamp::now();
    let connections = 4;
    for _ in 0..connections {
        let echoed = connect()?;
        ensure!(echoed.text == "hello", "{echoed:?}");
    }
    let from = outside.address.to_string();
    let plain = |line: &Value| {
        let text = |name: &str| line[name].as_str().unwrap_or_default().to_owned();
        let later = text("time").parse::<Timestamp>();
        let later = later.is_ok_and(|time| time.as_millisecond() >= start.as_millisecond());
        later && text("chain") == "plain" && text("downstream").starts_with(&from)
    };
    expect(mesh, plain, &[("-", "default/Deny/echo", "-", connections)])
}

//! Where requests go, on real traffic: a weighted split, matches, timeouts, answers of the mesh itself, self-calls.

#![allow(clippy::indexing_slicing, reason = "helpers of a test")]

use std::time::Duration;

use anyhow::{Result, ensure};
use tulle_e2e::harness::yaml::{app, object, service, workload};
use tulle_e2e::harness::{Mesh, Namespace, Steps, can_run};

const WAIT: Duration = Duration::from_secs(10);

#[test]
fn routes_and_self_calls_on_real_traffic() -> Result<()> {
    if !can_run() {
        return Ok(());
    }
    let apps = [
        app("orders"),
        service("payments", "app: payments"),
        service("payments-v1", "app: payments, version: v1"),
        service("payments-v2", "app: payments, version: v2"),
        workload("payments-v1-1", "payments", "v1"),
        workload("payments-v2-1", "payments", "v2"),
    ];
    let mesh = Mesh::start("routes", &[("apps.yaml", &apps.concat())])?;
    let mut steps = Steps::default();
    steps.run("a 90/10 split is one over 10,000 requests", || split(&mesh));
    steps.run("the most specific match wins and headers are edited", || matches(&mesh));
    steps.run("what no rule matches is answered 404", || unmatched(&mesh));
    steps.run("a timeout ends a slow request", || timeout(&mesh));
    steps.run("a workload calls its own Service and address, alone", || {
        own_service(&mesh, 1)
    });
    steps.run("every other workload calls its own Service and address", || {
        others(&mesh)
    });
    steps.run("an outside host on one of its own application ports is reached", || {
        outside(&mesh)
    });
    steps.run("three replicas call their own Service and addresses", || {
        replicas(&mesh)
    });
    steps.finish()
}

fn split(mesh: &Mesh) -> Result<()> {
    let spec = "
parentRefs: [{kind: Service, name: payments, port: 80}]
rules:
- name: canary
  backendRefs:
  - {name: payments-v1, port: 80, weight: 90}
  - {name: payments-v2, port: 80, weight: 10}
";
    mesh.apply("route.yaml", &object("TrafficRoute", "payments", spec))?;
    let orders = mesh.workload("shop/orders-1")?;
    let answered = orders.call(&["http://payments/", "-n", "10000", "-c", "8"])?;
    ensure!(answered.all(200), "{:?} {:?}", answered.statuses, answered.errors);
    // The standard deviation of 10,000 draws at 10 % is 30.
    let canary = answered.version("v2");
    ensure!(
        (1000 - 150..=1000 + 150).contains(&canary),
        "v2 answered {canary} of 10,000"
    );
    Ok(())
}

fn matches(mesh: &Mesh) -> Result<()> {
    let spec = r#"
parentRefs: [{kind: Service, name: payments, port: 80}]
rules:
- name: testers
  matches: [{headers: [{name: x-canary, value: "yes"}]}]
  filters:
  - type: RequestHeaderModifier
    requestHeaderModifier: {set: [{name: x-routed, value: testers}], remove: [x-secret]}
  backendRefs: [{name: payments-v2, port: 80}]
- name: charges
  matches: [{path: {type: PathPrefix, value: /charges}, method: GET}]
  backendRefs: [{name: payments-v1, port: 80}]
"#;
    mesh.apply("route.yaml", &object("TrafficRoute", "payments", spec))?;
    let orders = mesh.workload("shop/orders-1")?;
    await_status(mesh, &orders, &["http://payments/none-of-these"], 404)?;
    let canary = orders.call(&[
        "http://payments/x",
        "-H",
        "x-canary: yes",
        "-H",
        "x-secret: 1",
        "-n",
        "20",
    ])?;
    ensure!(canary.all(200) && canary.version("v2") == 20, "{canary:?}");
    let headers = canary.outcomes[0]
        .body
        .as_ref()
        .map(|body| body["headers"].clone())
        .unwrap_or_default();
    ensure!(
        headers["x-routed"] == "testers" && headers.get("x-secret").is_none(),
        "{headers}"
    );
    let charges = orders.call(&["http://payments/charges/1", "-n", "20"])?;
    ensure!(charges.all(200) && charges.version("v1") == 20, "{charges:?}");
    Ok(())
}

fn unmatched(mesh: &Mesh) -> Result<()> {
    let orders = mesh.workload("shop/orders-1")?;
    ensure!(orders.call(&["http://payments/other", "-n", "10"])?.all(404));
    ensure!(
        orders
            .call(&["http://payments/charges", "-X", "POST", "-n", "10"])?
            .all(404)
    );
    Ok(())
}

fn timeout(mesh: &Mesh) -> Result<()> {
    let spec = "
parentRefs: [{kind: Service, name: payments, port: 80}]
rules:
- name: all
  backendRefs: [{name: payments-v1, port: 80}]
  timeouts: {request: 200ms}
";
    mesh.apply("route.yaml", &object("TrafficRoute", "payments", spec))?;
    let orders = mesh.workload("shop/orders-1")?;
    await_status(mesh, &orders, &["http://payments/delay/3000"], 504)?;
    ensure!(orders.call(&["http://payments/", "-n", "20"])?.all(200));
    mesh.remove("route.yaml")?;
    await_status(mesh, &orders, &["http://payments/delay/300"], 200)
}

/// Each of orders' replicas calls the Service and its own address.
fn own_service(mesh: &Mesh, replicas: usize) -> Result<()> {
    for replica in 1..=replicas {
        let orders = mesh.workload(&format!("shop/orders-{replica}"))?;
        let answered = orders.call(&["http://orders/", "-n", "100"])?;
        ensure!(
            answered.all(200),
            "replica {replica} of {replicas}: {:?} {:?}",
            answered.statuses,
            answered.errors
        );
        let fresh = orders.call(&["http://orders/", "-n", "100", "--fresh"])?;
        ensure!(
            fresh.all(200),
            "replica {replica} of {replicas}: {:?} {:?}",
            fresh.statuses,
            fresh.errors
        );
        let own = format!("http://{}:8080/", orders.address);
        let answered = orders.call(&[&own, "-n", "100"])?;
        ensure!(
            answered.all(200),
            "replica {replica}, own address: {:?} {:?}",
            answered.statuses,
            answered.errors
        );
        let echoed = orders.tcp(&["orders:70", "--send", "ping", "--enough", "4"])?;
        ensure!(echoed.text == "ping", "replica {replica}: {echoed:?}");
        let local = orders.call(&["http://127.0.0.1:8080/", "-n", "10"])?;
        ensure!(local.all(200), "replica {replica}, loopback: {local:?}");
    }
    Ok(())
}

fn others(mesh: &Mesh) -> Result<()> {
    for version in ["v1", "v2"] {
        let payments = mesh.workload(&format!("shop/payments-{version}-1"))?;
        for url in [
            format!("http://payments-{version}/"),
            format!("http://{}:8080/", payments.address),
        ] {
            let answered = payments.call(&[&url, "-n", "100"])?;
            ensure!(
                answered.all(200),
                "{url}: {:?} {:?}",
                answered.statuses,
                answered.errors
            );
        }
    }
    Ok(())
}

fn outside(mesh: &Mesh) -> Result<()> {
    let (outside, orders) = (mesh.outside("elsewhere")?, mesh.workload("shop/orders-1")?);
    let mut server = outside
        .tool(&["app", "--name", "elsewhere", "--http", "8080"])?
        .spawn()?;
    let url = format!("http://{}:8080/", outside.address);
    let answered = mesh.await_condition("the outside host answers", WAIT, || {
        let answered = orders.call(&[&url, "-n", "20"])?;
        Ok(answered.all(200).then_some(answered))
    });
    server.kill()?;
    server.wait()?;
    let apps: Vec<_> = answered?.outcomes.into_iter().map(|outcome| outcome.app).collect();
    ensure!(
        apps.iter().all(|app| app.as_deref() == Some("elsewhere")),
        "answered by {apps:?}"
    );
    Ok(())
}

fn replicas(mesh: &Mesh) -> Result<()> {
    let more = workload("orders-2", "orders", "v1") + &workload("orders-3", "orders", "v1");
    mesh.apply("replicas.yaml", &more)?;
    let orders = mesh.workload("shop/orders-1")?;
    mesh.await_condition("all replicas answer", WAIT, || {
        let answered = orders.call(&["http://orders/", "-n", "60"])?;
        let processes: std::collections::BTreeSet<String> = answered
            .outcomes
            .iter()
            .filter_map(|o| Some(o.body.as_ref()?["pid"].to_string()))
            .collect();
        Ok((answered.all(200) && processes.len() == 3).then_some(()))
    })?;
    own_service(mesh, 3)
}

/// An acknowledgement means that Envoy's main thread has it; its workers follow within a moment.
fn await_status(mesh: &Mesh, from: &Namespace, arguments: &[&str], status: u16) -> Result<()> {
    mesh.await_condition(&format!("{arguments:?} is answered {status}"), WAIT, || {
        Ok(from.call(arguments)?.all(status).then_some(()))
    })
}

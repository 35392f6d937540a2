//! Limits and faults on real traffic: per caller, and only for the callers that they name.

#![allow(clippy::indexing_slicing, reason = "helpers of a test")]

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use tulle_e2e::harness::yaml::{account, app, object};
use tulle_e2e::harness::{Mesh, Steps, can_run};
use tulle_e2e::probe::CallSummary;

const WAIT: Duration = Duration::from_secs(10);

#[test]
fn limits_and_faults_on_real_traffic() -> Result<()> {
    if !can_run() {
        return Ok(());
    }
    let apps = ["orders", "frontend", "ratings"].map(app).concat();
    let mesh = Mesh::start("limits", &[("apps.yaml", &apps)])?;
    let mut steps = Steps::default();
    steps.run("each caller has ten requests a second of its own", || limit(&mesh));
    steps.run("an edit of another policy refills no bucket", || bucket_kept(&mesh));
    steps.run("an abort of all requests is seen by the matched caller only", || {
        abort(&mesh)
    });
    steps.run("a delay is seen by the matched caller only", || delay(&mesh));
    steps.run("a fault ends at its time", || until(&mesh));
    steps.finish()
}

/// A delay of 300 ms as a caller sees it at the least: Envoy's timers start at the time at which its loop last woke up.
const SLOW: f64 = 290.0;

/// Answers that a bucket of ten, refilled at ten a second, may have let through.
fn check_limit(answered: &CallSummary, seconds: f64) -> Result<()> {
    let (passed, refused) = (answered.status(200), answered.status(429));
    ensure!(
        passed + refused == answered.outcomes.len(),
        "{:?} {:?}",
        answered.statuses,
        answered.errors
    );
    #[expect(clippy::cast_precision_loss, reason = "a few hundred requests")]
    let most = (passed as f64) <= 10.0 + 10.0 * seconds + 1.0;
    ensure!(
        passed >= 10 && most,
        "{passed} of {} requests passed within {seconds} s",
        answered.outcomes.len()
    );
    for outcome in answered.outcomes.iter().filter(|outcome| outcome.status == Some(429)) {
        ensure!(outcome.headers.contains_key("retry-after"), "{outcome:?}");
    }
    Ok(())
}

fn limit(mesh: &Mesh) -> Result<()> {
    let spec = "
targetRefs: [{kind: Service, name: ratings}]
limits:
- name: per-caller
  key: [{type: SourceIdentity}]
  rate: {requests: 10, unit: Second}
";
    mesh.apply("limit.yaml", &object("RateLimit", "ratings", spec))?;
    let (frontend, orders) = (mesh.workload("shop/frontend-1")?, mesh.workload("shop/orders-1")?);
    mesh.await_condition("the limit bites", WAIT, || {
        Ok((frontend.call(&["http://ratings/", "-n", "40"])?.status(429) > 0).then_some(()))
    })?;
    // The other caller's bucket is full, however empty the first one's is.
    let start = Instant::now();
    let answered = orders.call(&["http://ratings/", "-n", "200"])?;
    check_limit(&answered, start.elapsed().as_secs_f64())?;
    let emptied = frontend.call(&["http://ratings/", "-n", "40"])?;
    ensure!(emptied.status(429) > 0, "{:?}", emptied.statuses);
    Ok(())
}

fn bucket_kept(mesh: &Mesh) -> Result<()> {
    // One request a minute: a refilled bucket would show at once.
    let spec = "
targetRefs: [{kind: Service, name: ratings}]
limits:
- {name: slow, rate: {requests: 3, unit: Minute}}
";
    mesh.apply("limit.yaml", &object("RateLimit", "ratings", spec))?;
    let frontend = mesh.workload("shop/frontend-1")?;
    mesh.await_condition("the limit bites", WAIT, || {
        Ok(frontend.call(&["http://ratings/", "-n", "10"])?.all(429).then_some(()))
    })?;
    let permission = format!(
        "targetRefs: [{{kind: Service, name: ratings}}]\naction: Allow\nrules: [{{name: all, sources: [{}]}}]\n",
        "{type: Authenticated}"
    );
    mesh.apply("permission.yaml", &object("TrafficPermission", "ratings", &permission))?;
    let answered = frontend.call(&["http://ratings/", "-n", "10"])?;
    ensure!(answered.all(429), "the bucket was refilled: {:?}", answered.statuses);
    mesh.remove("permission.yaml")?;
    mesh.remove("limit.yaml")?;
    mesh.await_condition("the limit is gone", WAIT, || {
        Ok(frontend.call(&["http://ratings/", "-n", "10"])?.all(200).then_some(()))
    })
}

fn fault(percent: u32, until: &str, effect: &str) -> String {
    let spec = format!(
        "targetRefs: [{{kind: Service, name: ratings}}]\nuntil: {until}\nfaults:\n- name: for-frontend\n  match: {{sources: [{}]}}\n  \
         percent: \"{percent}\"\n  {effect}\n",
        account("frontend")
    );
    object("FaultInjection", "ratings", &spec)
}

fn abort(mesh: &Mesh) -> Result<()> {
    mesh.apply("fault.yaml", &fault(100, "never", "abort: {httpStatus: 503}"))?;
    let (frontend, orders) = (mesh.workload("shop/frontend-1")?, mesh.workload("shop/orders-1")?);
    mesh.await_condition("the fault bites", WAIT, || {
        Ok(frontend.call(&["http://ratings/"])?.all(503).then_some(()))
    })?;
    ensure!(frontend.call(&["http://ratings/", "-n", "50"])?.all(503));
    let answered = orders.call(&["http://ratings/", "-n", "50"])?;
    ensure!(answered.all(200), "another caller is hit: {:?}", answered.statuses);
    Ok(())
}

fn delay(mesh: &Mesh) -> Result<()> {
    mesh.apply("fault.yaml", &fault(100, "never", "delay: {fixed: 300ms}"))?;
    let (frontend, orders) = (mesh.workload("shop/frontend-1")?, mesh.workload("shop/orders-1")?);
    mesh.await_condition("the fault bites", WAIT, || {
        let answered = frontend.call(&["http://ratings/"])?;
        Ok((answered.all(200) && answered.outcomes[0].ms >= SLOW).then_some(()))
    })?;
    let slow = frontend.call(&["http://ratings/", "-n", "10"])?;
    ensure!(
        slow.all(200) && slow.outcomes.iter().all(|outcome| outcome.ms >= SLOW),
        "{slow:?}"
    );
    let fast = orders.call(&["http://ratings/", "-n", "10"])?;
    ensure!(
        fast.all(200) && fast.outcomes.iter().any(|outcome| outcome.ms < SLOW),
        "{fast:?}"
    );
    Ok(())
}

fn until(mesh: &Mesh) -> Result<()> {
    let frontend = mesh.workload("shop/frontend-1")?;
    let end = jiff::Timestamp::now().checked_add(jiff::SignedDuration::from_secs(4))?;
    mesh.apply(
        "fault.yaml",
        &fault(100, &format!("\"{end}\""), "abort: {httpStatus: 503}"),
    )?;
    mesh.await_condition("the fault bites", Duration::from_secs(4), || {
        Ok(frontend.call(&["http://ratings/"])?.all(503).then_some(()))
    })?;
    mesh.await_condition("the fault ends", WAIT, || {
        Ok(frontend.call(&["http://ratings/", "-n", "5"])?.all(200).then_some(()))
    })?;
    ensure!(jiff::Timestamp::now() >= end, "the fault ended early");
    mesh.remove("fault.yaml").map(drop)
}

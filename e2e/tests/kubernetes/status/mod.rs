//! Status in a real API server: written by one of two replicas, true for the proxies of both, and quiet when nothing happens.
//!
//! The replicas are processes beside the cluster, the proxies simulated ones in Pods; nothing is intercepted.
#![allow(
    clippy::indexing_slicing,
    reason = "a field that JSON does not have is null, and a test that cannot go on must stop"
)]

mod stage;

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use stage::{LONG, NAMESPACE, Stage};
use tulle_e2e::cluster::Cluster;
use tulle_e2e::harness::wait_until;
use tulle_e2e::install::Installation;
use tulle_e2e::pods::{Written, say};

use super::shown::{ready, row, text};

/// What status promises.
const SOON: Duration = Duration::from_secs(5);
/// How long nothing happens; `rows` waits longer.
const QUIET: Duration = Duration::from_secs(20);
/// A Lease lasts 20 s after its holder died.
const SUCCESSION: Duration = Duration::from_secs(40);

const PERMISSION: &str = r"
apiVersion: mesh.tulle.dev/v1alpha1
kind: TrafficPermission
metadata: {name: NAME}
spec:
  targetRefs: [{kind: Service, name: TARGET}]
  action: Allow
  rules: [{name: all, sources: [{type: Authenticated}], http: [{path: {type: PathPrefix, value: PATH}}]}]
";

fn permission(name: &str, target: &str, path: &str) -> String {
    PERMISSION
        .replace("NAME", name)
        .replace("TARGET", target)
        .replace("PATH", path)
}

pub(crate) fn status_is_true_and_soon(cluster: &Cluster) -> Result<()> {
    // An installation would answer for the same objects.
    Installation::absent(cluster)?;
    let mut stage = Stage::set(cluster.clone())?;
    let told = tell(&mut stage);
    if told.is_err() {
        for replica in &stage.replicas {
            say(&replica.log());
        }
    }
    told?;
    stage.clear()
}

fn tell(stage: &mut Stage) -> Result<()> {
    rows(stage)?;
    policies(stage)?;
    changes(stage)?;
    broken(stage)?;
    quiet(stage)?;
    succession(stage)
}

/// Both replicas have proxies, each row counts those of both, and the tables are readable.
fn rows(stage: &Stage) -> Result<()> {
    stage.deploy_unmeshed()?;
    stage.deploy("orders-a", "orders", 1, 0)?;
    stage.deploy("orders-b", "orders", 1, 1)?;
    stage.deploy("ratings", "ratings", 2, 1)?;
    for (name, synced) in [("orders", "2/2"), ("ratings", "2/2")] {
        stage.until(name, LONG, ("meshstatus", name), |object| {
            row(object) == (synced, "Healthy")
        })?;
    }
    let legacy = stage.until("legacy", LONG, ("meshstatus", "legacy"), |object| {
        row(object) == ("0/0", "Unmeshed")
    })?;
    ensure!(
        legacy["status"]["unmeshedPods"] == serde_json::json!(["legacy-1"]),
        "{legacy}"
    );
    let follower = 1 - stage.leader()?;
    let own = stage.own_row(follower, "orders")?;
    ensure!(own["status"]["proxies"]["connected"] == 1, "{own}");
    let reporting = stage.replicas[1 - follower].figure("tulle_status_replicas_reporting")?;
    ensure!(reporting > 0.5, "nobody reports to the leader");
    let table = stage.cluster.kubectl(&["get", "meshstatus", "--all-namespaces"])?;
    let columns = |line: &str| line.split_whitespace().map(ToOwned::to_owned).collect::<Vec<_>>();
    let mut lines = table.lines().map(columns);
    let headings = "NAMESPACE NAME PROXIES SYNCED MTLS DEFAULT POLICIES CERT STATE AGE";
    ensure!(lines.next() == Some(columns(headings)), "{table}");
    let orders = lines
        .find(|line| line.get(1).is_some_and(|name| name == "orders"))
        .context("no row")?;
    ensure!(
        orders[..7] == ["tulle-e2e-status", "orders", "2", "2/2", "Strict", "Allow", "0"],
        "{table}"
    );
    ensure!(
        orders[7].parse::<jiff::Timestamp>()? > jiff::Timestamp::now() && orders[8] == "Healthy",
        "{table}"
    );
    let mesh = stage.cluster.kubectl(&["get", "mesh", "default", "--no-headers"])?;
    let expected = ["default", "4", "4/4", "Strict", "AllowUntilSelected", "0", "Healthy"];
    ensure!(columns(&mesh)[..7] == expected, "{mesh}");
    say(&format!("\n{table}{mesh}"));
    Ok(())
}

/// Conditions of a policy whose proxies are at both replicas.
fn policies(stage: &Stage) -> Result<()> {
    stage.apply(&permission("good", "orders", "/a"))?;
    let good = ("trafficpermission", "good");
    let enforced = |generation: i64| {
        move |object: &Value| {
            ready(object) == "True/AllProxiesAcked"
                && object["status"]["observedGeneration"] == generation
                && text(object, "/status/acked") == "2/2"
        }
    };
    let first = stage.until("a new policy is enforced", SOON, good, enforced(1))?;
    let conditions = &first["status"]["ancestors"][0]["conditions"];
    let types: Vec<&str> = (0..4).map(|index| text(&conditions[index], "/type")).collect();
    ensure!(
        types == ["Accepted", "ResolvedRefs", "Programmed", "Enforced"],
        "{first}"
    );
    stage.apply(&permission("good", "orders", "/b"))?;
    stage.until("its edit is enforced", SOON, good, enforced(2))?;
    stage.until("the row counts it", SOON, ("meshstatus", "orders"), |object| {
        object["status"]["policyCount"] == 1 && text(object, "/status/defaultAction") == "Deny"
    })?;
    // Somebody else's words are not left standing.
    let lie = r#"{"status": {"acked": "9/9"}}"#;
    stage.kubectl(&[
        "patch",
        "trafficpermission",
        "good",
        "--subresource=status",
        "--type=merge",
        "--patch",
        lie,
    ])?;
    stage.until("a foreign edit is corrected", SOON, good, enforced(2))?;
    stage.kubectl(&["delete", "meshstatus", "legacy"])?;
    stage.until("a deleted row is back", SOON, ("meshstatus", "legacy"), |object| {
        row(object).1 == "Unmeshed"
    })?;
    Ok(())
}

/// Proxies come and go, at both replicas.
fn changes(stage: &Stage) -> Result<()> {
    for deployment in ["orders-a", "orders-b"] {
        stage.mode(deployment, "down")?;
        let orders = ("meshstatus", "orders");
        stage.until("a proxy dies", SOON, orders, |object| {
            row(object) == ("1/2", "Progressing")
        })?;
        let good = ("trafficpermission", "good");
        stage.until("its policy waits", SOON, good, |object| {
            ready(object) == "False/Pending"
        })?;
        stage.mode(deployment, "ack")?;
        stage.until("it is back", SOON, orders, |object| row(object) == ("2/2", "Healthy"))?;
        stage.until("its policy is enforced", SOON, good, |object| {
            ready(object) == "True/AllProxiesAcked"
        })?;
    }
    for replicas in [3, 1] {
        stage.kubectl(&["scale", "deployment", "ratings", &format!("--replicas={replicas}")])?;
        let pods = || stage.kubectl(&["get", "pods", "--selector=app=ratings", "--no-headers"]);
        wait_until("the Pods are there", LONG, Duration::from_millis(50), || {
            let pods = pods()?;
            let ready = pods
                .lines()
                .filter(|line| line.contains("2/2") && line.contains("Running"))
                .count();
            Ok((pods.lines().count() == replicas && ready == replicas).then_some(()))
        })?;
        let synced = format!("{replicas}/{replicas}");
        let what = format!("ratings has {replicas}");
        stage.until(&what, SOON, ("meshstatus", "ratings"), |object| {
            row(object) == (&*synced, "Healthy")
        })?;
    }
    Ok(())
}

/// A policy that its author broke, and one that a proxy of the follower refuses.
fn broken(stage: &Stage) -> Result<()> {
    let bad = ("trafficpermission", "bad");
    stage.apply(&permission("bad", "nowhere", "/"))?;
    let object = stage.until("a policy without a target says so", SOON, bad, |object| {
        ready(object) == "False/TargetNotFound"
    })?;
    ensure!(
        text(&object["status"]["conditions"][0], "/message").contains("nowhere"),
        "{object}"
    );
    let follower = 1 - stage.leader()?;
    let deployment = ["orders-a", "orders-b"][follower];
    let orders = ("meshstatus", "orders");
    for (mode, synced) in [("down", "1/2"), ("nack", "2/2")] {
        stage.mode(deployment, mode)?;
        stage.until(mode, LONG, orders, |object| row(object).0 == synced)?;
    }
    stage.apply(&permission("good", "orders", "/c"))?;
    let good = ("trafficpermission", "good");
    let refused = stage.until("a refusal", SOON, good, |object| ready(object) == "False/Rejected")?;
    ensure!(refused["status"]["proxies"]["rejected"] == 1, "{refused}");
    let row_of = stage.until("its row", SOON, orders, |object| row(object) == ("1/2", "Rejected"))?;
    let rejection = &row_of["status"]["rejections"][0];
    ensure!(
        text(rejection, "/message").contains("refused on purpose by a test"),
        "{row_of}"
    );
    ensure!(
        text(rejection, "/object") == format!("TrafficPermission/{NAMESPACE}/good"),
        "{row_of}"
    );
    stage.mode(deployment, "ack")?;
    stage.until("it is taken", SOON, good, |object| {
        ready(object) == "True/AllProxiesAcked"
    })?;
    stage.until("its row is healthy", SOON, orders, |object| {
        row(object) == ("2/2", "Healthy")
    })?;
    Ok(())
}

/// Nothing happens, and nothing is written but the Lease.
fn quiet(stage: &Stage) -> Result<()> {
    let written = || -> Result<f64> { stage.replicas[stage.leader()?].figure("tulle_status_writes_total") };
    let before = Written::at_rest(&stage.cluster)?;
    let (start, transitions, own) = (Instant::now(), lease(stage)?, written()?);
    // Not a wait for anything: the time itself is what is asked for.
    std::thread::sleep(QUIET);
    let after = Written::now(&stage.cluster)?;
    let (seconds, counted) = (start.elapsed().as_secs(), after.count() - before.count());
    say(&format!("{seconds} s: {counted} writes"));
    before.ensure_same(&after)?;
    ensure!((written()? - own).abs() < 0.5, "the leader wrote");
    ensure!(lease(stage)? == transitions, "the Lease changed hands");
    Ok(())
}

fn lease(stage: &Stage) -> Result<String> {
    let path = "--output=jsonpath={.spec.leaseTransitions} {.spec.holderIdentity}";
    stage
        .cluster
        .kubectl(&["--namespace=tulle-system", "get", "lease", "tulle", path])
}

/// The leader dies: its proxies go to the other one, which writes on, and nothing that did not change changes.
fn succession(stage: &mut Stage) -> Result<()> {
    let time = |object: &Value| text(&object["status"]["conditions"][0], "/lastTransitionTime").to_owned();
    let before = time(&stage.object("trafficpermission", "bad")?);
    let leader = stage.leader()?;
    stage.replicas[leader].kill()?;
    wait_until("the other one leads", SUCCESSION, Duration::from_millis(200), || {
        Ok((stage.leader()? != leader).then_some(()))
    })?;
    stage.apply(&permission("late", "ratings", "/"))?;
    let late = ("trafficpermission", "late");
    // A new leader listens for a while before it writes.
    stage.until("the other one writes", SOON * 2, late, |object| {
        ready(object) == "True/AllProxiesAcked"
    })?;
    let orders = ("meshstatus", "orders");
    stage.until("all proxies are there", SOON, orders, |object| {
        row(object) == ("2/2", "Healthy")
    })?;
    let after = time(&stage.object("trafficpermission", "bad")?);
    ensure!(before == after && !before.is_empty(), "{before} {after}");
    Ok(())
}

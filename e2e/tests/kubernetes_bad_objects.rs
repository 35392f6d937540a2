//! The bad files and objects of `harness::broken` on a real API server: applied while the control plane runs they are refused at
//! once, in the words that their status would say; applied while it is down they are accepted and fail closed, and their status
//! says why. None grants more than its author wrote.
//!
//! Runs only with `TULLE_CLUSTER_TESTS=1`, as `cluster` does. The control plane runs in this process, beside the cluster.

mod bad_objects;

use std::io::Write;

use anyhow::Result;
use bad_objects::stage::Stage;
use bad_objects::steps;
use tulle_e2e::cluster::Cluster;
use tulle_e2e::harness::Steps;
use tulle_e2e::install::Installation;

const SWITCH: &str = "TULLE_CLUSTER_TESTS";

fn say(line: &str) {
    // Not `eprintln!`: the test harness would keep it to itself.
    writeln!(std::io::stderr(), "kubernetes test: {line}").ok();
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_objects_are_refused_or_fail_closed() -> Result<()> {
    if std::env::var_os(SWITCH).is_none_or(|value| value != "1") {
        say(&format!(
            "SKIPPED: set {SWITCH}=1 to run it; the first run builds Kubernetes"
        ));
        return Ok(());
    }
    if std::env::var_os("TULLE_E2E_KUBECONFIG").is_some() {
        say("SKIPPED: the API server of a given cluster may not reach this process");
        return Ok(());
    }
    let Some(cluster) = Cluster::ensure()? else {
        return Ok(());
    };
    // An installation would answer for the same objects.
    Installation::absent(&cluster)?;
    let mut stage = Stage::new(cluster)?;
    let mut outcome = Steps::default();
    let done = async {
        stage.set().await?;
        steps::all(&mut stage, &mut outcome).await
    }
    .await;
    stage.clear().await?;
    done.and_then(|()| outcome.finish())
}

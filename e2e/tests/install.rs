//! Tulle is installed on a real cluster by its charts, upgraded, and uninstalled without a trace in the way of anybody.
//!
//! Runs only with `TULLE_CLUSTER_TESTS=1`, as `cluster` does.

use std::io::Write;

use anyhow::{Result, ensure};
use tulle_e2e::cluster::Cluster;
use tulle_e2e::install::Installation;

const SWITCH: &str = "TULLE_CLUSTER_TESTS";

fn say(line: &str) {
    // Not `eprintln!`: the test harness would keep it to itself.
    writeln!(std::io::stderr(), "install test: {line}").ok();
}

#[test]
fn charts_install_upgrade_and_uninstall() -> Result<()> {
    if std::env::var_os(SWITCH).is_none_or(|value| value != "1") {
        say(&format!(
            "SKIPPED: set {SWITCH}=1 to run it; the first run builds Kubernetes"
        ));
        return Ok(());
    }
    let Some(cluster) = Cluster::ensure()? else {
        return Ok(());
    };
    let installation = Installation::ensure(&cluster)?;
    ensure!(installation.pods()?.len() == 2, "two replicas");
    say(&installation.test()?);
    installation.remove()
}

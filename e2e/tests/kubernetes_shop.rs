//! `examples/shop` on a real cluster, as a user gets it: the charts installed, the examples applied. Traffic from Pod to Pod
//! by every way to reach a Service, under every kind of policy; probes, hooks and Jobs of Pods in Strict mode.
//!
//! Runs only with `TULLE_CLUSTER_TESTS=1`, as `cluster` does. The shop is removed at the end; Tulle stays installed.

#[path = "shop_on_kubernetes/extras.rs"]
mod extras;
#[path = "shop_on_kubernetes/policies.rs"]
mod policies;
#[path = "shop_on_kubernetes/probes.rs"]
mod probes;
#[path = "shop_on_kubernetes/reach.rs"]
mod reach;
#[path = "shop_on_kubernetes/shop.rs"]
mod shop;

use anyhow::Result;
use shop::{Shop, say};
use tulle_e2e::cluster::Cluster;
use tulle_e2e::harness::Steps;
use tulle_e2e::install::Installation;

const SWITCH: &str = "TULLE_CLUSTER_TESTS";

#[test]
fn the_shop_is_in_the_mesh() -> Result<()> {
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
    let shop = Shop::open(cluster, installation.tag())?;
    let mut steps = Steps::default();
    steps.run("all Pods get ready, and the Job completes", || shop.is_ready());
    if shop.is_ready().is_ok() {
        reach::steps(&shop, &mut steps);
        probes::steps(&shop, &mut steps);
        policies::steps(&shop, &mut steps);
    }
    shop.close()?;
    steps.finish()
}

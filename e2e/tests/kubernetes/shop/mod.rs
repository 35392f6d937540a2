//! `examples/shop` on a real cluster, as a user gets it: the charts installed, the examples applied. Traffic from Pod to Pod
//! by every way to reach a Service, under every kind of policy; probes, hooks and Jobs of Pods in Strict mode.
//!
//! The shop is removed at the end; Tulle stays installed.

mod extras;
mod policies;
mod probes;
mod reach;
mod stage;

use anyhow::Result;
use stage::Shop;
use tulle_e2e::cluster::Cluster;
use tulle_e2e::harness::Steps;
use tulle_e2e::install::Installation;

pub(crate) fn the_shop_is_in_the_mesh(cluster: &Cluster) -> Result<()> {
    let installation = Installation::ensure(cluster)?;
    let shop = Shop::open(cluster.clone(), installation.tag())?;
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

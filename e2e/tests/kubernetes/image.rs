//! The image that the repository's Dockerfile makes from the sources, as a release makes it, deployed by the chart.
//!
//! Runs only with `TULLE_IMAGE_TESTS=1`: it compiles everything anew, optimised, which takes a quarter of an hour on two cores. The
//! other tests take the Dockerfile's last stage with the program that cargo built for them.

use anyhow::{Result, ensure};
use tulle_e2e::cluster::Cluster;
use tulle_e2e::install::{Installation, TULLE, build_tulle};

const TAG: &str = "e2e-sources";

pub(crate) fn the_image_from_the_sources_is_what_the_chart_deploys(cluster: &Cluster) -> Result<()> {
    build_tulle(cluster, TAG)?;
    let installation = Installation::ensure_image(cluster, TAG.to_owned(), &[])?;
    let pods = installation.pods()?;
    ensure!(pods.len() == 2, "{} replicas", pods.len());
    for pod in pods {
        let image = pod
            .pointer("/spec/containers/0/image")
            .and_then(serde_json::Value::as_str);
        ensure!(image == Some(&*format!("{TULLE}:{TAG}")), "{image:?}");
    }
    let said = installation.test()?;
    ensure!(said.contains("Succeeded"), "{said}");
    Ok(())
}

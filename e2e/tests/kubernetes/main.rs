//! Tulle on a real Kubernetes. The tests run one after the other on one cluster, which the first of them starts; afterwards it is taken
//! down, with all that it made, whatever became of the tests and also on Ctrl-C.
//!
//! A cluster that was up before stays up, and so does one with `TULLE_CLUSTER_TESTS=keep`. Where no cluster can run, the tests count as
//! ignored, and the reason is said. Not libtest: it can neither end what tests share nor say that a test was skipped.

mod bad_objects;
mod cluster;
mod failures;
mod image;
mod impersonation;
mod injection_down;
mod install;
mod neighbours;
mod operator;
mod rows;
mod session;
mod shop;
mod shown;
mod status;

use std::process::ExitCode;

use anyhow::Result;
use libtest_mimic::{Arguments, Trial};
use session::Session;
use tulle_e2e::cluster::Cluster;
use tulle_e2e::pods::say;

/// Images are built from the sources.
const IMAGE_SWITCH: &str = "TULLE_IMAGE_TESTS";

type Test = fn(&Cluster) -> Result<()>;

/// Takes the cluster away from whoever has started it.
const DOWN: &str = "cluster_down";

/// In this order: first what runs a control plane beside the cluster, then what is installed on it; `install` leaves nothing of that.
const TESTS: [(&str, Test); 12] = [
    ("cluster_works", cluster::what_a_mesh_needs_of_kubernetes_works),
    (DOWN, cluster::down_leaves_nothing_and_the_next_start_is_clean),
    ("operator", |cluster| {
        wait(operator::replicas_are_one_control_plane(cluster))
    }),
    ("status", status::status_is_true_and_soon),
    ("shop", shop::the_shop_is_in_the_mesh),
    ("neighbours", neighbours::prometheus_and_an_ingress_work_with_the_mesh),
    ("impersonation", impersonation::a_pod_is_itself_only),
    ("bad_objects", bad_objects::bad_objects_on_an_installation),
    (
        "injection_down",
        injection_down::without_injection_nothing_starts_unmeshed,
    ),
    ("rows", rows::rows_follow_and_rest),
    ("failures", failures::no_request_fails),
    ("install", install::charts_install_upgrade_uninstall_and_install_again),
];

const FROM_SOURCES: (&str, Test) = ("image", image::the_image_from_the_sources_is_what_the_chart_deploys);

fn wait(test: impl Future<Output = Result<()>>) -> Result<()> {
    tokio::runtime::Runtime::new()?.block_on(test)
}

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    // They share the cluster.
    arguments.test_threads = Some(1);
    let refusal = Cluster::refusal();
    if let Some(reason) = &refusal {
        say(&format!("SKIPPED: every test on a real Kubernetes: {reason}"));
    }
    let session = Session::new();
    let image = std::env::var_os(IMAGE_SWITCH).is_some_and(|value| value == "1");
    let trials = TESTS.iter().chain([&FROM_SOURCES]).map(|&(name, test)| {
        let session = session.clone();
        let ignored = refusal.is_some() || (name == FROM_SOURCES.0 && !image);
        Trial::test(name, move || session.run(name, test)).with_ignored_flag(ignored)
    });
    if !image && !arguments.list {
        say(&format!(
            "SKIPPED: image: it takes a quarter of an hour; {IMAGE_SWITCH}=1 runs it"
        ));
    }
    session.end_on_signals();
    let conclusion = libtest_mimic::run(&arguments, trials.collect());
    match session.end() {
        Ok(()) => conclusion.exit_code(),
        Err(error) => {
            say(&format!("the cluster was not taken down: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

//! Tulle on a real Kubernetes. All tests together run on two clusters at a time, each in a room of its own (`rooms`); some of them, or all
//! on a cluster that is there already, run one after the other. What was started is taken down afterwards, with all that it made,
//! whatever became of the tests and also on Ctrl-C.
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
mod rooms;
mod rows;
mod session;
mod shop;
mod shown;
mod status;

use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Result;
use libtest_mimic::{Arguments, Failed, Trial};
use rooms::Rooms;
use session::Session;
use tulle_e2e::cluster::{Cluster, Inside};
use tulle_e2e::pods::say;

/// Images are built from the sources.
const IMAGE_SWITCH: &str = "TULLE_IMAGE_TESTS";
/// Clusters at a time.
const ROOMS: usize = 2;

type Test = fn(&Cluster) -> Result<()>;

/// What a test asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Needs {
    /// A cluster.
    Any,
    /// One that reaches processes beside it.
    Beside,
    /// One that may be taken down.
    Ours,
    /// A quarter of an hour.
    Time,
}

impl Needs {
    /// Why the test is not run here; none if it is.
    fn refusal(self) -> Result<Option<String>> {
        Ok(match self {
            Self::Beside if Cluster::is_given() => {
                Some("what runs on a given cluster may not reach processes beside it".to_owned())
            }
            Self::Ours if Cluster::stays()? => Some("the cluster was there before, or is wanted afterwards".to_owned()),
            Self::Time if !wants_image() => Some(format!("it takes a quarter of an hour; {IMAGE_SWITCH}=1 runs it")),
            _ => None,
        })
    }
}

/// In this order; the long ones first, because what runs beside them then fills their time. `operator` and `status` run a control plane
/// beside the cluster, the others are about one that is installed.
const TESTS: [(&str, Needs, Test); 13] = [
    ("failures", Needs::Any, failures::no_request_fails),
    (
        "cluster_works",
        Needs::Any,
        cluster::what_a_mesh_needs_of_kubernetes_works,
    ),
    (
        "cluster_down",
        Needs::Ours,
        cluster::down_leaves_nothing_and_the_next_start_is_clean,
    ),
    ("operator", Needs::Beside, |cluster| {
        wait(operator::replicas_are_one_control_plane(cluster))
    }),
    ("status", Needs::Beside, status::status_is_true_and_soon),
    ("shop", Needs::Any, shop::the_shop_is_in_the_mesh),
    ("rows", Needs::Any, rows::rows_follow_and_rest),
    ("bad_objects", Needs::Any, bad_objects::bad_objects_on_an_installation),
    ("impersonation", Needs::Any, impersonation::a_pod_is_itself_only),
    (
        "neighbours",
        Needs::Any,
        neighbours::prometheus_and_an_ingress_work_with_the_mesh,
    ),
    (
        "injection_down",
        Needs::Any,
        injection_down::without_injection_nothing_starts_unmeshed,
    ),
    (
        "install",
        Needs::Any,
        install::charts_install_upgrade_uninstall_and_install_again,
    ),
    (
        "image",
        Needs::Time,
        image::the_image_from_the_sources_is_what_the_chart_deploys,
    ),
];

fn test_of(name: &str) -> Option<Test> {
    let mut tests = TESTS.iter();
    tests.find_map(|&(known, _, test)| (known == name).then_some(test))
}

fn wants_image() -> bool {
    std::env::var_os(IMAGE_SWITCH).is_some_and(|value| value == "1")
}

fn wait(test: impl Future<Output = Result<()>>) -> Result<()> {
    tokio::runtime::Runtime::new()?.block_on(test)
}

fn main() -> ExitCode {
    if Inside::is_so() {
        return rooms::serve();
    }
    match run(Arguments::from_args()) {
        Ok(code) => code,
        Err(error) => {
            say(&format!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}

/// Where the tests run.
#[derive(Clone, Debug)]
enum Place {
    /// One cluster, on the machine itself.
    Machine(Session),
    /// Each in a room.
    Rooms(Arc<Rooms>),
}

impl Place {
    /// Who wants one test may want to look at its cluster, and from a room nothing is fetched for `image`.
    fn of(arguments: &Arguments, refused: bool) -> Result<Self> {
        let some = arguments.filter.is_some() || !arguments.skip.is_empty();
        let forced = arguments.ignored || arguments.include_ignored || arguments.test_threads == Some(1);
        if refused || arguments.list || some || forced || wants_image() || Cluster::stays()? {
            return Ok(Self::Machine(Session::default()));
        }
        let rooms = Rooms::open(ROOMS)?.map(Arc::new);
        Ok(rooms.map_or_else(|| Self::Machine(Session::default()), Self::Rooms))
    }

    fn run(&self, name: &str, test: Test) -> Result<(), Failed> {
        match self {
            Self::Machine(session) => session.run(name, test),
            Self::Rooms(rooms) => rooms.run(name),
        }
        .map_err(Failed::from)
    }

    fn end(&self) -> Result<()> {
        match self {
            Self::Machine(session) => session.end(),
            Self::Rooms(rooms) => rooms.end(),
        }
    }
}

fn run(mut arguments: Arguments) -> Result<ExitCode> {
    let refusal = Cluster::refusal();
    if let Some(reason) = &refusal {
        say(&format!("SKIPPED: every test on a real Kubernetes: {reason}"));
    }
    let place = Place::of(&arguments, refusal.is_some())?;
    let mut trials = Vec::new();
    for (name, needs, test) in TESTS {
        let unmet = needs.refusal()?;
        if let Some(reason) = unmet.as_ref().filter(|_| !arguments.list) {
            say(&format!("SKIPPED: {name}: {reason}"));
        }
        let (place, ignored) = (place.clone(), refusal.is_some() || unmet.is_some());
        let trial = Trial::test(name, move || match unmet {
            // Asked for though it is ignored: it would harm a cluster that is not ours.
            Some(reason) => Err(Failed::from(reason)),
            None => place.run(name, test),
        });
        trials.push(trial.with_ignored_flag(ignored));
    }
    match &place {
        Place::Machine(session) => {
            // They share the cluster.
            arguments.test_threads = Some(1);
            session.end_on_signals();
        }
        Place::Rooms(rooms) => {
            arguments.test_threads = Some(ROOMS);
            let rooms = rooms.clone();
            session::on_signals(move || rooms.interrupt());
        }
    }
    let conclusion = libtest_mimic::run(&arguments, trials);
    place.end()?;
    Ok(conclusion.exit_code())
}

//! Processes: crashes, stopping, and what the next start does about a run that was killed.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests are tests too"
)]

mod support;

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use support::run::{ended, left_of};
use support::{need_root, open_folder, until};
use tulle_operator::netns::{MemberSpec, Network, NetworkSettings, cleanup, cleanup_previous};
use tulle_operator::process::{
    APPLICATION_UID, Backoff, Pid, ProcessHandle, ProcessSpec, ProcessState, Registry, Restart, RunId, Supervisor, User,
};

/// A run without a network.
struct Bench {
    folder: tempfile::TempDir,
    registry: Arc<Registry>,
    supervisor: Supervisor,
}

impl Bench {
    fn new() -> Self {
        let folder = open_folder();
        let registry = Arc::new(Registry::create(folder.path(), &RunId::for_folder(folder.path())).unwrap());
        let backoff = Backoff {
            first: Duration::from_millis(10),
            ..Backoff::default()
        };
        let supervisor = Supervisor::new(Arc::clone(&registry)).unwrap().with_backoff(backoff);
        Self {
            folder,
            registry,
            supervisor,
        }
    }

    fn start(&self, name: &str, script: &str, restart: Restart) -> ProcessHandle {
        self.supervisor.start(ProcessSpec {
            name: name.into(),
            program: "sh".into(),
            arguments: vec!["-c".into(), script.into()],
            environment: [].into(),
            inherit_environment: false,
            folder: None,
            namespace: None,
            user: None,
            log: self.folder.path().join(format!("{name}.log")),
            die_with_parent: true,
            restart,
        })
    }

    fn log(&self, name: &str) -> String {
        std::fs::read_to_string(self.folder.path().join(format!("{name}.log"))).unwrap_or_default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crashing_process_comes_back_until_it_is_stopped() {
    let bench = Bench::new();
    let crashing = bench.start("crashing", "echo again; exit 3", Restart::OnFailure);
    let waiting = |s: &ProcessState| matches!(s, ProcessState::Waiting { crashes: 3.., .. });
    let state = crashing.watch().wait_for(waiting).await.unwrap().clone();
    let ProcessState::Waiting { reason, .. } = state else {
        panic!("{state:?}")
    };
    assert_eq!(reason, "exit code 3");
    crashing.stop(Duration::from_secs(1)).await;
    let starts = bench.log("crashing").matches("again").count();
    assert!(starts >= 3);
    assert!(bench.registry.alive().unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn how_a_process_ended_is_told() {
    let bench = Bench::new();
    for (name, script, expected, fine) in [
        ("fine", "true", "exit code 0", true),
        (
            "missing",
            "exec /nonexistent",
            "exit code 127 (the program was not found",
            false,
        ),
        ("killed", "kill -9 $$", "killed by signal 9", false),
    ] {
        let state = ended(bench.start(name, script, Restart::Never).watch()).await;
        let ProcessState::Ended { reason, ok } = state else {
            panic!("{state:?}")
        };
        assert!(reason.starts_with(expected) && ok == fine, "{name}: {reason}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn stopping_takes_stubborn_children_along() {
    let bench = Bench::new();
    // It ignores SIGTERM, and so does its child.
    let script = "trap '' TERM; sleep 1000 & echo ready; wait; wait";
    let stubborn = bench.start("stubborn", script, Restart::Always);
    until("it is ready", async || bench.log("stubborn").contains("ready")).await;
    let family = bench.registry.alive().unwrap();
    assert_eq!(family.len(), 2, "{family:?}");
    stubborn.stop(Duration::from_millis(200)).await;
    until("both are gone", async || !family.iter().any(|p| p.is_alive())).await;
    cleanup(&bench.registry).unwrap();
}

#[test]
fn patience_grows_up_to_a_limit() {
    let delays: Vec<u64> = (1..=9)
        .map(|n| Backoff::default().delay(n).as_millis().try_into().unwrap())
        .collect();
    assert_eq!(delays, [200, 400, 800, 1600, 3200, 6400, 12_800, 25_600, 30_000]);
    assert_eq!(Backoff::default().delay(u32::MAX), Duration::from_secs(30));
}

/// What [`a_killed_run_is_removed_by_the_next`] kills.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "only as the victim of another test"]
async fn victim() {
    let Some(folder) = std::env::var_os("TULLE_TEST_VICTIM").map(PathBuf::from) else {
        return;
    };
    let registry = Arc::new(Registry::create(&folder, &RunId::for_folder(&folder)).unwrap());
    let mut network = Network::create(&NetworkSettings::default(), Arc::clone(&registry)).unwrap();
    let member = network
        .add(&[MemberSpec {
            name: "web".into(),
            address: None,
        }])
        .unwrap()
        .remove(0);
    let supervisor = Supervisor::new(Arc::clone(&registry)).unwrap();
    let mut handles = Vec::new();
    for (name, die_with_parent) in [("dies", true), ("stays", false)] {
        handles.push(supervisor.start(ProcessSpec {
            name: name.into(),
            program: "sh".into(),
            // A grandchild in a session of its own, out of reach of the process group.
            arguments: vec!["-c".into(), "setsid sleep 1000 & echo up; wait".into()],
            environment: [].into(),
            inherit_environment: false,
            folder: None,
            namespace: Some(member.namespace.clone()),
            user: Some(User {
                uid: APPLICATION_UID,
                gid: APPLICATION_UID,
            }),
            log: folder.join(format!("{name}.log")),
            die_with_parent,
            restart: Restart::Always,
        }));
    }
    let mut pids = Vec::new();
    for handle in &handles {
        let state = handle
            .watch()
            .wait_for(|s| matches!(s, ProcessState::Running { .. }))
            .await
            .unwrap()
            .clone();
        let ProcessState::Running { pid } = state else {
            unreachable!()
        };
        pids.push(pid.to_string());
    }
    // `ip` and `setpriv` have done their part once the programs speak.
    let up = |name: &str| std::fs::read_to_string(folder.join(format!("{name}.log"))).is_ok_and(|t| t.contains("up"));
    until("both are up", async || {
        up("dies") && up("stays") && registry.alive().unwrap().len() == 4
    })
    .await;
    println!("READY {}", pids.join(" "));
    std::future::pending::<()>().await;
}

#[test]
fn a_killed_run_is_removed_by_the_next() {
    if !need_root("removing a killed run") {
        return;
    }
    let folder = open_folder();
    let id = RunId::for_folder(folder.path());
    let mut victim = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "victim", "--ignored", "--nocapture"])
        .env("TULLE_TEST_VICTIM", folder.path())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(victim.stdout.take().unwrap())
        .lines()
        .map(Result::unwrap);
    let ready = lines
        .find_map(|l| Some(l.split_once("READY ")?.1.to_owned()))
        .expect("the victim failed");
    let pids: Vec<Pid> = ready
        .split(' ')
        .map(|pid| Pid::of(pid.parse().unwrap()).unwrap())
        .collect();

    assert!(
        Registry::previous(folder.path()).unwrap().is_empty(),
        "it is still under way"
    );
    assert!(cleanup_previous(folder.path()).unwrap().is_empty());
    assert!(pids.iter().all(|p| p.is_alive()));
    victim.kill().unwrap();
    victim.wait().unwrap();

    assert!(
        tulle_operator::process::ended(&pids[..1], Duration::from_secs(5)),
        "it must die with its parent"
    );
    assert!(pids[1].is_alive(), "it must outlive its parent");
    assert!(!left_of(&id).is_empty());
    let leftover = Registry::create(folder.path(), &id).unwrap_err().to_string();
    assert!(leftover.contains("start it again"), "{leftover}");
    let previous = Registry::previous(folder.path()).unwrap();
    let alive = previous[0].alive().unwrap();
    assert!(alive.len() >= 3, "with descendants in sessions of their own: {alive:?}");
    drop(previous);

    assert_eq!(cleanup_previous(folder.path()).unwrap(), [id.to_string()]);
    assert_eq!(left_of(&id), Vec::<String>::new());
    assert!(!alive.iter().any(|p| p.is_alive()));
    assert!(cleanup_previous(folder.path()).unwrap().is_empty());
    // And the next run of the same name begins as if nothing had been.
    let registry = Arc::new(Registry::create(folder.path(), &id).unwrap());
    Network::create(&NetworkSettings::default(), Arc::clone(&registry)).unwrap();
    cleanup(&registry).unwrap();
    assert_eq!(left_of(&id), Vec::<String>::new());
}

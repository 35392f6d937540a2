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
    APPLICATION_UID, Backoff, Pid, ProcessSpec, ProcessState, Registry, Restart, RunId, Supervisor, User,
};

#[tokio::test(flavor = "multi_thread")]
async fn crashed_processes_come_back_with_patience_and_stop_with_their_children() {
    let folder = open_folder();
    let registry = Arc::new(Registry::create(folder.path(), &RunId::for_folder(folder.path())).unwrap());
    let backoff = Backoff {
        first: Duration::from_millis(10),
        ..Backoff::default()
    };
    let supervisor = Supervisor::new(Arc::clone(&registry)).unwrap().with_backoff(backoff);
    let spec = |name: &str, script: &str, restart| ProcessSpec {
        name: name.into(),
        program: "sh".into(),
        arguments: vec!["-c".into(), script.into()],
        environment: [].into(),
        inherit_environment: false,
        folder: None,
        namespace: None,
        user: None,
        log: folder.path().join(format!("{name}.log")),
        die_with_parent: true,
        restart,
    };
    let crashing = supervisor.start(spec("crashing", "echo again; exit 3", Restart::OnFailure));
    let waiting = |s: &ProcessState| matches!(s, ProcessState::Waiting { crashes: 3.., .. });
    let state = crashing.watch().wait_for(waiting).await.unwrap().clone();
    assert!(
        matches!(&state, ProcessState::Waiting { reason, .. } if reason == "exit code 3"),
        "{state:?}"
    );
    crashing.stop(Duration::from_secs(1)).await;
    assert!(
        std::fs::read_to_string(folder.path().join("crashing.log"))
            .unwrap()
            .matches("again")
            .count()
            >= 3
    );

    let missing = ended(
        supervisor
            .start(spec("missing", "exec /nonexistent", Restart::Never))
            .watch(),
    )
    .await;
    assert!(
        matches!(&missing, ProcessState::Ended { reason, ok: false } if reason.contains("127")),
        "{missing:?}"
    );
    assert!(matches!(
        ended(supervisor.start(spec("fine", "true", Restart::OnFailure)).watch()).await,
        ProcessState::Ended { ok: true, .. }
    ));

    // It ignores SIGTERM, and so does its child.
    let stubborn = supervisor.start(spec(
        "stubborn",
        "trap '' TERM; sleep 1000 & echo ready; wait; wait",
        Restart::Always,
    ));
    let log = folder.path().join("stubborn.log");
    until("it is ready", async || {
        std::fs::read_to_string(&log).is_ok_and(|text| text.contains("ready"))
    })
    .await;
    let family = registry.alive().unwrap();
    assert_eq!(family.len(), 2, "{family:?}");
    stubborn.stop(Duration::from_millis(200)).await;
    until("both are gone", async || !family.iter().any(|p| p.is_alive())).await;
    cleanup(&registry).unwrap();
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
    let lines = BufReader::new(victim.stdout.take().unwrap())
        .lines()
        .map(Result::unwrap);
    let ready = lines
        .filter_map(|l| Some(l.split_once("READY ")?.1.to_owned()))
        .next()
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
    assert!(leftover.contains("tulle down"), "{leftover}");
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

//! Namespaces of a run: names, addresses, runs beside each other.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests are tests too"
)]

mod support;

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use support::run::{Run, application, at, call, ended, finish};
use support::{get, need_root, until, within};
use tulle_operator::netns::{HostEntry, MemberSpec, NetworkError};
use tulle_operator::process::{APPLICATION_UID, ProcessState, Registry, Supervisor};

#[tokio::test(flavor = "multi_thread")]
async fn names_change_under_running_processes() {
    if !need_root("hosts files") {
        return;
    }
    let mut run = Run::new();
    let [member] = run.add(&["web"]).try_into().unwrap();
    let supervisor = Supervisor::new(Arc::clone(&run.registry)).unwrap();
    let entry = |name: &str| HostEntry {
        address: [240, 0, 0, 1].into(),
        names: vec![name.to_owned()],
    };
    let long: Vec<HostEntry> = (0..50).map(|n| entry(&format!("service-{n}.shop.svc"))).collect();
    run.network.set_hosts("web", &long).unwrap();
    let script = "until grep -q payments /etc/hosts; do sleep 0.05; done; cat /etc/hosts; id -u; cat /proc/self/status";
    let handle = supervisor.start(run.spec("looker", Some(&member), APPLICATION_UID, script));
    until("it runs", async || {
        matches!(handle.state(), ProcessState::Running { .. })
    })
    .await;
    run.network.set_hosts("web", &[entry("payments.shop")]).unwrap();
    assert!(matches!(
        ended(handle.watch()).await,
        ProcessState::Ended { ok: true, .. }
    ));
    let seen = std::fs::read_to_string(run.folder.path().join("looker.log")).unwrap();
    assert!(
        seen.contains("240.0.0.1\tpayments.shop") && !seen.contains("service-"),
        "{seen}"
    );
    assert!(seen.contains("localhost") && seen.contains("\n65534\n"), "{seen}");
    assert!(
        seen.contains("CapEff:\t0000000000000000") && seen.contains("NoNewPrivs:\t1"),
        "{seen}"
    );
    assert!(matches!(
        run.network.set_hosts("nobody", &[]),
        Err(NetworkError::Unknown(_))
    ));

    assert!(matches!(
        run.network.add(&[MemberSpec {
            name: "web".into(),
            address: None
        }]),
        Err(NetworkError::Exists(_))
    ));
    assert!(matches!(
        run.network.add(&[MemberSpec {
            name: "../x".into(),
            address: None
        }]),
        Err(NetworkError::BadName(_))
    ));
    run.network.remove("web").unwrap();
    let again = run.add(&["web"]);
    assert_eq!(again[0].address, member.address, "an address follows from the name");
    finish(&run);
}

#[test]
fn a_workload_can_have_the_address_that_it_names() {
    if !need_root("foreign addresses") {
        return;
    }
    let mut run = Run::new();
    let wish = Ipv4Addr::new(198, 18, 77, 7);
    let specs = [
        MemberSpec {
            name: "vm".into(),
            address: Some(wish),
        },
        MemberSpec {
            name: "web".into(),
            address: None,
        },
    ];
    let [vm, web] = run.network.add(&specs).unwrap().try_into().unwrap();
    assert_eq!(vm.address, wish);
    application(Some(&vm.namespace), at(wish, 80), "vm");
    application(Some(&web.namespace), at(web.address, 80), "web");
    application(None, at(run.network.host_address(), 15012), "host");
    assert_eq!(
        call(&web.namespace, at(wish, 80)),
        format!("vm called by {}", web.address)
    );
    assert_eq!(
        call(&vm.namespace, at(web.address, 80)),
        format!("web called by {wish}")
    );
    assert_eq!(
        call(&vm.namespace, at(run.network.host_address(), 15012)),
        format!("host called by {wish}")
    );
    assert!(get(at(wish, 80)).is_ok(), "from the host");
    let taken = run.network.add(&[MemberSpec {
        name: "other".into(),
        address: Some(wish),
    }]);
    assert!(matches!(taken, Err(NetworkError::AddressInUse { .. })));
    run.network.remove("vm").unwrap();
    run.network
        .add(&[MemberSpec {
            name: "vm2".into(),
            address: Some(wish),
        }])
        .unwrap();
    // Nobody there: an error at once, not after minutes.
    let begin = std::time::Instant::now();
    assert!(within(&web.namespace, || get(at([203, 0, 113, 9].into(), 80))).is_err());
    assert!(begin.elapsed() < Duration::from_secs(4), "{:?}", begin.elapsed());
    finish(&run);
}

#[test]
fn runs_beside_each_other_do_not_collide() {
    if !need_root("two networks") {
        return;
    }
    let runs: Vec<Run> = std::thread::scope(|scope| {
        let made: Vec<_> = (0..3).map(|_| scope.spawn(Run::new)).collect();
        made.into_iter().map(|t| t.join().unwrap()).collect()
    });
    for (index, run) in runs.iter().enumerate() {
        for other in runs.iter().skip(index + 1) {
            assert!(!run.network.subnet().overlaps(other.network.subnet()));
        }
        let again = Registry::create(run.folder.path(), run.registry.id());
        assert!(again.unwrap_err().to_string().contains("under way"));
        assert!(
            Registry::previous(run.folder.path()).unwrap().is_empty(),
            "a living run is not a previous one"
        );
    }
    runs.iter().for_each(finish);
}

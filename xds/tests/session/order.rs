use std::time::Duration;

use tulle_xds::Kind::{Cluster, Endpoints, ExtensionConfig, Listener, Route, Runtime, Secret};
use tulle_xds::{Kind, Reference};

use crate::driver::{Driver, cluster, listener, resource, route, snapshot};

const NONE: [&str; 0] = [];

#[test]
fn a_round_makes_before_it_breaks() {
    let all = |content: &str| {
        Kind::ALL
            .into_iter()
            .map(|kind| resource(kind, "x", content))
            .collect::<Vec<_>>()
    };
    let mut driver = Driver::settled(&snapshot(1, all("1")));
    driver.session.on_snapshot(snapshot(2, all("2")));
    assert_eq!(driver.sends(), ["S+x"], "contexts that gain names come before clusters");
    driver.ack_all();
    assert_eq!(driver.sends(), ["C+x", "E+x", "X+x", "L+x", "R+x"]);
    driver.ack_all();
    assert_eq!(driver.sends(), ["T+x"]);
}

#[test]
fn endpoints_of_a_changed_cluster_follow_it_changed_or_not() {
    let endpoints = resource(Endpoints, "a", "1");
    let mut driver = Driver::settled(&snapshot(1, [cluster("a", "1"), endpoints.clone()]));
    driver.session.on_snapshot(snapshot(2, [cluster("a", "2"), endpoints]));
    assert_eq!(driver.sends(), ["C+a", "E+a"]);
}

#[test]
fn endpoints_of_a_changed_cluster_follow_even_if_the_client_asks_later() {
    let endpoints = resource(Endpoints, "a", "1");
    let mut driver = Driver::new();
    driver
        .session
        .on_snapshot(snapshot(2, [cluster("a", "2"), endpoints.clone()]));
    driver.resume(Cluster, &[], &[("a", "old")]);
    assert_eq!(driver.sends(), ["C+a"]);
    driver.resume(Endpoints, &["a"], &[("a", &endpoints.version)]);
    assert_eq!(driver.sends(), ["E+a"]);
}

#[test]
fn endpoints_in_flight_before_the_cluster_do_not_count() {
    let mut driver = Driver::settled(&snapshot(1, [cluster("a", "1"), resource(Endpoints, "a", "1")]));
    driver
        .session
        .on_snapshot(snapshot(2, [cluster("a", "1"), resource(Endpoints, "a", "2")]));
    let early = driver.poll();
    assert_eq!(early[0].short(), "E+a");
    driver
        .session
        .on_snapshot(snapshot(3, [cluster("a", "2"), resource(Endpoints, "a", "2")]));
    assert_eq!(driver.sends(), ["C+a"]);
    driver.ack(&early[0]);
    assert_eq!(driver.sends(), ["E+a"]);
}

#[test]
fn neither_endpoints_nor_secrets_wait_for_the_answer_about_clusters() {
    let mut driver = Driver::new();
    driver
        .session
        .on_snapshot(snapshot(1, [cluster("a", "1"), resource(Secret, "s", "1")]));
    driver.subscribe(Cluster, &[]);
    assert_eq!(driver.sends(), ["C+a"]);
    driver.subscribe(Endpoints, &["a"]);
    driver.subscribe(Secret, &["s"]);
    assert_eq!(driver.sends(), ["S+s", "E+a"]);
}

#[test]
fn clusters_are_sent_again_while_earlier_ones_warm() {
    let mut driver = Driver::settled(&snapshot(1, [cluster("a", "1")]));
    for revision in 2..6 {
        driver
            .session
            .on_snapshot(snapshot(revision, [cluster("a", &revision.to_string())]));
        assert!(driver.sends().contains(&"C+a".into()), "revision {revision}");
    }
    driver.session.on_snapshot(snapshot(6, [cluster("a", "6")]));
    assert_eq!(driver.sends(), NONE, "though not without end");
    let newest = driver.settle();
    assert!(newest.contains(&"C+a".into()));
}

#[test]
fn a_route_waits_for_a_new_cluster_to_be_warm_and_others_do_not() {
    let mut driver = Driver::settled(&snapshot(1, [route("r", "1", &[]), route("other", "1", &[])]));
    let routes = [route("r", "2", &["new"]), route("other", "2", &[])];
    driver
        .session
        .on_snapshot(snapshot(2, [cluster("new", "1")].into_iter().chain(routes)));
    let sent = driver.poll();
    assert_eq!(
        sent.iter().map(super::driver::Seen::short).collect::<Vec<_>>(),
        ["C+new", "R+other"]
    );
    driver.ack(&sent[1]);
    driver.advance(Duration::from_secs(4));
    assert_eq!(driver.sends(), NONE);
    driver.ack(&sent[0]);
    assert_eq!(driver.sends(), ["R+r"]);
}

#[test]
fn the_wait_for_a_new_cluster_has_an_end() {
    let mut driver = Driver::settled(&snapshot(1, [route("r", "1", &[])]));
    driver
        .session
        .on_snapshot(snapshot(2, [cluster("new", "1"), route("r", "2", &["new"])]));
    assert_eq!(driver.sends(), ["C+new"]);
    assert_eq!(driver.session.next_deadline(driver.now), Some(Duration::from_secs(5)));
    driver.advance(Duration::from_secs(5));
    assert_eq!(driver.sends(), ["R+r"]);
}

#[test]
fn a_changed_cluster_holds_up_no_route() {
    let mut driver = Driver::settled(&snapshot(1, [cluster("a", "1"), route("r", "1", &["a"])]));
    driver
        .session
        .on_snapshot(snapshot(2, [cluster("a", "2"), route("r", "2", &["a"])]));
    assert_eq!(driver.sends(), ["C+a", "E+a", "R+r"]);
}

#[test]
fn removals_come_last_and_clusters_after_listeners() {
    let before = [
        cluster("a", "1"),
        listener("l", "1", &[]),
        route("r", "1", &["a"]),
        resource(Runtime, "t", "1"),
    ];
    let mut driver = Driver::settled(&snapshot(1, before));
    driver
        .session
        .on_snapshot(snapshot(2, [route("r", "2", &[]), resource(Runtime, "t", "2")]));
    assert_eq!(driver.sends(), ["R+r"]);
    driver.ack_all();
    assert_eq!(driver.sends(), ["T+t"]);
    driver.ack_all();
    assert_eq!(driver.sends(), ["L-l"]);
    driver.ack_all();
    assert_eq!(driver.sends(), ["C-a"]);
}

#[test]
fn removals_wait_no_longer_than_the_barrier() {
    let mut driver = Driver::settled(&snapshot(1, [cluster("a", "1"), route("r", "1", &["a"])]));
    driver.session.on_snapshot(snapshot(2, [route("r", "2", &[])]));
    assert_eq!(driver.sends(), ["R+r"]);
    driver.advance(Duration::from_secs(5));
    assert_eq!(driver.sends(), ["C-a"]);
}

#[test]
fn a_context_that_loses_names_waits_for_its_users_and_one_that_gains_goes_first() {
    let before = [
        resource(Secret, "gains", "1"),
        resource(Secret, "loses", "1"),
        route("r", "1", &[]),
    ];
    let mut driver = Driver::settled(&snapshot(1, before));
    let after = [
        resource(Secret, "gains", "2"),
        resource(Secret, "loses", "2").with_late(true),
        route("r", "2", &[]),
    ];
    driver.session.on_snapshot(snapshot(2, after));
    assert_eq!(driver.sends(), ["S+gains", "R+r"]);
    driver.ack_all();
    assert_eq!(driver.sends(), ["S+loses"]);
}

#[test]
fn a_context_that_is_asked_for_comes_at_once() {
    let mut driver = Driver::new();
    driver.session.on_snapshot(snapshot(
        1,
        [resource(Secret, "s", "1").with_late(true), cluster("a", "1")],
    ));
    driver.subscribe(Cluster, &[]);
    driver.subscribe(Secret, &["s"]);
    assert_eq!(driver.sends(), ["S+s"]);
}

#[test]
fn ready_comes_when_all_else_is_acknowledged() {
    let probe = || resource(Listener, "ready", "1").with_late(true);
    let mut driver = Driver::new();
    driver
        .session
        .on_snapshot(snapshot(1, [cluster("a", "1"), listener("l", "1", &["r"]), probe()]));
    driver.subscribe(Cluster, &[]);
    driver.settle();
    driver.subscribe(Endpoints, &["a"]);
    driver.subscribe(Listener, &[]);
    assert_eq!(driver.settle(), ["E+a", "L+l"], "the route is not even asked for");
    driver.subscribe(Route, &["r"]);
    assert_eq!(driver.sends(), ["R+r"]);
    driver.ack_all();
    assert_eq!(driver.sends(), ["L+ready"]);
}

#[test]
fn ready_does_not_come_while_something_is_refused() {
    let mut driver = Driver::new();
    let probe = resource(Listener, "ready", "1").with_late(true);
    driver
        .session
        .on_snapshot(snapshot(1, [listener("l", "bad", &[]), probe.clone()]));
    driver.subscribe(Cluster, &[]);
    driver.settle();
    driver.subscribe(Listener, &[]);
    let sent = driver.poll();
    driver.nack(&sent[0], "no");
    driver.advance(Duration::from_mins(1));
    assert_eq!(driver.settle(), NONE);
    driver
        .session
        .on_snapshot(snapshot(2, [listener("l", "good", &[]), probe]));
    assert_eq!(driver.settle(), ["L+l", "L+ready"]);
}

#[test]
fn ready_does_not_wait_for_changes_that_never_end() {
    let world = |revision: u64| {
        let endpoints = resource(Endpoints, "a", &revision.to_string());
        snapshot(
            revision,
            [
                cluster("a", "1"),
                endpoints,
                resource(Listener, "ready", "1").with_late(true),
            ],
        )
    };
    let mut driver = Driver::new();
    driver.session.on_snapshot(world(1));
    driver.subscribe(Cluster, &[]);
    driver.settle();
    driver.subscribe(Endpoints, &["a"]);
    driver.settle();
    driver.session.on_snapshot(world(2));
    driver.poll();
    driver.session.on_snapshot(world(3));
    driver.subscribe(Listener, &[]);
    assert!(driver.sends().contains(&"L".into()));
    for revision in 4..8 {
        let pending = std::mem::take(&mut driver.unanswered);
        driver.session.on_snapshot(world(revision));
        for seen in &pending {
            driver.ack(seen);
        }
        if driver.sends().contains(&"L+ready".into()) {
            return;
        }
    }
    panic!("never ready");
}

#[test]
fn a_runtime_layer_that_is_asked_for_does_not_wait() {
    let mut driver = Driver::new();
    driver.session.on_snapshot(snapshot(1, [cluster("a", "1")]));
    driver.subscribe(Runtime, &["t"]);
    assert_eq!(driver.sends(), ["T+t"], "Envoy asks for it before everything else");
}

#[test]
fn extensions_that_use_no_cluster_wait_for_none() {
    let filter = |content: &str, to: &[Reference]| resource(ExtensionConfig, "f", content).with_references(to.to_vec());
    let mut driver = Driver::settled(&snapshot(1, [filter("1", &[])]));
    driver
        .session
        .on_snapshot(snapshot(2, [cluster("new", "1"), filter("2", &[])]));
    assert_eq!(driver.sends(), ["C+new", "X+f"]);
    driver.unanswered.remove(0);
    driver.ack_all();
    driver.session.on_snapshot(snapshot(
        3,
        [cluster("new", "1"), filter("3", &[Reference::new(Cluster, "new")])],
    ));
    assert_eq!(driver.sends(), NONE);
}

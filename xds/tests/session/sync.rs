use std::sync::Arc;
use std::time::Duration;

use tulle_xds::Kind::{Cluster, Endpoints, Listener, Route};
use tulle_xds::Snapshot;

use crate::driver::{Driver, cluster, layer, listener, resource, route, snapshot};

const NONE: [&str; 0] = [];

#[test]
fn a_stream_is_in_sync_once_all_it_announced_is_acknowledged() {
    let mut driver = Driver::new();
    driver
        .session
        .on_snapshot(snapshot(5, [listener("l", "1", &["r"]), route("r", "1", &[])]));
    driver.subscribe(Cluster, &[]);
    driver.settle();
    assert_eq!(driver.synced(), [0_u64; 0], "listeners are not even asked for");
    driver.subscribe(Listener, &[]);
    driver.settle();
    assert_eq!(driver.synced(), [0_u64; 0], "the listener's route is not asked for yet");
    driver.subscribe(Route, &["r"]);
    driver.poll();
    assert_eq!(driver.synced(), [0_u64; 0]);
    driver.settle();
    assert_eq!(driver.synced(), [5]);
}

#[test]
fn a_subscription_that_never_comes_does_not_count_for_ever() {
    let mut driver = Driver::new();
    driver
        .session
        .on_snapshot(snapshot(5, [listener("l", "1", &["r"]), route("r", "1", &[])]));
    driver.subscribe(Cluster, &[]);
    driver.subscribe(Listener, &[]);
    driver.settle();
    assert_eq!(driver.session.next_deadline(driver.now), Some(Duration::from_secs(5)));
    driver.advance(Duration::from_secs(5));
    driver.settle();
    assert_eq!(driver.synced(), [5]);
}

#[test]
fn a_client_that_comes_back_unchanged_is_in_sync_once_it_has_spoken() {
    let (l, r) = (listener("l", "1", &["r"]), route("r", "1", &[]));
    let mut driver = Driver::new();
    driver.session.on_snapshot(snapshot(5, [l.clone(), r.clone()]));
    driver.resume(Cluster, &[], &[]);
    driver.resume(Listener, &[], &[("l", &l.version)]);
    driver.settle();
    assert_eq!(driver.synced(), [0_u64; 0]);
    driver.resume(Route, &["r"], &[("r", &r.version)]);
    assert_eq!(driver.settle(), NONE);
    assert_eq!(driver.synced(), [5]);
}

#[test]
fn a_revision_that_changes_nothing_is_in_sync_at_once() {
    let mut driver = Driver::settled(&snapshot(1, [cluster("a", "1")]));
    driver.session.on_snapshot(snapshot(2, [cluster("a", "1")]));
    assert_eq!(driver.sends(), NONE);
    assert_eq!(driver.synced(), [2]);
}

#[test]
fn the_watermark_moves_under_changes_that_never_end() {
    let world = |revision: u64| snapshot(revision, [resource(Endpoints, "a", &revision.to_string())]);
    let mut driver = Driver::settled(&world(1));
    let mut marks = Vec::new();
    driver.session.on_snapshot(world(2));
    driver.poll();
    for revision in 3..10 {
        driver.session.on_snapshot(world(revision));
        driver.ack_all();
        driver.poll();
        assert!(driver.session.in_flight() > 0, "never idle");
        marks.extend(driver.synced());
    }
    assert_eq!(marks, [2, 3, 4, 5, 6, 7, 8]);
}

#[test]
fn snapshots_that_were_skipped_are_not_called_in_sync() {
    let world = |revision: u64, content: &str| snapshot(revision, [route("r", content, &[])]);
    let mut driver = Driver::settled(&world(1, "1"));
    driver.session.on_snapshot(world(9, "9"));
    driver.poll();
    assert_eq!(driver.synced(), [0_u64; 0], "revisions 2 to 8 may hold what 9 holds");
    driver.settle();
    assert_eq!(driver.synced(), [9]);
}

#[test]
fn only_the_newest_of_many_snapshots_is_sent() {
    let world = |revision: u64| snapshot(revision, [route("r", &revision.to_string(), &[])]);
    let mut driver = Driver::settled(&world(1));
    driver.session.on_snapshot(world(2));
    driver.poll();
    for revision in 3..100 {
        driver.session.on_snapshot(world(revision));
        assert_eq!(driver.sends(), NONE);
    }
    driver.ack_all();
    let seen = driver.poll();
    assert_eq!(seen.len(), 1);
    assert_eq!(seen[0].versions["r"], *route("r", "99", &[]).version);
}

#[test]
fn shared_layers_are_not_compared() {
    let shared = layer((0..1000).map(|i| cluster(&format!("c{i}"), "1")));
    let world = |revision, content: &str| {
        Arc::new(Snapshot {
            revision,
            layers: vec![Arc::clone(&shared), layer([route("r", content, &[])])],
            ..Snapshot::default()
        })
    };
    let mut driver = Driver::settled(&world(1, "1"));
    driver.session.on_snapshot(world(2, "2"));
    assert_eq!(driver.settle(), ["R+r"]);
    driver.session.on_snapshot(Arc::new(Snapshot {
        revision: 3,
        layers: vec![layer([]), Arc::clone(&shared)],
        ..Snapshot::default()
    }));
    assert_eq!(driver.settle(), ["R+r"], "the order of layers means nothing");
}

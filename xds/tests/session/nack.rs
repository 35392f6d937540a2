use tulle_xds::Kind::{Cluster, Endpoints, Listener, Route};
use tulle_xds::{Kind, SessionEvent};

use crate::driver::{Driver, Seen, cluster, listener, resource, route, snapshot};

const NONE: [&str; 0] = [];

/// Answers like Envoy for a world where resources with this version are refused.
fn answer_all(driver: &mut Driver, bad: &[&str]) -> Vec<Seen> {
    let mut all = Vec::new();
    loop {
        let seen = driver.poll();
        if seen.is_empty() {
            return all;
        }
        for response in seen {
            if response
                .versions
                .values()
                .any(|version| bad.contains(&version.as_str()))
            {
                driver.nack(&response, "I refuse");
            } else {
                driver.ack(&response);
            }
            all.push(response);
        }
    }
}

fn nacked(driver: &mut Driver) -> Vec<(Kind, String, String)> {
    let culprit = |event| match event {
        SessionEvent::Nacked {
            kind, names, message, ..
        } => Some((kind, names[0].to_string(), message)),
        SessionEvent::Synced { .. } => None,
    };
    driver.session.take_events().into_iter().filter_map(culprit).collect()
}

#[test]
fn the_culprit_of_a_batch_is_found_and_all_else_is_delivered() {
    let world = |content: &str| ["a", "b", "c"].map(|name| route(name, content, &[]));
    let mut driver = Driver::settled(&snapshot(1, world("1")));
    driver.session.on_snapshot(snapshot(2, world("2")));
    let bad = route("b", "2", &[]).version;
    let sent = answer_all(&mut driver, &[&bad]);
    assert_eq!(
        sent.iter().map(Seen::short).collect::<Vec<_>>(),
        ["R+a+b+c", "R+a", "R+b", "R+c"]
    );
    assert_eq!(nacked(&mut driver), [(Route, "b".into(), "I refuse".into())]);
}

#[test]
fn a_refused_version_is_not_sent_again_before_it_changes() {
    let mut driver = Driver::settled(&snapshot(1, [route("r", "1", &[])]));
    driver.session.on_snapshot(snapshot(2, [route("r", "2", &[])]));
    let bad = route("r", "2", &[]).version;
    assert_eq!(answer_all(&mut driver, &[&bad]).len(), 1);
    driver
        .session
        .on_snapshot(snapshot(3, [route("r", "2", &[]), route("new", "1", &[])]));
    assert_eq!(driver.settle(), NONE);
    driver.session.on_snapshot(snapshot(4, [route("r", "3", &[])]));
    assert_eq!(driver.settle(), ["R+r"]);
}

#[test]
fn going_back_to_what_the_client_kept_sends_nothing() {
    let mut driver = Driver::settled(&snapshot(1, ["a", "b"].map(|name| route(name, "1", &[]))));
    driver
        .session
        .on_snapshot(snapshot(2, ["a", "b"].map(|name| route(name, "2", &[]))));
    let bad = route("b", "2", &[]).version;
    answer_all(&mut driver, &[&bad]);
    driver
        .session
        .on_snapshot(snapshot(3, [route("a", "2", &[]), route("b", "1", &[])]));
    assert_eq!(driver.settle(), NONE);
    let events = driver.session.take_events();
    assert!(matches!(events.last(), Some(SessionEvent::Synced { revision: 3, refused }) if refused.is_empty()));
}

#[test]
fn a_refused_version_is_sent_to_a_client_that_asks_for_it() {
    let mut driver = Driver::settled(&snapshot(1, [route("r", "1", &[])]));
    driver.session.on_snapshot(snapshot(2, [route("r", "2", &[])]));
    let bad = route("r", "2", &[]).version;
    answer_all(&mut driver, &[&bad]);
    driver.subscribe(Route, &["r"]);
    assert_eq!(driver.settle(), ["R+r"]);
}

#[test]
fn other_changes_of_the_kind_do_not_wait_for_the_suspects() {
    let world = |content: &str, other: &str| {
        ["a", "b", "c", "d"]
            .map(|name| route(name, content, &[]))
            .into_iter()
            .chain([route("z", other, &[])])
    };
    let mut driver = Driver::settled(&snapshot(1, world("1", "1")));
    driver.session.on_snapshot(snapshot(2, world("2", "1")));
    let batch = driver.poll().remove(0);
    driver.nack(&batch, "no");
    driver.session.on_snapshot(snapshot(3, world("2", "2")));
    assert_eq!(driver.settle(), ["R+a", "R+z", "R+b", "R+c", "R+d"]);
}

#[test]
fn a_change_between_batch_and_suspect_is_not_taken_for_the_old_state() {
    let world = |content: &str| ["a", "b"].map(|name| route(name, content, &[]));
    let mut driver = Driver::settled(&snapshot(1, world("1")));
    driver.session.on_snapshot(snapshot(2, world("2")));
    let batch = driver.poll().remove(0);
    driver.nack(&batch, "no");
    driver.session.on_snapshot(snapshot(3, world("3")));
    let bad = route("a", "3", &[]).version;
    answer_all(&mut driver, &[&bad]);
    // The client may have "2" of a now, out of the refused batch; so "1" is news.
    driver
        .session
        .on_snapshot(snapshot(4, [route("a", "1", &[]), route("b", "3", &[])]));
    assert_eq!(driver.settle(), ["R+a"]);
}

#[test]
fn a_cluster_out_of_a_refused_batch_is_removed_when_it_goes() {
    let mut driver = Driver::settled(&snapshot(1, []));
    let bare = |name| resource(Cluster, name, "1");
    driver.session.on_snapshot(snapshot(2, [bare("a"), bare("b")]));
    let batch = driver.poll().remove(0);
    driver.nack(&batch, "no");
    driver.session.on_snapshot(snapshot(3, []));
    assert_eq!(
        driver.settle(),
        ["C-a", "C-b"].map(String::from),
        "whether it was applied is unknown"
    );
}

#[test]
fn a_refused_removal_is_not_repeated() {
    let mut driver = Driver::settled(&snapshot(1, [cluster("a", "1")]));
    driver.session.on_snapshot(snapshot(2, []));
    let removal = driver.poll().remove(0);
    driver.nack(&removal, "fewer clusters than the minimum");
    assert_eq!(driver.settle(), NONE);
    driver.session.on_snapshot(snapshot(3, [cluster("a", "1")]));
    assert_eq!(driver.settle(), NONE, "the client still has it");
}

#[test]
fn clusters_stay_while_the_client_refuses_the_route_that_leaves_them() {
    let mut driver = Driver::settled(&snapshot(1, [cluster("a", "1"), route("r", "1", &["a"])]));
    driver.session.on_snapshot(snapshot(2, [route("r", "2", &[])]));
    let bad = route("r", "2", &[]).version;
    answer_all(&mut driver, &[&bad]);
    driver.advance(std::time::Duration::from_mins(1));
    assert_eq!(driver.settle(), NONE);
    assert!(matches!(
        driver.session.take_events().last(),
        Some(SessionEvent::Synced { revision: 2, .. })
    ));
    driver.session.on_snapshot(snapshot(3, [route("r", "3", &[])]));
    assert_eq!(driver.settle(), ["R+r", "C-a"]);
}

#[test]
fn a_refusal_of_an_older_cluster_does_not_spoil_the_newer_one() {
    let mut driver = Driver::settled(&snapshot(1, [cluster("a", "1")]));
    driver.session.on_snapshot(snapshot(2, [cluster("a", "2")]));
    let older = driver.poll().remove(0);
    driver.session.on_snapshot(snapshot(3, [cluster("a", "3")]));
    let newer = driver.poll().remove(0);
    driver.nack(&older, "no");
    driver.nack(&newer, "no");
    driver.settle();
    driver.session.on_snapshot(snapshot(4, [cluster("a", "1")]));
    assert!(!driver.settle().contains(&"C+a".into()), "it has the first one still");
}

#[test]
fn a_nack_with_a_stale_nonce_says_nothing() {
    let mut driver = Driver::settled(&snapshot(1, [route("r", "1", &[])]));
    driver.session.on_snapshot(snapshot(2, [route("r", "2", &[])]));
    let mut sent = driver.poll().remove(0);
    sent.nonce = "other".into();
    driver.nack(&sent, "no");
    assert_eq!(nacked(&mut driver), []);
}

#[test]
fn a_refusal_of_listeners_does_not_stop_other_kinds() {
    let world = |content: &str| [listener("l", content, &[]), resource(Endpoints, "e", content)];
    let mut driver = Driver::settled(&snapshot(1, world("1")));
    driver.session.on_snapshot(snapshot(2, world("2")));
    let bad = listener("l", "2", &[]).version;
    answer_all(&mut driver, &[&bad]);
    assert_eq!(nacked(&mut driver), [(Listener, "l".into(), "I refuse".into())]);
    driver.session.on_snapshot(snapshot(3, world("3")));
    assert_eq!(driver.settle(), ["E+e", "L+l"]);
}

#[test]
fn a_long_message_is_cut() {
    let mut driver = Driver::settled(&snapshot(1, [cluster("a", "1")]));
    driver.session.on_snapshot(snapshot(2, [cluster("a", "2")]));
    let sent = driver.poll().remove(0);
    assert_eq!(sent.kind, Cluster);
    driver.nack(&sent, &"ä".repeat(1 << 20));
    assert!(nacked(&mut driver)[0].2.len() <= 4096);
}

use std::time::Duration;

use tulle_xds::Kind::{self, Cluster, Endpoints, ExtensionConfig, Listener, Route};
use tulle_xds::proto::envoy::service::discovery::v3::DeltaDiscoveryRequest;
use tulle_xds::{RequestError, SessionConfig};

use crate::driver::{Driver, cluster, listener, resource, route, snapshot, stub};

const NONE: [&str; 0] = [];

#[test]
fn nothing_is_sent_before_there_is_a_snapshot() {
    let mut driver = Driver::new();
    driver.subscribe(Cluster, &[]);
    driver.subscribe(Route, &["r"]);
    assert_eq!(driver.sends(), NONE);
    driver.session.on_snapshot(snapshot(1, [cluster("a", "1")]));
    assert_eq!(driver.settle(), ["C+a", "R+r"]);
}

#[test]
fn an_empty_first_request_means_everything_for_clusters_and_listeners_only() {
    let mut driver = Driver::new();
    driver.session.on_snapshot(snapshot(
        1,
        [cluster("a", "1"), listener("l", "1", &[]), route("r", "1", &[])],
    ));
    for kind in Kind::ALL {
        driver.subscribe(kind, &[]);
    }
    assert_eq!(driver.settle(), ["C+a", "L+l"]);
}

#[test]
fn an_empty_world_is_answered_too() {
    let mut driver = Driver::new();
    driver.session.on_snapshot(snapshot(1, []));
    driver.subscribe(Cluster, &[]);
    assert_eq!(driver.sends(), ["C"]);
    driver.ack_all();
    assert_eq!(driver.sends(), NONE);
    driver.subscribe(Listener, &["*"]);
    assert_eq!(driver.settle(), ["L"]);
    driver.subscribe(Endpoints, &[]);
    assert_eq!(driver.settle(), NONE);
}

#[test]
fn a_wildcard_can_be_explicit_and_names_on_top_of_it_do_not_end_it() {
    let mut driver = Driver::new();
    driver.session.on_snapshot(snapshot(1, [cluster("a", "1")]));
    driver.subscribe(Cluster, &["*", "nosuch"]);
    assert_eq!(driver.settle(), ["C+a-nosuch"]);
    driver.subscribe(Cluster, &["lazy"]);
    assert_eq!(driver.settle(), ["C-lazy"]);
    driver
        .session
        .on_snapshot(snapshot(2, [cluster("a", "1"), cluster("b", "1")]));
    assert_eq!(driver.settle(), ["C+b"]);
    driver.change(Cluster, &[], &["*"]);
    driver
        .session
        .on_snapshot(snapshot(3, [cluster("a", "2"), cluster("lazy", "1")]));
    assert_eq!(driver.settle(), ["C+lazy"]);
}

#[test]
fn a_name_is_sent_again_when_it_is_asked_for_again() {
    let mut driver = Driver::new();
    driver.session.on_snapshot(snapshot(1, [route("r", "1", &[])]));
    driver.subscribe(Route, &["r"]);
    assert_eq!(driver.settle(), ["R+r"]);
    driver.subscribe(Route, &["r"]);
    assert_eq!(driver.settle(), ["R+r"]);
    driver.session.on_snapshot(snapshot(2, [route("r", "1", &[])]));
    assert_eq!(driver.settle(), NONE);
}

#[test]
fn unsubscribed_names_are_not_sent() {
    let mut driver = Driver::new();
    driver.session.on_snapshot(snapshot(1, [route("r", "1", &[])]));
    driver.subscribe(Route, &["r"]);
    driver.settle();
    driver.change(Route, &[], &["r"]);
    driver.session.on_snapshot(snapshot(2, [route("r", "2", &[])]));
    assert_eq!(driver.settle(), NONE);
    driver.subscribe(Route, &["r"]);
    assert_eq!(driver.settle(), ["R+r"]);
}

#[test]
fn unsubscribing_under_a_wildcard_is_answered() {
    let mut driver = Driver::new();
    driver.session.on_snapshot(snapshot(1, [cluster("a", "1")]));
    driver.subscribe(Cluster, &["*", "a", "nosuch"]);
    driver.settle();
    driver.change(Cluster, &[], &["a", "nosuch"]);
    assert_eq!(driver.settle(), ["C+a-nosuch"]);
}

#[test]
fn a_subscription_is_honoured_with_a_stale_nonce_or_on_an_ack() {
    let mut driver = Driver::new();
    driver.session.on_snapshot(snapshot(
        1,
        [route("a", "1", &[]), route("b", "1", &[]), route("c", "1", &[])],
    ));
    driver.subscribe(Route, &["a"]);
    let sent = driver.poll().remove(0);
    let mut request = DeltaDiscoveryRequest {
        type_url: Route.type_url().into(),
        response_nonce: "stale".into(),
        resource_names_subscribe: vec!["b".into()],
        ..Default::default()
    };
    driver.request(request.clone());
    assert_eq!(driver.sends(), NONE, "the first response is not answered yet");
    request.response_nonce = sent.nonce;
    request.resource_names_subscribe = vec!["c".into()];
    driver.request(request);
    assert_eq!(driver.sends(), ["R+b+c"]);
}

#[test]
fn a_client_that_has_everything_receives_nothing() {
    let (a, r) = (cluster("a", "1"), route("r", "1", &[]));
    let mut driver = Driver::new();
    driver.session.on_snapshot(snapshot(7, [a.clone(), r.clone()]));
    driver.resume(Endpoints, &["a"], &[("a", &stub(Endpoints, "a").unwrap().version)]);
    driver.resume(Cluster, &[], &[("a", &a.version)]);
    driver.resume(Route, &["r"], &[("r", &r.version)]);
    assert_eq!(driver.settle(), NONE);
    driver.session.on_snapshot(snapshot(8, [cluster("a", "2"), r]));
    assert_eq!(driver.settle(), ["C+a", "E+a"]);
}

#[test]
fn a_client_that_comes_back_is_told_what_changed_and_what_is_gone() {
    let mut driver = Driver::new();
    driver
        .session
        .on_snapshot(snapshot(7, [cluster("a", "2"), listener("l", "1", &[])]));
    driver.resume(Cluster, &["*"], &[("a", "old"), ("gone", "1")]);
    driver.resume(Listener, &[], &[("l", &listener("l", "1", &[]).version), ("lost", "1")]);
    driver.resume(
        Endpoints,
        &["a", "gone"],
        &[("a", &stub(Endpoints, "a").unwrap().version), ("gone", "1")],
    );
    driver.resume(Route, &["gone"], &[("gone", "1")]);
    assert_eq!(driver.settle(), ["C+a", "E+a+gone", "R+gone", "L-lost", "C-gone"]);
}

#[test]
fn missing_names_are_stubs_and_never_removals_except_clusters_and_listeners() {
    let full: Vec<_> = Kind::ALL.into_iter().map(|kind| resource(kind, "x", "1")).collect();
    let mut driver = Driver::settled(&snapshot(1, full));
    driver.session.on_snapshot(snapshot(2, []));
    assert_eq!(driver.settle(), ["S+x", "E+x", "X+x", "R+x", "T+x", "L-x", "C-x"]);
    driver.session.on_snapshot(snapshot(3, []));
    assert_eq!(driver.settle(), NONE);
}

#[test]
fn a_time_to_live_is_what_remains_and_the_stub_follows() {
    let mut driver = Driver::new();
    let at = driver.now.wall + Duration::from_mins(1);
    let fault = resource(ExtensionConfig, "fault", "1").with_expiry(at);
    driver.session.on_snapshot(snapshot(1, [fault.clone()]));
    driver.advance(Duration::from_secs(20));
    driver.subscribe(ExtensionConfig, &["fault"]);
    let seen = driver.poll().remove(0);
    assert_eq!(seen.ttls["fault"], Duration::from_secs(40));
    assert_eq!(seen.versions["fault"], *fault.version);
    driver.ack(&seen);
    driver.advance(Duration::from_secs(41));
    assert_eq!(driver.settle(), NONE, "the client forgets it by itself");
    driver.subscribe(ExtensionConfig, &["fault"]);
    let seen = driver.poll().remove(0);
    assert_eq!(seen.versions["fault"], *stub(ExtensionConfig, "fault").unwrap().version);
    assert!(seen.ttls.is_empty());
}

#[test]
fn responses_are_cut_by_number_and_by_size() {
    let names: Vec<String> = (0..120).map(|i| format!("r{i:03}")).collect();
    let mut driver = Driver::new();
    driver
        .session
        .on_snapshot(snapshot(1, names.iter().map(|name| route(name, "1", &[]))));
    driver.subscribe(Route, &names.iter().map(String::as_str).collect::<Vec<_>>());
    let mut sizes = Vec::new();
    while let Some(seen) = driver.poll().pop() {
        sizes.push(seen.versions.len());
        driver.ack(&seen);
    }
    assert_eq!(sizes, [50, 50, 20]);

    let config = SessionConfig {
        stub,
        max_response_bytes: 3000,
        ..SessionConfig::default()
    };
    let mut driver = Driver::with(config, Box::new(tulle_xds::NoSecrets));
    let big = "x".repeat(1000);
    driver
        .session
        .on_snapshot(snapshot(1, names.iter().take(4).map(|name| cluster(name, &big))));
    driver.subscribe(Cluster, &[]);
    let sizes: Vec<usize> = driver.poll().iter().map(|seen| seen.versions.len()).collect();
    assert_eq!(sizes, [2, 2]);
}

#[test]
fn unknown_types_and_too_many_names_are_errors() {
    let config = SessionConfig {
        stub,
        max_names: 3,
        ..SessionConfig::default()
    };
    let mut driver = Driver::with(config, Box::new(tulle_xds::NoSecrets));
    let mut request = DeltaDiscoveryRequest {
        type_url: "nosuch".into(),
        ..Default::default()
    };
    let refused = driver.session.on_request(request.clone(), driver.now);
    assert_eq!(refused, Err(RequestError::UnknownType("nosuch".into())));
    request.type_url = Route.type_url().into();
    request.resource_names_subscribe = (0..4).map(|i| i.to_string()).collect();
    assert!(matches!(
        driver.session.on_request(request.clone(), driver.now),
        Err(RequestError::TooMuch(_))
    ));
    request.resource_names_subscribe = vec!["x".repeat(5000)];
    assert!(matches!(
        driver.session.on_request(request, driver.now),
        Err(RequestError::TooMuch(_))
    ));
}

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use proptest::test_runner::FileFailurePersistence;
use tulle_xds::proto::envoy::service::discovery::v3::DeltaDiscoveryRequest;
use tulle_xds::proto::google::rpc::Status;
use tulle_xds::{Kind, SessionEvent};

use crate::driver::Driver;
use crate::model::{BAD, Client, World, snapshot};

/// One step of a history.
#[derive(Clone, Debug)]
enum Step {
    /// Change these and publish; absent content removes.
    Publish(BTreeMap<(Kind, u8), Option<u8>>),
    /// The server may send.
    Send,
    /// The client reads one response; if it refuses it, so many of the good ones are applied.
    Read(usize),
    /// The client answers a response of a kind that it has read.
    Answer(Kind),
    /// The stream breaks; first requests come rotated by so much.
    Reconnect(usize),
    /// The client asks for a name again, or for one that does not exist.
    Demand(Kind, u8),
}

fn kind() -> impl Strategy<Value = Kind> {
    prop::sample::select(&Kind::ALL[..])
}

fn step() -> impl Strategy<Value = Step> {
    let content = prop_oneof![2 => Just(None), 6 => (0..4_u8).prop_map(Some), 1 => Just(Some(BAD))];
    let key = (kind(), 0..6_u8).prop_map(|(kind, name)| (kind, if kind == Kind::Runtime { 0 } else { name }));
    prop_oneof![
        3 => btree_map(key, content, 1..8).prop_map(Step::Publish),
        6 => Just(Step::Send),
        6 => (0..3_usize).prop_map(Step::Read),
        8 => kind().prop_map(Step::Answer),
        1 => (0..7_usize).prop_map(Step::Reconnect),
        1 => (kind().prop_filter("wildcards are asked for as a whole", |kind| !kind.is_wildcard()), 0..8_u8)
            .prop_map(|(kind, name)| Step::Demand(kind, name)),
    ]
}

fn config(cases: u32) -> ProptestConfig {
    let saved = FileFailurePersistence::Direct("tests/session/regressions.txt");
    ProptestConfig {
        cases,
        failure_persistence: Some(Box::new(saved)),
        ..ProptestConfig::default()
    }
}

/// Lets both sides finish; time passes only when nothing else happens.
fn settle(client: &mut Client, world: &World) {
    for _ in 0..4 {
        loop {
            client.receive(world);
            if client.is_done() {
                break;
            }
            client.read(1);
            for kind in Kind::ALL {
                client.answer(kind);
            }
        }
        client.driver.advance(Duration::from_secs(5));
    }
}

proptest! {
    #![proptest_config(config(std::env::var("TULLE_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(256)))]

    #[test]
    fn a_client_converges_and_receives_nothing_unchanged(steps in vec(step(), 1..120)) {
        let mut world = World::new();
        let mut revision = 1;
        let mut current = snapshot(revision, &world);
        let mut client = Client::new(&current);
        for step in steps {
            match step {
                Step::Publish(changes) => {
                    for (key, content) in changes {
                        match content {
                            Some(content) => drop(world.insert(key, content)),
                            None => drop(world.remove(&key)),
                        }
                    }
                    revision += 1;
                    current = snapshot(revision, &world);
                    client.publish(&current, &world);
                }
                Step::Send => client.receive(&world),
                Step::Read(applied) => client.read(applied),
                Step::Answer(kind) => client.answer(kind),
                Step::Reconnect(order) => client.connect(&current, order),
                Step::Demand(kind, name) => client.demand(kind, &name.to_string()),
            }
        }
        settle(&mut client, &world);
        client.check_converged(&world);
        prop_assert_eq!(client.driver.session.in_flight(), 0);
        let events = client.driver.session.take_events();
        let synced = events.iter().rev().find_map(|event| match event {
            SessionEvent::Synced { revision, refused } => Some((*revision, refused.clone())),
            SessionEvent::Nacked { .. } => None,
        });
        let (synced, refused) = synced.expect("in sync at last");
        prop_assert_eq!(synced, revision);
        prop_assert_eq!(refused, client.refuses(&world));
    }

    #[test]
    fn arbitrary_requests_never_panic_nor_keep_a_session_busy(
        steps in vec((request(), 0..8_u8, btree_map((kind(), 0..4_u8), 0..3_u8, 0..6), 0..8_u64), 1..60),
    ) {
        let mut driver = Driver::new();
        for (revision, (request, action, world, seconds)) in steps.into_iter().enumerate() {
            match action {
                0 => driver.session.on_snapshot(snapshot(revision as u64, &world)),
                1 => driver.advance(Duration::from_secs(seconds)),
                2 => driver.session.on_secret_due(driver.now),
                3 => drop(driver.poll()),
                4 => driver.ack_all(),
                _ => drop(driver.session.on_request(request, driver.now)),
            }
            driver.session.next_deadline(driver.now);
        }
        driver.settle();
    }
}

prop_compose! {
    fn request()(
        kind in prop::option::weighted(0.95, kind()),
        subscribe in vec(name(), 0..4),
        unsubscribe in vec(name(), 0..3),
        initial in btree_map(name(), "[01]?", 0..3),
        nonce in prop::option::of(0..30_u8),
        error in any::<bool>(),
    ) -> DeltaDiscoveryRequest {
        DeltaDiscoveryRequest {
            type_url: kind.map_or("other", Kind::type_url).into(),
            resource_names_subscribe: subscribe,
            resource_names_unsubscribe: unsubscribe,
            initial_resource_versions: initial,
            response_nonce: nonce.map(|nonce| nonce.to_string()).unwrap_or_default(),
            error_detail: error.then(Status::default),
            ..Default::default()
        }
    }
}

fn name() -> impl Strategy<Value = String> {
    prop_oneof![8 => "[0-5]", 1 => Just("*".into()), 1 => ".{0,3}"]
}

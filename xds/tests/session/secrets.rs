use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use tulle_xds::Kind::Secret;
use tulle_xds::{Resource, SecretAnswer, Secrets, SessionConfig};

use crate::driver::{Driver, resource, snapshot, stub};

const NONE: [&str; 0] = [];
const LIFE: Duration = Duration::from_hours(1);

/// Issues `leaf.v1`, `leaf.v2`, ...; keeps what it issued itself.
#[derive(Clone, Default)]
struct Issuer(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    issued: u32,
    asked: u32,
    good: Option<String>,
    now: Option<SystemTime>,
}

impl Secrets for Issuer {
    fn secret(&self, name: &str, held: Option<&str>) -> Option<SecretAnswer> {
        if name != "leaf" {
            return None;
        }
        let mut state = self.0.lock().unwrap();
        state.asked += 1;
        let renew_at = state.now.unwrap() + LIFE;
        if let Some(version) = held.filter(|held| state.good.as_deref() == Some(held)) {
            return Some(SecretAnswer::Keep {
                version: version.into(),
                renew_at,
            });
        }
        state.issued += 1;
        let version = format!("v{}", state.issued);
        state.good = Some(version.clone());
        let resource = Arc::new(Resource::with_version(resource(Secret, name, &version), version));
        Some(SecretAnswer::Send { resource, renew_at })
    }
}

fn driver() -> (Driver, Issuer) {
    let issuer = Issuer::default();
    let mut driver = Driver::with(
        SessionConfig {
            stub,
            ..SessionConfig::default()
        },
        Box::new(issuer.clone()),
    );
    issuer.0.lock().unwrap().now = Some(driver.now.wall);
    driver.session.on_snapshot(snapshot(1, []));
    (driver, issuer)
}

#[test]
fn a_secret_is_issued_once_a_subscription() {
    let (mut driver, issuer) = driver();
    driver.subscribe(Secret, &["leaf"]);
    let seen = driver.poll().remove(0);
    assert_eq!(seen.versions["leaf"], "v1");
    driver.ack(&seen);
    driver
        .session
        .on_snapshot(snapshot(2, [resource(Secret, "context", "1")]));
    assert_eq!(driver.settle(), NONE);
    assert_eq!(issuer.0.lock().unwrap().asked, 1);
}

#[test]
fn a_good_secret_is_kept_over_a_reconnect() {
    let (mut driver, issuer) = driver();
    issuer.0.lock().unwrap().good = Some("v9".into());
    driver.resume(Secret, &["leaf"], &[("leaf", "v9")]);
    assert_eq!(driver.settle(), NONE);
    assert_eq!(driver.session.next_deadline(driver.now), Some(LIFE));
}

#[test]
fn a_bad_secret_is_replaced_on_reconnect() {
    let (mut driver, _) = driver();
    driver.resume(Secret, &["leaf"], &[("leaf", "stolen")]);
    assert_eq!(driver.poll()[0].versions["leaf"], "v1");
}

#[test]
fn a_secret_is_renewed_when_it_is_due() {
    let (mut driver, issuer) = driver();
    driver.subscribe(Secret, &["leaf"]);
    driver.settle();
    driver.advance(LIFE.checked_sub(Duration::from_secs(1)).unwrap());
    driver.session.on_secret_due(driver.now);
    assert_eq!(driver.settle(), NONE);
    driver.advance(Duration::from_secs(1));
    issuer.0.lock().unwrap().good = None;
    issuer.0.lock().unwrap().now = Some(driver.now.wall);
    driver.session.on_secret_due(driver.now);
    assert_eq!(driver.poll()[0].versions["leaf"], "v2");
    assert_eq!(driver.session.next_deadline(driver.now), Some(LIFE));
}

#[test]
fn a_secret_that_is_asked_for_again_is_sent_again() {
    let (mut driver, _) = driver();
    driver.subscribe(Secret, &["leaf"]);
    driver.settle();
    driver.subscribe(Secret, &["leaf"]);
    assert_eq!(driver.settle(), ["S+leaf"]);
}

#[test]
fn a_refused_secret_is_not_issued_again_in_a_loop() {
    let (mut driver, issuer) = driver();
    driver.subscribe(Secret, &["leaf"]);
    for _ in 0..5 {
        for seen in driver.poll() {
            driver.nack(&seen, "key does not match");
        }
    }
    assert_eq!(issuer.0.lock().unwrap().issued, 1);
}

#[test]
fn names_that_are_nobodys_secret_come_from_the_snapshot_or_are_stubs() {
    let (mut driver, _) = driver();
    driver
        .session
        .on_snapshot(snapshot(2, [resource(Secret, "context", "1")]));
    driver.subscribe(Secret, &["context", "nosuch"]);
    let seen = driver.poll().remove(0);
    assert_eq!(seen.versions["context"], *resource(Secret, "context", "1").version);
    assert_eq!(seen.versions["nosuch"], *stub(Secret, "nosuch").unwrap().version);
}

#[test]
fn an_unsubscribed_secret_is_not_renewed() {
    let (mut driver, _) = driver();
    driver.subscribe(Secret, &["leaf"]);
    driver.settle();
    driver.change(Secret, &[], &["leaf"]);
    assert_eq!(driver.session.next_deadline(driver.now), None);
}

//! Who is let in, and every way of not being.

mod stage;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};

use super::{IssuerKeys, PodAuthenticator, Reason, TokenError};
use crate::identity::WorkloadInfo;
use crate::identity::version::unix;
use crate::source::kubernetes::PodInfo;
use stage::{HOME, Issuer, Model, Stage, World, b64, but, claims, es256, pod};

#[tokio::test]
async fn a_pod_is_itself_with_either_algorithm_and_from_each_of_its_addresses() {
    let stage = Stage::new(World::with(pod()));
    for header in [es256(), json!({"alg": "RS256", "kid": "rsa"})] {
        let claims = claims();
        let token = stage.issuer.sign(&header, &claims);
        for peer in [HOME, "::ffff:10.88.0.7", "fd00::7"] {
            let identity = stage.ask(&token, "shop/orders-1", peer).await.unwrap();
            assert_eq!(identity.proxy.as_str(), "shop/orders-1");
            assert_eq!(&*identity.spiffe_id, "spiffe://tulle.local/ns/shop/sa/orders");
            assert_eq!(identity.expires_at.map(unix), claims["exp"].as_u64());
        }
    }
}

#[tokio::test]
async fn a_token_counts_for_its_own_pod_only() {
    let stage = Stage::new(World::with(pod()));
    let other = PodInfo {
        uid: "uid-2".to_owned(),
        service_account: "payments".to_owned(),
        addresses: vec!["10.88.0.8".parse::<IpAddr>().unwrap()],
        ..pod()
    };
    stage.world.set("shop/payments-1", other.clone());
    stage.world.set("bank/orders-1", other);
    let token = stage.issuer.sign(&es256(), &claims());
    for peer in [HOME, "10.88.0.8"] {
        for node in ["shop/payments-1", "bank/orders-1", "", "shop", "shop/orders-1/"] {
            let refused = stage.ask(&token, node, peer).await.unwrap_err();
            assert_eq!(refused, Reason::OtherNode { node: node.to_owned() });
        }
    }
    // Stolen: right in everything but where it comes from.
    let node = || "shop/orders-1".to_owned();
    for peer in ["10.88.0.8", "127.0.0.1", "::1"] {
        let refused = stage.ask(&token, "shop/orders-1", peer).await.unwrap_err();
        let peer = peer.parse().unwrap();
        assert_eq!(refused, Reason::OtherAddress { node: node(), peer });
    }
    // Another namespace's service account bound to this Pod's name.
    let elsewhere = but("/kubernetes.io/namespace", json!("bank"));
    assert_eq!(
        stage.refused(&es256(), &elsewhere).await,
        Reason::Token(TokenError::Contradiction)
    );
    let mut elsewhere = elsewhere;
    elsewhere["sub"] = json!("system:serviceaccount:bank:orders");
    assert_eq!(
        stage.refused(&es256(), &elsewhere).await,
        Reason::OtherNode { node: node() }
    );
    // Another account of the same namespace, bound to this Pod.
    let mut account = but("/kubernetes.io/serviceaccount/name", json!("admin"));
    account["sub"] = json!("system:serviceaccount:shop:admin");
    assert_eq!(
        stage.refused(&es256(), &account).await,
        Reason::OtherAccount { node: node() }
    );
}

#[tokio::test]
async fn a_pod_that_is_gone_is_nobody() {
    let long_ago = SystemTime::now() - Duration::from_mins(2);
    let gone = [
        PodInfo {
            uid: "uid-2".to_owned(),
            ..pod()
        },
        PodInfo { ended: true, ..pod() },
        PodInfo {
            gone_at: Some(long_ago),
            ..pod()
        },
    ];
    let worlds = gone.into_iter().map(World::with).chain([World::default()]);
    for world in worlds {
        let refused = Stage::new(world).refused(&es256(), &claims()).await;
        assert_eq!(
            refused,
            Reason::UnknownPod {
                node: "shop/orders-1".to_owned()
            }
        );
    }
    // One that is ending still serves.
    let ending = Stage::new(World::with(PodInfo {
        gone_at: Some(SystemTime::now()),
        ..pod()
    }));
    let token = ending.issuer.sign(&es256(), &claims());
    ending.ask(&token, "shop/orders-1", HOME).await.unwrap();
    // A Pod that the model does not have is not meshed; one that it has by another address is not up to date.
    for address in [None, Some("10.88.0.9")] {
        let stage = Stage::new(World::with(pod()));
        let model = Model(address.map(|address| WorkloadInfo {
            address: address.parse().unwrap(),
            spiffe_id: "spiffe://tulle.local/ns/shop/sa/orders".to_owned(),
        }));
        let keys = Arc::new(IssuerKeys::new(stage.board.clone()));
        let authenticator = PodAuthenticator::new(keys, stage.world.clone(), model).with_patience(Duration::ZERO);
        let header = format!("Bearer {}", stage.issuer.sign(&es256(), &claims()));
        let peer = SocketAddr::new(HOME.parse().unwrap(), 1);
        let refused = authenticator
            .check(peer, Some(&header), "shop/orders-1")
            .await
            .unwrap_err();
        assert_eq!(
            refused,
            Reason::UnknownPod {
                node: "shop/orders-1".to_owned()
            }
        );
    }
}

#[tokio::test]
async fn a_proxy_may_be_faster_than_the_watch() {
    let stage = Stage::new(World::with(PodInfo {
        uid: "uid-0".to_owned(),
        ..pod()
    }));
    let authenticator = stage.authenticator.with_patience(Duration::from_mins(1));
    let header = format!("Bearer {}", stage.issuer.sign(&es256(), &claims()));
    let peer = SocketAddr::new(HOME.parse().unwrap(), 1);
    let mut asking = std::pin::pin!(authenticator.check(peer, Some(&header), "shop/orders-1"));
    let early = tokio::time::timeout(Duration::from_millis(200), &mut asking).await;
    assert!(early.is_err(), "the Pod of that UID is not there yet: {early:?}");
    stage.world.set("shop/orders-1", pod());
    asking.await.unwrap();
}

#[tokio::test]
async fn what_a_token_says_must_all_be_there_and_right() {
    let stage = Stage::new(World::with(pod()));
    let now = unix(SystemTime::now());
    let cases = [
        (
            but("/aud", json!(["https://kubernetes.default.svc"])),
            TokenError::Audience,
        ),
        (but("/aud", json!("tulle.dev")), TokenError::Audience),
        (but("/aud", Value::Null), TokenError::Malformed),
        (but("/exp", json!(now - 60)), TokenError::Expired),
        (but("/exp", json!(0)), TokenError::Expired),
        (but("/exp", json!("never")), TokenError::Malformed),
        (but("/exp", Value::Null), TokenError::Malformed),
        (but("/nbf", json!(now + 60)), TokenError::NotYetValid),
        (but("/iss", json!("https://elsewhere")), TokenError::Issuer),
        (but("/iss", Value::Null), TokenError::Malformed),
        (
            but("/sub", json!("system:serviceaccount:shop:admin")),
            TokenError::Contradiction,
        ),
        (but("/sub", Value::Null), TokenError::Malformed),
        (but("/kubernetes.io", Value::Null), TokenError::NotBound),
        (but("/kubernetes.io/pod", Value::Null), TokenError::NotBound),
        (but("/kubernetes.io/serviceaccount", Value::Null), TokenError::NotBound),
        (
            but("/kubernetes.io/pod/name", json!("orders-1/x")),
            TokenError::NotBound,
        ),
        (but("/kubernetes.io/pod/uid", json!("")), TokenError::NotBound),
        (but("/kubernetes.io/pod/uid", Value::Null), TokenError::Malformed),
    ];
    for (claims, expected) in cases {
        assert_eq!(
            stage.refused(&es256(), &claims).await,
            Reason::Token(expected),
            "{claims}"
        );
    }
}

#[tokio::test]
async fn only_the_issuers_own_signature_counts() {
    let stage = Stage::new(World::with(pod()));
    let header = |alg: &str, kid: &str| json!({"alg": alg, "kid": kid});
    let cases = [
        (header("none", "ec"), TokenError::Malformed),
        (header("HS256", "rsa"), TokenError::Algorithm),
        (header("HS256", "shared"), TokenError::UnknownKey),
        (header("RS512", "rsa"), TokenError::Algorithm),
        (header("RS256", "ec"), TokenError::Algorithm),
        (header("ES256", "rsa"), TokenError::Algorithm),
        (header("ES256", "nobody"), TokenError::UnknownKey),
        (json!({"alg": "ES256"}), TokenError::UnknownKey),
    ];
    for (header, expected) in cases {
        assert_eq!(
            stage.refused(&header, &claims()).await,
            Reason::Token(expected),
            "{header}"
        );
    }
    // A foreign issuer with the same key ids.
    let foreign = Issuer::new();
    for header in [es256(), header("RS256", "rsa")] {
        let token = foreign.sign(&header, &claims());
        let refused = stage.ask(&token, "shop/orders-1", HOME).await.unwrap_err();
        assert_eq!(refused, Reason::Token(TokenError::Signature));
    }
    // Claims that were changed after signing.
    let good = stage.issuer.sign(&es256(), &claims());
    let parts: Vec<&str> = good.split('.').collect();
    let changed = but("/kubernetes.io/pod/name", json!("payments-1")).to_string();
    let tampered = format!("{}.{}.{}", parts[0], b64(changed), parts[2]);
    let refused = stage.ask(&tampered, "shop/payments-1", HOME).await.unwrap_err();
    assert_eq!(refused, Reason::Token(TokenError::Signature));
    let unsigned = format!("{}.{}.", parts[0], parts[1]);
    assert!(stage.ask(&unsigned, "shop/orders-1", HOME).await.is_err());
}

#[tokio::test]
async fn without_a_token_nobody_is_let_in() {
    let stage = Stage::new(World::with(pod()));
    let peer = SocketAddr::new(HOME.parse().unwrap(), 1);
    for header in [None, Some(""), Some("Bearer"), Some("Bearer "), Some("Basic abc")] {
        let refused = stage
            .authenticator
            .check(peer, header, "shop/orders-1")
            .await
            .unwrap_err();
        assert_eq!(refused, Reason::NoToken);
    }
    let long = format!("Bearer {}", "a".repeat(10_000));
    for header in ["Bearer abc", "Bearer a.b.c", &long] {
        let refused = stage
            .authenticator
            .check(peer, Some(header), "shop/orders-1")
            .await
            .unwrap_err();
        assert_eq!(refused, Reason::Token(TokenError::Malformed));
    }
}

#[tokio::test]
async fn keys_are_asked_for_when_unknown_but_seldom() {
    let hour = Duration::from_hours(1);
    let stage = Stage::with_pause(World::with(pod()), hour);
    *stage.board.0.0.lock().unwrap() = None;
    for _ in 0..100 {
        assert_eq!(stage.refused(&es256(), &claims()).await, Reason::NoKeys);
    }
    assert_eq!(
        stage.asked(),
        1,
        "an API server that does not answer is not asked again at once"
    );

    let stage = Stage::with_pause(World::with(pod()), hour);
    for _ in 0..100 {
        let unknown = stage
            .refused(&json!({"alg": "ES256", "kid": "invented"}), &claims())
            .await;
        assert_eq!(unknown, Reason::Token(TokenError::UnknownKey));
    }
    assert_eq!(stage.asked(), 1, "invented key ids make nobody ask");
}

#[tokio::test]
async fn a_new_key_of_the_issuer_counts_at_once_and_a_given_up_one_no_more() {
    let stage = Stage::with_pause(World::with(pod()), Duration::ZERO);
    let old = stage.issuer.sign(&es256(), &claims());
    stage.ask(&old, "shop/orders-1", HOME).await.unwrap();
    let next = Issuer::new();
    let mut published = next.published();
    published.keys.keys[0].common.key_id = Some("next".to_owned());
    *stage.board.0.0.lock().unwrap() = Some(published);
    let token = next.sign(&json!({"alg": "ES256", "kid": "next"}), &claims());
    stage.ask(&token, "shop/orders-1", HOME).await.unwrap();
    let refused = stage.ask(&old, "shop/orders-1", HOME).await.unwrap_err();
    assert_eq!(refused, Reason::Token(TokenError::UnknownKey));
    assert_eq!(stage.asked(), 3);
    // The API server is away: what is known counts.
    *stage.board.0.0.lock().unwrap() = None;
    assert_eq!(
        stage.refused(&es256(), &claims()).await,
        Reason::Token(TokenError::UnknownKey)
    );
    stage.ask(&token, "shop/orders-1", HOME).await.unwrap();
}

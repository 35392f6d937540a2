//! Lines as Envoy 1.40 writes them, and what each of them means.

use serde_json::{Value, json};

use super::{Decided, Direction, LogLine, NotOurs};

const ORDERS: &str = "spiffe://tulle.local/ns/shop/sa/orders";
const RULE: &str = "TrafficPermission/shop/payments/read";
const REFUSED: &str = "TLS_error:|268435581:SSL_routines:OPENSSL_internal:CERTIFICATE_VERIFY_FAILED:verify_cert_failed:_SAN_matcher,_certificate_SANs_are_[spiffe://tulle.local/ns/shop/sa/orders]:TLS_error_end";
const FOREIGN: &str = "TLS_error:|268435581:SSL_routines:OPENSSL_internal:CERTIFICATE_VERIFY_FAILED:verify_cert_failed:_X509_verify_cert:_certificate_verification_error_at_depth_0:_self_signed_certificate:TLS_error_end";
const PLAIN: &str = "TLS_error:|268435703:SSL_routines:OPENSSL_internal:WRONG_VERSION_NUMBER:TLS_error_end";
const NONE: &str = "TLS_error:|268435648:SSL_routines:OPENSSL_internal:PEER_DID_NOT_RETURN_A_CERTIFICATE:peer_did_not_provide_required_client_certificate:TLS_error_end";

fn line(changes: &Value) -> LogLine {
    let mut fields = json!({
        "time": "2026-01-01T00:00:00Z", "listener": "in/10.0.0.1/7000", "direction": "inbound", "peer": ORDERS,
        "downstream": "10.0.0.9:4000", "destination": "10.0.0.1:7000", "sni": "70.payments.shop.tulle.mesh", "flags": "-",
    });
    fields
        .as_object_mut()
        .unwrap()
        .extend(changes.as_object().unwrap().clone());
    LogLine::parse(fields.to_string().as_bytes()).unwrap()
}

fn request(changes: &Value) -> LogLine {
    let mut fields =
        json!({"method": "GET", "path": "/a", "authority": "x", "status": 200, "default": "default/Deny/http"});
    fields
        .as_object_mut()
        .unwrap()
        .extend(changes.as_object().unwrap().clone());
    line(&fields)
}

fn means(line: &LogLine) -> (Decided, Option<&str>, Option<&str>) {
    (line.decided, line.rule.as_deref(), line.caller.as_deref())
}

#[test]
fn what_a_request_means() {
    use Decided::{Allowed, Denied, Unasked};
    let denied = format!("rbac_access_denied_matched_policy[{RULE}]");
    let cases = [
        (json!({"allowed_by": RULE}), Allowed, Some(RULE)),
        (
            json!({"allowed_by": RULE, "limited_by": "RateLimit/a/b"}),
            Allowed,
            Some(RULE),
        ),
        (
            json!({"denied_by": RULE, "details": denied, "status": 403}),
            Denied,
            Some(RULE),
        ),
        // The allow filter reports the default that denies as what decided.
        (
            json!({"allowed_by": "default/Deny/http", "details": "rbac_access_denied_matched_policy[default/Deny/http]"}),
            Denied,
            Some("default/Deny/http"),
        ),
        (
            json!({"details": "rbac_access_denied_matched_policy[none]"}),
            Denied,
            Some("default/Deny/http"),
        ),
        (
            json!({"status": 400, "default": null, "details": "path_normalization_failed"}),
            Unasked,
            None,
        ),
        // A path with `;` has a route, and with it the port's default, but nobody asked for it.
        (json!({"status": 400, "details": "direct_response"}), Unasked, None),
        // A TLS error that ends the connection later decided nothing.
        (
            json!({"allowed_by": RULE, "tls_failure": "TLS_error:|1:x"}),
            Allowed,
            Some(RULE),
        ),
    ];
    for (changes, decided, rule) in cases {
        assert_eq!(means(&request(&changes)), (decided, rule, Some(ORDERS)), "{changes}");
    }
}

#[test]
fn what_a_connection_means() {
    use Decided::{Allowed, Denied};
    let cases = [
        (
            json!({"allowed_by": RULE, "rule": RULE}),
            Allowed,
            Some(RULE),
            Some(ORDERS),
        ),
        (
            json!({"denied_by": RULE, "rule": RULE, "tls_failure": REFUSED}),
            Denied,
            Some(RULE),
            Some(ORDERS),
        ),
        // The table of causes was full.
        (json!({"tls_failure": REFUSED}), Denied, None, Some(ORDERS)),
        (json!({"tls_failure": FOREIGN}), Denied, None, None),
        (json!({"tls_failure": NONE, "peer": null}), Denied, None, None),
        (json!({"flags": "NR", "peer": null}), Denied, None, None),
        (
            json!({"denied_by": "default/Deny/db", "peer": null, "flags": "UH", "tls_failure": PLAIN}),
            Denied,
            Some("default/Deny/db"),
            None,
        ),
        (
            json!({"allowed_by": RULE, "peer": null, "tls_failure": PLAIN}),
            Allowed,
            Some(RULE),
            None,
        ),
        (
            json!({"denied_by": "default/Deny/db", "peer": null, "flags": "UH"}),
            Denied,
            Some("default/Deny/db"),
            None,
        ),
        (
            json!({"allowed_by": RULE, "tls_failure": "TLS_error:|1:x"}),
            Allowed,
            Some(RULE),
            Some(ORDERS),
        ),
        (
            json!({"allowed_by": RULE, "termination": "rbac_access_denied_matched_policy[revoked/api]"}),
            Denied,
            Some("revoked/api"),
            Some(ORDERS),
        ),
    ];
    for (changes, decided, rule, caller) in cases {
        assert_eq!(means(&line(&changes)), (decided, rule, caller), "{changes}");
    }
}

#[test]
fn who_breaks_a_handshake_off_is_nobody() {
    use Decided::{Allowed, Denied, Unasked};
    let cases = [
        (json!({"verified": "yes"}), Allowed, None, Some(ORDERS)),
        (
            json!({"verified": "yes", "allowed_by": RULE}),
            Allowed,
            Some(RULE),
            Some(ORDERS),
        ),
        // The certificate came, the proof did not.
        (json!({"verified": null}), Unasked, None, None),
        (json!({"verified": null, "tls_failure": FOREIGN}), Denied, None, None),
        (
            json!({"verified": null, "tls_failure": REFUSED, "denied_by": RULE}),
            Denied,
            Some(RULE),
            Some(ORDERS),
        ),
    ];
    for (changes, decided, rule, caller) in cases {
        assert_eq!(means(&line(&changes)), (decided, rule, caller), "{changes}");
    }
}

#[test]
fn a_caller_cannot_write_envoys_words_into_its_certificate() {
    let said = "TLS_error:|1:x:X509_verify_cert:_[spiffe://tulle.local/SAN_matcher]:TLS_error_end";
    assert_eq!(
        means(&line(&json!({"tls_failure": said}))),
        (Decided::Denied, None, None)
    );
}

#[test]
fn what_was_called() {
    let line = request(&json!({}));
    assert_eq!(line.announced.as_deref(), Some("shop/payments:70"));
    assert_eq!(line.destination, Some("10.0.0.1:7000".parse().unwrap()));
    assert_eq!(line.listener.unwrap().to_string(), "in/10.0.0.1/7000");
    assert_eq!(line.request.unwrap().target, "/a");
    assert_eq!(line.status.as_deref(), Some("200"));
    let out = request(&json!({"direction": "outbound", "rule": "TrafficRoute/a/b/c", "status": 0}));
    assert_eq!(
        (out.direction, out.rule.as_deref()),
        (Direction::Outbound, Some("TrafficRoute/a/b/c"))
    );
    assert_eq!(out.status, None);
}

#[test]
fn other_lines_are_not_ours() {
    let parse = |text: &str| LogLine::parse(text.as_bytes());
    assert_eq!(parse("[2026] hello"), Err(NotOurs::NoJson));
    assert_eq!(parse("[1]"), Err(NotOurs::NoJson));
    assert_eq!(parse("{}"), Err(NotOurs::Without("direction")));
    assert_eq!(parse(r#"{"direction": "inbound"}"#), Err(NotOurs::Without("time")));
    let sideways = r#"{"direction": "sideways", "time": 1, "listener": 1, "peer": 1, "destination": 1}"#;
    assert_eq!(parse(sideways), Err(NotOurs::Without("direction")));
    let odd = line(&json!({"peer": 7, "sni": {"a": 1}, "destination": [], "listener": "x/y"}));
    assert_eq!((odd.announced, odd.destination, odd.listener), (None, None, None));
}

#[test]
fn what_shadow_permissions_would_do() {
    let would = |changes: &Value| {
        let line = line(changes);
        (line.would_allow, line.would_deny)
    };
    let name = Some(RULE.to_owned());
    assert_eq!(
        would(&json!({"shadow_allowed_by": RULE, "shadow_denied_by": null})),
        (name.clone(), None)
    );
    assert_eq!(
        would(&json!({"shadow_allowed_by": null, "shadow_denied_by": RULE})),
        (None, name)
    );
}

//! Lines as Envoy writes them, and lines that nobody should trip over.

use serde_json::{Value, json};

use super::{CallerReport, CallerRow, Destination, Sums};

const ORDERS: &str = "spiffe://tulle.local/ns/shop/sa/orders";
const SAN: &str =
    "TLS_error:|268435581:x:CERTIFICATE_VERIFY_FAILED:verify_cert_failed:_SAN_matcher,_certificate_SANs_are_[x]";
const READ: &str = "TrafficPermission/shop/payments/read";

/// An allowed request, with changes.
fn request(changes: &Value) -> String {
    let mut line = json!({
        "time": "2026-01-01T00:00:00Z", "listener": "in/8080", "direction": "inbound", "method": "GET", "status": 200,
        "peer": ORDERS, "destination": "10.0.0.1:8080", "sni": "80.payments.shop.tulle.mesh", "details": "via_upstream",
        "termination": null, "tls_failure": null, "denied_by": null, "allowed_by": READ, "default": "default/Deny/http",
        "limited_by": null, "fault": null, "shadow_denied_by": null,
    });
    let fields = line.as_object_mut().unwrap();
    fields.extend(changes.as_object().unwrap().clone());
    fields.retain(|_, value| value != "absent");
    format!("{line}\n")
}

fn connection(changes: &Value) -> String {
    let mut changes = changes.clone();
    for field in [
        "method",
        "status",
        "details",
        "denied_by",
        "allowed_by",
        "default",
        "limited_by",
        "fault",
    ] {
        if changes.get(field).is_none() {
            changes[field] = "absent".into();
        }
    }
    changes["sni"] = "70.payments.shop.tulle.mesh".into();
    request(&changes)
}

fn sum(by: Destination, log: &str) -> CallerReport {
    let mut sums = Sums::new(by);
    sums.read(log.as_bytes()).unwrap();
    sums.report()
}

fn row(rule: &str, destination: &str) -> CallerRow {
    CallerRow {
        caller: ORDERS.to_owned(),
        destination: destination.to_owned(),
        rule: rule.to_owned(),
        ..CallerRow::default()
    }
}

/// What [`calls_are_added_up_by_caller_destination_and_rule`] adds up.
fn added_up(denied: &str) -> [CallerRow; 9] {
    let (http, tcp) = ("shop/payments:80", "shop/payments:70");
    [
        CallerRow {
            requests: 1,
            denied: 1,
            caller: "-".into(),
            ..row("-", tcp)
        },
        CallerRow {
            requests: 1,
            denied: 1,
            caller: "-".into(),
            ..row("default/Deny/http", http)
        },
        CallerRow {
            requests: 1,
            allowed: 1,
            ..row("-", tcp)
        },
        CallerRow {
            requests: 1,
            allowed: 1,
            ..row(READ, tcp)
        },
        CallerRow {
            requests: 1,
            denied: 1,
            ..row("default/Deny/db", tcp)
        },
        CallerRow {
            requests: 1,
            denied: 1,
            ..row("revoked/api", tcp)
        },
        CallerRow {
            requests: 1,
            denied: 1,
            ..row(denied, http)
        },
        CallerRow {
            requests: 4,
            allowed: 4,
            would_deny: 1,
            limited: 1,
            faulted: 1,
            ..row(READ, http)
        },
        CallerRow {
            requests: 1,
            denied: 1,
            ..row("default/Deny/http", http)
        },
    ]
}

#[test]
fn calls_are_added_up_by_caller_destination_and_rule() {
    let denied = "TrafficPermission/shop/no-admin/admin";
    let default =
        json!({"allowed_by": "default/Deny/http", "details": "rbac_access_denied_matched_policy[default/Deny/http]"});
    let log = [
        request(&json!({})),
        request(&json!({"shadow_denied_by": "TrafficPermission/shop/shadow/x"})),
        request(&json!({"limited_by": "RateLimit/shop/l", "status": 429})),
        request(&json!({"fault": "FaultInjection/shop/f/slow"})),
        request(
            &json!({"denied_by": denied, "allowed_by": null, "details": format!("rbac_access_denied_matched_policy[{denied}]")}),
        ),
        request(&default),
        request(
            &json!({"peer": null, "allowed_by": null, "details": "rbac_access_denied_matched_policy[default/Deny/http]"}),
        ),
        connection(&json!({})),
        connection(&json!({"allowed_by": READ})),
        connection(&json!({"tls_failure": SAN, "denied_by": "default/Deny/db"})),
        connection(
            &json!({"tls_failure": "TLS_error:|1:CERTIFICATE_VERIFY_FAILED:verify_cert_failed:_X509_verify_cert:_x"}),
        ),
        connection(&json!({"termination": "rbac_access_denied_matched_policy[revoked/api]"})),
    ];
    let report = sum(Destination::Announced, &log.concat());
    assert_eq!(report.items, added_up(denied));
    assert_eq!((report.foreign, report.outbound), (0, 0));
}

#[test]
fn a_request_that_no_rule_saw_is_neither_allowed_nor_denied() {
    let malformed =
        request(&json!({"allowed_by": null, "default": null, "status": 400, "details": "path_normalization_failed"}));
    let expected = CallerRow {
        requests: 1,
        ..row("-", "shop/payments:80")
    };
    assert_eq!(sum(Destination::Announced, &malformed).items, [expected]);
}

#[test]
fn what_the_caller_announced_can_be_left_out() {
    let log =
        request(&json!({})) + &request(&json!({"sni": "1.lies.x.tulle.mesh"})) + &request(&json!({"sni": "elsewhere"}));
    let expected = CallerRow {
        requests: 3,
        allowed: 3,
        ..row(READ, "10.0.0.1:8080")
    };
    assert_eq!(sum(Destination::Address, &log).items, [expected]);
    let announced: Vec<_> = sum(Destination::Announced, &log)
        .items
        .into_iter()
        .map(|row| row.destination)
        .collect();
    assert_eq!(announced, ["10.0.0.1:8080", "shop/payments:80", "x/lies:1"]);
}

#[test]
fn foreign_lines_are_counted_and_harm_nobody() {
    let mut log = b"[2026-01-01][warning] hello\n{\"direction\": \"inbound\"}\n\n[1]\n{\xff}\n{\"half\": \n".to_vec();
    log.extend(request(&json!({"direction": "outbound"})).bytes());
    log.extend(request(&json!({"direction": "sideways"})).bytes());
    log.extend(request(&json!({"peer": 7, "sni": {"a": 1}})).bytes());
    let mut sums = Sums::new(Destination::Announced);
    sums.read(log.as_slice()).unwrap();
    let report = sums.report();
    assert_eq!((report.foreign, report.outbound, report.items.len()), (6, 1, 1));
    assert_eq!(report.items[0].caller, "-");
}

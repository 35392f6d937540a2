//! What must not grant more, and not deny less, than it says: where two readings of a rule are near each other.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that cannot go on must stop"
)]

mod common;
mod semantics;

use common::{allowed, found, shop};
use crds::conditions::Reason;
use semantics::*;

fn denied(rule: &str) -> Vec<String> {
    let spec = format!("targetRefs: [{{kind: Service, name: payments}}], action: Deny, rules: [{{{ORDERS}, {rule}}}]");
    allowed(&shop(&permission("d", &spec)), "shop/payments-1", 8000)
}

/// Who has no access is cut, so every way to say "every request" must be seen.
#[test]
fn a_deny_of_every_request_leaves_no_access() {
    let others = ["other/default", "shop/payments"];
    for rule in [
        "http: [{}]",
        "http: [{path: {type: PathPrefix, value: /}}]",
        "http: [{method: GET}, {}]",
    ] {
        assert_eq!(denied(rule), others, "{rule}");
    }
    for rule in ["http: [{method: GET}]", "http: [{path: {type: PathPrefix, value: /a}}]"] {
        assert_eq!(denied(rule).len(), 3, "{rule}");
    }
}

/// Nobody knows which port was meant, so the ones without requests are meant too.
#[test]
fn a_deny_with_an_unknown_port_denies_connections_too() {
    let denies = |ports: &str| {
        let rule = format!("{ORDERS}, http: [{{method: GET}}], ports: [{ports}]");
        let spec = format!("targetRefs: [{{kind: Service, name: payments}}], action: Deny, rules: [{{{rule}}}]");
        let model = shop(&permission("d", &spec));
        (allowed(&model, "shop/payments-1", 5432), found(&model))
    };
    let (who, said) = denies("tcp-db, typo");
    assert_eq!(who, ["other/default", "shop/payments"]);
    assert!(
        said.iter()
            .any(|(path, reason)| path.contains(".ports") && *reason == Reason::TargetNotFound),
        "{said:?}"
    );
    assert_eq!(denies("http").0.len(), 3);
}

#[test]
fn a_method_of_every_service_is_that_of_a_call() {
    let rule = allow("a", &format!("{ORDERS}, grpc: [{{method: {{method: Get}}}}]"));
    calls(
        &rule,
        &[
            ("POST /pay.Charge/Get", "allowed a/r"),
            ("POST /pay.Charge/Get/x", "403 default/Deny/grpc"),
            ("POST /pay.Charge/admin/Get", "403 default/Deny/grpc"),
            ("POST /Get", "403 default/Deny/grpc"),
        ],
    );
    // A Deny is wide.
    calls(
        &deny("d", "grpc: [{method: {method: Get}}]"),
        &[("POST /pay.Charge/admin/Get", "403 d/r")],
    );
}

fn calls(rule: &str, asked: &[(&'static str, &'static str)]) {
    for (request, expected) in asked {
        rows(
            request,
            &[rule.to_owned()],
            &[("shop/orders", 9000, request, &[], expected)],
        );
    }
}

#[test]
fn a_rule_about_a_header_that_rules_do_not_see_is_refused() {
    for name in [
        "connection",
        "Upgrade",
        "keep-alive",
        "proxy-connection",
        "x-forwarded-client-cert",
    ] {
        let spec = format!(
            "targetRefs: [{{kind: Service, name: payments}}], action: Deny, rules: [{{http: [{{headers: [{{name: {name}, value: x}}]}}]}}]"
        );
        let model = shop(&permission("d", &spec));
        let said = found(&model);
        assert!(
            said.iter().any(|(path, _)| path.contains(".headers")),
            "{name}: {said:?}"
        );
        assert_eq!(
            allowed(&model, "shop/payments-1", 8000),
            Vec::<String>::new(),
            "{name}: it fails closed"
        );
    }
}

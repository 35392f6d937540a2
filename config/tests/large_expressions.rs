//! A Deny with an expression that Envoy would refuse fails closed: sent, it would hold up the whole policy of its port.

mod common;

use common::*;
use crds::conditions::Reason::{DeniedAtL4, Invalid};

#[test]
fn whoever_it_was_about_is_denied() {
    let path = |value: String| format!("path: {{type: RegularExpression, value: '{value}'}}");
    let header = |value: String| format!("headers: [{{name: x, type: RegularExpression, value: '{value}'}}]");
    for (field, http) in [
        ("path", path(format!("/(?:{}){{1000}}", "a".repeat(480)))),
        ("path", path(format!("/{}", "[^/]{1000}".repeat(20)))),
        ("headers[0]", header(format!("(?:{}){{1000}}", ".".repeat(480)))),
    ] {
        let target = "targetRefs: [{kind: Service, name: payments}], action: Deny";
        let model = shop(&permission(
            "p",
            &format!("{target}, rules: [{{{FROM_ORDERS}, http: [{{{http}}}]}}]"),
        ));
        let found = found(&model);
        assert!(found.contains(&("spec.rules[0]".to_owned(), DeniedAtL4)), "{http}");
        assert!(
            found.contains(&(format!("spec.rules[0].http[0].{field}.value"), Invalid)),
            "{http}"
        );
        assert!(
            !allowed(&model, "shop/payments-1", 8000).contains(&"shop/orders".to_owned()),
            "{http}"
        );
    }
}

//! Shadow permissions make a candidate and nothing else; gRPC matches are paths of gRPC ports.

mod common;

use common::*;
use crds::conditions::Reason;
use tulle_config::model::*;

/// The candidate of a Shadow permission is the policy that the same object makes when it is enforced.
#[test]
fn a_candidate_is_what_enforcing_would_make() {
    let target = "targetRefs: [{kind: Service, name: payments}]";
    let bodies = [
        format!("{target}, action: Allow, rules: [{{{FROM_ORDERS}}}]"),
        format!("{target}, action: Deny, rules: [{{{FROM_ORDERS}}}]"),
        format!("{target}, action: Deny, rules: [{{}}]"),
        format!("{target}, action: Deny, rules: [{{http: [{{method: GET}}]}}]"),
        format!("{target}, action: Allow, rules: [{{sources: [{{type: Authenticated, nobody: knows}}]}}]"),
        format!("{target}, action: Deny, rules: [{{{FROM_ORDERS}, nobody: knows}}]"),
        format!("{target}, action: Allow, rules: []"),
    ];
    let enforced = permission(
        "enforced",
        &format!("{target}, action: Allow, rules: [{{sources: [{{type: Namespace, namespace: {{name: other}}}}]}}]"),
    );
    for default in ["AllowUntilSelected", "Allow", "Deny"] {
        for mode in ["Strict", "Permissive"] {
            let settings = mesh(&format!(
                "mtls: {{mode: {mode}}}, permissions: {{defaultAction: {default}}}"
            ));
            for (first, second) in bodies.iter().flat_map(|a| bodies.iter().map(move |b| (a, b))) {
                let both = |mode: &str| {
                    let one = permission("a", &format!("{first}, mode: {mode}"));
                    let two = permission("b", &format!("{second}, mode: {mode}"));
                    shop(&format!("{one}{two}{enforced}{settings}"))
                };
                let (shadow, enforced, none) =
                    (both("Shadow"), both("Enforce"), shop(&format!("{enforced}{settings}")));
                for (name, port) in [
                    ("shop/payments-1", 8000),
                    ("shop/payments-1", 5432),
                    ("shop/payments-1", 0),
                ] {
                    let at = |model: &Model| inbound(model, name, port).permission.clone();
                    let (shadow, as_if, without) = (at(&shadow), at(&enforced), at(&none));
                    let text = format!("{default} {mode} {first} {second} {port}");
                    assert_eq!(shadow.deny, without.deny, "{text}");
                    assert_eq!(shadow.allow, without.allow, "{text}");
                    assert_eq!(shadow.default, without.default, "{text}");
                    assert_eq!(as_if.candidate, None, "{text}");
                    let Some(candidate) = &shadow.candidate else {
                        assert_eq!(as_if, without, "{text}");
                        continue;
                    };
                    assert_eq!(candidate.deny, as_if.deny, "{text}");
                    assert_eq!(candidate.allow, as_if.allow, "{text}");
                    assert_eq!(candidate.default, as_if.default, "{text}");
                }
            }
        }
    }
}

#[test]
fn a_shadow_reports_and_reaches_what_it_would_reach() {
    let model = shop(&permission(
        "s",
        "targetRefs: [{kind: Service, name: payments}], action: Deny, mode: Shadow, rules: [{name: r, http: [{method: GET}]}]",
    ));
    assert_eq!(model.diagnostics, []);
    let report = model.reports.values().next().unwrap();
    assert_eq!(report.rules_in_force, ["r".into()]);
    assert_eq!(report.targets[0].ports.len(), 2);
    assert_eq!(report.targets[0].not_concerned.len(), 2);
    let candidate = |port: u16| inbound(&model, "shop/payments-1", port).permission.candidate.clone();
    assert!(candidate(8000).is_some());
    assert_eq!((candidate(5432), candidate(0)), (None, None));
    assert!(!inbound(&model, "shop/payments-1", 8000).refuse_path_parameters);
    let looks = shop(&permission(
        "s",
        "action: Deny, mode: Shadow, rules: [{http: [{path: {value: /admin}}]}]",
    ));
    assert!(!inbound(&looks, "shop/payments-1", 8000).refuse_path_parameters);
}

#[test]
fn grpc_matches_are_paths() {
    let rule = |grpc: &str| {
        let model = shop(&permission(
            "p",
            &format!(
                "targetRefs: [{{kind: Workload, name: orders-1}}], action: Deny, rules: [{{name: r, grpc: [{grpc}]}}]"
            ),
        ));
        assert_eq!(model.diagnostics, [], "{grpc}");
        let permission = inbound(&model, "shop/orders-1", 9000).permission.clone();
        assert!(inbound(&model, "shop/orders-1", 0).permission.deny.is_empty());
        let one = permission.deny[0].http.as_ref().unwrap()[0].clone();
        // Servers of the Connect protocol answer GET on the same paths.
        assert_eq!(one.method, None);
        (one.path, one.headers.len())
    };
    let path = |grpc: &str| rule(grpc).0.unwrap();
    assert_eq!(
        path("{method: {service: a.B, method: C}}"),
        PathMatch::Exact("/a.B/C".into())
    );
    assert_eq!(path("{method: {service: a.B}}"), PathMatch::Prefix("/a.B".into()));
    assert_eq!(path("{method: {method: C}}"), PathMatch::Suffix("/C".into()));
    let regex = |text: &str| PathMatch::Regex(text.into());
    assert_eq!(
        path("{method: {type: RegularExpression, service: 'a|b', method: ^C.*$}}"),
        regex("/(?:a|b)/(?:C.*)")
    );
    assert_eq!(
        path("{method: {type: RegularExpression, service: 'a|b'}}"),
        regex("/(?:a|b)/[^/]*")
    );
    assert_eq!(
        path("{method: {type: RegularExpression, method: 'a|b'}}"),
        regex("/[^/]*/(?:a|b)")
    );
    assert_eq!(rule("{}"), (None, 0));
    assert_eq!(rule("{headers: [{name: X-Role, value: a}]}"), (None, 1));
}

/// An Allow grants calls, and a call is a POST.
#[test]
fn an_allow_of_calls_keeps_the_method() {
    let model = shop(&permission(
        "p",
        "targetRefs: [{kind: Workload, name: orders-1}], action: Allow, rules: [{sources: [{type: Authenticated}], grpc: [{method: {service: a.B}}]}]",
    ));
    assert_eq!(model.diagnostics, []);
    let permission = &inbound(&model, "shop/orders-1", 9000).permission;
    let one = &permission.allow[0].http.as_ref().unwrap()[0];
    assert_eq!(one.method.as_deref(), Some("POST"));
}

#[test]
fn grpc_matches_concern_grpc_ports() {
    let deny = |target: &str, more: &str| {
        shop(&permission(
            "p",
            &format!("targetRefs: [{target}], action: Deny, rules: [{{name: r, {FROM_ORDERS}, grpc: [{{}}]{more}}}]"),
        ))
    };
    let payments = "{kind: Service, name: payments}";
    // Not named: listed as not concerned.
    let model = deny(payments, "");
    assert_eq!(model.diagnostics, []);
    assert!(inbound(&model, "shop/payments-1", 8000).permission.deny.is_empty());
    let report = model.reports.values().next().unwrap();
    assert_eq!(
        (report.targets[0].ports.len(), report.targets[0].not_concerned.len()),
        (0, 4)
    );
    // Named: a mistake, and the Deny denies whatever its sources send.
    for (target, more) in [
        ("{kind: Service, name: payments, sectionName: http}", ""),
        (payments, ", ports: [http]"),
    ] {
        let model = deny(target, more);
        assert!(found(&model).contains(&("spec.rules[0].grpc".to_owned(), Reason::ProtocolMismatch)));
        assert_eq!(
            allowed(&model, "shop/payments-1", 8000),
            ["other/default", "shop/payments"]
        );
        assert_eq!(model.reports.values().next().unwrap().rules_failed, ["r".into()]);
    }
    // An HTTP match on a gRPC port is none.
    let model = shop(&permission(
        "p",
        "targetRefs: [{kind: Service, name: orders, sectionName: grpc}], action: Deny, rules: [{http: [{method: POST, path: {type: Exact, value: /a.B/C}}]}]",
    ));
    assert_eq!(model.diagnostics, []);
    assert_eq!(inbound(&model, "shop/orders-1", 9000).permission.deny.len(), 1);
}

//! What lint warns about, and what it must not.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that cannot go on should stop"
)]

mod support;

use support::{permission, shop_service, shop_workload};
use tulle_config::lint::lint;
use tulle_config::{Diagnostic, Severity};

/// Two callers and two services behind one namespace; `db` speaks TCP.
fn mesh() -> String {
    [
        shop_service(
            "payments",
            "10.0.0.1",
            "payments",
            "{name: http, port: 80, targetPort: 8080}",
        ),
        shop_service("db", "10.0.0.2", "db", "{name: tcp, port: 5432, targetPort: 5432}"),
        shop_service("empty", "10.0.0.3", "nobody", "{name: http, port: 80}"),
        shop_workload("payments-1", "10.1.0.1", "payments", "{name: http, port: 8080}"),
        shop_workload("db-1", "10.1.0.2", "db", "{name: tcp, port: 5432}"),
        shop_workload("orders-1", "10.1.0.3", "orders", ""),
    ]
    .concat()
        + "---\n"
}

fn found(yaml: &str) -> Vec<Diagnostic> {
    let objects = support::objects(&format!("{}{yaml}", mesh()));
    let model = tulle_config::build(&objects, &support::settings(), support::now());
    let errors: Vec<_> = model
        .diagnostics
        .iter()
        .filter(|one| one.severity == Severity::Error)
        .collect();
    assert!(errors.is_empty(), "{errors:?}");
    lint(&objects, &model)
}

/// `object path reason` of each finding.
fn lines(yaml: &str) -> Vec<String> {
    found(yaml)
        .iter()
        .map(|one| format!("{} {} {}", one.object, one.path, one.reason))
        .collect()
}

const ORDERS: &str = "sources: [{type: ServiceAccount, serviceAccount: {namespace: shop, name: orders}}]";

#[test]
fn a_good_policy_is_left_alone() {
    let good = permission(
        "good",
        "payments",
        "Allow",
        &format!("[{{name: a, {ORDERS}, http: [{{path: {{type: PathPrefix, value: /charges}}}}]}}]"),
    ) + &permission(
        "deny",
        "payments",
        "Deny",
        "[{name: no-delete, http: [{method: DELETE}]}]",
    ) + &permission("db", "db", "Allow", &format!("[{{name: a, {ORDERS}}}]"));
    assert_eq!(lines(&good), Vec::<String>::new());
}

#[test]
fn an_allow_inside_a_deny_never_matches() {
    let allow = permission(
        "a",
        "payments",
        "Allow",
        &format!("[{{name: r, {ORDERS}, http: [{{method: POST, path: {{type: Exact, value: /charges/x}}}}]}}]"),
    );
    let deny = |rule: &str| permission("d", "payments", "Deny", rule);
    let wide = allow.clone() + &deny("[{name: all, http: [{path: {type: PathPrefix, value: /charges}}]}]");
    assert_eq!(lines(&wide), ["TrafficPermission/shop/a spec.rules[0] NeverMatches"]);
    for narrower in [
        "[{name: some, http: [{path: {type: PathPrefix, value: /charges}, headers: [{name: x, value: a}]}]}]",
        "[{name: some, sources: [{type: ServiceAccount, serviceAccount: {namespace: shop, name: db}}]}]",
        "[{name: some, http: [{path: {type: PathPrefix, value: /charge}}]}]",
    ] {
        assert_eq!(
            lines(&(allow.clone() + &deny(narrower))),
            Vec::<String>::new(),
            "{narrower}"
        );
    }
}

#[test]
fn a_rule_inside_another_is_redundant_only_if_it_is_so_everywhere() {
    let wide = permission(
        "b",
        "payments",
        "Allow",
        "[{name: all, sources: [{type: Authenticated}]}]",
    );
    let narrow = permission("a", "payments", "Allow", &format!("[{{name: r, {ORDERS}}}]"));
    assert_eq!(
        lines(&(wide.clone() + &narrow)),
        ["TrafficPermission/shop/a spec.rules[0] Redundant"]
    );
    let also_db = narrow.replace("targetRefs: [", "targetRefs: [{kind: Service, name: db}, ");
    assert_eq!(lines(&(wide + &also_db)), Vec::<String>::new());
}

#[test]
fn of_twins_only_one_is_redundant() {
    let twins = permission("a", "payments", "Allow", &format!("[{{name: r, {ORDERS}}}]"))
        + &permission("b", "payments", "Allow", &format!("[{{name: r, {ORDERS}}}]"));
    assert_eq!(lines(&twins), ["TrafficPermission/shop/b spec.rules[0] Redundant"]);
}

#[test]
fn sources_that_nobody_is() {
    let rules = "[{name: r, sources: [\
        {type: ServiceAccount, serviceAccount: {namespace: shop, name: orders}}, \
        {type: ServiceAccount, serviceAccount: {namespace: shop, name: order}}, \
        {type: Namespace, namespace: {name: shops}}, \
        {type: SPIFFE, spiffe: {match: PathPrefix, value: 'spiffe://tulle.local/ns/sh'}}, \
        {type: SPIFFE, spiffe: {match: TrustDomain, value: partner.example}}]}]";
    let yaml = permission("a", "payments", "Allow", rules);
    let expected = [1, 2, 3].map(|n| format!("TrafficPermission/shop/a spec.rules[0].sources[{n}] UnknownIdentity"));
    assert_eq!(lines(&yaml), expected);
    let found = found(&yaml);
    assert!(
        found.iter().any(|one| one.message.contains("whole segments")),
        "{found:?}"
    );
}

#[test]
fn plaintext_callers_where_plaintext_is_refused() {
    let rule = permission(
        "a",
        "payments",
        "Deny",
        "[{name: r, sources: [{type: Unauthenticated}]}]",
    );
    assert_eq!(
        lines(&rule),
        ["TrafficPermission/shop/a spec.rules[0].sources NeverMatches"]
    );
    let permissive = "---\napiVersion: mesh.tulle.dev/v1alpha1\nkind: Mesh\nmetadata: {name: default}\nspec: {mtls: {mode: Permissive}}\n";
    assert_eq!(lines(&(rule + permissive)), Vec::<String>::new());
}

#[test]
fn targets_without_ports() {
    let yaml = permission("a", "empty", "Allow", &format!("[{{name: r, {ORDERS}}}]"));
    assert_eq!(
        lines(&yaml),
        ["TrafficPermission/shop/a spec.targetRefs[0] NoMatchingProxies"]
    );
    let tcp = permission("a", "db", "Deny", "[{name: r, http: [{method: GET}]}]");
    let found = found(&tcp);
    assert!(
        found.len() == 1 && found.iter().all(|one| one.message.contains("carries TCP")),
        "{found:?}"
    );
}

#[test]
fn expressions_with_an_open_segment() {
    let with = |value: &str| {
        let path = format!("{{type: RegularExpression, value: '{value}'}}");
        permission(
            "a",
            "payments",
            "Deny",
            &format!("[{{name: r, http: [{{path: {path}}}]}}]"),
        )
    };
    assert_eq!(
        lines(&with("/charges.*")),
        ["TrafficPermission/shop/a spec.rules[0].http[0].path.value WiderThanItLooks"]
    );
    assert_eq!(lines(&with("/charges(/.*)?")), Vec::<String>::new());
}

#[test]
fn expressions_of_a_deny_that_another_spelling_passes() {
    let with = |action: &str, value: &str| {
        let path = format!("{{type: RegularExpression, value: '{value}'}}");
        permission(
            "a",
            "payments",
            action,
            &format!("[{{name: r, {ORDERS}, http: [{{path: {path}}}]}}]"),
        )
    };
    let narrow = ["TrafficPermission/shop/a spec.rules[0].http[0].path.value NarrowerThanItLooks"];
    assert_eq!(lines(&with("Deny", "/a:b/.*")), narrow);
    assert!(found(&with("Deny", "/a:b/.*"))[0].message.contains("%3[Aa]"));
    assert_eq!(lines(&with("Deny", "/a(?::|%3[Aa])b/.*")), Vec::<String>::new());
    // An Allow that is spelled another way denies.
    assert_eq!(lines(&with("Allow", "/a:b/.*")), Vec::<String>::new());
}

#[test]
fn routes_that_no_request_reaches() {
    let route = |name: &str, matches: &str| {
        format!(
            "---\napiVersion: mesh.tulle.dev/v1alpha1\nkind: TrafficRoute\nmetadata: {{name: {name}, namespace: shop}}\n\
             spec: {{parentRefs: [{{kind: Service, name: payments, port: 80}}], rules: [{{name: r, matches: {matches}, \
             backendRefs: [{{name: payments, port: 80}}]}}]}}\n"
        )
    };
    let twins =
        route("a", "[{path: {type: PathPrefix, value: /x}}]") + &route("b", "[{path: {type: PathPrefix, value: /x}}]");
    assert_eq!(
        lines(&twins),
        ["TrafficRoute/shop/b spec.rules[0].matches NeverMatches"]
    );
    // The more specific match goes first, whatever the order of objects.
    let nested =
        route("a", "[{path: {type: PathPrefix, value: /}}]") + &route("b", "[{path: {type: PathPrefix, value: /x}}]");
    assert_eq!(lines(&nested), Vec::<String>::new());
}

/// Findings though some rules are in error.
fn found_beside_errors(yaml: &str) -> Vec<Diagnostic> {
    let objects = support::objects(&format!("{}{yaml}", mesh()));
    let model = tulle_config::build(&objects, &support::settings(), support::now());
    assert!(model.diagnostics.iter().any(|one| one.severity == Severity::Error));
    lint(&objects, &model)
}

#[test]
fn a_deny_of_a_path_with_parameters_denies_its_other_spellings() {
    let rule = |action: &str| {
        let http = "http: [{path: {type: Exact, value: '/a;b'}}]";
        permission("a", "payments", action, &format!("[{{name: r, {ORDERS}, {http}}}]"))
    };
    assert_eq!(lines(&rule("Deny")), Vec::<String>::new());
    assert_eq!(
        lines(&rule("Allow")),
        ["TrafficPermission/shop/a spec.rules[0].http NeverMatches"]
    );
}

#[test]
fn a_rule_that_alone_makes_the_port_refuse_parameters_changes_something() {
    let wide = permission(
        "b",
        "payments",
        "Allow",
        "[{name: all, sources: [{type: Authenticated}]}]",
    );
    let path = |name: &str| {
        let http = "http: [{path: {type: PathPrefix, value: /x}}]";
        permission(name, "payments", "Allow", &format!("[{{name: r, {ORDERS}, {http}}}]"))
    };
    assert_eq!(lines(&(wide.clone() + &path("a"))), Vec::<String>::new());
    let other = permission(
        "d",
        "payments",
        "Deny",
        "[{name: d, http: [{path: {type: PathPrefix, value: /y}}]}]",
    );
    assert_eq!(
        lines(&(wide + &path("a") + &other)),
        ["TrafficPermission/shop/a spec.rules[0] Redundant"]
    );
}

#[test]
fn a_prefix_that_spells_an_identity_names_it() {
    let rules = "[{name: r, sources: [{type: SPIFFE, spiffe: {match: PathPrefix, value: 'spiffe://tulle.local/ns/shop/sa/orders'}}]}]";
    assert_eq!(lines(&permission("a", "payments", "Deny", rules)), Vec::<String>::new());
}

#[test]
fn calls_are_looked_for_where_there_are_only_requests() {
    let rule = "[{name: r, grpc: [{method: {service: a.B}}]}]";
    let found = found(&permission("a", "payments", "Deny", rule));
    let says = |text: &str| found.iter().any(|one| one.message.contains(text));
    assert!(
        found.len() == 1 && says("no port of Service payments") && says("gRPC") && !says("TCP"),
        "{found:?}"
    );
}

#[test]
fn a_rule_that_failed_makes_no_other_one_redundant() {
    let good = permission("a", "payments", "Deny", &format!("[{{name: r, {ORDERS}}}]"));
    let failed = permission(
        "b",
        "payments",
        "Deny",
        "[{name: r, http: [{path: {type: RegularExpression, value: '('}}]}]",
    );
    assert_eq!(found_beside_errors(&(good.clone() + &failed)), []);
    // Named ports on which the rule cannot be what it says are the same to it.
    let mismatch = permission("b", "db", "Deny", "[{name: r, ports: [tcp], http: [{method: GET}]}]");
    let good = good.replace("name: payments}", "name: db}");
    assert_eq!(found_beside_errors(&(good + &mismatch)), []);
}

#[test]
fn a_finding_names_the_field_that_was_written() {
    let calls = "grpc: [{method: {service: 'a;b'}}]";
    let yaml = permission("a", "payments", "Allow", &format!("[{{name: r, {ORDERS}, {calls}}}]"));
    let objects = format!("{}{yaml}", mesh()).replace("[{name: http, port: 8080}]", "[{name: grpc, port: 8080}]");
    let objects = support::objects(&objects.replace("{name: http, port: 80,", "{name: grpc, port: 80,"));
    let model = tulle_config::build(&objects, &support::settings(), support::now());
    let paths: Vec<String> = lint(&objects, &model).into_iter().map(|one| one.path).collect();
    assert_eq!(paths, ["spec.rules[0].grpc"], "{:?}", model.diagnostics);
}

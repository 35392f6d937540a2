//! What `tulle diff` says, and the matrix of who may call what.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that cannot go on should stop"
)]

mod support;

use std::sync::Arc;

use support::{permission, shop_service, shop_workload};
use tulle_config::Model;
use tulle_config::diff::{Change, Diff, diff};
use tulle_config::evaluator::Operation;
use tulle_config::matrix::{Access, matrix};

fn mesh() -> String {
    let web = "{name: http, port: 8080}";
    [
        shop_service(
            "payments",
            "10.0.0.1",
            "payments",
            "{name: http, port: 80, targetPort: 8080}",
        ),
        shop_service("db", "10.0.0.2", "db", "{name: tcp, port: 5432, targetPort: 5432}"),
        shop_workload("payments-1", "10.1.0.1", "payments", web),
        shop_workload("payments-2", "10.1.0.2", "payments", web),
        shop_workload("db-1", "10.1.0.3", "db", "{name: tcp, port: 5432}"),
        shop_workload("orders-1", "10.1.0.4", "orders", ""),
    ]
    .concat()
        + "---\n"
}

const ORDERS: &str = "sources: [{type: ServiceAccount, serviceAccount: {namespace: shop, name: orders}}]";

fn model(yaml: &str) -> Arc<Model> {
    support::model(&format!("{}{yaml}", mesh()))
}

fn compare(before: &str, after: &str) -> Diff {
    diff(&model(before), &model(after), &support::settings())
}

/// `+`/`-`, who, whom, what: before -> after.
fn lines(diff: &Diff) -> Vec<String> {
    let line = |change: &tulle_config::diff::AccessChange| {
        let sign = if change.allowed { '+' } else { '-' };
        let who: Vec<&str> = change
            .callers
            .members
            .iter()
            .filter_map(|id| id.as_str().rsplit('/').next())
            .collect();
        let whom: Vec<String> = change
            .callees
            .iter()
            .map(|callee| format!("{}:{}", callee.group.name, callee.port))
            .collect();
        let what = match &change.example {
            Operation::Connect => "connect".to_owned(),
            Operation::Http(request) => format!("{} {}", request.method, request.target),
        };
        let whole = if change.whole { "all, as " } else { "" };
        format!(
            "{sign}{} {} {whole}{what}: {} -> {}",
            who.join(","),
            whom.join(","),
            change.before.rule,
            change.after.rule
        )
    };
    diff.access.iter().map(line).collect()
}

#[test]
fn nothing_changes_if_only_the_order_or_the_name_of_a_file_does() {
    let rule = permission("a", "payments", "Allow", &format!("[{{name: r, {ORDERS}}}]"));
    let diff = compare(&rule, &rule);
    assert!(
        !diff.changes_meaning() && diff.sent.resources == 0 && diff.sent.proxies.is_empty(),
        "{diff:?}"
    );
}

#[test]
fn a_narrowed_rule_says_what_it_takes_away_and_whom_from() {
    let wide = permission("a", "payments", "Allow", &format!("[{{name: r, {ORDERS}}}]"));
    let narrow = permission(
        "a",
        "payments",
        "Allow",
        &format!("[{{name: r, {ORDERS}, http: [{{path: {{type: PathPrefix, value: /charges}}}}]}}]"),
    );
    let diff = compare(&wide, &narrow);
    assert_eq!(
        lines(&diff),
        ["-orders payments:8080 GET /: TrafficPermission/shop/a/r -> default/Deny/http"]
    );
    assert_eq!(diff.sent.proxies.len(), 2, "both replicas");
    assert!(diff.sent.bytes > 0 && diff.sent.resources == 2, "{:?}", diff.sent);
    let back = compare(&narrow, &wide);
    assert_eq!(lines(&back)[0].chars().next(), Some('+'));
}

#[test]
fn a_first_allow_takes_away_from_everybody_else_and_connections_count() {
    let diff = compare("", &permission("a", "db", "Allow", &format!("[{{name: r, {ORDERS}}}]")));
    assert_eq!(
        lines(&diff),
        ["-db,payments db:5432 all, as connect: default/Allow/tcp -> default/Deny/tcp"]
    );
}

#[test]
fn a_renamed_rule_changes_no_meaning_and_is_sent_all_the_same() {
    let named = |name: &str| permission("a", "payments", "Allow", &format!("[{{name: {name}, {ORDERS}}}]"));
    let diff = compare(&named("r"), &named("s"));
    assert!(!diff.changes_meaning() && diff.sent.resources > 0, "{diff:?}");
}

#[test]
fn routes_limits_and_comings_and_goings() {
    let route = |weight: u32| {
        format!(
            "---\napiVersion: mesh.tulle.dev/v1alpha1\nkind: TrafficRoute\nmetadata: {{name: r, namespace: shop}}\n\
             spec: {{parentRefs: [{{kind: Service, name: payments, port: 80}}], rules: [{{name: split, \
             backendRefs: [{{name: payments, port: 80, weight: {weight}}}, {{name: db, port: 5432, weight: 1}}]}}]}}\n"
        )
    };
    let limit = "---\napiVersion: mesh.tulle.dev/v1alpha1\nkind: RateLimit\nmetadata: {name: l, namespace: shop}\n\
                 spec: {targetRefs: [{kind: Service, name: payments}], limits: [{name: all, rate: {requests: 5, unit: Second}}]}\n";
    let diff = compare(&route(1), &(route(3) + limit));
    assert_eq!(diff.routes.len(), 1, "{:?}", diff.routes);
    let effects: Vec<_> = diff
        .effects
        .iter()
        .map(|effect| (effect.subject.as_str(), effect.change))
        .collect();
    assert_eq!(effects, [("RateLimit/shop/l/all", Change::Begins)]);
    assert!(diff.access.is_empty());

    let gone = diff_of_models(&model(""), &support::model(mesh().rsplit_once("---\napi").unwrap().0));
    assert!(
        gone.effects
            .iter()
            .any(|effect| effect.subject == "Workload shop/orders-1" && effect.change == Change::Ends)
    );
}

/// Also of a Service that was not there before.
#[test]
fn rules_that_no_request_reaches_are_named() {
    let route = |first: &str| {
        format!(
            "---\napiVersion: mesh.tulle.dev/v1alpha1\nkind: TrafficRoute\nmetadata: {{name: r, namespace: shop}}\n\
             spec: {{parentRefs: [{{kind: Service, name: payments, port: 80}}], rules: [\
             {{name: first, matches: [{{path: {{type: PathPrefix, value: {first}}}}}], backendRefs: [{{name: payments, port: 80}}]}}, \
             {{name: second, matches: [{{path: {{type: PathPrefix, value: /a}}, method: GET}}], backendRefs: [{{name: payments, port: 80}}]}}, \
             {{name: third, matches: [{{path: {{type: PathPrefix, value: /a}}, method: GET}}], backendRefs: [{{name: payments, port: 80}}]}}]}}\n"
        )
    };
    let rules = |diff: &Diff| -> Vec<String> { diff.unreachable.iter().map(|one| one.rule.to_string()).collect() };
    let both = compare("", &route("/b"));
    assert_eq!(rules(&both), ["TrafficRoute/shop/r/third"]);
    let before = support::model(mesh().split_once("---\n").unwrap().1);
    let new = diff_of_models(&before, &model(&route("/b")));
    assert_eq!(rules(&new), ["TrafficRoute/shop/r/third"], "{:?}", new.unreachable);
    assert_eq!(
        rules(&compare(&route("/b"), &route("/c"))),
        Vec::<String>::new(),
        "it was before"
    );
}

#[test]
fn what_would_be_sent_is_counted_for_every_proxy() {
    // Whoever is new may call the database: its callers are listed by name there, at a workload that did not change.
    let newcomer = "---\napiVersion: mesh.tulle.dev/v1alpha1\nkind: Workload\nmetadata: {name: new-1, namespace: shop, labels: {app: new}}\n\
                    spec: {address: 10.1.0.9, serviceAccount: new, ports: []}\n";
    let deny = permission("d", "db", "Deny", &format!("[{{name: d, {ORDERS}}}]"));
    let sent = compare(&deny, &format!("{deny}{newcomer}")).sent;
    let names: Vec<String> = sent.proxies.iter().map(ToString::to_string).collect();
    assert!(
        names.contains(&"shop/db-1".to_owned()) && names.contains(&"shop/new-1".to_owned()),
        "{names:?}"
    );
    // What all proxies share is compiled once and counted for each.
    let service = "---\napiVersion: v1\nkind: Service\nmetadata: {name: new, namespace: shop}\n\
                   spec: {clusterIP: 10.0.0.9, selector: {app: none}, ports: [{name: http, port: 80}]}\n";
    let sent = compare("", service).sent;
    assert_eq!(sent.proxies.len(), 4, "{sent:?}");
    assert!(sent.resources.is_multiple_of(4) && sent.resources > 0, "{sent:?}");
    let back = compare(service, "").sent;
    assert_eq!(
        (back.proxies.len(), back.resources, back.removed),
        (4, 0, sent.resources)
    );
}

fn diff_of_models(before: &Arc<Model>, after: &Arc<Model>) -> Diff {
    diff(before, after, &support::settings())
}

#[test]
fn the_matrix_tells_all_some_and_none() {
    let yaml = permission("db", "db", "Allow", &format!("[{{name: r, {ORDERS}}}]"))
        + &permission(
            "no-delete",
            "payments",
            "Deny",
            &format!("[{{name: d, {ORDERS}, http: [{{method: DELETE}}]}}]"),
        );
    let rows = matrix(&model(&yaml), |_| true, |_| true);
    let cell = |service: &str, caller: &str| {
        let row = rows.iter().find(|row| &*row.service.name == service).unwrap();
        let (_, cell) = row
            .callers
            .iter()
            .find(|(id, _)| id.as_str().ends_with(caller))
            .unwrap();
        (
            cell.access,
            cell.rules.iter().map(ToString::to_string).collect::<Vec<_>>(),
        )
    };
    assert_eq!(
        cell("db", "orders"),
        (Access::Yes, vec!["TrafficPermission/shop/db/r".to_owned()])
    );
    assert_eq!(
        cell("db", "payments"),
        (Access::No, vec!["default/Deny/tcp".to_owned()])
    );
    assert_eq!(cell("payments", "db").0, Access::Yes);
    let (access, rules) = cell("payments", "orders");
    assert_eq!(access, Access::Some);
    assert!(
        rules.contains(&"TrafficPermission/shop/no-delete/d".to_owned()),
        "{rules:?}"
    );
    assert_eq!(
        matrix(
            &model(&yaml),
            |id| id.as_str().ends_with("orders"),
            |key| &*key.name == "db"
        )
        .len(),
        1
    );
}

/// What `orders` may use of payments, in the matrix.
fn may(yaml: &str) -> Access {
    let rows = matrix(
        &model(yaml),
        |id| id.as_str().ends_with("orders"),
        |key| &*key.name == "payments",
    );
    rows[0].callers.values().next().unwrap().access
}

/// Subject and detail of each effect.
fn effects(diff: &Diff) -> Vec<String> {
    let line =
        |effect: &tulle_config::diff::Effect| format!("{:?} {}: {}", effect.change, effect.subject, effect.detail);
    diff.effects.iter().map(line).collect()
}

#[test]
fn a_prefix_takes_in_the_identity_that_it_spells() {
    let spells = "[{name: d, sources: [{type: SPIFFE, spiffe: {match: PathPrefix, value: 'spiffe://tulle.local/ns/shop/sa/orders'}}]}]";
    let deny = permission("d", "payments", "Deny", spells);
    assert_eq!(may(&deny), Access::No);
    assert_eq!(
        lines(&compare("", &deny)),
        ["-orders payments:8080 all, as GET /: default/Allow/http -> TrafficPermission/shop/d/d"]
    );
}

#[test]
fn a_method_that_no_rule_names_is_asked_for() {
    let deny = |http: &str| permission("d", "payments", "Deny", &format!("[{{name: d, http: {http}}}]"));
    let (two, all) = (
        "[{method: GET}, {method: POST}]",
        "[{path: {type: PathPrefix, value: /}}]",
    );
    let less = compare(&deny(all), &deny(two));
    assert!(
        less.access.iter().any(|change| change.allowed && !change.whole),
        "{:?}",
        lines(&less)
    );
    let more = compare("", &deny(two));
    assert!(
        !more.access.is_empty() && more.access.iter().all(|change| !change.allowed && !change.whole),
        "{:?}",
        lines(&more)
    );
    assert_eq!(may(&deny(two)), Access::Some);
    let allow = permission(
        "a",
        "payments",
        "Allow",
        &format!("[{{name: a, {ORDERS}, http: {two}}}]"),
    );
    assert_eq!(may(&allow), Access::Some);
}

/// A rule for each of many paths, with more in each match.
fn many_paths(name: &str, action: &str, count: usize, more: &str) -> String {
    let rules: Vec<String> = (0..count)
        .map(|n| format!("{{name: r{n}, {ORDERS}, http: [{{path: {{type: Exact, value: /p{n}}}{more}}}]}}"))
        .collect();
    permission(name, "payments", action, &format!("[{}]", rules.join(", ")))
}

#[test]
fn what_differs_is_asked_first_and_too_many_rules_are_not_called_the_same() {
    let paths = many_paths("a", "Allow", 160, "");
    let delete = format!("[{{name: z, {ORDERS}, http: [{{method: DELETE, path: {{type: Exact, value: /admin}}}}]}}]");
    let grant = compare(
        &paths,
        &(paths.clone() + &permission("z", "payments", "Allow", &delete)),
    );
    assert_eq!(
        lines(&grant),
        ["+orders payments:8080 DELETE /admin: default/Deny/http -> TrafficPermission/shop/z/z"]
    );
    // Rules that change nothing, and more of them than there are examples.
    let idle = paths.clone() + &many_paths("b", "Allow", 160, ", method: GET");
    let unsure = compare(&paths, &idle);
    assert!(
        unsure.access.is_empty() && unsure.changes_meaning(),
        "{:?}",
        lines(&unsure)
    );
    // Of whatever is left out nothing is known, so no call stands for all.
    let closed = compare(
        &many_paths("d", "Deny", 160, ""),
        &permission("d", "payments", "Deny", &format!("[{{name: d, {ORDERS}}}]")),
    );
    assert!(
        !closed.access.is_empty() && closed.access.iter().all(|change| !change.whole),
        "{:?}",
        lines(&closed)
    );
    // The same rules under another name are known to mean the same, however many they are.
    let renamed = compare(&paths, &many_paths("b", "Allow", 160, ""));
    assert!(!renamed.changes_meaning(), "{renamed:?}");
}

#[test]
fn a_table_of_many_routes_is_compared_where_it_differs() {
    let route = |extra: &str| {
        let rules: Vec<String> = (0..150)
            .map(|n| format!("{{name: r{n}, matches: [{{path: {{type: Exact, value: /p{n}}}, method: PUT}}], backendRefs: [{{name: payments, port: 80}}]}}"))
            .collect();
        let object = |name: &str, rules: &str| {
            format!(
                "---\napiVersion: mesh.tulle.dev/v1alpha1\nkind: TrafficRoute\nmetadata: {{name: {name}, namespace: shop}}\n\
             spec: {{parentRefs: [{{kind: Service, name: payments, port: 80}}], rules: [{rules}]}}\n"
            )
        };
        let all: String = rules
            .chunks(50)
            .enumerate()
            .map(|(n, rules)| object(&format!("a{n}"), &rules.join(", ")))
            .collect();
        if extra.is_empty() {
            all
        } else {
            all + &object("z", extra)
        }
    };
    let more = route(
        "{name: z, matches: [{path: {type: Exact, value: /z}, method: PATCH}], backendRefs: [{name: db, port: 5432}]}",
    );
    let diff = compare(&route(""), &more);
    assert!(
        diff.routes
            .iter()
            .any(|change| &*change.example.target == "/z" && &*change.example.method == "PATCH"),
        "{:?}",
        diff.routes
    );
}

#[test]
fn a_rule_about_paths_refuses_parameters_and_that_is_said() {
    let wide = permission("a", "payments", "Allow", &format!("[{{name: r, {ORDERS}}}]"));
    let path = permission(
        "b",
        "payments",
        "Allow",
        &format!("[{{name: r, {ORDERS}, http: [{{path: {{type: PathPrefix, value: /x}}}}]}}]"),
    );
    let diff = compare(&wide, &(wide.clone() + &path));
    assert_eq!(
        effects(&diff),
        ["Changes paths with `;`: the port refuses them with 400 now"]
    );
    let back = compare(&(wide.clone() + &path), &wide);
    assert_eq!(effects(&back), ["Changes paths with `;`: the port takes them now"]);
    let route = |matches: &str| {
        format!(
            "---\napiVersion: mesh.tulle.dev/v1alpha1\nkind: TrafficRoute\nmetadata: {{name: r, namespace: shop}}\n\
             spec: {{parentRefs: [{{kind: Service, name: payments, port: 80}}], rules: [{{name: r, \
             matches: {matches}, backendRefs: [{{name: payments, port: 80}}]}}]}}\n"
        )
    };
    let diff = compare(
        &route("[{method: GET}]"),
        &route("[{method: GET, path: {type: PathPrefix, value: /x}}]"),
    );
    assert_eq!(
        effects(&diff),
        ["Changes Service shop/payments: port 80 refuses paths with `;` with 400 now"]
    );
}

#[test]
fn a_new_workload_port_comes_under_the_limits_of_its_namespace() {
    let limit = "---\napiVersion: mesh.tulle.dev/v1alpha1\nkind: RateLimit\nmetadata: {name: l, namespace: shop}\n\
                 spec: {limits: [{name: all, rate: {requests: 5, unit: Second}}]}\n";
    let old = format!("{}{limit}", mesh());
    let new = old.replace(
        "serviceAccount: orders, ports: []",
        "serviceAccount: orders, ports: [{name: http, port: 9000}]",
    );
    let diff = diff_of_models(&support::model(&old), &support::model(&new));
    let begins = diff
        .effects
        .iter()
        .find(|effect| effect.subject == "RateLimit/shop/l/all" && effect.change == Change::Begins);
    assert_eq!(begins.unwrap().callees[0].port, 9000, "{:?}", diff.effects);
}

#[test]
fn a_service_that_is_found_or_spoken_to_otherwise_changes() {
    let changed = |from: &str, to: &str| {
        let new = mesh().replace(from, to);
        assert_ne!(new, mesh());
        effects(&diff_of_models(&model(""), &support::model(&new)))
    };
    assert_eq!(
        changed("clusterIP: 10.0.0.1", "clusterIP: 10.0.0.9"),
        ["Changes Service shop/payments: has the addresses 10.0.0.9 instead of 10.0.0.1"]
    );
    assert_eq!(
        changed(
            "ports: [{name: http, port: 80, targetPort: 8080}]}",
            "ports: [{name: tcp, port: 80, targetPort: 8080}]}"
        ),
        ["Changes Service shop/payments: port 80 speaks Tcp instead of Http"]
    );
    let route = |upstream: &str| {
        format!(
            "---\napiVersion: mesh.tulle.dev/v1alpha1\nkind: TrafficRoute\nmetadata: {{name: r, namespace: shop}}\n\
             spec: {{parentRefs: [{{kind: Service, name: payments, port: 80}}], {upstream} rules: [{{name: r, \
             backendRefs: [{{name: payments, port: 80}}]}}]}}\n"
        )
    };
    assert_eq!(
        effects(&compare(&route(""), &route("upstream: {connectTimeout: 2s},"))),
        ["Changes Service shop/payments: port 80 is given 2s to connect instead of 5s"]
    );
}

#[test]
fn what_of_a_fault_changes_is_not_made_up() {
    let fault = |more: &str, method: &str| {
        format!(
            "---\napiVersion: mesh.tulle.dev/v1alpha1\nkind: FaultInjection\nmetadata: {{name: f, namespace: shop}}\n\
             spec: {{targetRefs: [{{kind: Service, name: payments}}], until: never, {more} \
             faults: [{{name: slow, match: {{http: [{{method: {method}}}]}}, percent: '1', delay: {{fixed: 1s}}}}]}}\n"
        )
    };
    let change = |more: &str, method: &str| effects(&compare(&fault("maxActive: 5,", "GET"), &fault(more, method)));
    assert_eq!(
        change("maxActive: 6,", "GET"),
        ["Changes FaultInjection/shop/f/slow: other settings"]
    );
    assert_eq!(
        change("maxActive: 5,", "PUT"),
        ["Changes FaultInjection/shop/f/slow: what it matches"]
    );
}

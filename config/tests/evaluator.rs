//! The semantics of permissions as the evaluator has them: each sentence of the documentation is a row.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that cannot go on must stop"
)]

mod common;

use std::sync::Arc;

use common::{identity, key, mesh, model_of, permission};
use tulle_config::evaluator::{
    Answer, Caller, Decision, Destination, Difference, HttpRequest, Operation, Request, evaluate, nearest,
};
use tulle_config::model::{Model, SpiffeId};

const WORLD: &str = r"
{apiVersion: v1, kind: Service, metadata: {name: payments, namespace: shop}, spec: {clusterIP: 240.0.0.1, selector: {app: payments}, ports: [{name: http, port: 80, targetPort: http}, {name: grpc, port: 90, targetPort: grpc}, {name: tcp-db, port: 5432, targetPort: db}]}}
---
{apiVersion: mesh.tulle.dev/v1alpha1, kind: Workload, metadata: {name: payments, namespace: shop, labels: {app: payments}}, spec: {address: 10.0.0.1, serviceAccount: payments, ports: [{name: http, port: 8080, appProtocol: http}, {name: grpc, port: 9000, appProtocol: grpc}, {name: db, port: 5432, appProtocol: tcp}]}}
---
{apiVersion: mesh.tulle.dev/v1alpha1, kind: Workload, metadata: {name: orders, namespace: shop}, spec: {address: 10.0.0.2, serviceAccount: orders}}
---
{apiVersion: mesh.tulle.dev/v1alpha1, kind: Workload, metadata: {name: audit, namespace: shop-audit}, spec: {address: 10.0.0.3, serviceAccount: audit}}
";
const PERMISSIVE: &str = "mtls: {mode: Permissive}";
const ORDERS: &str = "sources: [{type: ServiceAccount, serviceAccount: {namespace: shop, name: orders}}]";
const ANYONE: &str = "sources: [{type: Authenticated}]";

/// A GET unless the text says another method; headers as `name: value`.
fn http(text: &str, headers: &[&str]) -> Operation {
    let (method, target) = text.split_once(' ').unwrap_or(("GET", text));
    let split = |header: &&str| {
        let (name, value) = header.split_once(": ").unwrap();
        (name.into(), value.into())
    };
    Operation::Http(HttpRequest {
        method: method.into(),
        target: target.into(),
        authority: "payments".into(),
        headers: headers.iter().map(split).collect(),
    })
}

/// `shop/orders`, a URI, or `-` for nobody.
fn caller(text: &str) -> Caller {
    match text {
        "-" => Caller::Plaintext,
        uri if uri.starts_with("spiffe://") => Caller::Identity(SpiffeId::from_uri(uri)),
        account => Caller::Identity(identity(account)),
    }
}

fn ask(model: &Model, from: &str, port: u16, operation: Operation) -> Decision {
    let to = Destination::Workload {
        workload: key("shop/payments"),
        port,
    };
    let from = caller(from);
    evaluate(model, &Request { from, to, operation })
}

/// `allowed RULE`, `403 RULE`, `400` or `refused RULE`.
fn said(decision: &Decision) -> String {
    let verdict = &decision.arrivals[0].verdict;
    let answer = match verdict.answer {
        Answer::Allowed => "allowed",
        Answer::Forbidden => "403",
        Answer::Malformed(_) => "400",
        Answer::Refused => "refused",
    };
    let rule = verdict
        .rule
        .strip_prefix("TrafficPermission/shop/")
        .unwrap_or(&verdict.rule);
    format!("{answer} {rule}").trim_end().to_owned()
}

/// What is asked, `-` for a connection, and the expected answer.
type Row<'a> = (&'a str, u16, &'a str, &'a [&'a str], &'a str);

fn world(more: &[String]) -> Arc<Model> {
    model_of(&format!("{WORLD}{}", more.concat()))
}

fn rows(title: &str, more: &[String], rows: &[Row<'_>]) {
    let model = world(more);
    for (from, port, operation, headers, expected) in rows {
        let asked = match *operation {
            "-" => Operation::Connect,
            text => http(text, headers),
        };
        let found = said(&ask(&model, from, *port, asked));
        assert_eq!(found, *expected, "{title}: {from} {port} {operation} {headers:?}");
    }
}

fn allow(name: &str, rule: &str) -> String {
    permission(name, &format!("action: Allow, rules: [{{name: r, {rule}}}]"))
}

fn deny(name: &str, rule: &str) -> String {
    permission(name, &format!("action: Deny, rules: [{{name: r, {rule}}}]"))
}

#[test]
fn any_deny_denies_else_any_allow_allows_else_the_default() {
    let both = [
        allow("a", ORDERS),
        deny("d", "http: [{path: {type: PathPrefix, value: /admin}}]"),
    ];
    rows(
        "both",
        &both,
        &[
            ("shop/orders", 8080, "/", &[], "allowed a/r"),
            ("shop/orders", 8080, "/admin", &[], "403 d/r"),
            ("shop-audit/audit", 8080, "/", &[], "403 default/Deny/http"),
            ("shop-audit/audit", 8080, "/admin", &[], "403 d/r"),
            ("shop/orders", 8080, "-", &[], "allowed a/r"),
            // The rule about requests is not about the port without.
            ("shop/orders", 5432, "-", &[], "allowed a/r"),
            ("shop-audit/audit", 5432, "-", &[], "refused default/Deny/db"),
            // A request to it is a connection.
            ("shop/orders", 5432, "/admin", &[], "allowed a/r"),
        ],
    );
    let several = [
        allow("b", ORDERS),
        allow("a", ANYONE),
        deny("z", "sources: []"),
        deny("w", ORDERS),
        deny("x", ORDERS),
    ];
    rows(
        "the smallest name decides",
        &several,
        &[
            ("shop/orders", 8080, "/", &[], "403 w/r"),
            ("shop/payments", 8080, "/", &[], "allowed a/r"),
        ],
    );
    rows(
        "a port that nobody declared",
        &[deny("d", ORDERS)],
        &[
            ("shop/orders", 7777, "-", &[], "refused d/r"),
            ("shop/payments", 7777, "/x", &[], "allowed default/Allow/undeclared"),
        ],
    );
}

#[test]
fn defaults() {
    let with = |default: &str, mode: &str| {
        mesh(&format!(
            "permissions: {{defaultAction: {default}}}, mtls: {{mode: {mode}}}"
        ))
    };
    for (default, selected, mesh_caller, plain) in [
        (
            "AllowUntilSelected",
            false,
            "allowed default/Allow/http",
            "allowed default/Allow/http",
        ),
        (
            "AllowUntilSelected",
            true,
            "403 default/Deny/http",
            "403 default/Deny/http",
        ),
        (
            "Allow",
            false,
            "allowed default/Allow/http",
            "allowed default/Allow/http",
        ),
        ("Allow", true, "allowed default/Allow/http", "403 default/Deny/http"),
        ("Deny", false, "403 default/Deny/http", "403 default/Deny/http"),
        ("Deny", true, "403 default/Deny/http", "403 default/Deny/http"),
    ] {
        // `rules: []` selects and grants nobody.
        let selecting = permission("s", "action: Allow, rules: []");
        let more = [
            with(default, "Permissive"),
            if selected { selecting } else { String::new() },
        ];
        rows(
            default,
            &more,
            &[
                ("shop/orders", 8080, "/", &[], mesh_caller),
                ("-", 8080, "/", &[], plain),
            ],
        );
    }
    rows(
        "Strict has no plaintext",
        &[with("Allow", "Strict")],
        &[("-", 8080, "/", &[], "refused"), ("-", 5432, "-", &[], "refused")],
    );
}

#[test]
fn what_selects() {
    rows(
        "a Deny does not select",
        &[deny("d", "sources: []")],
        &[("shop/orders", 8080, "/", &[], "allowed default/Allow/http")],
    );
    let broken = allow("a", "sources: [{type: Namespace, namespace: {name: Bad}}]");
    rows(
        "an Allow with errors selects",
        &[broken],
        &[("shop/orders", 8080, "/", &[], "403 default/Deny/http")],
    );
    let port = permission(
        "a",
        &format!(
            "targetRefs: [{{kind: Service, name: payments, sectionName: http}}], action: Allow, rules: [{{name: r, {ORDERS}}}]"
        ),
    );
    rows(
        "sectionName selects one port",
        &[port],
        &[
            ("shop/payments", 8080, "/", &[], "403 default/Deny/http"),
            ("shop/payments", 5432, "-", &[], "allowed default/Allow/db"),
        ],
    );
    let narrow = allow("a", &format!("{ORDERS}, ports: [http]"));
    let narrow = narrow.replace(
        "action: Allow",
        "targetRefs: [{kind: Service, name: payments}], action: Allow",
    );
    rows(
        "ports narrow a rule, never the selection",
        &[narrow],
        &[
            ("shop/orders", 8080, "/", &[], "allowed a/r"),
            ("shop/orders", 5432, "-", &[], "refused default/Deny/db"),
        ],
    );
}

#[test]
fn sources() {
    let source = |text: &str| allow("a", &format!("sources: [{text}]"));
    let (yes, no) = ("allowed a/r", "403 default/Deny/http");
    rows(
        "a namespace is a whole segment",
        &[source("{type: Namespace, namespace: {name: shop}}")],
        &[
            ("shop/orders", 8080, "/", &[], yes),
            ("shop-audit/audit", 8080, "/", &[], no),
        ],
    );
    rows(
        "a service account is exact",
        &[allow("a", ORDERS)],
        &[
            ("shop/orders", 8080, "/", &[], yes),
            ("shop/orders2", 8080, "/", &[], no),
        ],
    );
    let spiffe = |kind: &str, value: &str| {
        source(&format!(
            "{{type: SPIFFE, spiffe: {{match: {kind}, value: {value:?}}}}}"
        ))
    };
    rows(
        "a prefix is whole segments",
        &[spiffe("PathPrefix", "spiffe://tulle.local/ns/shop/sa/orders")],
        &[
            ("shop/orders", 8080, "/", &[], yes),
            ("spiffe://tulle.local/ns/shop/sa/orders/eu", 8080, "/", &[], yes),
            ("shop/orders2", 8080, "/", &[], no),
        ],
    );
    rows(
        "a trust domain is bare",
        &[spiffe("TrustDomain", "tulle.local")],
        &[("shop/orders", 8080, "/", &[], yes)],
    );
    rows(
        "an identity of another trust domain has no connection to a port of requests",
        &[source("{type: Authenticated}")],
        &[
            ("spiffe://else.local/ns/shop/sa/orders", 8080, "/", &[], "refused"),
            (
                "spiffe://tulle.local2/ns/shop/sa/orders",
                5432,
                "-",
                &[],
                "refused default/Deny/db",
            ),
        ],
    );
}

#[test]
fn who_is_named() {
    let source = |text: &str| allow("a", &format!("sources: [{text}]"));
    let (yes, no) = ("allowed a/r", "403 default/Deny/http");
    rows(
        "[] is nobody",
        &[allow("a", "sources: []"), deny("d", "sources: []")],
        &[
            ("shop/orders", 8080, "/", &[], no),
            ("shop/orders", 5432, "-", &[], "refused default/Deny/db"),
        ],
    );
    rows(
        "absent in a Deny is everyone",
        &[mesh(PERMISSIVE), deny("d", "ports: []").replace(", ports: []", "")],
        &[
            ("shop/orders", 8080, "/", &[], "403 d/r"),
            ("-", 8080, "/", &[], "403 d/r"),
            ("-", 5432, "-", &[], "refused d/r"),
        ],
    );
    rows(
        "plaintext callers are named",
        &[mesh(PERMISSIVE), source("{type: Unauthenticated}")],
        &[
            ("-", 8080, "/", &[], yes),
            ("-", 5432, "-", &[], "allowed a/r"),
            ("shop/orders", 8080, "/", &[], no),
        ],
    );
    rows(
        "Authenticated is no plaintext caller",
        &[mesh(PERMISSIVE), source("{type: Authenticated}")],
        &[("shop/orders", 8080, "/", &[], yes), ("-", 8080, "/", &[], no)],
    );
}

#[test]
fn a_deny_is_not_passed_by_another_spelling() {
    let one = |path: &str| deny("d", &format!("http: [{{path: {path}}}]"));
    let (yes, no) = ("allowed default/Allow/http", "403 d/r");
    let sent = |rows: &[(&'static str, &'static str)], objects: &str| {
        for (path, expected) in rows {
            self::rows(
                path,
                &[objects.to_owned()],
                &[("shop/orders", 8080, path, &[], expected)],
            );
        }
    };
    sent(&[("/", no), ("//", no), ("/a", yes)], &one("{type: Exact, value: /}"));
    sent(
        &[
            ("/a:b", no),
            ("/a%3ab", no),
            ("/a%3Ab", no),
            ("/a%253Ab", yes),
            ("/a;b", "400"),
        ],
        &one("{type: Exact, value: \"/a:b\"}"),
    );
    sent(
        &[("/%c3%a9", no), ("/%C3%a9/x", no), ("/%C3%A9x", yes), ("/100%25", yes)],
        &one("{type: PathPrefix, value: /%c3%A9}"),
    );
    // An Allow says nothing about other spellings, so they are denied.
    rows(
        "an Allow has one spelling",
        &[allow(
            "a",
            &format!("{ORDERS}, http: [{{path: {{type: Exact, value: \"/a:b\"}}}}]"),
        )],
        &[
            ("shop/orders", 8080, "/a:b", &[], "allowed a/r"),
            ("shop/orders", 8080, "/a%3Ab", &[], "403 default/Deny/http"),
        ],
    );
}

#[test]
fn exact_paths() {
    let denied = |http: &str| deny("d", &format!("http: [{http}]"));
    let (yes, no) = ("allowed default/Allow/http", "403 d/r");
    rows(
        "an exact path",
        &[denied("{path: {type: Exact, value: /a}}")],
        &[
            ("shop/orders", 8080, "/a", &[], no),
            ("shop/orders", 8080, "/a?x=1", &[], no),
            ("shop/orders", 8080, "//a", &[], no),
            ("shop/orders", 8080, "/b/../a", &[], no),
            ("shop/orders", 8080, "/b/%2e%2e/%61", &[], no),
            ("shop/orders", 8080, "/b\\..\\a", &[], no),
            ("shop/orders", 8080, "http://any/a", &[], no),
            ("shop/orders", 8080, "/a/", &[], yes),
            ("shop/orders", 8080, "/A", &[], yes),
            ("shop/orders", 8080, "/x%2f..%2fa", &[], "400"),
            ("shop/orders", 8080, "/a#b", &[], "400"),
            ("shop/orders", 8080, "/a;b", &[], "400"),
            ("shop/orders", 8080, "/a%3bb", &[], yes),
            ("shop/orders", 8080, "/a%00", &[], "400"),
        ],
    );
    rows(
        "`;` passes where no rule looks at the path",
        &[denied("{method: POST}")],
        &[
            ("shop/orders", 8080, "/a;b", &[], yes),
            ("shop/orders", 8080, "POST /a;b", &[], no),
        ],
    );
}

#[test]
fn matches_of_requests() {
    let denied = |http: &str| deny("d", &format!("http: [{http}]"));
    let (yes, no) = ("allowed default/Allow/http", "403 d/r");
    rows(
        "a prefix is whole segments",
        &[denied("{path: {type: PathPrefix, value: /a/}}")],
        &[
            ("shop/orders", 8080, "/a", &[], no),
            ("shop/orders", 8080, "/a/b", &[], no),
            ("shop/orders", 8080, "/ab", &[], yes),
        ],
    );
    rows(
        "a regex matches the whole path",
        &[denied(r"{path: {type: RegularExpression, value: '/v[0-9]+/(a|b)'}}")],
        &[
            ("shop/orders", 8080, "/v12/a", &[], no),
            ("shop/orders", 8080, "/v12/ab", &[], yes),
            ("shop/orders", 8080, "/x/v1/a", &[], yes),
        ],
    );
    rows(
        "everything in a match must hold, any of the matches",
        &[denied("{method: POST, path: {type: Exact, value: /a}}, {method: PUT}")],
        &[
            ("shop/orders", 8080, "POST /a", &[], no),
            ("shop/orders", 8080, "PUT /b", &[], no),
            ("shop/orders", 8080, "POST /b", &[], yes),
            ("shop/orders", 8080, "GET /a", &[], yes),
        ],
    );
}

#[test]
fn matches_of_calls() {
    rows(
        "a Deny of calls is about paths, an Allow about POST",
        &[deny("d", "grpc: [{method: {service: pay.Charge}}]")],
        &[
            ("shop/orders", 9000, "POST /pay.Charge/Make", &[], "403 d/r"),
            ("shop/orders", 9000, "/pay.Charge/Make", &[], "403 d/r"),
            (
                "shop/orders",
                9000,
                "/pay.Other/Make",
                &[],
                "allowed default/Allow/grpc",
            ),
        ],
    );
    rows(
        "an Allow of calls",
        &[allow(
            "a",
            &format!("{ORDERS}, grpc: [{{method: {{service: pay.Charge}}}}]"),
        )],
        &[
            ("shop/orders", 9000, "POST /pay.Charge/Make", &[], "allowed a/r"),
            ("shop/orders", 9000, "/pay.Charge/Make", &[], "403 default/Deny/grpc"),
        ],
    );
    rows(
        "a gRPC call is a POST",
        &[deny(
            "d",
            "http: [{method: POST, path: {type: Exact, value: /pay.Charge/Make}}]",
        )],
        &[
            ("shop/orders", 9000, "POST /pay.Charge/Make", &[], "403 d/r"),
            (
                "shop/orders",
                9000,
                "POST /pay.Charge/Undo",
                &[],
                "allowed default/Allow/grpc",
            ),
        ],
    );
}

#[test]
fn denied_headers() {
    let denied = |http: &str| deny("d", &format!("http: [{http}]"));
    let (yes, no) = ("allowed default/Allow/http", "403 d/r");
    let header = "{headers: [{name: X-Role, value: admin}]}";
    rows(
        "a Deny sees each value",
        &[denied(header)],
        &[
            ("shop/orders", 8080, "/", &["x-role: admin"], no),
            ("shop/orders", 8080, "/", &["x-role: user", "X-Role: admin"], no),
            ("shop/orders", 8080, "/", &["x-role: user, admin"], no),
            ("shop/orders", 8080, "/", &["x-role: user,\tadmin ,x"], no),
            ("shop/orders", 8080, "/", &["x-role: administrator"], yes),
            ("shop/orders", 8080, "/", &["x-role: user admin"], yes),
            ("shop/orders", 8080, "/", &[], yes),
            ("shop/orders", 8080, "/", &["x_role: admin"], "400"),
        ],
    );
    let regex = "{headers: [{name: x-role, type: RegularExpression, value: 'adm.*'}]}";
    rows(
        "also by regex",
        &[denied(regex)],
        &[
            ("shop/orders", 8080, "/", &["x-role: user, admin"], no),
            ("shop/orders", 8080, "/", &["x-role: badm"], yes),
        ],
    );
}

#[test]
fn allowed_headers() {
    let header = "{headers: [{name: X-Role, value: admin}]}";
    let allowed = allow("a", &format!("{ORDERS}, http: [{header}]"));
    rows(
        "an Allow sees the whole joined value",
        &[allowed],
        &[
            ("shop/orders", 8080, "/", &["x-role: admin"], "allowed a/r"),
            (
                "shop/orders",
                8080,
                "/",
                &["x-role: admin", "x-role: admin"],
                "403 default/Deny/http",
            ),
            (
                "shop/orders",
                8080,
                "/",
                &["x-role: user, admin"],
                "403 default/Deny/http",
            ),
            ("shop/orders", 8080, "/", &[], "403 default/Deny/http"),
        ],
    );
    let joined = allow(
        "a",
        &format!("{ORDERS}, http: [{{headers: [{{name: x-role, value: 'a,b'}}]}}]"),
    );
    rows(
        "joined by a comma without space",
        &[joined],
        &[
            ("shop/orders", 8080, "/", &["x-role: a", "x-role: b"], "allowed a/r"),
            ("shop/orders", 8080, "/", &["x-role: a, b"], "403 default/Deny/http"),
        ],
    );
}

#[test]
fn rules_that_failed() {
    let mismatch = deny("d", &format!("{ORDERS}, http: [{{method: GET}}], ports: [tcp-db]"));
    let mismatch = mismatch.replace(
        "action: Deny",
        "targetRefs: [{kind: Service, name: payments}], action: Deny",
    );
    rows(
        "a Deny of requests on a port without denies its sources",
        &[mismatch],
        &[
            ("shop/orders", 5432, "-", &[], "refused d/r"),
            ("shop/payments", 5432, "-", &[], "allowed default/Allow/db"),
            ("shop/orders", 8080, "/", &[], "allowed default/Allow/http"),
        ],
    );
    let broken = deny("d", &format!("{ORDERS}, http: [{{path: {{type: Exact, value: bad}}}}]"));
    rows(
        "a failed Deny denies its sources whatever they send",
        &[broken],
        &[
            ("shop/orders", 8080, "/", &[], "403 d/r"),
            ("shop/payments", 8080, "/", &[], "allowed default/Allow/http"),
        ],
    );
    let nowhere = permission(
        "a",
        &format!(
            "targetRefs: [{{kind: Service, name: payments, sectionName: none}}], action: Allow, rules: [{{name: r, {ORDERS}}}]"
        ),
    );
    rows(
        "an unresolved sectionName takes all and gives nothing",
        &[nowhere],
        &[
            ("shop/orders", 8080, "/", &[], "403 default/Deny/http"),
            ("shop/orders", 5432, "-", &[], "refused default/Deny/db"),
        ],
    );
}

#[test]
fn the_nearest_rule() {
    let read = format!("{ORDERS}, http: [{{method: GET, path: {{type: PathPrefix, value: /charges}}}}]");
    let write = format!(
        "{ANYONE}, http: [{{method: POST, path: {{type: Exact, value: /charges}}, headers: [{{name: x-key, value: k}}]}}]"
    );
    let model = world(&[
        allow("read", &read),
        allow("write", &write),
        deny("d", "http: [{path: {type: Exact, value: /no}}]"),
    ]);
    let differs = |from: &str, operation: Operation| {
        let to = Destination::Workload {
            workload: key("shop/payments"),
            port: 8080,
        };
        let request = Request {
            from: caller(from),
            to,
            operation,
        };
        let decision = evaluate(&model, &request);
        nearest(&model, &request, &decision.arrivals[0]).map(|nearest| {
            let parts: Vec<&str> = nearest
                .differences
                .iter()
                .map(|one| match one {
                    Difference::Source { .. } => "source",
                    Difference::Method { .. } => "method",
                    Difference::Path { .. } => "path",
                    Difference::Header { .. } => "header",
                })
                .collect();
            format!("{} {}", nearest.origin.object.name, parts.join(" "))
        })
    };
    let some = |text: &str| Some(text.to_owned());
    assert_eq!(differs("shop/orders", http("/charges/1", &[])), None, "allowed");
    assert_eq!(differs("shop/orders", http("/no", &[])), None, "denied by a Deny");
    assert_eq!(differs("shop/orders", http("/a;b", &[])), None, "malformed");
    assert_eq!(differs("shop/orders", http("/x", &[])), some("read path"));
    assert_eq!(
        differs("shop/orders", http("POST /charges", &[])),
        some("read method"),
        "the first by name of two"
    );
    assert_eq!(
        differs("shop/payments", http("POST /charges", &["x-key: no"])),
        some("write header")
    );
    assert_eq!(differs("shop/payments", http("/charges/1", &[])), some("read source"));
    assert_eq!(
        differs("shop/orders", http("PUT /charges", &["x-key: k"])),
        some("read method")
    );
}

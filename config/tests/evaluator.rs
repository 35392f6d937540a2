//! The semantics of permissions as the evaluator has them, who is meant and what decides: each sentence of the documentation is
//! a row. What requests match is in `evaluator_requests`.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that cannot go on must stop"
)]

mod common;
mod semantics;

use semantics::*;

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

//! The semantics of permissions as the evaluator has them: which paths, methods, calls and headers match. Each sentence of the
//! documentation is a row.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that cannot go on must stop"
)]

mod common;
mod semantics;

use semantics::*;

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

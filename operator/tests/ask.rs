//! `tulle explain`, `can-i` and `diff`, as people use them.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests are tests too"
)]

mod asking;

use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};

use asking::{PERMISSION, SERVICES, folder, json, run, run_with, tulle};
use serde_json::Value;

#[test]
fn explain_tells_verdict_steps_rules_and_places() {
    let (dir, _) = folder();
    let question = [
        "explain",
        "shop/orders",
        "->",
        "payments",
        "POST",
        "/charges",
        "--folder",
        "mesh",
    ];
    let (code, out, error) = run(&question, dir.path());
    assert_eq!(code, Some(0), "{error}");
    assert!(
        out.starts_with("ALLOWED  shop/orders -> shop/payments:80  POST /charges\n"),
        "{out}"
    );
    for wanted in [
        "identity    spiffe://tulle.local/ns/shop/sa/orders, as workload shop/orders-1 proves it",
        "permission  allowed by TrafficPermission/shop/payments/orders  (mesh/permission.yaml:1)",
        "at shop/payments-1:8080, shop/payments-2:8080",
        "as of the folder mesh",
    ] {
        assert!(out.contains(wanted), "{wanted}\n{out}");
    }

    let (code, out, _) = run(
        &[
            "explain",
            "shop/orders",
            "payments",
            "GET",
            "/chargesx",
            "--folder",
            "mesh",
        ],
        dir.path(),
    );
    assert_eq!(code, Some(1));
    assert!(out.starts_with("DENIED 403  "), "{out}");
    for wanted in [
        "denied by default/Deny/http",
        "nearest     TrafficPermission/shop/payments/orders would allow it  (mesh/permission.yaml:1), but",
        "the method would have to be POST, not GET",
        "the path would have to be /charges or below it, not /chargesx",
    ] {
        assert!(out.contains(wanted), "{wanted}\n{out}");
    }
}

#[test]
fn explain_in_json_and_for_other_callers() {
    let (dir, mesh) = folder();
    // Without flags: the folder that one stands in.
    let (code, out, error) = run(&["explain", "plaintext", "shop/payments", "/", "-o", "json"], &mesh);
    assert_eq!(code, Some(1), "{error}");
    let whole = json(&out);
    assert_eq!(
        (&whole["verdict"], &whole["arrivals"][0]["verdict"]["answer"]),
        (&"denied".into(), &"refused".into())
    );

    let uri = "spiffe://tulle.local/ns/shop/sa/nobody";
    let (code, out, _) = run(
        &[
            "explain",
            uri,
            "workload/shop/payments-1:8080",
            "POST",
            "/charges",
            "-o",
            "json",
        ],
        &mesh,
    );
    let whole = json(&out);
    assert_eq!(code, Some(1));
    assert_eq!(whole["arrivals"][0]["verdict"]["rule"]["name"], "default/Deny/http");
    assert_eq!(whole["arrivals"][0]["nearest"]["rule"]["file"], "./permission.yaml");
    assert!(
        whole["arrivals"][0]["nearest"]["differences"][0]
            .as_str()
            .unwrap()
            .contains("shop/orders"),
        "{out}"
    );
    drop(dir);
}

#[test]
fn names_that_mean_nothing_or_several_things_are_refused_with_candidates() {
    let (_dir, mesh) = folder();
    for (arguments, wanted) in [
        (vec!["explain", "shop/order", "payments"], "shop/orders"),
        (vec!["explain", "orders", "payments"], "ops/orders"),
        (vec!["explain", "shop/orders", "payment"], "shop/payments"),
        (vec!["explain", "shop/orders", "two"], "shop/two:80 a, shop/two:81 b"),
        (vec!["explain", "shop/orders", "two:c"], "shop/two:81 b"),
        (vec!["explain", "ops/orders", "payments"], "shop/payments"),
        (vec!["explain", "shop/orders", "payments", "POST"], "add the path"),
        (vec!["explain", "shop/orders", "-"], "redirection"),
        (vec!["explain", "shop/orders"], "say who calls what"),
        (
            vec!["explain", "shop/orders", "payments", "--folder", "nowhere"],
            "nowhere",
        ),
        (
            vec!["explain", "shop/orders", "workload/shop/payments-1"],
            "workload/shop/payments-1:8080",
        ),
    ] {
        let (code, _, error) = run(&arguments, &mesh);
        assert!(
            code == Some(2) && error.contains(wanted),
            "{arguments:?}: {code:?} {error}"
        );
    }
    fs::write(mesh.join("broken.yaml"), "kind: [").unwrap();
    let (code, _, error) = run(&["can-i", "shop/orders", "payments"], &mesh);
    assert!(code == Some(2) && error.contains("broken.yaml"), "{error}");
}

#[test]
fn diff_says_what_changes_and_what_would_be_sent() {
    let (dir, _) = folder();
    let narrower = PERMISSION.replace("/charges", "/charges/new");
    fs::write(dir.path().join("new.yaml"), &narrower).unwrap();
    let arguments = ["diff", "--folder", "mesh", "-f", "new.yaml"];
    let (code, out, error) = run(&arguments, dir.path());
    assert_eq!(code, Some(1), "{error}");
    for wanted in [
        "DENIED      shop/orders -> shop/payments:8080  POST /charges, as some requests",
        "before: allowed by TrafficPermission/shop/payments/orders  (mesh/permission.yaml:1)",
        "after:  denied by default/Deny/http",
        "ask:    tulle explain sa/shop/orders workload/shop/payments-1:8080 POST /charges",
        "SENT        2 proxies (shop/payments-1, shop/payments-2), 2 resources",
    ] {
        assert!(out.contains(wanted), "{wanted}\n{out}");
    }
    let (code, out, _) = run(
        &["diff", "--folder", "mesh", "-f", "new.yaml", "-o", "json"],
        dir.path(),
    );
    let whole = json(&out);
    assert_eq!((code, &whole["changes"]), (Some(1), &Value::Bool(true)));
    assert_eq!(whole["access"][0]["becomes"], "denied");
    assert_eq!(whole["access"][0]["example"]["path"], "/charges");
    assert_eq!(whole["access"][0]["after"]["rule"]["name"], "default/Deny/http");
    assert!(whole["sent"]["bytes"].as_u64().unwrap() > 0);

    let (code, out, _) = run_with(&["diff", "--folder", "mesh", "-f", "-"], dir.path(), PERMISSION);
    assert!(
        code == Some(0) && out.starts_with("nothing changes in meaning\nSENT        0 proxies"),
        "{out}"
    );
    // A folder takes the place of everything: without the permission all may call.
    fs::create_dir(dir.path().join("new")).unwrap();
    fs::write(dir.path().join("new/services.yaml"), SERVICES).unwrap();
    let (code, out, _) = run(&["diff", "--folder", "mesh", "-f", "new"], dir.path());
    assert!(code == Some(1) && out.contains("ALLOWED     ops/orders, "), "{out}");
    for bad in ["missing.yaml", "mesh/../mesh.txt"] {
        let (code, _, error) = run(&["diff", "--folder", "mesh", "-f", bad], dir.path());
        assert!(code == Some(2) && error.contains("no such file"), "{error}");
    }
}

#[test]
fn a_line_of_the_access_log_is_explained() {
    let (dir, mesh) = folder();
    let line = |path: &str, rule: &str, extra: &str| {
        format!(
            r#"{{"direction":"inbound","listener":"in/10.1.0.1/8080","destination":"10.1.0.1:8080","peer":"spiffe://tulle.local/ns/shop/sa/orders","method":"POST","path":"{path}","authority":"payments","status":200,"rule":"{rule}","time":"2026-11-23T10:00:00Z",{extra}}}"#
        )
    };
    let rule = "TrafficPermission/shop/payments/orders";
    let allowed = line("/charges", rule, &format!(r#""allowed_by":"{rule}","denied_by":null"#));
    let (code, out, error) = run(&["explain", "--log-line", &allowed, "--folder", "mesh"], dir.path());
    assert_eq!(code, Some(0), "{error}");
    for wanted in [
        "ALLOWED  shop/orders -> workload/shop/payments-1:8080  POST /charges",
        "logged      allowed by TrafficPermission/shop/payments/orders, answered 200 at 2026-11-23T10:00:00Z",
        "today       the same, for the same reason",
    ] {
        assert!(out.contains(wanted), "{wanted}\n{out}");
    }
    // The rule is another today.
    fs::write(
        mesh.join("permission.yaml"),
        PERMISSION.replace("name: orders\n    s", "name: renamed\n    s"),
    )
    .unwrap();
    let (_, out, _) = run_with(
        &["explain", "--log-line", "-", "--folder", "mesh", "-o", "json"],
        dir.path(),
        &allowed,
    );
    assert_eq!(json(&out)["logged"]["sameToday"], Value::Bool(false), "{out}");

    let outbound = r#"{"direction":"outbound","time":null,"peer":null,"destination":"10.0.0.1:80","listener":"out/10.0.0.1/80","downstream":"10.1.0.3:40000","method":"POST","path":"/charges","authority":"payments","rule":"TrafficRoute/shop/gone/r"}"#;
    let (_, out, _) = run(&["explain", "--log-line", outbound, "--folder", "mesh"], dir.path());
    assert!(
        out.contains("shop/orders -> shop/payments:80") && out.contains("another decision"),
        "{out}"
    );
    // A rule that rewrites the path: which path was asked for is not in the log.
    let rewriting = "apiVersion: mesh.tulle.dev/v1alpha1\nkind: TrafficRoute\nmetadata: {name: up, namespace: shop}\n\
         spec: {parentRefs: [{name: payments}], rules: [{name: r, matches: [{path: {type: PathPrefix, value: /v1}}], \
         filters: [{type: URLRewrite, urlRewrite: {path: {type: ReplacePrefixMatch, replacePrefixMatch: /}}}]}]}\n";
    fs::write(mesh.join("route.yaml"), rewriting).unwrap();
    let rewritten = outbound.replace("shop/gone/r", "shop/up/r");
    let (_, out, _) = run(&["explain", "--log-line", &rewritten, "--folder", "mesh"], dir.path());
    assert!(
        out.contains("rewrites the path") && out.contains("does not say what decided"),
        "{out}"
    );
    for (bad, wanted) in [
        ("x", "no JSON"),
        ("{}", "direction"),
        (
            r#"{"direction":"inbound","time":"-","listener":"-","peer":"-","destination":"-"}"#,
            "no destination",
        ),
    ] {
        let (code, _, error) = run(&["explain", "--log-line", bad, "--folder", "mesh"], dir.path());
        assert!(code == Some(2) && error.contains(wanted), "{error}");
    }
}

#[test]
fn diff_does_not_call_the_same_what_it_could_not_ask_all_about() {
    let (dir, _) = folder();
    let rules = |name: &str, more: &str| {
        let mut text = PERMISSION
            .replace("name: payments, n", &format!("name: {name}, n"))
            .split_once("  - name")
            .unwrap()
            .0
            .to_owned();
        for n in 0..160 {
            let _ = writeln!(
                text,
                "  - {{name: r{n}, sources: [{{type: Authenticated}}], http: [{{path: {{type: Exact, value: /p{n}}}{more}}}]}}"
            );
        }
        text
    };
    fs::write(dir.path().join("mesh/permission.yaml"), rules("payments", "")).unwrap();
    fs::write(dir.path().join("new.yaml"), rules("more", ", method: GET")).unwrap();
    let arguments = ["diff", "--folder", "mesh", "-f", "new.yaml"];
    let (code, out, error) = run(&arguments, dir.path());
    assert_eq!(code, Some(1), "{out}{error}");
    assert!(
        out.starts_with("UNSURE      shop/payments:8080 ") && !out.contains("nothing changes in meaning"),
        "{out}"
    );
    let (code, out, _) = run(&[&arguments[..], &["-o", "json"]].concat(), dir.path());
    let whole = json(&out);
    assert_eq!((code, &whole["changes"]), (Some(1), &Value::Bool(true)));
    assert_eq!(whole["unsure"], serde_json::json!(["shop/payments:8080"]));

    let (_, out, _) = run(&["can-i", "--list", "--to", "shop/payments"], &dir.path().join("mesh"));
    assert!(out.contains("shop/payments:80 has more rules than were tried"), "{out}");
    let (_, out, _) = run(
        &["can-i", "--list", "--to", "shop/payments", "-o", "json"],
        &dir.path().join("mesh"),
    );
    assert_eq!(json(&out)[0]["complete"], Value::Bool(false));
}

#[test]
fn diff_finds_a_method_that_no_rule_names() {
    let (dir, _) = folder();
    let deny = |http: &str| {
        let head = PERMISSION.replace("Allow", "Deny");
        let head = head.split_once("  - name").unwrap().0;
        format!("{head}  - {{name: d, http: {http}}}\n")
    };
    fs::write(
        dir.path().join("mesh/permission.yaml"),
        deny("[{path: {type: PathPrefix, value: /}}]"),
    )
    .unwrap();
    let (code, out, error) = run_with(
        &["diff", "--folder", "mesh", "-f", "-"],
        dir.path(),
        &deny("[{method: GET}, {method: POST}]"),
    );
    assert!(code == Some(1) && out.contains("ALLOWED"), "{out}{error}");
}

/// A running `tulle up`.
struct Up(Child);

impl Drop for Up {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

#[test]
fn a_running_control_plane_is_asked() {
    let (dir, _) = folder();
    let mut child = tulle(&["up", "mesh", "--listen", "127.0.0.1:0"], dir.path())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let _up = Up(child);
    assert!(lines.any(|line| line.unwrap().contains("the control plane is up")));
    std::thread::spawn(move || lines.for_each(drop));

    let (code, out, error) = run(&["explain", "shop/orders", "payments", "POST", "/charges"], dir.path());
    assert_eq!(code, Some(0), "{error}");
    assert!(out.contains("as of the control plane of ./mesh/.tulle"), "{out}");
    let (code, out, _) = run(
        &["can-i", "ops/orders", "shop/payments", "--state", "mesh/.tulle"],
        dir.path(),
    );
    assert_eq!((code, &*out), (Some(1), "no  default/Deny/http\n"));
    // What is served and what stands in the folder is the same, down to the bytes that would be sent.
    let (code, out, error) = run(&["diff", "-f", "mesh"], dir.path());
    assert!(
        code == Some(0) && out.contains("SENT        0 proxies, 0 resources, 0 bytes"),
        "{out}{error}"
    );
    let (code, _, error) = run(&["explain", "a", "b", "--state", "x", "--folder", "mesh"], dir.path());
    assert!(code == Some(2) && error.contains("cannot be used with"), "{error}");
}

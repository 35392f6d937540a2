//! `tulle can-i`: one line, and lists.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests are tests too"
)]

mod asking;

use std::fmt::Write as _;
use std::fs;

use asking::{folder, json, run};

#[test]
fn can_i_answers_in_one_line_and_lists() {
    let (_dir, mesh) = folder();
    let (code, out, _) = run(&["can-i", "shop/orders", "two:b", "POST", "/charges/1"], &mesh);
    assert_eq!(
        (code, &*out),
        (
            Some(0),
            "yes  TrafficPermission/shop/payments/orders  (./permission.yaml:1)\n"
        )
    );
    let (code, out, _) = run(&["can-i", "ops/orders", "shop/payments", "POST", "/charges"], &mesh);
    assert_eq!((code, &*out), (Some(1), "no  default/Deny/http\n"));
    // A header that nobody asked for changes nothing.
    let (code, ..) = run(
        &[
            "can-i",
            "shop/orders",
            "payments",
            "POST",
            "/charges",
            "--header",
            "x-role=admin",
        ],
        &mesh,
    );
    assert_eq!(code, Some(0));

    let (code, out, _) = run(&["can-i", "--list", "--to", "shop/payments"], &mesh);
    assert_eq!(code, Some(0));
    let line = |start: &str| {
        out.lines()
            .find(|line| line.starts_with(start))
            .unwrap_or_else(|| panic!("{start}: {out}"))
    };
    assert!(
        line("shop/orders ").contains("shop/payments:80   some     TrafficPermission/shop/payments/orders"),
        "{out}"
    );
    assert!(line("ops/orders ").contains(" no "), "{out}");
    let (_, out, _) = run(
        &["can-i", "--list", "-o", "json", "--from", "shop/orders", "-n", "shop"],
        &mesh,
    );
    let rows = json(&out);
    assert_eq!(rows.as_array().unwrap().len(), 3);
    assert_eq!(rows[0]["callers"][0]["access"], "some");
    assert_eq!(run(&["can-i", "--from", "x"], &mesh).0, Some(2));
}

#[test]
fn a_matrix_of_fifty_services_has_a_row_for_each() {
    let dir = tempfile::tempdir().unwrap();
    let mut text = String::new();
    for n in 0..50 {
        let _ = write!(
            text,
            "apiVersion: v1\nkind: Service\nmetadata: {{name: s{n}}}\nspec: {{selector: {{app: s{n}}}, ports: [{{name: http, port: 80, targetPort: 8080}}]}}\n---\n\
             apiVersion: mesh.tulle.dev/v1alpha1\nkind: Workload\nmetadata: {{name: w{n}, labels: {{app: s{n}}}}}\n\
             spec: {{address: 10.1.0.{n}, serviceAccount: s{n}, ports: [{{name: http, port: 8080}}]}}\n---\n"
        );
    }
    fs::write(dir.path().join("mesh.yaml"), text).unwrap();
    let (code, out, _) = run(&["can-i", "--list"], dir.path());
    assert_eq!((code, out.lines().count()), (Some(0), 51), "{out}");
    assert!(
        out.lines().all(|line| line.len() < 120) && out.contains("everybody"),
        "{out}"
    );
}

#[test]
fn a_list_of_nobody_says_so() {
    let (_dir, mesh) = folder();
    let outside = "apiVersion: v1\nkind: Service\nmetadata: {name: away, namespace: shop}\nspec: {clusterIP: 10.0.0.9, selector: {app: away}, ports: [{name: http, port: 80}]}\n";
    fs::write(mesh.join("away.yaml"), outside).unwrap();
    for (filter, wanted) in [
        ("--from", "no caller contains \"typo\""),
        ("--to", "no Service asked about contains \"typo\""),
    ] {
        let (code, out, error) = run(&["can-i", "--list", filter, "typo"], &mesh);
        assert!(
            code == Some(2) && out.is_empty() && error.contains(wanted),
            "{code:?} {out} {error}"
        );
    }
    // Only what is outside is said to be, whoever is asked about.
    let (code, out, _) = run(&["can-i", "--list", "--from", "plaintext"], &mesh);
    assert_eq!(code, Some(0));
    let outside: Vec<&str> = out.lines().filter(|line| line.contains(" outside ")).collect();
    assert!(outside.len() == 1 && outside[0].contains("shop/away:80"), "{out}");
    let (_, out, _) = run(&["can-i", "--list", "--from", "shop/orders", "-o", "json"], &mesh);
    let rows = json(&out);
    let outside: Vec<_> = rows
        .as_array()
        .unwrap()
        .iter()
        .map(|row| row["outside"] == true)
        .collect();
    assert_eq!(outside.iter().filter(|outside| **outside).count(), 1, "{out}");
}

//! What holds for every set of permissions: a Deny only takes away, order never matters, `[]` is nobody.
#![allow(clippy::indexing_slicing, reason = "a test that cannot go on must stop")]

mod common;

use std::sync::Arc;

use common::{add_value, identity, key, model, objects};
use proptest::prelude::*;
use serde_json::{Value, json};
use tulle_config::Model;
use tulle_config::evaluator::{Answer, Caller, Destination, Evaluator, HttpRequest, Operation, Request, Verdict};

const WORLD: &str = r"
{apiVersion: mesh.tulle.dev/v1alpha1, kind: Workload, metadata: {name: a, namespace: shop}, spec: {address: 10.0.0.1, serviceAccount: a,
  ports: [{name: web, port: 8080, appProtocol: http}, {name: db, port: 5432, appProtocol: tcp}]}}
---
{apiVersion: mesh.tulle.dev/v1alpha1, kind: Workload, metadata: {name: b, namespace: other}, spec: {address: 10.0.0.2, serviceAccount: b}}
---
{apiVersion: mesh.tulle.dev/v1alpha1, kind: Mesh, metadata: {name: default}, spec: {mtls: {mode: Permissive}}}
";

fn source() -> impl Strategy<Value = Value> {
    prop::sample::select(vec![
        json!({"type": "ServiceAccount", "serviceAccount": {"namespace": "shop", "name": "a"}}),
        json!({"type": "ServiceAccount", "serviceAccount": {"namespace": "other", "name": "b"}}),
        json!({"type": "Namespace", "namespace": {"name": "shop"}}),
        json!({"type": "Authenticated"}),
        json!({"type": "Unauthenticated"}),
    ])
}

fn http() -> impl Strategy<Value = Value> {
    let path = prop::sample::select(vec![
        json!({"type": "Exact", "value": "/a"}),
        json!({"type": "PathPrefix", "value": "/a"}),
        json!({"type": "RegularExpression", "value": "/[ab]/.*"}),
    ]);
    let header = prop::sample::select(vec![
        json!({"name": "x-a", "value": "1"}),
        json!({"name": "x-a", "type": "RegularExpression", "value": "[12]"}),
    ]);
    (
        prop::option::of(path),
        prop::option::of(Just("POST")),
        prop::option::of(header),
    )
        .prop_map(|(path, method, header)| {
            let mut one = json!({});
            if let Some(path) = path {
                one["path"] = path;
            }
            if let Some(method) = method {
                one["method"] = json!(method);
            }
            if let Some(header) = header {
                one["headers"] = json!([header]);
            }
            one
        })
}

fn rule() -> impl Strategy<Value = Value> {
    let sources = prop::collection::vec(source(), 0..3);
    let http = prop::option::of(prop::collection::vec(http(), 1..3));
    ("[a-c]", sources, http).prop_map(|(name, sources, http)| {
        let mut rule = json!({"name": name, "sources": sources});
        if let Some(http) = http {
            rule["http"] = json!(http);
        }
        rule
    })
}

fn rules() -> impl Strategy<Value = Vec<Value>> {
    prop::collection::vec(rule(), 0..3).prop_map(|mut rules| {
        rules.sort_by_key(|rule| rule["name"].to_string());
        rules.dedup_by_key(|rule| rule["name"].to_string());
        rules
    })
}

fn permission(name: &str, action: &str, mode: &str, rules: &[Value]) -> Value {
    json!({
        "apiVersion": "mesh.tulle.dev/v1alpha1", "kind": "TrafficPermission", "metadata": {"name": name, "namespace": "shop"},
        "spec": {"action": action, "mode": mode, "rules": rules},
    })
}

fn permissions() -> impl Strategy<Value = Vec<Value>> {
    let one = (prop::bool::ANY, prop::bool::weighted(0.8), rules());
    prop::collection::vec(one, 0..4).prop_map(|all| {
        let named = all.into_iter().enumerate().map(|(number, (allow, enforce, rules))| {
            let action = if allow { "Allow" } else { "Deny" };
            permission(
                &format!("p{number}"),
                action,
                if enforce { "Enforce" } else { "Shadow" },
                &rules,
            )
        });
        named.collect()
    })
}

fn build(permissions: &[Value]) -> Arc<Model> {
    let mut all = objects(WORLD);
    for permission in permissions {
        add_value(&mut all, permission.clone());
    }
    model(&all)
}

/// Every verdict about a few callers and requests: enforced, then the candidate's.
fn verdicts(model: &Model) -> Vec<(Verdict, Option<Verdict>)> {
    let evaluator = Evaluator::new(model);
    let mut operations = vec![(5432, Operation::Connect), (8080, Operation::Connect)];
    for (method, target) in [("GET", "/a"), ("POST", "/a/b"), ("GET", "/b/c"), ("POST", "/")] {
        for values in [&[][..], &["1"], &["2", "1"], &["3,2"]] {
            let headers = values.iter().map(|value| ("x-a".into(), (*value).into())).collect();
            let (method, target, authority) = (method.into(), target.into(), "a".into());
            operations.push((
                8080,
                Operation::Http(HttpRequest {
                    method,
                    target,
                    authority,
                    headers,
                }),
            ));
        }
    }
    let callers = [
        Caller::Identity(identity("shop/a")),
        Caller::Identity(identity("other/b")),
        Caller::Plaintext,
    ];
    let asked = callers
        .iter()
        .flat_map(|from| operations.iter().map(move |operation| (from, operation)));
    let decided = asked.map(|(from, (port, operation))| {
        let workload = key("shop/a");
        let decision = evaluator.evaluate(&Request {
            from: from.clone(),
            to: Destination::Workload { workload, port: *port },
            operation: operation.clone(),
        });
        (
            decision.arrivals[0].verdict.clone(),
            decision.arrivals[0].shadow.clone(),
        )
    });
    decided.collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn a_deny_only_takes_away(before in permissions(), more in rules()) {
        let after: Vec<Value> = before.iter().cloned().chain([permission("more", "Deny", "Enforce", &more)]).collect();
        for (before, after) in verdicts(&build(&before)).iter().zip(verdicts(&build(&after))) {
            prop_assert!(before.0.answer == Answer::Allowed || after.0.answer != Answer::Allowed);
            // What it does not deny it leaves alone, the name of the cause included.
            prop_assert!(before.0 == after.0 || after.0.rule.starts_with("TrafficPermission/shop/more/"));
        }
    }

    #[test]
    fn order_never_matters(some in permissions(), seed in any::<u64>()) {
        let mut other = some.clone();
        let turn = usize::try_from(seed % 4).unwrap_or_default().min(other.len());
        other.rotate_left(turn);
        for permission in &mut other {
            if let Some(rules) = permission["spec"]["rules"].as_array_mut() {
                rules.reverse();
            }
        }
        prop_assert_eq!(verdicts(&build(&some)), verdicts(&build(&other)));
    }

    #[test]
    fn nobody_is_denied_or_allowed_by_an_empty_list(some in permissions(), requests in prop::option::of(http())) {
        let mut nobody = json!({"name": "nobody", "sources": []});
        if let Some(one) = requests {
            nobody["http"] = json!([one]);
        }
        let with = |action: &str, rules: &[Value]| {
            let more = permission("more", action, "Enforce", rules);
            verdicts(&build(&some.iter().cloned().chain([more]).collect::<Vec<_>>()))
        };
        prop_assert_eq!(with("Deny", &[]), with("Deny", std::slice::from_ref(&nobody)));
        // An Allow selects, whomever it allows.
        prop_assert_eq!(with("Allow", &[]), with("Allow", &[nobody]));
    }

    #[test]
    fn a_shadow_changes_no_verdict_and_shows_what_enforcing_would(some in permissions(), rules in rules(), allow in any::<bool>()) {
        let action = if allow { "Allow" } else { "Deny" };
        let with = |mode: &str| {
            let enforced = some.iter().filter(|one| one["spec"]["mode"] == "Enforce").cloned();
            verdicts(&build(&enforced.chain([permission("more", action, mode, &rules)]).collect::<Vec<_>>()))
        };
        let enforced: Vec<Value> = some.iter().filter(|one| one["spec"]["mode"] == "Enforce").cloned().collect();
        let without = verdicts(&build(&enforced));
        for ((shadowed, without), enforced) in with("Shadow").iter().zip(&without).zip(with("Enforce")) {
            prop_assert_eq!(&shadowed.0, &without.0);
            // Where the permission reaches nothing there is no candidate, and nothing would change.
            prop_assert_eq!(shadowed.1.as_ref().unwrap_or(&without.0), &enforced.0);
        }
    }
}

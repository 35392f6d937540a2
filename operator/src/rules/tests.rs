//! Sums and reports from hand-made models; the service is tested with a whole control plane.

use std::fs;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use config::model::{Candidate, Key, Protocol};
use config::names::{RuleCounter, RuleOutcome};
use config::{Model, Settings};

use super::{Effect, RuleReport, RuleRow, RuleTotals, report};
use crate::source;

const MESH: &str = "
apiVersion: v1
kind: Service
metadata: {name: payments, namespace: shop}
spec: {selector: {app: payments}, ports: [{name: http, port: 80, targetPort: 8080}, {name: db, port: 70, targetPort: 7000}]}
---
apiVersion: mesh.tulle.dev/v1alpha1
kind: Workload
metadata: {name: payments-1, namespace: shop, labels: {app: payments}}
spec: {address: 10.0.0.1, serviceAccount: payments, ports: [{name: http, port: 8080}, {name: db, port: 7000, appProtocol: tcp}]}
---
apiVersion: mesh.tulle.dev/v1alpha1
kind: Workload
metadata: {name: payments-2, namespace: shop, labels: {app: payments}}
spec: {address: 10.0.0.2, serviceAccount: payments, ports: [{name: http, port: 8080}]}
---
apiVersion: mesh.tulle.dev/v1alpha1
kind: TrafficPermission
metadata: {name: web, namespace: shop}
spec:
  targetRefs: [{kind: Service, name: payments, sectionName: http}]
  action: Allow
  rules: [{name: read, sources: [{type: Authenticated}], http: [{method: GET}]}, {name: write, sources: [{type: Authenticated}]}]
---
apiVersion: mesh.tulle.dev/v1alpha1
kind: TrafficPermission
metadata: {name: db, namespace: shop}
spec:
  targetRefs: [{kind: Service, name: payments, sectionName: db}]
  action: Allow
  rules: [{name: all, sources: [{type: Authenticated}]}]
";

const READ: &str = "TrafficPermission/shop/web/read";

fn model(yaml: &str) -> Arc<Model> {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("mesh.yaml"), yaml).unwrap();
    let source = source::read_once(dir.path()).unwrap();
    assert_eq!(source.problems, []);
    config::build(&source.objects, &Settings::default(), SystemTime::UNIX_EPOCH)
}

fn at(second: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(second)
}

fn counter(rule: &str, outcome: RuleOutcome) -> RuleCounter<'_> {
    let port = 8080;
    RuleCounter { port, rule, outcome }
}

fn record(totals: &RuleTotals, model: &Arc<Model>, proxy: &str, rule: &str, count: u64) {
    let counters = [(counter(rule, RuleOutcome::Allowed), count)];
    totals.record(model, &Key::new("shop", proxy), counters, at(count.min(1_000)));
}

fn row(report: &RuleReport, rule: &str) -> RuleRow {
    let found: Vec<_> = report.items.iter().filter(|row| row.rule == rule).collect();
    assert_eq!(found.len(), 1, "{rule} in {:?}", report.items);
    found[0].clone()
}

#[test]
fn sums_are_by_rule_and_proxy_and_what_never_decided_is_there() {
    let (model, totals) = (model(MESH), RuleTotals::new(at(0)));
    record(&totals, &model, "payments-1", READ, 3);
    record(&totals, &model, "payments-1", READ, 4);
    record(&totals, &model, "payments-2", READ, 2);
    let denied = [(counter("default/Deny/http", RuleOutcome::Denied), 1)];
    totals.record(&model, &Key::new("shop", "payments-2"), denied, at(1));
    record(&totals, &model, "payments-2", READ, 0);
    let report = report(&model, &totals);
    let read = row(&report, READ);
    assert_eq!(
        (read.allowed, read.denied, read.concerned, read.never()),
        (9, 0, 2, false)
    );
    assert_eq!((read.effect, &*read.namespace), (Some(Effect::Allow), "shop"));
    assert_eq!(read.last_matched.as_deref(), Some("1970-01-01T00:00:04Z"));
    let by_proxy: Vec<_> = read.proxies.iter().map(|at| (at.proxy.as_str(), at.allowed)).collect();
    assert_eq!(by_proxy, [("shop/payments-1", 7), ("shop/payments-2", 2)]);
    let write = row(&report, "TrafficPermission/shop/web/write");
    assert!(write.never() && write.counted && write.last_matched.is_none());
    let default = row(&report, "default/Deny/http");
    assert_eq!((default.denied, default.effect), (1, Some(Effect::Default)));
    // Envoy counts requests: of a TCP port nobody may claim that a rule never matched.
    let tcp = row(&report, "TrafficPermission/shop/db/all");
    assert!(!tcp.counted && !tcp.never());
    assert!(!report.items.iter().any(|row| row.rule == "default/Allow/http"));
}

#[test]
fn a_proxy_speaks_for_its_own_rules_only() {
    let (model, totals) = (model(MESH), RuleTotals::new(at(0)));
    record(&totals, &model, "payments-1", "TrafficPermission/shop/web/made-up", 5);
    record(&totals, &model, "stranger", READ, 5);
    let wrong_port = [(
        RuleCounter {
            port: 1,
            ..counter(READ, RuleOutcome::Denied)
        },
        5,
    )];
    totals.record(&model, &Key::new("shop", "payments-1"), wrong_port, at(1));
    let report = report(&model, &totals);
    assert_eq!(report.unknown, 3);
    assert!(report.items.iter().all(|row| row.matched() == 0), "{:?}", report.items);
}

#[test]
fn a_proxy_cannot_report_what_no_proxy_can_have_done() {
    let (model, totals) = (model(MESH), RuleTotals::new(at(0)));
    record(&totals, &model, "payments-2", READ, 1);
    for count in [u64::MAX, 1 << 40] {
        record(&totals, &model, "payments-1", READ, count);
    }
    for (rule, outcome) in [
        (READ, RuleOutcome::Denied),
        (READ, RuleOutcome::ShadowDenied),
        ("default/Deny/http", RuleOutcome::Allowed),
        ("default/Allow/http", RuleOutcome::Denied),
    ] {
        totals.record(
            &model,
            &Key::new("shop", "payments-1"),
            [(counter(rule, outcome), 1)],
            at(1),
        );
    }
    let report = report(&model, &totals);
    assert_eq!(report.unknown, 6);
    let read = row(&report, READ);
    assert_eq!((read.allowed, read.matched(), read.proxies.len()), (1, 1, 1));
}

#[test]
fn books_do_not_keep_a_model() {
    let (model, totals) = (model(MESH), RuleTotals::new(at(0)));
    record(&totals, &model, "payments-1", READ, 3);
    let kept = Arc::downgrade(&model);
    drop(model);
    assert!(kept.upgrade().is_none());
}

#[test]
fn a_proxy_that_a_rule_concerns_no_more_is_not_counted_among_those_that_it_does() {
    let (before, totals) = (model(MESH), RuleTotals::new(at(0)));
    record(&totals, &before, "payments-1", READ, 3);
    record(&totals, &before, "payments-2", READ, 2);
    let after = MESH.replace(
        "name: payments-2, namespace: shop, labels: {app: payments}",
        "name: payments-2, namespace: shop",
    );
    let after = model(&after);
    let read = row(&report(&after, &totals), READ);
    let concerned: Vec<_> = read.proxies.iter().map(|at| (at.allowed, at.concerned)).collect();
    assert_eq!((read.concerned, concerned), (1, vec![(3, true), (2, false)]));
}

#[test]
fn what_is_gone_is_forgotten_or_added_up() {
    let (before, totals) = (model(MESH), RuleTotals::new(at(0)));
    record(&totals, &before, "payments-1", READ, 3);
    record(&totals, &before, "payments-2", READ, 2);
    record(&totals, &before, "payments-2", "TrafficPermission/shop/web/write", 2);
    let after = MESH
        .replace("payments-2", "payments-3")
        .replace("name: write", "name: change");
    let after = model(&after);
    record(&totals, &after, "payments-3", READ, 1);
    let now = report(&after, &totals);
    let by_proxy: Vec<_> = row(&now, READ)
        .proxies
        .into_iter()
        .map(|at| (at.proxy, at.allowed))
        .collect();
    let expected = [("shop/", 2), ("shop/payments-1", 3), ("shop/payments-3", 1)];
    assert_eq!(by_proxy, expected.map(|(proxy, allowed)| (proxy.to_owned(), allowed)));
    // The rule is another one when its name comes back.
    assert_eq!(
        row(&report(&before, &totals), "TrafficPermission/shop/web/write").allowed,
        0
    );
}

#[test]
fn shadow_rules_show_what_would_be() {
    let mut model = Arc::unwrap_or_clone(model(MESH));
    let workload = Arc::make_mut(model.workloads.get_mut(&Key::new("shop", "payments-1")).unwrap());
    let port = Arc::make_mut(workload.ports.get_mut(&8080).unwrap());
    assert_eq!(port.protocol, Protocol::Http);
    let permission = Arc::make_mut(&mut port.permission);
    let mut shadowed = (*permission.allow[0]).clone();
    shadowed.origin.rule = Some("shadowed".into());
    permission.candidate = Some(Arc::new(Candidate {
        deny: vec![Arc::new(shadowed)],
        allow: permission.allow.clone(),
        default: permission.default.clone(),
    }));
    let (model, totals) = (Arc::new(model), RuleTotals::new(at(0)));
    let rule = "TrafficPermission/shop/web/shadowed";
    let counters = [
        (counter(rule, RuleOutcome::ShadowDenied), 6),
        // It is not in force.
        (counter(rule, RuleOutcome::Denied), 5),
        (counter(READ, RuleOutcome::ShadowAllowed), 1),
    ];
    totals.record(&model, &Key::new("shop", "payments-1"), counters, at(9));
    let report = report(&model, &totals);
    let shadowed = row(&report, rule);
    assert_eq!(
        (shadowed.effect, shadowed.shadow_denied, shadowed.denied),
        (Some(Effect::ShadowDeny), 6, 0)
    );
    let read = row(&report, READ);
    assert_eq!(
        (read.effect, read.shadow_allowed, read.allowed),
        (Some(Effect::Allow), 1, 0)
    );
}

#[test]
fn replicas_are_added_up() {
    let (model, one, other) = (model(MESH), RuleTotals::new(at(0)), RuleTotals::new(at(60)));
    record(&one, &model, "payments-1", READ, 3);
    record(&one, &model, "payments-2", READ, 1);
    record(&other, &model, "payments-2", READ, 20);
    let mut sum = report(&model, &one);
    sum.add(report(&model, &other));
    assert_eq!(sum.since, "1970-01-01T00:01:00Z");
    let read = row(&sum, READ);
    assert_eq!((read.allowed, read.concerned), (24, 2));
    assert_eq!(read.last_matched.as_deref(), Some("1970-01-01T00:00:20Z"));
    let by_proxy: Vec<_> = read.proxies.iter().map(|at| (at.proxy.as_str(), at.allowed)).collect();
    assert_eq!(by_proxy, [("shop/payments-1", 3), ("shop/payments-2", 21)]);
}

//! Status from hand-made views.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use config::model::Key;
use config::{ObjectRef, Settings};
use jiff::Timestamp;

use super::{Beside, Report, StatusView, Statuses, desired, keep_times, objects};
use crate::engine::{Counters, EngineView, ProxyView, Rejection};
use crate::source;

const MESH: &str = "
apiVersion: v1
kind: Service
metadata: {name: payments, namespace: shop}
spec: {selector: {app: payments}, ports: [{name: http, port: 80, targetPort: 8080}]}
---
apiVersion: mesh.tulle.dev/v1alpha1
kind: Workload
metadata: {name: payments-1, namespace: shop, labels: {app: payments}}
spec: {address: 10.0.0.1, serviceAccount: payments, ports: [{name: http, port: 8080}]}
---
apiVersion: mesh.tulle.dev/v1alpha1
kind: Workload
metadata: {name: payments-2, namespace: shop, labels: {app: payments}}
spec: {address: 10.0.0.2, serviceAccount: payments, ports: [{name: http, port: 8080}]}
---
apiVersion: mesh.tulle.dev/v1alpha1
kind: TrafficPermission
metadata: {name: good, namespace: shop}
spec:
  targetRefs: [{kind: Service, name: payments}]
  action: Allow
  rules: [{name: all, sources: [{type: Authenticated}]}]
---
apiVersion: mesh.tulle.dev/v1alpha1
kind: TrafficPermission
metadata: {name: nowhere, namespace: shop}
spec:
  targetRefs: [{kind: Service, name: none}]
  action: Allow
  rules: [{name: all, sources: [{type: Authenticated}]}]
---
apiVersion: mesh.tulle.dev/v1alpha1
kind: TrafficPermission
metadata: {name: partly, namespace: shop}
spec:
  targetRefs: [{kind: Service, name: payments}]
  action: Allow
  rules:
  - {name: fine, sources: [{type: Authenticated}]}
  - {name: wrong, sources: [{type: Authenticated}], http: [{path: {type: PathPrefix, value: no-slash}}]}
";

/// A view of two payments and some permissions, with these proxies.
pub(super) fn engine_view(proxies: &[(&str, ProxyView)]) -> EngineView {
    view(proxies)
}

/// A proxy that has everything.
pub(super) fn synced_proxy() -> ProxyView {
    proxy(5, Some(5))
}

fn view(proxies: &[(&str, ProxyView)]) -> EngineView {
    view_of(MESH, proxies)
}

fn view_of(objects: &str, proxies: &[(&str, ProxyView)]) -> EngineView {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("mesh.yaml"), objects).unwrap();
    let source = source::read_once(dir.path()).unwrap();
    assert_eq!(source.problems, []);
    let model = config::build(&source.objects, &Settings::default(), SystemTime::UNIX_EPOCH);
    EngineView {
        processed: 1,
        revision: 5,
        changed_at: Arc::new(model.reports.keys().map(|object| (Arc::clone(object), 5)).collect()),
        source,
        model,
        proxies: proxies
            .iter()
            .map(|(name, proxy)| (Key::new("shop", name), Arc::new(proxy.clone())))
            .collect(),
        counters: Counters::default(),
    }
}

fn proxy(sent: u64, acked: Option<u64>) -> ProxyView {
    ProxyView {
        connected: true,
        since: SystemTime::UNIX_EPOCH,
        sent: Some(sent),
        acked,
        rejections: Vec::new(),
        failed: None,
    }
}

fn statuses(view: &EngineView) -> Statuses {
    desired(view, &BTreeMap::new(), &Beside::default())
}

/// `Type=Status/Reason` of the summary and of the first target.
fn words(statuses: &Statuses, name: &str) -> Vec<String> {
    let status = &statuses.policies[&ObjectRef::new("TrafficPermission", "shop", name)];
    let conditions = status.conditions.iter().chain(&status.ancestors[0].conditions);
    conditions
        .map(|c| format!("{}={}/{}", c.type_, c.status, c.reason))
        .collect()
}

#[test]
fn enforced_follows_acknowledgements() {
    let both = view(&[("payments-1", proxy(5, Some(5))), ("payments-2", proxy(5, Some(5)))]);
    let all = statuses(&both);
    let expected = [
        "Ready=True/AllProxiesAcked",
        "Accepted=True/Accepted",
        "ResolvedRefs=True/ResolvedRefs",
        "Programmed=True/Programmed",
        "Enforced=True/AllProxiesAcked",
    ];
    assert_eq!(words(&all, "good"), expected);

    let one = statuses(&view(&[
        ("payments-1", proxy(5, Some(5))),
        ("payments-2", proxy(5, Some(4))),
    ]));
    assert_eq!(words(&one, "good")[0], "Ready=False/Pending");
    assert_eq!(
        one.policies[&ObjectRef::new("TrafficPermission", "shop", "good")].acked,
        "1/2"
    );

    // What was never sent anything newer has all there is.
    let old = statuses(&view(&[
        ("payments-1", proxy(3, Some(3))),
        ("payments-2", proxy(4, Some(4))),
    ]));
    assert_eq!(words(&old, "good")[0], "Ready=True/AllProxiesAcked");

    assert_eq!(words(&statuses(&view(&[])), "good")[0], "Ready=False/Pending");
}

/// After a restart of the control plane the proxies come back one by one; those that did not yet may run with anything.
#[test]
fn a_proxy_that_has_not_come_back_is_pending() {
    let good = ObjectRef::new("TrafficPermission", "shop", "good");
    let one = statuses(&view(&[("payments-1", proxy(5, Some(5)))]));
    let words = words(&one, "good");
    assert_eq!(
        (&*words[0], &*words[4]),
        ("Ready=False/Pending", "Enforced=False/Pending")
    );
    let status = &one.policies[&good];
    assert_eq!(
        (status.proxies.matched, status.proxies.acked, &*status.acked),
        (2, 1, "1/2")
    );
    let message = &status.conditions[0].message;
    assert!(message.contains("missing: shop/payments-2"), "{message}");

    // Whoever is no workload of the mesh any more is not waited for.
    let mut gone = view(&[("payments-1", proxy(5, Some(5)))]);
    let mut model = (*gone.model).clone();
    model.workloads.remove(&Key::new("shop", "payments-2"));
    gone.model = Arc::new(model);
    assert_eq!(statuses(&gone).policies[&good].acked, "1/1");
}

#[test]
fn mistakes_show_where_they_are() {
    let statuses = statuses(&view(&[
        ("payments-1", proxy(5, Some(5))),
        ("payments-2", proxy(5, Some(5))),
    ]));
    assert_eq!(words(&statuses, "nowhere")[0], "Ready=False/TargetNotFound");
    assert!(words(&statuses, "nowhere").contains(&"ResolvedRefs=False/TargetNotFound".to_owned()));
    assert_eq!(
        words(&statuses, "partly")[..2],
        ["Ready=False/PartiallyInvalid", "Accepted=True/PartiallyInvalid"]
    );
    let partly = &statuses.policies[&ObjectRef::new("TrafficPermission", "shop", "partly")];
    assert_eq!(partly.rules_in_force, ["fine"]);
    assert_eq!(partly.problems[0].rule.as_deref(), Some("wrong"));
}

#[test]
fn a_refusal_shows_envoys_words_and_the_mesh_says_so() {
    let object = Arc::new(ObjectRef::new("TrafficPermission", "shop", "good"));
    let mut refusing = proxy(5, Some(5));
    refusing.rejections.push(Rejection {
        kind: xds::Kind::Route,
        name: "in/shop/payments/8080".into(),
        version: None,
        message: "bad regex".into(),
        objects: BTreeSet::from([object]),
        at: SystemTime::UNIX_EPOCH,
    });
    let statuses = statuses(&view(&[("payments-1", refusing), ("payments-2", proxy(5, Some(5)))]));
    assert_eq!(words(&statuses, "good")[0], "Ready=False/Rejected");
    let good = &statuses.policies[&ObjectRef::new("TrafficPermission", "shop", "good")];
    assert!(
        good.conditions[0].message.contains("bad regex"),
        "{}",
        good.conditions[0].message
    );
    assert_eq!(
        (good.proxies.matched, good.proxies.acked, good.proxies.rejected),
        (2, 1, 1)
    );
    let row = &statuses.workloads[&Key::new("shop", "payments")];
    assert_eq!((row.state.as_str(), row.synced.as_str()), ("Rejected", "1/2"));
    assert_eq!(row.rejections[0].message, "bad regex");
    assert_eq!(statuses.mesh.state, "Rejected");
}

#[test]
fn rows_of_workloads_add_up() {
    let now = SystemTime::UNIX_EPOCH;
    let hours = |hours| now + Duration::from_hours(hours) + Duration::from_mins(5);
    let certificates = BTreeMap::from([
        (Key::new("shop", "payments-1"), hours(21)),
        (Key::new("shop", "payments-2"), hours(22)),
    ]);
    let view = view(&[("payments-1", proxy(5, Some(5))), ("payments-2", proxy(5, Some(5)))]);
    let statuses = desired(&view, &certificates, &Beside::default());
    let row = &statuses.workloads[&Key::new("shop", "payments")];
    assert_eq!(
        (row.mtls.as_str(), row.default_action.as_str(), row.state.as_str()),
        ("Strict", "Deny", "Healthy")
    );
    assert_eq!(
        (
            row.synced.as_str(),
            row.certificate_not_after.as_deref(),
            row.policy_count
        ),
        ("2/2", Some("1970-01-01T21:05:00Z"), 2)
    );
    assert_eq!(
        (statuses.mesh.synced.as_str(), statuses.mesh.state.as_str()),
        ("2/2", "Healthy")
    );

    let shown = objects(
        &StatusView {
            version: 1,
            engine: Arc::new(view),
            statuses,
        },
        "MeshStatus",
    );
    assert_eq!(shown[0].pointer("/status/synced").unwrap(), "2/2");
}

#[test]
fn transition_times_move_only_when_a_condition_flips() {
    let at = |second| Timestamp::from_second(second).unwrap();
    let other = ("payments-2", proxy(5, Some(5)));
    let pending = view(&[("payments-1", proxy(5, Some(4))), other.clone()]);
    let mut first = statuses(&pending);
    keep_times(&Statuses::default(), &mut first, at(10));
    let mut second = statuses(&view(&[("payments-1", proxy(5, Some(5))), other]));
    keep_times(&first, &mut second, at(20));
    let good = &second.policies[&ObjectRef::new("TrafficPermission", "shop", "good")];
    let times: BTreeMap<&str, i64> = good
        .conditions
        .iter()
        .chain(&good.ancestors[0].conditions)
        .map(|condition| (condition.type_.as_str(), condition.last_transition_time.0.as_second()))
        .collect();
    assert_eq!((times["Ready"], times["Enforced"], times["Accepted"]), (20, 20, 10));
}

/// A proxy that connected to another replica counts there, once, and only for objects that are the same there.
#[test]
fn proxies_of_other_replicas_count_once() {
    let good = ObjectRef::new("TrafficPermission", "shop", "good");
    let at = |second| SystemTime::UNIX_EPOCH + Duration::from_secs(second);
    let with = |since: u64, sent, acked| ProxyView {
        since: at(since),
        ..proxy(sent, acked)
    };
    // Here it is not connected any more; elsewhere revisions are other numbers.
    let mine = view(&[(
        "payments-1",
        ProxyView {
            connected: false,
            ..with(9, 5, Some(5))
        },
    )]);
    let there = |proxies: &[(&str, ProxyView)]| {
        let mut there = view(proxies);
        there.changed_at = Arc::new(there.changed_at.keys().map(|object| (Arc::clone(object), 70)).collect());
        Arc::new(Report::of(
            &there,
            &BTreeMap::from([(Key::new("shop", "payments-1"), at(3_600))]),
        ))
    };
    let count = |reports: Vec<(&str, Arc<Report>)>| {
        let beside = Beside {
            reports: reports
                .into_iter()
                .map(|(name, report)| (name.into(), report))
                .collect(),
            ..Beside::default()
        };
        let statuses = desired(&mine, &BTreeMap::new(), &beside);
        let row = statuses.workloads[&Key::new("shop", "payments")].clone();
        (statuses.policies[&good].acked.clone(), row)
    };
    let old = there(&[("payments-1", with(3, 70, Some(60)))]);
    let new = there(&[
        ("payments-1", with(4, 70, Some(70))),
        ("payments-2", with(1, 70, Some(70))),
    ]);
    assert_eq!(count(vec![("b", Arc::clone(&old))]).0, "0/2");
    let (acked, row) = count(vec![("b", Arc::clone(&old)), ("c", Arc::clone(&new))]);
    assert_eq!(
        (acked.as_str(), row.synced.as_str(), row.proxies.connected),
        ("2/2", "2/2", 2)
    );
    assert_eq!(row.certificate_not_after.as_deref(), Some("1970-01-01T01:00:00Z"));
    // Whoever is called what, and whoever came first.
    assert_eq!(count(vec![("c", old), ("b", Arc::clone(&new))]), (acked, row));

    // The same name, another object: what was acknowledged there is not what is here.
    let mut stranger = (*new).clone();
    stranger.objects.values_mut().for_each(|mark| mark.content ^= 1);
    assert_eq!(count(vec![("b", Arc::new(stranger))]).0, "0/2");
}

#[test]
fn pods_without_a_proxy_are_shown_at_their_group_or_alone() {
    let unmeshed = BTreeMap::from([
        (Key::new("shop", "payments"), vec!["payments-3".to_owned()]),
        (Key::new("shop", "legacy"), vec!["legacy-1".to_owned()]),
    ]);
    let beside = Beside {
        unmeshed: Arc::new(unmeshed),
        ..Beside::default()
    };
    let view = view(&[("payments-1", proxy(5, Some(5))), ("payments-2", proxy(5, Some(5)))]);
    let statuses = desired(&view, &BTreeMap::new(), &beside);
    let row = |name| &statuses.workloads[&Key::new("shop", name)];
    assert_eq!(
        (row("payments").state.as_str(), &*row("payments").unmeshed_pods),
        ("Healthy", &["payments-3".to_owned()][..])
    );
    assert_eq!(
        (row("legacy").state.as_str(), row("legacy").synced.as_str()),
        ("Unmeshed", "0/0")
    );
}

#[test]
fn a_mesh_that_is_wrong_says_so_itself() {
    let mesh = |spec: &str| {
        format!(
            "{{apiVersion: mesh.tulle.dev/v1alpha1, kind: Mesh, metadata: {{name: default}}, spec: {{{spec}}}}}\n---\n\
             {{apiVersion: mesh.tulle.dev/v1alpha1, kind: Workload, metadata: {{name: a, namespace: shop}}, spec: {{address: 10.0.0.1}}}}\n"
        )
    };
    let summary = |spec: &str| statuses(&view_of(&mesh(spec), &[("a", synced_proxy())])).mesh;
    let good = summary("mtls: {mode: Strict}");
    assert_eq!(
        (&*good.state, good.problems.len(), &*good.synced),
        ("Healthy", 0, "1/1")
    );
    let wrong = summary("observability: {tracing: 'collector:4317'}");
    assert_eq!((&*wrong.state, wrong.problems.len()), ("Invalid", 1));
    assert_eq!(&*wrong.problems[0].path, "spec.observability.tracing");
}

//! Who may connect, exhaustively: for every set of up to three permissions over these sources, actions, modes and the three defaults
//! the compiled resources, interpreted, decide about every caller as the evaluator does, and name the same rule.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that cannot go on must stop"
)]

mod common;
mod interpreter;

use std::sync::Arc;
use std::thread;

use common::{key, mesh, now, objects};
use serde_json::json;
use tulle_config::evaluator::{Answer, Caller, Destination, Evaluator, HttpRequest, Operation, Request};
use tulle_config::model::{Key, Model, SpiffeId};
use tulle_config::{Compiler, Objects, Settings, build};
use xds::proto::envoy::config::listener::v3::Listener;
use xds::proto::envoy::config::route::v3::RouteConfiguration;
use xds::proto::envoy::extensions::transport_sockets::tls::v3::Secret;
use xds::{Kind, Snapshot};

/// One workload with a port of each protocol and mode, and three that call it.
const WORLD: &str = r"
{apiVersion: mesh.tulle.dev/v1alpha1, kind: Workload, metadata: {name: a, namespace: shop}, spec: {address: 10.0.0.1, serviceAccount: a,
  ports: [{name: web, port: 8080}, {name: db, port: 5432, appProtocol: tcp}, {name: web-p, port: 8081, appProtocol: http}, {name: db-p, port: 5433, appProtocol: tcp}]}}
---
{apiVersion: mesh.tulle.dev/v1alpha1, kind: Workload, metadata: {name: b, namespace: shop}, spec: {address: 10.0.0.2, serviceAccount: b}}
---
{apiVersion: mesh.tulle.dev/v1alpha1, kind: Workload, metadata: {name: c, namespace: other}, spec: {address: 10.0.0.3, serviceAccount: c}}
---
{apiVersion: mesh.tulle.dev/v1alpha1, kind: Workload, metadata: {name: d, namespace: shop2}, spec: {address: 10.0.0.4, serviceAccount: d}}
";
const IDENTITIES: [&str; 4] = ["shop/a", "shop/b", "other/c", "shop2/d"];
const DEFAULTS: [&str; 3] = ["AllowUntilSelected", "Allow", "Deny"];
const MOST: usize = 3;
/// Port, whether it has requests, whether it takes plaintext.
const PORTS: [(u16, bool, bool); 4] = [
    (8080, true, false),
    (5432, false, false),
    (8081, true, true),
    (5433, false, true),
];

/// One permission: what it does, and about whom.
#[derive(Clone, Debug)]
struct Sort {
    action: &'static str,
    mode: &'static str,
    /// Absent is everyone.
    sources: Option<serde_json::Value>,
}

/// Every permission that takes part.
fn kinds() -> Vec<Sort> {
    let mut sets: Vec<Option<serde_json::Value>> = IDENTITIES
        .iter()
        .map(|id| {
            let (namespace, name) = id.split_once('/').unwrap();
            Some(json!([{"type": "ServiceAccount", "serviceAccount": {"namespace": namespace, "name": name}}]))
        })
        .collect();
    sets.push(Some(json!([{"type": "Namespace", "namespace": {"name": "shop"}}])));
    sets.push(Some(json!([{"type": "Authenticated"}])));
    sets.push(Some(json!([{"type": "Unauthenticated"}])));
    sets.push(Some(json!([])));
    sets.push(None);
    let mut kinds = Vec::new();
    for mode in ["Enforce", "Shadow"] {
        for action in ["Allow", "Deny"] {
            // An Allow must say whom it allows.
            let fitting = sets.iter().filter(|sources| sources.is_some() || action == "Deny");
            kinds.extend(fitting.map(|sources| Sort {
                action,
                mode,
                sources: sources.clone(),
            }));
        }
    }
    kinds
}

fn permission(kind: &Sort, name: &str) -> Arc<crds::TrafficPermission> {
    let mut rule = json!({"name": "r"});
    if let Some(sources) = &kind.sources {
        rule["sources"] = sources.clone();
    }
    let object = json!({
        "apiVersion": "mesh.tulle.dev/v1alpha1", "kind": "TrafficPermission",
        "metadata": {"name": name, "namespace": "shop"},
        "spec": {"action": kind.action, "mode": kind.mode, "rules": [rule]},
    });
    Arc::new(serde_json::from_value(object).unwrap())
}

/// Every unordered choice of at most so many, with repetition.
fn choices(of: usize, most: usize) -> Vec<Vec<usize>> {
    let mut all = vec![Vec::new()];
    let mut last = all.clone();
    for _ in 0..most {
        let longer = |one: &Vec<usize>| {
            let from = one.last().copied().unwrap_or(0);
            (from..of)
                .map(|next| one.iter().copied().chain([next]).collect())
                .collect::<Vec<_>>()
        };
        last = last.iter().flat_map(longer).collect();
        all.extend(last.iter().cloned());
    }
    all
}

/// Everyone who may come: the identities, and somebody without one.
fn callers() -> Vec<Option<SpiffeId>> {
    let ids = IDENTITIES.iter().map(|id| Some(common::identity(id)));
    ids.chain([None]).collect()
}

/// What the evaluator says: let in or not and the rule, and the same of the candidate.
type Said = ((bool, String), Option<(bool, String)>);

fn evaluated(evaluator: &Evaluator<'_>, workload: &Key, port: u16, requests: bool, caller: Option<&SpiffeId>) -> Said {
    let request = HttpRequest {
        method: "GET".into(),
        target: "/".into(),
        authority: "a".into(),
        headers: Vec::new(),
    };
    let decision = evaluator.evaluate(&Request {
        from: caller.map_or(Caller::Plaintext, |id| Caller::Identity(id.clone())),
        to: Destination::Workload {
            workload: workload.clone(),
            port,
        },
        operation: if requests {
            Operation::Http(request)
        } else {
            Operation::Connect
        },
    });
    let [arrival] = decision.arrivals.as_slice() else {
        unreachable!("one port was called")
    };
    let said =
        |verdict: &tulle_config::evaluator::Verdict| (verdict.answer == Answer::Allowed, verdict.rule.to_string());
    (said(&arrival.verdict), arrival.shadow.as_ref().map(said))
}

/// What is compiled about one port.
struct Compiled {
    takes_plaintext: bool,
    /// Of a port with requests.
    permission: Option<interpreter::Permission>,
    /// Of a port without.
    callers: Option<Secret>,
}

impl Compiled {
    fn of(snapshot: &Snapshot, port: u16, requests: bool) -> Self {
        let listener: Listener = interpreter::find(snapshot, Kind::Listener, &format!("in/10.0.0.1/{port}")).unwrap();
        let routes = || -> RouteConfiguration {
            interpreter::find(snapshot, Kind::Route, &format!("in/shop/a/{port}")).unwrap()
        };
        let callers = || interpreter::find(snapshot, Kind::Secret, &format!("callers/{port}")).unwrap();
        Self {
            takes_plaintext: interpreter::takes_plaintext(&listener),
            permission: requests.then(|| interpreter::Permission::of(&routes())),
            callers: (!requests).then(callers),
        }
    }

    /// Of TCP ports no rule is known here, and no shadow; absent where no connection comes to be.
    fn says(&self, caller: Option<&SpiffeId>) -> Option<Said> {
        let id = caller.map(SpiffeId::as_str);
        if id.is_none() && !self.takes_plaintext {
            return None;
        }
        if let Some(permission) = &self.permission {
            return Some((permission.enforced(id), permission.shadow(id)));
        }
        let callers = self.callers.as_ref();
        let let_in = id.is_none_or(|id| interpreter::validates(callers.unwrap(), id));
        let_in.then(|| ((true, String::new()), None))
    }

    /// Whether a request without an identity is let in, and would be; its connection may be older than the port's refusing plaintext.
    fn kept_plaintext(&self) -> [bool; 2] {
        let Some(permission) = &self.permission else {
            return [false; 2];
        };
        let shadow = permission.shadow(None);
        [permission.enforced(None).0, shadow.is_some_and(|(let_in, _)| let_in)]
    }
}

/// Compares one model; returns how many decisions it was, how many were let in, and how many a candidate was asked about.
fn compare(compiler: &mut Compiler, settings: &Settings, model: &Arc<Model>, what: &str) -> [usize; 3] {
    let server = key("shop/a");
    let snapshot = compiler.snapshot(model, settings, &server).unwrap();
    let evaluator = Evaluator::new(model);
    let mut counts = [0; 3];
    for (port, requests, permissive) in PORTS {
        let resources = Compiled::of(&snapshot, port, requests);
        for caller in callers() {
            let ((let_in, rule), shadow) = evaluated(&evaluator, &server, port, requests, caller.as_ref());
            let at = || format!("{what}: {caller:?} at {port}");
            let compiled = resources.says(caller.as_ref());
            assert_eq!(
                let_in,
                compiled.as_ref().is_some_and(|((let_in, _), _)| *let_in),
                "{}",
                at()
            );
            if !requests && (caller.is_some() || compiled.is_some()) {
                let reported = interpreter::connection_shadow(&snapshot, port, caller.as_ref().map(SpiffeId::as_str));
                assert_eq!(reported, shadow, "{}", at());
            }
            if !requests && (caller.is_some() || permissive) {
                let cause = interpreter::connection_cause(&snapshot, port, caller.as_ref().map(SpiffeId::as_str));
                assert_eq!(cause.as_ref(), Some(&rule), "{}", at());
            }
            if requests && (caller.is_some() || permissive) {
                assert_eq!(compiled, Some(((let_in, rule), shadow.clone())), "{}", at());
            } else if caller.is_none() && !permissive {
                assert_eq!((let_in, &*rule), (false, ""), "{}", at());
                assert_eq!(resources.kept_plaintext(), [false, false], "{}", at());
            }
            if caller.is_none() {
                // Who is let in can be cut later; who is not is being cut, and told so on new connections.
                assert_eq!(
                    interpreter::cuts_plaintext(&snapshot, port),
                    (let_in, !let_in),
                    "{}",
                    at()
                );
            }
            counts[0] += 1;
            counts[1] += usize::from(let_in);
            counts[2] += usize::from(shadow.is_some());
        }
    }
    counts
}

/// Compares every so-manieth of the combinations.
fn part(first: usize, step: usize) -> (usize, [usize; 3]) {
    let kinds = kinds();
    let named: Vec<Vec<_>> = (0..MOST)
        .map(|place| {
            kinds
                .iter()
                .map(|kind| permission(kind, &format!("p{place}")))
                .collect()
        })
        .collect();
    let settings = Settings {
        trust_bundle: "-----BEGIN CERTIFICATE-----".into(),
        ..Settings::default()
    };
    let mut compiler = Compiler::new();
    let (mut models, mut totals) = (0, [0; 3]);
    for default in DEFAULTS {
        let overrides =
            "mtls: {mode: Strict, overrides: [{mode: Permissive, port: 8081}, {mode: Permissive, port: 5433}]}";
        let world = objects(&format!(
            "{WORLD}{}",
            mesh(&format!("permissions: {{defaultAction: {default}}}, {overrides}"))
        ));
        for (number, choice) in choices(kinds.len(), MOST).iter().enumerate().skip(first).step_by(step) {
            // Every other time the names are the other way round: the smallest name decides.
            let place = |index: usize| if number % 2 == 0 { index } else { MOST - 1 - index };
            let permissions = choice
                .iter()
                .enumerate()
                .map(|(index, kind)| Arc::clone(&named[place(index)][*kind]));
            let all = Objects {
                permissions: permissions.collect(),
                ..world.clone()
            };
            let model = build(&all, &settings, now());
            let what = || {
                choice
                    .iter()
                    .map(|kind| format!("{:?}", kinds[*kind]))
                    .collect::<Vec<_>>()
            };
            let counts = compare(&mut compiler, &settings, &model, &format!("{default} {:?}", what()));
            for (total, count) in totals.iter_mut().zip(counts) {
                *total += count;
            }
            models += 1;
        }
    }
    (models, totals)
}

#[test]
fn every_combination_is_compiled_as_it_is_evaluated() {
    let threads = thread::available_parallelism().map_or(2, usize::from);
    let parts: Vec<_> = thread::scope(|scope| {
        let running: Vec<_> = (0..threads)
            .map(|first| scope.spawn(move || part(first, threads)))
            .collect();
        running.into_iter().map(|one| one.join().unwrap()).collect()
    });
    let models: usize = parts.iter().map(|(models, _)| models).sum();
    let [decisions, let_in, shadowed] =
        [0, 1, 2].map(|index| parts.iter().map(|(_, counts)| counts[index]).sum::<usize>());
    println!("{models} combinations, {decisions} decisions, {let_in} let in, {shadowed} with a candidate");
    assert_eq!(models, DEFAULTS.len() * choices(kinds().len(), MOST).len());
    assert!(
        let_in > decisions / 10 && let_in < decisions * 9 / 10,
        "both verdicts occur"
    );
}

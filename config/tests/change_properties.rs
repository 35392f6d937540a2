//! Any edits in any order: what the compiler remembers never shows, and the order of objects never reaches a byte.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on should stop"
)]

mod support;

use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;
use serde_json::Value;
use support::{folder, folders, now, settings, snapshot};
use tulle_config::model::Key;
use tulle_config::{Compiler, Model};
use xds::{Kind, Snapshot};

type Identity = (String, String, String);

/// Every object of the change goldens, with every form in which it occurs.
fn pool() -> BTreeMap<Identity, Vec<Value>> {
    let mut pool: BTreeMap<Identity, Vec<Value>> = BTreeMap::new();
    for case in folders(&folder("change")) {
        for file in ["before.yaml", "after.yaml"] {
            let text = std::fs::read_to_string(case.join(file)).unwrap();
            for document in serde_saphyr::from_multiple::<Value>(&text).unwrap() {
                let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
                let metadata = &document["metadata"];
                let identity = (
                    word(&document["kind"]),
                    word(&metadata["namespace"]),
                    word(&metadata["name"]),
                );
                let forms = pool.entry(identity).or_default();
                if !forms.contains(&document) {
                    forms.push(document);
                }
            }
        }
    }
    pool
}

/// For each object a form, or none.
fn world() -> impl Strategy<Value = Vec<Value>> {
    let choices: Vec<_> = pool()
        .into_values()
        .map(|forms| {
            let count = forms.len();
            (0..=count).prop_map(move |choice| forms.get(choice).cloned())
        })
        .collect();
    choices.prop_map(|choices| choices.into_iter().flatten().collect())
}

fn model(documents: &[Value]) -> Arc<Model> {
    let documents: Vec<_> = documents.iter().map(|document| format!("---\n{document}\n")).collect();
    tulle_config::build(&support::objects(&documents.concat()), &settings(), now())
}

fn snapshots(compiler: &mut Compiler, model: &Arc<Model>) -> BTreeMap<Key, Snapshot> {
    let workloads = model.workloads.keys().cloned();
    workloads
        .map(|workload| (workload.clone(), snapshot(compiler, model, &workload)))
        .collect()
}

fn bytes(snapshots: &BTreeMap<Key, Snapshot>) -> Vec<(String, Kind, String, Vec<u8>)> {
    let all = snapshots.iter().flat_map(|(workload, snapshot)| {
        let resources = Kind::ALL.into_iter().flat_map(|kind| snapshot.iter(kind));
        resources.map(move |resource| {
            (
                workload.to_string(),
                resource.kind,
                resource.name.to_string(),
                resource.body.to_vec(),
            )
        })
    });
    all.collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn incremental_equals_from_scratch(worlds in prop::collection::vec(world(), 1..5)) {
        let mut compiler = Compiler::new();
        for world in &worlds {
            let model = model(world);
            let incremental = snapshots(&mut compiler, &model);
            prop_assert_eq!(bytes(&incremental), bytes(&snapshots(&mut Compiler::new(), &model)));
        }
    }

    /// Promise 2: what policies say never reaches a listener. (A Mesh that is Permissive is the documented exception: a TCP port
    /// that begins or ends to admit plaintext callers changes in place.)
    #[test]
    fn policies_never_touch_a_listener(before in world(), after in world()) {
        let policy = |document: &&Value| {
            let kinds = ["TrafficPermission", "TrafficRoute", "RateLimit", "FaultInjection"];
            kinds.contains(&document["kind"].as_str().unwrap_or_default())
        };
        let rest = before.iter().filter(|document| !policy(document) && document["kind"] != "Mesh");
        let edited: Vec<_> = rest.clone().chain(after.iter().filter(policy)).cloned().collect();
        let original: Vec<_> = rest.chain(before.iter().filter(policy)).cloned().collect();
        let listeners = |world: &[Value]| {
            let all = bytes(&snapshots(&mut Compiler::new(), &model(world)));
            all.into_iter().filter(|(_, kind, ..)| *kind == Kind::Listener).collect::<Vec<_>>()
        };
        prop_assert_eq!(listeners(&original), listeners(&edited));
    }

    #[test]
    fn the_order_of_objects_does_not_matter(
        (world, shuffled) in world().prop_flat_map(|world| (Just(world.clone()), Just(world).prop_shuffle()))
    ) {
        let (a, b) = (model(&world), model(&shuffled));
        prop_assert_eq!(bytes(&snapshots(&mut Compiler::new(), &a)), bytes(&snapshots(&mut Compiler::new(), &b)));
    }
}

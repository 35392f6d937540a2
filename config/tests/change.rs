//! Change goldens: `change/<case>/{before,after}.yaml` -> the resources whose version changed, in `changed.txt`.
//!
//! The same pairs hold the properties that publishing relies on: incremental equals from scratch, and a layer in which
//! nothing changed is the same `Arc`.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on should stop"
)]

mod support;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use support::{check, folder, folders, model, snapshot};
use tulle_config::model::Key;
use tulle_config::{Compiler, Model};
use xds::{Kind, Snapshot};

fn versions(snapshot: &Snapshot) -> BTreeMap<(Kind, Arc<str>), Arc<str>> {
    let all = Kind::ALL.into_iter().flat_map(|kind| snapshot.iter(kind));
    all.map(|resource| {
        (
            (resource.kind, Arc::clone(&resource.name)),
            Arc::clone(&resource.version),
        )
    })
    .collect()
}

fn snapshots(compiler: &mut Compiler, model: &Arc<Model>) -> BTreeMap<Key, Snapshot> {
    let workloads = model.workloads.keys().cloned();
    workloads
        .map(|workload| (workload.clone(), snapshot(compiler, model, &workload)))
        .collect()
}

/// One line for each resource that differs; a line that holds for every proxy says so once.
fn changed(before: &BTreeMap<Key, Snapshot>, after: &BTreeMap<Key, Snapshot>) -> String {
    let mut lines: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (workload, now) in after {
        // A proxy that was not there before gets everything, which says nothing.
        let Some(old) = before.get(workload).map(versions) else {
            continue;
        };
        let new = versions(now);
        let mut names: Vec<_> = old.keys().chain(new.keys()).collect();
        names.sort();
        names.dedup();
        for name in names {
            let word = match (old.get(name), new.get(name)) {
                (Some(a), Some(b)) if a == b => continue,
                (Some(_), Some(_)) => "changed",
                (None, _) => "added",
                (_, None) => "removed",
            };
            let line = format!("{:?} {} {word}", name.0, name.1);
            lines.entry(line).or_default().push(workload.to_string());
        }
    }
    let who = |workloads: Vec<String>| {
        if workloads.len() == after.len() {
            "everyone".to_owned()
        } else {
            workloads.join(", ")
        }
    };
    let lines: Vec<_> = lines
        .into_iter()
        .map(|(line, workloads)| format!("{line} ({})\n", who(workloads)))
        .collect();
    lines.concat()
}

fn case(folder: &Path) -> Result<(), String> {
    let read = |name: &str| model(&std::fs::read_to_string(folder.join(name)).unwrap());
    let (before, after) = (read("before.yaml"), read("after.yaml"));
    let mut compiler = Compiler::new();
    let old = snapshots(&mut compiler, &before);
    let new = snapshots(&mut compiler, &after);
    for (workload, incremental) in &new {
        let scratch = snapshot(&mut Compiler::new(), &after, workload);
        assert_eq!(
            versions(incremental),
            versions(&scratch),
            "{}: incremental differs",
            folder.display()
        );
        assert!(
            incremental.same_content(&scratch),
            "{}: incremental differs in bytes",
            folder.display()
        );
        let Some(was) = old.get(workload) else { continue };
        for (a, b) in was.layers.iter().zip(&incremental.layers) {
            assert_eq!(
                a == b,
                Arc::ptr_eq(a, b),
                "{}: a layer is equal but not the same",
                folder.display()
            );
        }
    }
    check(&folder.join("changed.txt"), &changed(&old, &new))
}

#[test]
fn changes() {
    let wrong: Vec<String> = folders(&folder("change"))
        .iter()
        .filter_map(|folder| case(folder).err())
        .collect();
    assert!(
        wrong.is_empty(),
        "run with UPDATE_GOLDEN=1 if this is meant:\n{}",
        wrong.join("\n")
    );
}

#[test]
fn a_model_without_changes_compiles_nothing() {
    let text = std::fs::read_to_string(folder("change").join("permission").join("before.yaml")).unwrap();
    let mut compiler = Compiler::new();
    let first = snapshots(&mut compiler, &model(&text));
    let count = compiler.counts().compiled;
    let second = snapshots(&mut compiler, &model(&text));
    assert_eq!(compiler.counts().compiled, count);
    for (workload, earlier) in &first {
        let mut layers = earlier.layers.iter().zip(&second[workload].layers);
        assert!(layers.all(|(old, new)| Arc::ptr_eq(old, new)), "{workload}");
    }
}

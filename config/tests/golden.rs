//! Golden files: `golden/<area>/<case>/input.yaml` in, one file a proxy and type out.
//!
//! What is shown is chosen in the input, so that files stay small: `# show: <namespace>/<workload> <Kind> [<name prefix>]`.
//! Empty slots are never shown. `UPDATE_GOLDEN=1` writes the files.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on should stop"
)]

mod support;

use std::collections::BTreeMap;
use std::path::Path;

use support::{check, folder, folders, model, render, settings_of};
use tulle_config::Compiler;
use tulle_config::model::Key;
use xds::{Kind, Resource};

struct Show {
    workload: Key,
    kind: Kind,
    prefix: String,
}

fn shown(input: &str) -> Vec<Show> {
    let lines = input.lines().filter_map(|line| line.strip_prefix("# show: "));
    lines
        .map(|line| {
            let mut words = line.split_whitespace();
            let (namespace, name) = words.next().unwrap().split_once('/').unwrap();
            let word = words.next().unwrap();
            let kind = Kind::ALL.into_iter().find(|kind| format!("{kind:?}") == word).unwrap();
            let prefix = words.next().unwrap_or_default().to_owned();
            Show {
                workload: Key::new(namespace, name),
                kind,
                prefix,
            }
        })
        .collect()
}

fn is_empty_slot(resource: &Resource) -> bool {
    tulle_config::stub(resource.kind, &resource.name).is_some_and(|stub| stub.version == resource.version)
}

fn case(folder: &Path) -> Vec<String> {
    let input = std::fs::read_to_string(folder.join("input.yaml")).unwrap();
    let (model, settings) = (model(&input), settings_of(&input));
    let mut compiler = Compiler::new();
    let mut files: BTreeMap<String, String> = BTreeMap::new();
    for show in shown(&input) {
        let snapshot = compiler.snapshot(&model, &settings, &show.workload).unwrap();
        let resources = snapshot
            .iter(show.kind)
            .filter(|resource| resource.name.starts_with(&show.prefix));
        let file = format!(
            "{}.{}.{:?}.yaml",
            show.workload.namespace, show.workload.name, show.kind
        );
        let text = files.entry(file).or_default();
        for resource in resources.filter(|resource| !is_empty_slot(resource)) {
            let expiry = resource.expires_at.map(|at| {
                let left = at.duration_since(support::now()).unwrap_or_default();
                format!(" (forgotten after {} s)", left.as_secs())
            });
            let title = format!("--- # {}{}\n", resource.name, expiry.unwrap_or_default());
            text.push_str(&title);
            text.push_str(&render::yaml(resource));
        }
    }
    let diagnostics: Vec<String> = model
        .diagnostics
        .iter()
        .map(|diagnostic| format!("{diagnostic}\n"))
        .collect();
    if !diagnostics.is_empty() {
        files.insert("diagnostics.txt".to_owned(), diagnostics.concat());
    }
    // What nothing is shown for any more.
    let listed = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let stale = listed.filter(|name| name != "input.yaml" && !files.contains_key(name));
    let mut wrong: Vec<_> = stale
        .map(|name| format!("{}/{name} is left over: remove it", folder.display()))
        .collect();
    let differing = files
        .into_iter()
        .filter_map(|(name, text)| check(&folder.join(name), &text).err());
    wrong.extend(differing);
    wrong
}

#[test]
fn goldens() {
    let cases = folders(&folder("golden")).into_iter().flat_map(|area| folders(&area));
    let wrong: Vec<String> = cases.flat_map(|folder| case(&folder)).collect();
    assert!(
        wrong.is_empty(),
        "run with UPDATE_GOLDEN=1 if this is meant:\n{}",
        wrong.join("\n")
    );
}

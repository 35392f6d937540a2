//! The house rules that a machine can check. Each failure lists every offender with what to do.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// Which of our crates may use which, whatever the kind of dependency. Everything else is against the architecture.
const EDGES: &[(&str, &[&str])] = &[
    ("tulle-crds", &[]),
    ("tulle-xds", &[]),
    ("tulle-config", &["tulle-crds", "tulle-xds"]),
    ("tulle-operator", &["tulle-crds", "tulle-xds", "tulle-config"]),
    (
        "tulle-e2e",
        &["tulle-crds", "tulle-xds", "tulle-config", "tulle-operator"],
    ),
];

/// What must not be in a crate's tree of normal dependencies, with the features that the crate itself asks for.
const FORBIDDEN: &[(&str, &[&str])] = &[
    (
        "tulle-crds",
        &["tokio", "tonic", "hyper", "kube-client", "reqwest", "rustls"],
    ),
    (
        "tulle-config",
        &[
            "tokio",
            "tonic",
            "hyper",
            "kube-client",
            "kube-runtime",
            "reqwest",
            "rustls",
            "notify",
        ],
    ),
    ("tulle-xds", &["kube-core", "kube-client", "k8s-openapi"]),
    // Two crypto backends make rustls panic at its first use.
    ("tulle-operator", &["ring", "openssl", "native-tls", "reqwest"]),
];

/// Files over 400 lines, with their length. The list may only shrink, and so may each number.
const LONG_FILES: &[(&str, usize)] = &[];

/// Words that must not stay: as pieces, so that this file does not find itself.
const UNFINISHED: &[&[&str]] = &[
    &["TO", "DO"],
    &["FIX", "ME"],
    &["XX", "X"],
    &["unimple", "mented!"],
    &["to", "do!("],
    &["db", "g!("],
];

/// Traces of the machine on which something was written.
const MACHINE: &[&[&str]] = &[
    &["/wo", "rk/"],
    &["/ro", "ot/"],
    &["registry", ".npmjs"],
    &["files.python", "hosted"],
    &["index.crates", ".io"],
    &["/var/folders", "/"],
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

fn output(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program)
        .args(arguments)
        .current_dir(root())
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{program} {arguments:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

fn cargo(arguments: &[&str]) -> String {
    output(env!("CARGO"), arguments)
}

/// Every file that is or would be committed, relative to the root.
fn files() -> Vec<String> {
    let listed = output("git", &["ls-files", "--cached", "--others", "--exclude-standard"]);
    let mut files: Vec<String> = listed
        .lines()
        .map(str::to_owned)
        .filter(|file| root().join(file).is_file())
        .collect();
    files.sort();
    files.dedup();
    files
}

/// The text of a file; none for what is not text.
fn text(file: &str) -> Option<String> {
    std::fs::read_to_string(root().join(file)).ok()
}

fn is_test(file: &str) -> bool {
    file.contains("/tests/") || file.contains("/benches/") || file.ends_with("/tests.rs") || file.ends_with("_tests.rs")
}

fn rust_files() -> Vec<String> {
    files()
        .into_iter()
        .filter(|file| Path::new(file).extension().is_some_and(|e| e == "rs"))
        .collect()
}

fn production_files() -> Vec<String> {
    rust_files().into_iter().filter(|file| !is_test(file)).collect()
}

/// Lines without inline test modules.
fn production_lines(text: &str) -> usize {
    let (mut count, mut lines) = (0, text.lines().peekable());
    while let Some(line) = lines.next() {
        let opens = |next: Option<&&str>| next.is_some_and(|next| next.starts_with("mod ") && next.ends_with('{'));
        if line == "#[cfg(test)]" && opens(lines.peek()) {
            // rustfmt closes a module of the top level at the beginning of a line.
            lines.by_ref().find(|line| *line == "}");
        } else {
            count += 1;
        }
    }
    count
}

fn nothing_wrong(problems: &[String]) {
    assert!(problems.is_empty(), "\n{}\n", problems.join("\n"));
}

#[test]
fn crates_use_each_other_only_as_drawn() {
    let metadata: Value = serde_json::from_str(&cargo(&["metadata", "--format-version", "1", "--no-deps"])).unwrap();
    let packages = metadata["packages"].as_array().unwrap();
    let names: BTreeSet<&str> = packages
        .iter()
        .map(|package| package["name"].as_str().unwrap())
        .collect();
    let allowed: BTreeMap<&str, &[&str]> = EDGES.iter().copied().collect();
    assert_eq!(
        names,
        allowed.keys().copied().collect(),
        "a new crate needs its place in EDGES and docs/architecture.md"
    );
    let mut problems = Vec::new();
    for package in packages {
        let name = package["name"].as_str().unwrap();
        for dependency in package["dependencies"].as_array().unwrap() {
            let used = dependency["name"].as_str().unwrap();
            if names.contains(used) && used != name && !allowed[name].contains(&used) {
                problems.push(format!("{name} must not depend on {used}"));
            }
        }
    }
    nothing_wrong(&problems);
}

#[test]
fn what_a_crate_must_not_know_is_not_in_its_tree() {
    let mut problems = Vec::new();
    for (name, forbidden) in FORBIDDEN {
        let tree = cargo(&["tree", "-p", name, "-e", "normal", "--prefix", "none", "-f", "{p}"]);
        let packages: BTreeSet<&str> = tree.lines().filter_map(|line| line.split(' ').next()).collect();
        assert!(packages.contains(name), "cargo tree does not list {name} itself");
        for package in forbidden.iter().filter(|package| packages.contains(**package)) {
            problems.push(format!(
                "{name} must not reach {package}; see `cargo tree -p {name} -e normal -i {package}`"
            ));
        }
    }
    nothing_wrong(&problems);
}

#[test]
fn every_crate_has_the_workspace_lints_and_none_has_unsafe_code() {
    let manifest = text("Cargo.toml").unwrap();
    assert!(manifest.contains("unsafe_code = \"forbid\""));
    let without = |file: &String| !text(file).unwrap().contains("[lints]\nworkspace = true");
    let crates = files().into_iter().filter(|file| file.ends_with("/Cargo.toml"));
    let problems: Vec<_> = crates
        .filter(without)
        .map(|file| format!("{file}: add [lints] workspace = true"))
        .collect();
    nothing_wrong(&problems);
}

#[test]
fn files_are_short() {
    let sizes: BTreeMap<String, usize> = production_files()
        .into_iter()
        .map(|file| (file.clone(), production_lines(&text(&file).unwrap())))
        .collect();
    let mut sorted: Vec<usize> = sizes.values().copied().collect();
    sorted.sort_unstable();
    let mut problems = Vec::new();
    let median = sorted[sorted.len() / 2];
    if median >= 150 {
        problems.push(format!("the median file has {median} lines; under 150 is the rule"));
    }
    let known: BTreeMap<&str, usize> = LONG_FILES.iter().copied().collect();
    for (file, size) in &sizes {
        match known.get(file.as_str()) {
            _ if *size > 600 => problems.push(format!("{file} has {size} lines; over 600 is not accepted")),
            Some(limit) if size > limit => problems.push(format!("{file} grew from {limit} to {size} lines; split it")),
            Some(limit) if size < limit => problems.push(format!("{file} shrank to {size}: say so in LONG_FILES")),
            None if *size > 400 => problems.push(format!("{file} has {size} lines; split it")),
            _ => {}
        }
    }
    let gone = known.keys().filter(|file| !sizes.contains_key(**file));
    problems.extend(gone.map(|file| format!("{file} is gone: take it out of LONG_FILES")));
    nothing_wrong(&problems);
}

#[test]
fn every_module_says_what_it_is() {
    let mut problems = Vec::new();
    for file in production_files() {
        let text = text(&file).unwrap();
        let lines = text.lines().take_while(|line| line.starts_with("//!")).count();
        match lines {
            0 => problems.push(format!(
                "{file}: begin with //! and say what it does and what it deliberately does not"
            )),
            11.. => problems.push(format!("{file}: {lines} lines of module documentation; 10 are enough")),
            _ if text.starts_with("//! placeholder") => problems.push(format!("{file}: still a placeholder")),
            _ => {}
        }
    }
    nothing_wrong(&problems);
}

#[test]
fn every_silenced_lint_has_a_reason() {
    let mut problems = Vec::new();
    for file in rust_files() {
        let text = text(&file).unwrap();
        for opening in ["#[allow(", "#![allow(", "#[expect(", "#![expect(", "cfg_attr("] {
            for (at, _) in text.match_indices(opening).filter(|(at, _)| !in_a_string(&text, *at)) {
                let attribute: String = text[at..].split(")]").next().unwrap_or_default().to_owned();
                let silences = opening != "cfg_attr(" || attribute.contains("allow(") || attribute.contains("expect(");
                if silences && !attribute.contains("reason =") {
                    let line = text[..at].lines().count() + 1;
                    problems.push(format!("{file}:{line}: give a `reason = \"...\"`"));
                }
            }
        }
    }
    nothing_wrong(&problems);
}

/// Whether something is quoted, as in this file.
fn in_a_string(text: &str, at: usize) -> bool {
    text[..at].ends_with('"')
}

#[test]
fn nothing_is_left_unfinished() {
    let words: Vec<String> = UNFINISHED.iter().map(|pieces| pieces.concat()).collect();
    nothing_wrong(&found(&rust_files(), &words, "finish it or write an issue"));
}

#[test]
fn no_file_knows_the_machine_it_was_written_on() {
    let words: Vec<String> = MACHINE.iter().map(|pieces| pieces.concat()).collect();
    nothing_wrong(&found(&files(), &words, "this is true on one machine only"));
}

fn found(files: &[String], words: &[String], advice: &str) -> Vec<String> {
    let mut problems = Vec::new();
    for file in files.iter().filter(|file| *file != "Cargo.lock") {
        for (number, line) in text(file).unwrap_or_default().lines().enumerate() {
            for word in words.iter().filter(|word| line.contains(word.as_str())) {
                problems.push(format!("{file}:{}: {word}: {advice}", number + 1));
            }
        }
    }
    problems
}

#[test]
fn every_invariant_names_its_test() {
    let page = text("docs/architecture.md").unwrap();
    let section = page
        .split("\n## Invariants\n")
        .nth(1)
        .unwrap()
        .split("\n## ")
        .next()
        .unwrap();
    let tests = test_names();
    let mut problems = Vec::new();
    let items: Vec<&str> = section.split("\n- ").skip(1).collect();
    if items.is_empty() {
        problems.push("docs/architecture.md: the list of invariants is empty".to_owned());
    }
    for item in items {
        let named: Vec<&str> = item.split('`').skip(1).step_by(2).collect();
        if !named
            .iter()
            .any(|name| tests.contains(name.rsplit("::").next().unwrap_or_default()))
        {
            let start: String = item.chars().take(70).collect();
            problems.push(format!(
                "docs/architecture.md: \"{start}...\" names no existing test in backticks"
            ));
        }
    }
    nothing_wrong(&problems);
}

/// The names of all test functions.
fn test_names() -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for file in rust_files() {
        let text = text(&file).unwrap();
        let mut lines = text.lines().map(str::trim);
        while let Some(line) = lines.next() {
            if line.starts_with("#[test]") || line.starts_with("#[tokio::test") {
                let signature = lines.by_ref().find(|line| line.contains("fn "));
                let name = signature
                    .and_then(|line| line.split("fn ").nth(1))
                    .and_then(|rest| rest.split('(').next());
                names.extend(name.map(str::to_owned));
            }
        }
    }
    names
}

#[test]
fn inline_tests_do_not_count_as_production_lines() {
    let text = "a\nb\n\n#[cfg(test)]\nmod tests {\n    x\n}\nc\n#[cfg(test)]\nmod tests;\n";
    assert_eq!(production_lines(text), 6);
}

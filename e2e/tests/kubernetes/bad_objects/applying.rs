//! What people do with the cases of `harness::broken`, and what they are told: by `kubectl apply`, and by status.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::process::Stdio;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use tulle_e2e::cluster::Cluster;
use tulle_e2e::harness::broken::{cases, good};
use tulle_e2e::harness::yaml::NAMESPACE;

use super::noticed::{Notices, notices};

/// What was said of each case, by its name.
pub(crate) type Said = BTreeMap<&'static str, BTreeSet<String>>;

/// What `kubectl apply` did.
pub(crate) struct Applied {
    pub(crate) accepted: bool,
    /// Standard error.
    pub(crate) said: String,
}

impl Applied {
    /// The lines in which findings about objects are said, without what stands in front.
    pub(crate) fn findings(&self) -> BTreeSet<String> {
        let of = |line: &str| Some(line.get(line.find("TrafficPermission/shop/")?..)?.to_owned());
        self.said.lines().filter_map(of).collect()
    }
}

/// `kubectl apply`, as people do it.
pub(crate) fn apply(cluster: &Cluster, yaml: impl AsRef<[u8]>, flags: &[&str]) -> Result<Applied> {
    let mut child = cluster
        .kubectl_command()
        .args(["apply", "--filename=-"])
        .args(flags)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let mut stdin = child.stdin.take().context("kubectl has no standard input")?;
    let text = yaml.as_ref().to_vec();
    // kubectl may refuse before it has read all.
    let feeding = std::thread::spawn(move || stdin.write_all(&text).ok());
    let output = child.wait_with_output()?;
    feeding.join().ok();
    Ok(Applied {
        accepted: output.status.success(),
        said: String::from_utf8_lossy(&output.stderr).into_owned(),
    })
}

/// Applies the good files, in which nobody finds anything.
pub(crate) fn restore(cluster: &Cluster) -> Result<()> {
    let all: String = (0..cases().len()).map(good).collect();
    let applied = apply(cluster, all, &[])?;
    ensure!(applied.accepted && applied.findings().is_empty(), "{}", applied.said);
    Ok(())
}

/// While the control plane runs: refused or warned of, in its words, also with `--validate=ignore`.
pub(crate) fn plainly(cluster: &Cluster) -> Result<Said> {
    let mut said = Said::new();
    let mut wrong = Vec::new();
    for (case, (name, breakage)) in cases().into_iter().enumerate() {
        let applied = apply(cluster, breakage(&good(case)), &[])?;
        // What is there already is not sent again, so the good file comes between.
        apply(cluster, good(case), &[])?;
        let ignoring = apply(cluster, breakage(&good(case)), &["--validate=ignore"])?;
        let findings = applied.findings();
        let of_both = ["allow", "deny"].iter().all(|action| {
            let object = format!("TrafficPermission/{NAMESPACE}/case-{case}-{action}: spec.");
            findings.iter().any(|line| line.starts_with(&object))
        });
        let as_expected = match notices(name).with_context(|| format!("{name} is not in the table"))? {
            Notices::Kubectl | Notices::Schema => !applied.accepted && findings.is_empty() && !applied.said.is_empty(),
            Notices::Parser => !applied.accepted && of_both && applied.said.contains("denied the request"),
            Notices::Warning => applied.accepted && of_both && applied.said.contains("Warning: "),
            Notices::Nobody => applied.accepted && findings.is_empty(),
        };
        if !as_expected || ignoring.accepted != applied.accepted || ignoring.findings() != findings {
            let [plainly, ignoring] = [applied, ignoring].map(|one| format!("accepted {}: {}", one.accepted, one.said));
            wrong.push(format!("{name}: {plainly}\nwith --validate=ignore: {ignoring}"));
        }
        said.insert(name, findings);
    }
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(said)
}

/// While it is down: accepted, but for what kubectl or the schema refuse.
pub(crate) fn down(cluster: &Cluster) -> Result<()> {
    let mut wrong = Vec::new();
    for (case, (name, breakage)) in cases().into_iter().enumerate() {
        let expected = !matches!(notices(name), Some(Notices::Kubectl | Notices::Schema));
        for flags in [&[][..], &["--validate=ignore"]] {
            let Applied { accepted, said } = apply(cluster, breakage(&good(case)), flags)?;
            if accepted != expected {
                wrong.push(format!("{name} {flags:?}: accepted {accepted}: {said}"));
            }
        }
    }
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}

/// That the status of each case says what was said at once.
pub(crate) fn same_words(permissions: &[Value], said: &Said) -> Result<()> {
    let mut wrong = Vec::new();
    for (case, (name, _)) in cases().into_iter().enumerate() {
        let told = said.get(name).cloned().unwrap_or_default();
        let words = words(permissions, case);
        let fails = matches!(notices(name), Some(Notices::Parser | Notices::Warning));
        // Status also says what became of a Deny that failed.
        let as_told = words.is_superset(&told) && words.difference(&told).all(|line| line.contains(": DeniedAtL4: "));
        if (fails && (told.is_empty() || !as_told)) || (!fails && !words.is_empty()) {
            wrong.push(format!("{name}: status {words:#?}, at once {told:#?}"));
        }
    }
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}

/// The problems in the status of the case's two objects, as one line each.
fn words(permissions: &[Value], case: usize) -> BTreeSet<String> {
    let mut words = BTreeSet::new();
    for action in ["allow", "deny"] {
        let name = format!("case-{case}-{action}");
        let object = permissions
            .iter()
            .find(|one| one.pointer("/metadata/name").is_some_and(|one| one == name.as_str()));
        let problems = object.and_then(|object| object.pointer("/status/problems")?.as_array());
        for problem in problems.into_iter().flatten() {
            let text = |field: &str| {
                problem
                    .get(field)
                    .and_then(Value::as_str)
                    .unwrap_or_default()
                    .to_owned()
            };
            words.insert(format!(
                "TrafficPermission/{NAMESPACE}/{name}: {}: {}: {}",
                text("path"),
                text("reason"),
                text("message")
            ));
        }
    }
    words
}

//! Broken input: every kind of bad file is named with what to do, nothing panics, and no decision becomes more permissive,
//! neither at once nor after `kill -9` and a restart.

#![allow(clippy::indexing_slicing, reason = "helpers of a test")]

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::Value;
use tulle_e2e::harness::broken::{FILES, FIRST_ALLOWED, FIRST_DENIED, cases, good, guarded};
use tulle_e2e::harness::yaml::app;
use tulle_e2e::harness::{ControlPlane, Mesh, Namespace, Steps, can_run};

const WAIT: Duration = Duration::from_secs(15);

#[test]
fn broken_files_never_open_a_port() -> Result<()> {
    if !can_run() {
        return Ok(());
    }
    let apps = [app("frontend"), app("orders"), guarded()].concat();
    let policies: Vec<(String, String)> = (0..cases().len())
        .map(|case| (format!("case-{case}.yaml"), good(case)))
        .collect();
    let mut files = vec![("apps.yaml", apps.as_str())];
    files.extend(policies.iter().map(|(file, text)| (file.as_str(), text.as_str())));
    let mesh = Mesh::start("broken", &files)?;
    let mut steps = Steps::default();
    steps.run("the good files do what they say", || decisions(&mesh, true));
    steps.run("each broken file or object is named", || broken(&mesh));
    steps.run("no decision is more permissive at once", || decisions(&mesh, false));
    steps.run("kill -9 and restart", || {
        mesh.kill_control_plane().and_then(|()| mesh.settled())
    });
    steps.run("each is still named after the restart", || named(&mesh));
    steps.run("no decision is more permissive after the restart", || {
        decisions(&mesh, false)
    });
    steps.run("repaired files are in force again", || repaired(&mesh));
    steps.finish()
}

/// What frontend, who may do nothing, and orders, who may do all, are answered at each case's two ports.
fn decisions(mesh: &Mesh, good: bool) -> Result<()> {
    let (frontend, orders) = (mesh.workload("shop/frontend-1")?, mesh.workload("shop/orders-1")?);
    let ask = |from: &Namespace, first: u16, case: usize| {
        let port = usize::from(first) + case;
        from.call(&[&format!("http://guarded:{port}/")])
    };
    let mut wrong = Vec::new();
    for (case, (name, _)) in cases().iter().enumerate() {
        for first in [FIRST_ALLOWED, FIRST_DENIED] {
            let refused = mesh.await_condition("refusal", Duration::from_secs(3), || {
                let answered = ask(&frontend, first, case)?;
                // Not even once: an answer now and a refusal a moment later would be a hole.
                Ok((answered.all(403) || answered.status(200) > 0).then_some(answered.all(403)))
            });
            if !refused.unwrap_or_default() {
                wrong.push(format!("{name}: frontend passes at {}", usize::from(first) + case));
            }
            if good && !ask(&orders, first, case)?.all(200) {
                wrong.push(format!("{name}: orders is refused at {}", usize::from(first) + case));
            }
        }
    }
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}

fn broken(mesh: &Mesh) -> Result<()> {
    for (case, (_, breakage)) in cases().into_iter().enumerate() {
        let unfinished = mesh.folder().join(".unfinished");
        std::fs::write(&unfinished, breakage(&good(case)))?;
        std::fs::rename(&unfinished, mesh.folder().join(format!("case-{case}.yaml")))?;
    }
    named(mesh)
}

/// Waits until every case is named by file and line, or by object and field path, with words for the author.
fn named(mesh: &Mesh) -> Result<()> {
    mesh.await_condition("every broken file is named", WAIT, || {
        let missing = unnamed(&mesh.ask("/problems")?);
        ensure!(missing.is_empty(), "not named: {missing:?}");
        Ok(Some(()))
    })
}

fn unnamed(problems: &Value) -> Vec<&'static str> {
    let mut words: BTreeMap<usize, String> = BTreeMap::new();
    for problem in ["files", "objects"]
        .iter()
        .filter_map(|list| problems[*list].as_array())
        .flatten()
    {
        let text = problem.to_string();
        let case = text
            .split("case-")
            .nth(1)
            .map(|rest| rest.chars().take_while(char::is_ascii_digit).collect::<String>());
        let message = problem["message"].as_str().unwrap_or_default();
        if let Some(Ok(case)) = case.map(|digits| digits.parse())
            && message.len() > 20
        {
            words.insert(case, message.to_owned());
        }
    }
    let all = cases();
    all.iter()
        .enumerate()
        .filter(|(case, _)| !words.contains_key(case))
        .map(|(_, (name, _))| *name)
        .collect()
}

fn repaired(mesh: &Mesh) -> Result<()> {
    for case in 0..cases().len() {
        mesh.write(&format!("case-{case}.yaml"), &good(case))?;
    }
    mesh.await_condition("nothing is wrong any more", WAIT, || {
        let problems = mesh.ask("/problems")?;
        let none = |list: &str| problems[list].as_array().is_none_or(Vec::is_empty);
        ensure!(none("files") && none("objects"), "{problems}");
        Ok(Some(()))
    })?;
    mesh.settled()?;
    decisions(mesh, true)
}

#[tokio::test(flavor = "multi_thread")]
async fn without_an_accepted_copy_the_control_plane_refuses_to_start() -> Result<()> {
    for (name, breakage) in FILES
        .iter()
        .filter(|(name, _)| !["empty", "only a comment"].contains(name))
    {
        let mut plane =
            ControlPlane::prepare(|folder| Ok(std::fs::write(folder.join("case-0.yaml"), breakage(&good(0)))?))?;
        let refused = plane
            .start()
            .await
            .err()
            .map(|error| format!("{error:#}"))
            .unwrap_or_default();
        ensure!(refused.contains("case-0.yaml"), "{name}: {refused}");
        ensure!(!refused.contains("panicked"), "{name}: {refused}");
    }
    Ok(())
}

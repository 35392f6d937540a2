//! What is done and expected, step by step.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::SystemTime;

use anyhow::{Context, Result, ensure};
use config::{ObjectRef, Objects, Settings};
use serde_json::Value;
use tulle_e2e::harness::Steps;
use tulle_e2e::harness::broken::{cases, good};
use tulle_e2e::harness::yaml::NAMESPACE;

use super::judgement::{Grant, Notices, grants, notices};
use super::plugin;
use super::stage::{Applied, Stage};

/// What was said of each case, by its name.
type Said = BTreeMap<&'static str, BTreeSet<String>>;

/// Everything; a step that cannot go on ends it.
pub(crate) async fn all(stage: &mut Stage, steps: &mut Steps) -> Result<()> {
    let written = baseline(stage).await?;
    let mut said = Said::new();
    steps.run("applied plainly while it runs: refused at once, or warned of", || {
        said = plainly(stage)?;
        Ok(())
    });
    restore(stage)?;
    stage.stop().await?;
    steps.run(
        "applied while it is down: accepted, but for what kubectl or the schema refuse",
        || down(stage),
    );
    stage.start().await?;
    let after = stage.model("what was accepted is compiled", knows_all).await?;
    let together = grants(&after);
    steps.run("none grants more than its author wrote", || {
        let more: Vec<&Grant> = together.difference(&written).collect();
        ensure!(more.is_empty(), "granted beyond what was written: {more:?}");
        Ok(())
    });
    let objects = stage.objects()?;
    steps.run("each that is wrong grants less, by itself", || {
        closed(&written, &objects)
    });
    let permissions = stage.permissions().await?;
    steps.run("each says why in its status, in the same words", || {
        same_words(&permissions, &said)
    });
    let of_parser = |(name, lines): (&&'static str, &BTreeSet<String>)| {
        let told = notices(name) == Some(Notices::Parser);
        told.then(|| lines.clone()).into_iter().flatten()
    };
    let findings: BTreeSet<String> = said.iter().flat_map(of_parser).collect();
    steps.run("kubectl tulle answers", || plugin::answers(stage, &findings));
    Ok(())
}

/// What the good files grant.
async fn baseline(stage: &Stage) -> Result<BTreeSet<Grant>> {
    restore(stage)?;
    let model = stage
        .model("the good files are compiled", |model| {
            // At one port orders may GET, at the other frontend may not GET.
            knows_all(model) && grants(model).len() == 6 * cases().len()
        })
        .await;
    Ok(grants(&*model?))
}

fn restore(stage: &Stage) -> Result<()> {
    let all: String = (0..cases().len()).map(good).collect();
    let applied = stage.apply(all, &[])?;
    ensure!(applied.accepted && applied.findings().is_empty(), "{}", applied.said);
    Ok(())
}

fn knows_all(model: &config::Model) -> bool {
    let known = |case: usize, action: &str| {
        let name = ObjectRef::new("TrafficPermission", NAMESPACE, &format!("case-{case}-{action}"));
        model.reports.contains_key(&name)
    };
    (0..cases().len()).all(|case| known(case, "allow") && known(case, "deny"))
}

fn plainly(stage: &Stage) -> Result<Said> {
    let mut said = Said::new();
    let mut wrong = Vec::new();
    for (case, (name, breakage)) in cases().into_iter().enumerate() {
        let applied = stage.apply(breakage(&good(case)), &[])?;
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
        if !as_expected {
            wrong.push(format!("{name}: accepted {}: {}", applied.accepted, applied.said));
        }
        said.insert(name, findings);
    }
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(said)
}

fn down(stage: &Stage) -> Result<()> {
    let mut wrong = Vec::new();
    for (case, (name, breakage)) in cases().into_iter().enumerate() {
        let expected = !matches!(notices(name), Some(Notices::Kubectl | Notices::Schema));
        for flags in [&[][..], &["--validate=ignore"]] {
            let Applied { accepted, said } = stage.apply(breakage(&good(case)), flags)?;
            if accepted != expected {
                wrong.push(format!("{name} {flags:?}: accepted {accepted}: {said}"));
            }
        }
    }
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}

/// What was accepted, case by case: a target that cannot be understood takes away from the ports of other cases too.
fn closed(written: &BTreeSet<Grant>, objects: &Objects) -> Result<()> {
    let mut wrong = Vec::new();
    for (case, (name, _)) in cases().into_iter().enumerate() {
        let own = |permission: &Arc<crds::TrafficPermission>| {
            let name = permission.metadata.name.as_deref().unwrap_or_default();
            name.starts_with(&format!("case-{case}-"))
        };
        let mut alone = objects.clone();
        alone.permissions.retain(own);
        let model = config::build(&alone, &Settings::default(), SystemTime::now());
        let of = |grants: &BTreeSet<Grant>| -> BTreeSet<Grant> {
            grants.iter().filter(|grant| grant.0 == case).copied().collect()
        };
        let (before, after) = (of(written), of(&grants(&model)));
        let fails = matches!(notices(name), Some(Notices::Parser | Notices::Warning));
        if !after.is_subset(&before) || (after == before) == fails {
            wrong.push(format!("{name}: granted were {before:?}, are {after:?}"));
        }
    }
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}

fn same_words(permissions: &[Value], said: &Said) -> Result<()> {
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
        let object = permissions.iter().find(|one| one["metadata"]["name"] == name.as_str());
        let problems = object.and_then(|object| object["status"]["problems"].as_array());
        for problem in problems.into_iter().flatten() {
            let text = |field: &str| problem[field].as_str().unwrap_or_default().to_owned();
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

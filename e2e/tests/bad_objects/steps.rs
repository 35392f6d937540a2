//! What is done and expected, step by step.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::SystemTime;

use anyhow::{Result, ensure};
use config::{ObjectRef, Objects, Settings};
use tulle_e2e::harness::Steps;
use tulle_e2e::harness::broken::cases;
use tulle_e2e::harness::yaml::NAMESPACE;

use super::applying::{Said, down, plainly, restore, same_words};
use super::judgement::{Grant, grants};
use super::noticed::{Notices, notices};
use super::plugin;
use super::stage::Stage;

/// Everything; a step that cannot go on ends it.
pub(crate) async fn all(stage: &mut Stage, steps: &mut Steps) -> Result<()> {
    let written = baseline(stage).await?;
    let mut said = Said::new();
    steps.run("applied plainly while it runs: refused at once, or warned of", || {
        said = plainly(stage.cluster())?;
        Ok(())
    });
    restore(stage.cluster())?;
    stage.stop().await?;
    steps.run(
        "applied while it is down: accepted, but for what kubectl or the schema refuse",
        || down(stage.cluster()),
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
    restore(stage.cluster())?;
    let model = stage
        .model("the good files are compiled", |model| {
            // At one port orders may GET, at the other frontend may not GET.
            knows_all(model) && grants(model).len() == 6 * cases().len()
        })
        .await;
    Ok(grants(&*model?))
}

fn knows_all(model: &config::Model) -> bool {
    let known = |case: usize, action: &str| {
        let name = ObjectRef::new("TrafficPermission", NAMESPACE, &format!("case-{case}-{action}"));
        model.reports.contains_key(&name)
    };
    (0..cases().len()).all(|case| known(case, "allow") && known(case, "deny"))
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

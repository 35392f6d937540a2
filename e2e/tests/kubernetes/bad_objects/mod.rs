//! The bad files and objects of `harness::broken` against the chart's installation, with real callers and a real Envoy: applied while
//! the operator runs, with and without `--validate=ignore`, they are refused at once or warned of; applied while it is scaled to nothing
//! they are accepted, and fail closed when it is back. No caller ever gets more than was written, and status says why in the same words.

mod applying;
mod noticed;
mod plugin;

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};
use applying::{Said, down, plainly, restore, same_words};
use noticed::{Notices, notices};
use serde_json::Value;
use tulle_e2e::cluster::Cluster;
use tulle_e2e::harness::Steps;
use tulle_e2e::harness::broken::{self, FIRST_ALLOWED, FIRST_DENIED, cases};
use tulle_e2e::harness::yaml::NAMESPACE;
use tulle_e2e::install::{Installation, load_tools};
use tulle_e2e::pods::{Namespace, until};
use tulle_e2e::probe::call::CallSummary;

const POD: &str = r#"
apiVersion: v1
kind: ServiceAccount
metadata: {name: NAME}
---
apiVersion: v1
kind: Pod
metadata: {name: NAME, labels: {app: NAME}}
spec:
  serviceAccountName: NAME
  terminationGracePeriodSeconds: 1
  containers:
    - name: app
      image: IMAGE
      command: [tulle-e2e, app, --name, NAME, --http, "PORTS"]
"#;

const CALLERS: [&str; 3] = ["orders", "frontend", "stranger"];

/// A request that was answered by the application: caller, port, method.
type Grant = (&'static str, u16, String);

struct Stage {
    installation: Installation,
    namespace: Namespace,
}

impl Stage {
    fn set(cluster: &Cluster) -> Result<Self> {
        let installation = Installation::ensure(cluster)?;
        let namespace = Namespace::meshed(cluster, NAMESPACE, &load_tools(cluster)?)?;
        let listed: Vec<String> = ports().iter().map(ToString::to_string).collect();
        let pod = |name: &str, ports: &str| POD.replace("NAME", name).replace("PORTS", ports);
        namespace.apply(&(broken::service() + "---" + &pod("guarded", &listed.join(","))))?;
        for caller in CALLERS {
            namespace.apply(&pod(caller, "7000"))?;
        }
        namespace.ready(&["pod/guarded", "pod/orders", "pod/frontend", "pod/stranger"])?;
        Ok(Self {
            installation,
            namespace,
        })
    }

    /// Every caller asks at every port.
    fn grants(&self) -> Result<BTreeSet<Grant>> {
        let mut grants = BTreeSet::new();
        for caller in CALLERS {
            let ports: Vec<String> = ports().iter().map(ToString::to_string).collect();
            let script = format!(
                "for p in {}; do for m in GET POST; do echo $p $m $(tulle-e2e call http://guarded:$p/ -X $m); done; done",
                ports.join(" ")
            );
            let exec = ["exec", caller, "--container=app", "--", "sh", "-c", &script];
            for line in self.namespace.kubectl(&exec)?.lines() {
                let mut parts = line.splitn(3, ' ');
                let mut part = || parts.next().with_context(|| format!("not an answer: {line}"));
                let (port, method) = (part()?.parse()?, part()?.to_owned());
                let answer: CallSummary = serde_json::from_str(part()?)?;
                if answer.all(200) {
                    grants.insert((caller, port, method));
                }
            }
        }
        Ok(grants)
    }

    /// The permissions, once each has a status that is about what is there now.
    fn permissions(&self) -> Result<Vec<Value>> {
        let (mut items, list) = (Vec::new(), ["get", "trafficpermissions", "--output=json"]);
        until("every permission has its status", || {
            let mut answer: Value = serde_json::from_str(&self.namespace.kubectl(&list)?)?;
            let all = answer.get_mut("items").and_then(Value::as_array_mut);
            items = all.map(std::mem::take).unwrap_or_default();
            let told = |one: &Value| {
                let seen = one.pointer("/status/observedGeneration");
                seen.is_some() && seen == one.pointer("/metadata/generation")
            };
            Ok(items.len() == 2 * cases().len() && items.iter().all(told))
        })?;
        Ok(items)
    }

    /// Everything that fails comes to grant less, and nothing ever grants more than was written.
    fn closed(&self, written: &BTreeSet<Grant>, failing: &[Notices]) -> Result<()> {
        let (mut more, mut open) = (BTreeSet::new(), Vec::new());
        let closed = until("each that is wrong grants less", || {
            let grants = self.grants()?;
            more.extend(grants.difference(written).cloned());
            let own = |set: &BTreeSet<Grant>, case| set.iter().filter(|one| case_of(one.1) == case).count();
            let fails = |name| notices(name).is_some_and(|one| failing.contains(&one));
            let as_before = |(case, (name, _)): (usize, broken::Breakage)| {
                (fails(name) && own(&grants, case) == own(written, case)).then_some(name)
            };
            open = cases().into_iter().enumerate().filter_map(as_before).collect();
            Ok(open.is_empty())
        });
        ensure!(more.is_empty(), "granted beyond what was written: {more:?}");
        closed.with_context(|| format!("as open as before: {open:?}"))
    }
}

fn ports() -> Vec<u16> {
    [broken::ports(FIRST_ALLOWED), broken::ports(FIRST_DENIED)].concat()
}

fn case_of(port: u16) -> usize {
    usize::from(
        port - if port < FIRST_DENIED {
            FIRST_ALLOWED
        } else {
            FIRST_DENIED
        },
    )
}

pub(crate) fn bad_objects_on_an_installation(cluster: &Cluster) -> Result<()> {
    let stage = Stage::set(cluster)?;
    restore(cluster)?;
    let mut written = BTreeSet::new();
    until("the good files are enforced", || {
        written = stage.grants()?;
        // At one port orders may GET, at the other frontend may not GET.
        Ok(written.len() == 6 * cases().len())
    })
    .with_context(|| format!("{} are granted", written.len()))?;

    let (mut steps, mut said) = (Steps::default(), Said::new());
    steps.run("applied while the operator runs: refused at once, or warned of", || {
        said = plainly(cluster)?;
        Ok(())
    });
    steps.run("what was warned of fails closed", || {
        stage.closed(&written, &[Notices::Warning])
    });
    restore(cluster)?;
    stage.installation.scale(0)?;
    steps.run("applied while it is down: accepted, and nobody gets more", || {
        down(cluster)?;
        let more: Vec<Grant> = stage.grants()?.difference(&written).cloned().collect();
        ensure!(more.is_empty(), "granted beyond what was written: {more:?}");
        Ok(())
    });
    stage.installation.scale(2)?;
    steps.run("what was accepted fails closed once it is back", || {
        stage.closed(&written, &[Notices::Parser, Notices::Warning])
    });
    steps.run("each says why in its status, in the same words", || {
        same_words(&stage.permissions()?, &said)
    });
    let of_parser = |(name, lines): (&&'static str, &BTreeSet<String>)| {
        let told = notices(name) == Some(Notices::Parser);
        told.then(|| lines.clone()).into_iter().flatten()
    };
    let findings: BTreeSet<String> = said.iter().flat_map(of_parser).collect();
    steps.run("kubectl tulle answers", || plugin::answers(cluster, &findings));
    stage.namespace.leave()?;
    steps.finish()
}

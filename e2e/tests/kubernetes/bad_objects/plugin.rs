//! `kubectl tulle`, run by kubectl itself: it sees what the control plane sees.

use std::collections::BTreeSet;
use std::process::Command;

use anyhow::{Result, ensure};
use tulle_e2e::cluster::Cluster;
use tulle_e2e::harness::broken::FIRST_ALLOWED;
use tulle_e2e::harness::tulle;

/// Case 4, of which nothing is wrong.
const GOOD: u16 = FIRST_ALLOWED + 4;

/// Exit code, standard output, standard error.
type Said = (Option<i32>, String, String);

/// All its commands; `findings` are lines that were said of objects that are there now.
pub(crate) fn answers(cluster: &Cluster, findings: &BTreeSet<String>) -> Result<()> {
    let folder = tempfile::tempdir()?;
    std::os::unix::fs::symlink(tulle()?, folder.path().join("kubectl-tulle"))?;
    let path = std::env::var("PATH").unwrap_or_default();
    let ask = |arguments: &[&str]| -> Result<Said> {
        let mut kubectl: Command = cluster.kubectl_command();
        kubectl.env("PATH", format!("{}:{path}", folder.path().display()));
        let output = kubectl.arg("tulle").args(arguments).output()?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Ok((output.status.code(), text(&output.stdout), text(&output.stderr)))
    };
    let (code, help, _) = ask(&["--help"])?;
    ensure!(code == Some(0) && help.contains("Usage: kubectl tulle"), "{help}");
    let (code, out, err) = ask(&["lint"])?;
    let missing: Vec<&String> = findings.iter().filter(|line| !out.contains(*line)).collect();
    ensure!(
        code == Some(1) && missing.is_empty(),
        "{missing:?} is missing in {out}{err}"
    );
    for (caller, wanted, word) in [("orders", 0, "yes"), ("frontend", 1, "no")] {
        let (from, to) = (
            format!("spiffe://tulle.local/ns/shop/sa/{caller}"),
            format!("shop/guarded:{GOOD}"),
        );
        let (code, out, err) = ask(&["can-i", &from, &to, "GET", "/"])?;
        ensure!(code == Some(wanted) && out.starts_with(word), "{caller}: {out}{err}");
        let (code, out, err) = ask(&["explain", &from, &to, "GET", "/"])?;
        ensure!(code == Some(wanted) && out.contains("guarded"), "{caller}: {out}{err}");
    }
    let (code, out, err) = ask(&["get", "tp", "-n", "shop"])?;
    ensure!(
        code == Some(0) && out.starts_with("NAME") && out.contains("case-4-allow"),
        "{out}{err}"
    );
    let (code, out, err) = ask(&["get", "tp/case-4-allow", "-n", "shop", "-o", "json"])?;
    ensure!(
        code == Some(0) && out.contains("\"kind\": \"TrafficPermission\""),
        "{out}{err}"
    );
    let (code, out, err) = ask(&["callers", "-n", "shop"])?;
    ensure!(
        code == Some(0) && out.contains("orders") && out.contains("guarded"),
        "{out}{err}"
    );
    changes(&ask)?;
    for (arguments, words) in [
        (&["lint", "--context", "none"][..], "--context"),
        (&["lint", "--kubeconfig", "/nowhere/config"], "--kubeconfig"),
        (&["callers", "-n", "default"], "no Pod with a proxy in default"),
        (&["get", "rules", "--system-namespace", "nowhere"], "--system-namespace"),
        (&["get", "tp", "nothing", "-n", "shop"], "not found"),
    ] {
        let (code, _, err) = ask(arguments)?;
        ensure!(code != Some(0) && err.contains(words), "{arguments:?}: {err}");
    }
    Ok(())
}

/// `diff` of a file that takes a grant away.
fn changes(ask: &dyn Fn(&[&str]) -> Result<Said>) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("new.yaml");
    let same = tulle_e2e::harness::broken::good(4);
    let name = file.display().to_string();
    for (text, wanted) in [(same.clone(), 0), (same.replace("name: orders", "name: nobody"), 1)] {
        std::fs::write(&file, text)?;
        let (code, out, err) = ask(&["diff", "-f", &name])?;
        ensure!(code == Some(wanted), "{wanted} was expected: {out}{err}");
    }
    Ok(())
}

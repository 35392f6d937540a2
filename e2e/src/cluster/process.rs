//! Starting and stopping the components, which outlive the command that starts them.
//!
//! Each is the leader of a process group with the run's marker in its environment, and is in the registry by pid and
//! start time. Nobody starts it again when it ends: a component that dies is a finding.

use std::fs::OpenOptions;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use operator::process::{Entry, MARKER, Pid, Registry, ended};
use rustix::process::Signal;

use super::component::Component;
use super::layout::Layout;
use super::programs::Programs;
use super::shell;

/// Root's programs are there even where our PATH does not say so.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
const KILLED: Duration = Duration::from_secs(10);

/// Starts a component.
pub(super) fn start(component: Component, layout: &Layout, programs: &Programs, registry: &Registry) -> Result<()> {
    let (name, log) = (component.name(), layout.log(component.name()));
    let log = OpenOptions::new().create(true).append(true).open(&log)?;
    let child = Command::new(component.program(programs))
        .args(component.arguments(layout))
        .env("PATH", PATH)
        .env(MARKER, registry.marker())
        .current_dir(layout.run())
        .process_group(0)
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .spawn()
        .with_context(|| format!("cannot start {name}"))?;
    let id = Pid::of(child.id()).with_context(|| format!("{name} ended at once; see its log"))?;
    let name = name.to_owned();
    Ok(registry.record(&[Entry::Process { name, id }])?)
}

/// The process of a component, if it runs.
pub(super) fn running(component: Component, registry: &Registry) -> Result<Option<Pid>> {
    // A component may have been started more than once; the last one counts.
    let entries = registry.entries()?.into_iter().rev();
    let id = entries.into_iter().find_map(|entry| match entry {
        Entry::Process { name, id } if name == component.name() => Some(id),
        _ => None,
    });
    let this_boot = registry.alive()?;
    Ok(id.filter(|id| this_boot.contains(id)))
}

/// Ends components, gently first. Returns when they are gone.
pub(super) fn stop(components: &[Component], registry: &Registry, grace: Duration) -> Result<()> {
    let mut asked = Vec::new();
    for component in components {
        asked.extend(running(*component, registry)?);
    }
    asked.iter().try_for_each(|id| id.signal(Signal::TERM))?;
    if !ended(&asked, grace) {
        asked.iter().try_for_each(|id| id.signal(Signal::KILL))?;
        ensure!(ended(&asked, KILLED), "not all of {components:?} end");
    }
    Ok(())
}

/// The end of a component's log.
pub(super) fn last_words(component: Component, layout: &Layout) -> String {
    let log = std::fs::read_to_string(layout.log(component.name())).unwrap_or_default();
    shell::last_lines(&log)
}

/// The name of a recorded process.
pub(super) fn name(entry: &Entry) -> Option<&str> {
    match entry {
        Entry::Process { name, .. } => Some(name),
        _ => None,
    }
}

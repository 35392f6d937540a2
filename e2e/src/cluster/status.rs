//! What people see of a cluster: each component, the node, the pods.

use std::fmt::Write;

use anyhow::Result;

use super::client::Client;
use super::component::Component;
use super::layout::Layout;
use super::programs::Programs;
use super::{leftovers, process, record};

/// The cluster of this state folder in words, and whether all of it runs.
pub(super) fn describe(layout: &Layout, progress: &dyn Fn(&str)) -> Result<(String, bool)> {
    let _lock = record::lock(progress)?;
    let mut text = String::new();
    let Some(registry) = record::open(layout)? else {
        writeln!(text, "no cluster in {}", layout.state().display())?;
        for line in leftovers::find(layout)? {
            writeln!(text, "on this machine, but not of that folder: {line}")?;
        }
        return Ok((text, false));
    };
    let mut all = true;
    for component in Component::ALL {
        let name = component.name();
        if let Some(id) = process::running(component, &registry)? {
            writeln!(text, "{name:<24} running, pid {}", id.pid)?;
        } else {
            all = false;
            writeln!(
                text,
                "{name:<24} NOT RUNNING; its log is {}",
                layout.log(name).display()
            )?;
        }
    }
    let client = Client::own(layout, &Programs::cached(layout.cache()));
    for what in ["nodes", "pods"] {
        let answer = client.kubectl(&[
            "get",
            what,
            "--all-namespaces",
            "--output=wide",
            "--request-timeout=10s",
        ]);
        all &= answer.is_ok();
        writeln!(
            text,
            "\n{}",
            answer.unwrap_or_else(|error| format!("{error:#}\n")).trim_end()
        )?;
    }
    writeln!(text, "\nKUBECONFIG={}", layout.kubeconfig().display())?;
    Ok((text, all))
}

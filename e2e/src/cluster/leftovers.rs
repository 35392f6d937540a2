//! What is left of a cluster: the proof that `down` leaves nothing behind.
//!
//! It looks at the machine, not at the record. What is kept on purpose (images, built programs, packages) does not count.

use std::fs;

use anyhow::Result;

use super::layout::{ADDRESS, Layout};
use super::{cgroups, firewall, network};

/// Everything that is left, one thing a line; empty after `down`.
pub(super) fn find(layout: &Layout) -> Result<Vec<String>> {
    let mut found = processes(layout);
    found.extend(mounts(layout)?.into_iter().map(|mount| format!("mount {mount}")));
    found.extend(
        network::pod_namespaces()
            .into_iter()
            .map(|name| format!("network namespace {name}")),
    );
    found.extend(
        firewall::rules()
            .into_iter()
            .map(|rule| format!("packet filter {rule}")),
    );
    found.extend(
        cgroups::trees(layout)
            .iter()
            .map(|tree| format!("control group {}", tree.display())),
    );
    found.extend(network::links().map(|link| format!("link {link}")));
    if network::has_address()? {
        found.push(format!("address {ADDRESS} on lo"));
    }
    if layout.run().exists() {
        found.push(format!("folder {}", layout.run().display()));
    }
    Ok(found)
}

/// Mount points of the cluster, the innermost first.
pub(super) fn mounts(layout: &Layout) -> Result<Vec<String>> {
    let table = fs::read_to_string("/proc/self/mountinfo")?;
    let points = table.lines().filter_map(|line| line.split(' ').nth(4));
    let state = format!("{}/", layout.state().display());
    let ours = |point: &&str| point.starts_with(&state) || point.starts_with("/run/netns/cni-");
    let mut found: Vec<String> = points.filter(ours).map(str::to_owned).collect();
    found.reverse();
    Ok(found)
}

/// Processes whose command line names the cluster's folder, except those that only look at it.
fn processes(layout: &Layout) -> Vec<String> {
    let run = format!("{}/", layout.run().display());
    let entries = fs::read_dir("/proc").into_iter().flatten();
    let pids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok());
    let line = |pid: u32| {
        let line = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
        let words: Vec<_> = line.split(|byte| *byte == 0).map(String::from_utf8_lossy).collect();
        let program = words.first()?.rsplit('/').next()?.to_owned();
        let ours = PROGRAMS.contains(&program.as_str()) && words.iter().any(|word| word.contains(&run));
        ours.then(|| format!("process {pid} {program}"))
    };
    pids.filter_map(line).collect()
}

/// What a cluster runs, and what those start.
const PROGRAMS: [&str; 8] = [
    "etcd",
    "containerd",
    "containerd-shim-runc-v2",
    "kube-apiserver",
    "kube-controller-manager",
    "kube-scheduler",
    "kube-proxy",
    "kubelet",
];

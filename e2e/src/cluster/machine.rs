//! Whether this machine can run a cluster, and whether somebody else's is on it.

use std::fs;

use anyhow::{Result, ensure};

use super::layout::Layout;
use super::{cgroups, firewall, network, programs};

/// Why no cluster can run here; none if it can.
pub(super) fn refusal() -> Option<String> {
    if !rustix::process::geteuid().is_root() {
        return Some("a cluster makes network namespaces and control groups and needs root".to_owned());
    }
    if !cgroups::usable() {
        return Some("the control groups memory, pids and cpu cannot be used".to_owned());
    }
    let filesystems = fs::read_to_string("/proc/filesystems").unwrap_or_default();
    if !filesystems.lines().any(|line| line.ends_with("\toverlay")) {
        return Some("the kernel has no overlay file system".to_owned());
    }
    programs::refusal()
}

/// Refuses to start beside another Kubernetes: cleaning up would take its rules and groups away.
pub(super) fn refuse_others(layout: &Layout) -> Result<()> {
    let mut found = Vec::new();
    found.extend(firewall::rules().into_iter().take(1));
    found.extend(
        cgroups::trees(layout)
            .iter()
            .map(|tree| tree.display().to_string())
            .take(1),
    );
    found.extend(network::links().map(|link| format!("the link {link}")));
    if network::has_address()? {
        found.push("the API server's address".to_owned());
    }
    ensure!(
        found.is_empty(),
        "another Kubernetes is on this machine ({}); use it by \
         TULLE_E2E_KUBECONFIG, or end it first",
        found.join(", ")
    );
    Ok(())
}

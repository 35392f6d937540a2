//! What a cluster changes in the machine's own network: one address, one or two links, some kernel settings.
//!
//! The bridge is made by the CNI plugin; it is only removed here. Rules of the packet filter are in `firewall`.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;
use operator::identity::files;

use super::layout::{ADDRESS, LINK, LINK_END, LINKS, Layout, SERVICE_SUBNET};
use super::shell;

/// Settings that kubelet, kube-proxy or the bridge plugin change, under `/proc/sys`.
const SETTINGS: [&str; 9] = [
    "net/ipv4/ip_forward",
    "net/ipv4/conf/all/route_localnet",
    "net/ipv4/vs/conntrack",
    "net/netfilter/nf_conntrack_tcp_timeout_established",
    "net/netfilter/nf_conntrack_tcp_timeout_close_wait",
    "vm/overcommit_memory",
    "vm/panic_on_oom",
    "kernel/panic",
    "kernel/panic_on_oops",
];

/// Adds the API server's address.
pub(super) fn add_address() -> Result<()> {
    if !has_address()? {
        let address = format!("{ADDRESS}/32");
        shell::output(Command::new("ip").args(["address", "add", &address, "dev", "lo"]))?;
    }
    Ok(())
}

/// The API server calls webhooks by the addresses of Services, which the packet filter translates after routing. A machine without a
/// default route has no route to them, so it gets one to a link that leads nowhere. Not to `lo`: refusals of what has no endpoints
/// would not arrive there.
pub(super) fn add_route() -> Result<()> {
    let first = SERVICE_SUBNET.split('/').next().unwrap_or(SERVICE_SUBNET);
    if shell::succeeds(Command::new("ip").args(["route", "get", first])) {
        return Ok(());
    }
    let address = ADDRESS.to_string();
    for step in [
        &["link", "add", LINK, "type", "veth", "peer", "name", LINK_END][..],
        &["link", "set", LINK, "up"],
        &["link", "set", LINK_END, "up"],
        &["route", "add", SERVICE_SUBNET, "dev", LINK, "src", &address],
    ] {
        shell::output(Command::new("ip").args(step))?;
    }
    Ok(())
}

/// Takes it away.
pub(super) fn remove_address() -> Result<()> {
    if has_address()? {
        let address = format!("{ADDRESS}/32");
        shell::output(Command::new("ip").args(["address", "delete", &address, "dev", "lo"]))?;
    }
    Ok(())
}

/// Whether it is there.
pub(super) fn has_address() -> Result<bool> {
    let listed = shell::output(Command::new("ip").args(["-oneline", "-4", "address", "show", "dev", "lo"]))?;
    Ok(listed.contains(&format!(" {ADDRESS}/32 ")))
}

/// Its links that are there.
pub(super) fn links() -> impl Iterator<Item = &'static str> {
    let there = |link: &&str| Path::new("/sys/class/net").join(link).exists();
    LINKS.into_iter().filter(there)
}

/// Network namespaces of pods.
pub(super) fn pod_namespaces() -> Vec<String> {
    let entries = fs::read_dir("/run/netns").into_iter().flatten();
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    names.filter(|name| name.starts_with("cni-")).collect()
}

/// Writes down the settings as they are.
pub(super) fn remember_settings(layout: &Layout) -> Result<()> {
    let value = |name: &&str| Some(((*name).to_owned(), fs::read_to_string(setting(name)).ok()?));
    let values: BTreeMap<String, String> = SETTINGS.iter().filter_map(value).collect();
    Ok(files::write_atomic(
        &record(layout),
        &serde_json::to_vec(&values)?,
        0o600,
    )?)
}

/// Puts the settings back.
pub(super) fn restore_settings(layout: &Layout) -> Result<()> {
    let Ok(text) = fs::read(record(layout)) else {
        return Ok(());
    };
    let values: BTreeMap<String, String> = serde_json::from_slice(&text)?;
    for (name, value) in values {
        let path = setting(&name);
        // Some may be read-only here; then nobody changed them.
        if fs::read_to_string(&path).is_ok_and(|now| now != value) {
            fs::write(&path, value)?;
        }
    }
    Ok(fs::remove_file(record(layout))?)
}

fn setting(name: &str) -> PathBuf {
    Path::new("/proc/sys").join(name)
}

fn record(layout: &Layout) -> PathBuf {
    layout.state().join("settings.json")
}

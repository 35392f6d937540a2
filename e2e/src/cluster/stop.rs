//! Taking a cluster down: pods first, then processes, then everything that they leave in the kernel and on disk.
//!
//! Works on a healthy cluster, on one that died, and on what a killed command or a reboot left. What cannot be removed is
//! an error, and stays on record for the next attempt.

use std::fs;
use std::process::Command;
use std::time::Duration;

use anyhow::{Result, ensure};
use operator::netns;
use operator::process::{Pid, Registry};
use rustix::process::Signal;

use super::client::Client;
use super::component::Component;
use super::images::Store;
use super::layout::Layout;
use super::programs::Programs;
use super::wait::until;
use super::{cgroups, firewall, leftovers, network, process, record, shell};

/// Pods end within a second of their own, and their network a moment later.
const PODS_END: Duration = Duration::from_mins(1);
const GRACE: Duration = Duration::from_secs(30);
/// The API server waits for whoever still watches something, and they do not end: a test that was interrupted, for one.
const REQUESTS: Duration = Duration::from_secs(5);
const KILLED: Duration = Duration::from_secs(10);

/// Who would make pods again.
const MAKERS: [Component; 2] = [Component::ControllerManager, Component::Scheduler];
/// Who ends next; the stores last, because the others still write to them.
const THEN: [Component; 2] = [Component::Proxy, Component::ApiServer];
const LAST: [Component; 2] = [Component::Etcd, Component::Containerd];

/// Takes the cluster of this state folder down; says whether there was one.
pub(super) fn down(layout: &Layout, progress: &dyn Fn(&str)) -> Result<bool> {
    let _lock = record::lock(progress)?;
    let Some(registry) = record::open(layout)? else {
        return Ok(false);
    };
    clear(layout, &registry, progress)?;
    Ok(true)
}

/// Removes all that the registry knows of, and all that Kubernetes leaves behind.
pub(super) fn clear(layout: &Layout, registry: &Registry, progress: &dyn Fn(&str)) -> Result<()> {
    record::refuse_other_owner(layout)?;
    process::stop(&MAKERS, registry, GRACE)?;
    if let Err(error) = delete_pods(layout, registry) {
        progress(&format!("pods did not end by themselves ({error:#}); ending them"));
    }
    process::stop(&[Component::Kubelet], registry, GRACE)?;
    kill_pods(layout)?;
    if !forget_containers(layout, registry) {
        progress("containerd cannot forget its containers; it will begin anew, with no images");
    }
    progress("no pod is left");
    process::stop(&THEN, registry, REQUESTS)?;
    process::stop(&LAST, registry, GRACE)?;
    end_rest(registry)?;
    for mount in leftovers::mounts(layout)? {
        shell::output(Command::new("umount").arg(mount))?;
    }
    for namespace in network::pod_namespaces() {
        shell::output(Command::new("ip").args(["netns", "delete", &namespace]))?;
    }
    firewall::clear()?;
    cgroups::clear(layout)?;
    network::remove_address()?;
    network::restore_settings(layout)?;
    netns::cleanup(registry)?;
    let left = leftovers::find(layout)?;
    ensure!(
        left.is_empty(),
        "something is left of the cluster:\n{}",
        left.join("\n")
    );
    record::disown()
}

fn delete_pods(layout: &Layout, registry: &Registry) -> Result<()> {
    for component in [
        Component::Etcd,
        Component::ApiServer,
        Component::Kubelet,
        Component::Containerd,
    ] {
        if process::running(component, registry)?.is_none() {
            // Nobody to ask; then nothing ends by itself.
            return Ok(());
        }
    }
    let client = Client::own(layout, &Programs::cached(layout.cache()));
    let ask = [
        "delete",
        "pods",
        "--all",
        "--all-namespaces",
        "--grace-period=1",
        "--wait=false",
    ];
    client.kubectl(&[&ask[..], &["--request-timeout=20s"]].concat())?;
    let store = Store::new(layout);
    // Not the API's word: a pod with a finalizer stays there, but its containers end.
    until("the end of all pods", PODS_END, || {
        Ok(store.tasks()?.is_empty() && network::pod_namespaces().is_empty())
    })
}

/// Only pods are in those groups, and only ours: we do not start beside another Kubernetes.
fn kill_pods(layout: &Layout) -> Result<()> {
    until("the end of killed pods", KILLED, || {
        let alive: Vec<Pid> = cgroups::processes(layout)?;
        for process in &alive {
            process.signal(Signal::KILL)?;
        }
        Ok(alive.is_empty())
    })
}

/// Says whether it worked. If not, containerd's folder goes, and the images with it.
fn forget_containers(layout: &Layout, registry: &Registry) -> bool {
    let runs = matches!(process::running(Component::Containerd, registry), Ok(Some(_)));
    if runs && Store::new(layout).remove_containers().is_ok() {
        return true;
    }
    let left = registry.record(&[operator::process::Entry::Folder {
        path: layout.kept().join("containerd"),
    }]);
    // A folder that is not there has no containers either.
    left.is_ok() && !fs::exists(layout.kept().join("containerd")).unwrap_or(true)
}

/// What the components started themselves: shims.
fn end_rest(registry: &Registry) -> Result<()> {
    until("the end of all processes", KILLED, || {
        Ok(registry.signal_all(Signal::KILL)?.is_empty())
    })
}

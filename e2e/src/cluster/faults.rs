//! What tests do to a cluster of their own, and no user can: sign tokens as its issuer, look into the network of a pod, find the
//! processes of a container without asking the API server, suspend a component.

use std::fs;
use std::net::IpAddr;
use std::process::Command;

use anyhow::{Context, Result};
use operator::process::Pid;
use rustix::process::Signal;

use super::component::Component;
use super::{Cluster, cgroups, network, process, record, shell};

impl Cluster {
    /// Whether it was started here; a given one is not ours to be harmed.
    pub fn is_own(&self) -> bool {
        !self.given
    }

    /// The key with which the API server signs tokens of service accounts (PEM).
    pub fn token_key(&self) -> Result<String> {
        self.only_own("impersonated")?;
        let path = self.layout.pki("sa.key");
        fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))
    }

    /// The network namespace (for `ip netns exec`) of the pod with this address.
    pub fn pod_network(&self, address: IpAddr) -> Result<String> {
        self.only_own("looked into")?;
        let wanted = format!(" {address}/");
        let has = |name: &String| {
            let mut list = Command::new("ip");
            list.args(["-netns", name, "-oneline", "address", "show"]);
            shell::output(&mut list).is_ok_and(|listed| listed.contains(&wanted))
        };
        let found = network::pod_namespaces().into_iter().find(has);
        found.with_context(|| format!("no pod has the address {address}"))
    }

    /// The processes of a pod (by its UID) that run a program of this name.
    pub fn pod_processes(&self, uid: &str, program: &str) -> Result<Vec<Pid>> {
        self.only_own("looked into")?;
        let runs = |process: &Pid| {
            let name = fs::read_to_string(format!("/proc/{}/comm", process.pid)).unwrap_or_default();
            name.trim_end() == program
        };
        Ok(cgroups::of_pod(&self.layout, uid)?.into_iter().filter(runs).collect())
    }

    /// Stops a component where it is, or lets it go on. Nobody hears of it meanwhile, and it forgets nothing.
    pub fn suspend(&self, component: Component, suspended: bool) -> Result<()> {
        self.only_own("changed")?;
        let registry = record::open(&self.layout)?.context("the cluster is down")?;
        let running = process::running(component, &registry)?;
        let signal = if suspended { Signal::STOP } else { Signal::CONT };
        let running = running.with_context(|| format!("{} does not run", component.name()))?;
        Ok(running.signal(signal)?)
    }
}

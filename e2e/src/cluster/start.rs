//! Bringing a cluster up: programs, images, files, processes, and waiting until pods can run.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use operator::process::Registry;

use super::client::Client;
use super::component::Component;
use super::images::{self, Store};
use super::layout::{ADDRESS, API_PORT, Layout, NODE};
use super::programs::{self, Programs};
use super::wait::until;
use super::{cgroups, configuration, machine, network, pki, process, record, stop};

/// Generous: the machine may have other work.
const LIMIT: Duration = Duration::from_mins(3);
/// The objects that appear last in a new cluster; pods need the account.
const DEFAULT_ACCOUNT: [&str; 4] = ["get", "serviceaccount", "default", "--output=name"];

/// Makes sure that a healthy cluster is up.
pub(super) fn up(layout: &Layout, progress: &dyn Fn(&str)) -> Result<()> {
    let _lock = record::lock(progress)?;
    let programs = Programs::cached(layout.cache());
    if let Some(registry) = record::open(layout)? {
        match health(layout, &programs, &registry) {
            Ok(()) => {
                progress("the cluster is up already");
                return Ok(());
            }
            Err(error) => progress(&format!("the cluster is not healthy ({error:#}); starting a new one")),
        }
        stop::clear(layout, &registry, progress)?;
    }
    record::refuse_other_owner(layout)?;
    machine::refuse_others(layout)?;
    programs::install_packages(progress)?;
    let programs = Programs::ensure(layout.cache(), progress)?;
    images::prepare(layout, &programs, progress)?;
    let start = Instant::now();
    let registry = record::create(layout)?;
    begin(layout, &programs, &registry, progress).with_context(|| {
        format!(
            "the cluster did not start; its logs are in {}",
            layout.log("x").with_file_name("").display()
        )
    })?;
    progress(&format!(
        "the cluster is up after {:.1} s",
        start.elapsed().as_secs_f64()
    ));
    Ok(())
}

fn begin(layout: &Layout, programs: &Programs, registry: &Registry, progress: &dyn Fn(&str)) -> Result<()> {
    cgroups::prepare(layout)?;
    network::remember_settings(layout)?;
    network::add_address()?;
    network::add_route()?;
    pki::write(layout)?;
    configuration::write(layout)?;
    let (first, later) = Component::ALL.split_at(3);
    first
        .iter()
        .try_for_each(|component| process::start(*component, layout, programs, registry))?;
    progress("etcd, containerd and the API server are started");
    let store = Store::new(layout);
    wait("containerd", layout, registry, || Ok(store.answers()))?;
    images::import_builtin(layout, progress)?;
    let client = Client::own(layout, programs);
    wait("the API server", layout, registry, || {
        Ok(client.kubectl(&["get", "--raw=/readyz"]).is_ok())
    })?;
    progress(&format!("the API server is ready at {ADDRESS}:{API_PORT}"));
    later
        .iter()
        .try_for_each(|component| process::start(*component, layout, programs, registry))?;
    client.kubectl_with_input(
        &["apply", "--server-side", "--filename=-"],
        &configuration::coredns(layout),
    )?;
    wait("the node", layout, registry, || node_is_ready(&client))?;
    progress("the node is ready");
    wait("the default service account", layout, registry, || {
        Ok(client.kubectl(&DEFAULT_ACCOUNT).is_ok())
    })?;
    wait("cluster DNS", layout, registry, || {
        let ready = [
            "get",
            "deployment",
            "coredns",
            "--namespace=kube-system",
            "--output=jsonpath={.status.readyReplicas}",
        ];
        Ok(client.kubectl(&ready)? == "1")
    })
}

/// Waits; a component that has ended will not answer any more, so its last words are the error.
fn wait(what: &str, layout: &Layout, registry: &Registry, mut ask: impl FnMut() -> Result<bool>) -> Result<()> {
    let mut dead = None;
    until(what, LIMIT, || {
        dead = started(registry)?
            .into_iter()
            .find(|component| !is_running(*component, registry));
        Ok(dead.is_some() || ask()?)
    })?;
    if let Some(component) = dead {
        bail!(
            "{} has ended:\n{}",
            component.name(),
            process::last_words(component, layout)
        );
    }
    Ok(())
}

fn started(registry: &Registry) -> Result<Vec<Component>> {
    let entries = registry.entries()?;
    let names: Vec<&str> = entries.iter().filter_map(process::name).collect();
    Ok(Component::ALL
        .into_iter()
        .filter(|component| names.contains(&component.name()))
        .collect())
}

fn is_running(component: Component, registry: &Registry) -> bool {
    matches!(process::running(component, registry), Ok(Some(_)))
}

/// Whether pods can run.
fn health(layout: &Layout, programs: &Programs, registry: &Registry) -> Result<()> {
    for component in Component::ALL {
        ensure!(
            process::running(component, registry)?.is_some(),
            "{} does not run",
            component.name()
        );
    }
    let client = Client::own(layout, programs);
    client
        .kubectl(&["get", "--raw=/readyz"])
        .context("the API server is not ready")?;
    ensure!(node_is_ready(&client)?, "the node is not ready");
    Ok(())
}

fn node_is_ready(client: &Client) -> Result<bool> {
    let ready = "--output=jsonpath={.status.conditions[?(@.type==\"Ready\")].status}";
    Ok(client.kubectl(&["get", "node", NODE, ready])? == "True")
}

//! What was written to the API server: its own count of the requests that write, and the versions of all objects of ours.
//!
//! Leases are left out: who leads must say so. So is what only others write.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::LIMIT;
use crate::cluster::Cluster;
use crate::harness::wait_until;

const VERBS: [&str; 6] = ["APPLY", "PATCH", "POST", "PUT", "DELETE", "DELETECOLLECTION"];
/// What the operator writes besides objects of our group.
const RESOURCES: [&str; 4] = [
    "configmaps",
    "secrets",
    "mutatingwebhookconfigurations",
    "validatingwebhookconfigurations",
];
const KINDS: &str = "meshes,meshstatuses,trafficpermissions,trafficroutes,ratelimits,faultinjections";

/// Everything that was written until now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    requests: BTreeMap<String, u64>,
    /// And the status, for who reads that something changed.
    versions: BTreeMap<String, String>,
}

impl Written {
    /// As it is.
    pub fn now(cluster: &Cluster) -> Result<Self> {
        Ok(Self {
            requests: requests(cluster)?,
            versions: versions(cluster)?,
        })
    }

    /// Once what was caused before is over: two looks are the same.
    pub fn at_rest(cluster: &Cluster) -> Result<Self> {
        let mut last = None;
        wait_until("writing comes to rest", LIMIT, Duration::from_secs(3), || {
            let now = Self::now(cluster)?;
            // The first look has none before it, so that two are never less than the pause apart.
            let same = last.replace(now.clone()).is_some_and(|last| last == now);
            Ok(same.then_some(now))
        })
    }

    /// Fails if anything was written since; says what, before and after.
    pub fn ensure_same(&self, after: &Self) -> Result<()> {
        let said = [
            differences(&self.versions, &after.versions),
            differences(&self.requests, &after.requests),
        ]
        .concat();
        ensure!(said.is_empty(), "something was written:{said}");
        Ok(())
    }

    /// How many requests.
    pub fn count(&self) -> u64 {
        self.requests.values().sum()
    }
}

/// A line for each name that is not the same in both.
fn differences<Value: Debug + PartialEq>(before: &BTreeMap<String, Value>, after: &BTreeMap<String, Value>) -> String {
    let names: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    let of = |name: &String| (before.get(name), after.get(name));
    let differ = names
        .into_iter()
        .map(|name| (name, of(name)))
        .filter(|(_, (was, is))| was != is);
    differ.fold(String::new(), |said, (name, (was, is))| {
        format!("{said}\n{name}: {was:?} became {is:?}")
    })
}

fn requests(cluster: &Cluster) -> Result<BTreeMap<String, u64>> {
    let metrics = cluster.kubectl(&["get", "--raw=/metrics"])?;
    let label = |line: &str, name: &str, value: &str| line.contains(&format!("{name}=\"{value}\""));
    let mut counts = BTreeMap::new();
    for line in metrics
        .lines()
        .filter(|line| line.starts_with("apiserver_request_total{"))
    {
        let ours = label(line, "group", "mesh.tulle.dev") || RESOURCES.iter().any(|name| label(line, "resource", name));
        if ours && VERBS.iter().any(|verb| label(line, "verb", verb)) {
            let (series, value) = line.rsplit_once(' ').context("a metric has a value")?;
            #[allow(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "Prometheus writes counts as floating-point numbers"
            )]
            counts.insert(series.to_owned(), value.parse::<f64>()? as u64);
        }
    }
    ensure!(!counts.is_empty(), "the API server counts nothing");
    Ok(counts)
}

fn versions(cluster: &Cluster) -> Result<BTreeMap<String, String>> {
    let all = cluster.kubectl(&["get", KINDS, "--all-namespaces", "--output=json"])?;
    let all: Value = serde_json::from_str(&all)?;
    let items = all.get("items").and_then(Value::as_array).context("no list")?;
    let version = |item: &Value| {
        let text = |path: &str| {
            item.pointer(path)
                .and_then(Value::as_str)
                .unwrap_or_default()
                .to_owned()
        };
        let name = [text("/kind"), text("/metadata/namespace"), text("/metadata/name")].join("/");
        let status = item.get("status").map(Value::to_string).unwrap_or_default();
        (name, format!("{} {status}", text("/metadata/resourceVersion")))
    };
    Ok(items.iter().map(version).collect())
}

//! The control plane as a child process of the run, and what it says about the mesh.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use k8s_openapi::api::core::v1::Service;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::RunOptions;
use super::ground::Ground;
use crate::process::{AdminClient, ProcessHandle, ProcessSpec, ProcessState, Restart, Supervisor};

/// The xDS port of a run: its address is the run's own.
const XDS_PORT: u16 = 15012;
/// How long the control plane may take to start.
const START: Duration = Duration::from_secs(30);

/// The control plane of a run.
#[derive(Debug)]
pub struct Plane {
    handle: ProcessHandle,
    admin: AdminClient,
    address: SocketAddr,
    log: PathBuf,
}

#[derive(Deserialize)]
struct Proxies {
    proxies: Vec<Proxy>,
}

#[derive(Deserialize)]
struct Proxy {
    proxy: String,
    rejections: Vec<Refusal>,
}

#[derive(Deserialize)]
struct Refusal {
    resource: String,
    message: String,
}

impl Plane {
    /// Starts it; it is started again whenever it ends.
    pub(super) fn start(options: &RunOptions, ground: &Ground, supervisor: &Supervisor) -> Self {
        let address = SocketAddr::new(IpAddr::V4(ground.control_plane()), XDS_PORT);
        let log = options.state_dir.join("logs/control-plane.log");
        let mut arguments: Vec<std::ffi::OsString> = vec!["up".into(), options.folder.clone().into()];
        arguments.extend(["--state".into(), options.state_dir.clone().into()]);
        arguments.extend(["--listen".into(), address.to_string().into()]);
        arguments.extend(ground.plane_arguments());
        arguments.extend(options.plane_arguments.iter().map(Into::into));
        let handle = supervisor.start(ProcessSpec {
            name: "control-plane".to_owned(),
            program: options.program.clone(),
            arguments,
            environment: BTreeMap::new(),
            inherit_environment: true,
            folder: None,
            namespace: None,
            user: None,
            log: log.clone(),
            die_with_parent: true,
            restart: Restart::Always,
        });
        let socket = crate::admin::socket_path(&options.state_dir);
        let admin = AdminClient::new(socket).with_timeout(Duration::from_secs(10));
        Self {
            handle,
            admin,
            address,
            log,
        }
    }

    /// Where proxies reach it.
    pub fn xds_address(&self) -> SocketAddr {
        self.address
    }

    /// Its process id, while it runs.
    pub fn pid(&self) -> Option<u32> {
        match self.handle.state() {
            ProcessState::Running { pid } => Some(pid),
            _ => None,
        }
    }

    /// Waits until it answers. If it cannot start, the error carries its own words.
    pub async fn ready(&self) -> anyhow::Result<()> {
        let started = Instant::now();
        loop {
            if self.admin.get("/readyz").await.is_ok() {
                return Ok(());
            }
            let crashed = matches!(
                self.handle.state(),
                ProcessState::Waiting { .. } | ProcessState::Ended { .. }
            );
            if crashed || started.elapsed() > START {
                bail!("the control plane does not start:\n{}", self.last_words());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    fn last_words(&self) -> String {
        let text = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().rev().take(20).collect();
        lines.into_iter().rev().collect::<Vec<_>>().join("\n")
    }

    /// All Workload objects, with their addresses.
    pub async fn workloads(&self) -> anyhow::Result<Vec<crds::Workload>> {
        self.objects("workloads").await
    }

    /// All Services, with their virtual addresses.
    pub async fn services(&self) -> anyhow::Result<Vec<Service>> {
        self.objects("services").await
    }

    /// What the application of a workload is to be told about the mesh.
    pub async fn environment(&self, workload: &str) -> anyhow::Result<BTreeMap<String, String>> {
        let body = self.admin.get(&format!("/environment/{workload}")).await?;
        serde_json::from_slice(&body).context("the control plane's answer is no environment")
    }

    /// What proxies refused of what they were sent, by proxy (`namespace/name`), for people.
    pub async fn refused(&self) -> anyhow::Result<BTreeMap<String, BTreeSet<String>>> {
        let body = self.admin.get("/proxies").await?;
        let known: Proxies = serde_json::from_slice(&body).context("the control plane's answer names no proxies")?;
        let words = |refusal: Refusal| format!("{}: {}", refusal.resource, refusal.message);
        Ok(known
            .proxies
            .into_iter()
            .map(|proxy| (proxy.proxy, proxy.rejections.into_iter().map(words).collect()))
            .collect())
    }

    /// All objects of a kind as JSON, status included.
    pub async fn json(&self, kind: &str) -> anyhow::Result<Vec<Value>> {
        let body = self.admin.get(&format!("/objects/{kind}")).await?;
        let value: Value = serde_json::from_slice(&body).context("the control plane's answer is not JSON")?;
        match value {
            Value::Array(items) => Ok(items),
            Value::Object(mut list) => match list.remove("items") {
                Some(Value::Array(items)) => Ok(items),
                _ => bail!("the control plane's answer is no list"),
            },
            _ => bail!("the control plane's answer is no list"),
        }
    }

    async fn objects<T: DeserializeOwned>(&self, kind: &str) -> anyhow::Result<Vec<T>> {
        let items = self.json(kind).await?;
        items
            .into_iter()
            .map(|item| serde_json::from_value(item).context("an object does not parse"))
            .collect()
    }

    /// Ends it.
    pub(super) async fn stop(self) {
        self.handle.stop(Duration::from_secs(5)).await;
    }
}

//! A proxy that claims to be somebody else: for the demo and the tests.
//!
//! It runs where a workload of the run does, from its address, with a node id and a token of the caller's choice.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use anyhow::Context as _;

use super::Run;
use super::member::{self, ProxyFiles, TOKEN_LIFETIME};
use crate::bootstrap;
use crate::process::{AdminClient, ProcessHandle, ProcessSpec, Restart};

/// What counts as something that the control plane gave: clusters, listeners, the certificate.
const GIVEN: [&str; 3] = [
    "cluster_manager.cds.update_success",
    "listener_manager.lds.update_success",
    "sds.identity.update_success",
];

/// A proxy under a false name.
#[derive(Debug)]
pub struct Impostor {
    handle: ProcessHandle,
    admin: AdminClient,
    folder: PathBuf,
}

/// What an impostor pretends.
#[derive(Clone, Debug)]
pub struct Pretence {
    /// The workload in whose place it runs, `namespace/name`.
    pub at: String,
    /// The node id that it claims.
    pub node: String,
    /// The workload whose token it presents, `namespace/name`.
    pub token_of: String,
}

impl Run {
    /// Starts an impostor.
    pub fn impostor(&self, pretence: &Pretence) -> anyhow::Result<Impostor> {
        let member = self.members.get(&pretence.at).context("no such workload")?;
        let seat = member.seat();
        let (token_namespace, token_name) = pretence.token_of.split_once('/').context("no such workload")?;
        let key = &self.surroundings.join_key;
        let token = key.issue(token_namespace, token_name, TOKEN_LIFETIME, SystemTime::now())?;
        let folder = self
            .surroundings
            .runtime
            .join(format!("impostor.{}", pretence.at.replace('/', ".")));
        let files = ProxyFiles {
            folder: folder.clone(),
            node: &pretence.node,
            group: "impostor",
            address: member.desired().address,
            seat,
        };
        let bootstrap_file = member::write_files(&files, &token, &self.surroundings)?;
        let handle = self.supervisor.start(ProcessSpec {
            name: format!("impostor at {}", pretence.at),
            program: self.surroundings.envoy.clone(),
            arguments: bootstrap::arguments(&bootstrap_file, 1),
            environment: BTreeMap::new(),
            inherit_environment: false,
            folder: Some(folder.clone()),
            namespace: seat.namespace(),
            user: seat.envoy_user(),
            log: self.surroundings.logs.join("impostor.envoy.log"),
            die_with_parent: true,
            restart: Restart::Never,
        });
        Ok(Impostor {
            handle,
            admin: AdminClient::new(folder.join("admin.sock")),
            folder,
        })
    }
}

impl Impostor {
    /// Waits until it has been turned away at least once; returns how many resources and certificates it got.
    pub async fn turned_away(&self, within: Duration) -> anyhow::Result<u64> {
        let refused = async {
            loop {
                let stats = self
                    .admin
                    .stats(Some("control_plane|update_success|cluster.xds"))
                    .await
                    .unwrap_or_default();
                let connected = stats.get("control_plane.connected_state").copied().unwrap_or(0);
                let tried = stats.get("cluster.xds.upstream_rq_completed").copied().unwrap_or(0)
                    + stats.get("cluster.xds.upstream_rq_total").copied().unwrap_or(0);
                if tried > 0 && connected == 0 {
                    return GIVEN.iter().filter_map(|name| stats.get(*name)).sum();
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        tokio::time::timeout(within, refused)
            .await
            .context("the impostor was not turned away in time")
    }

    /// Ends it.
    pub async fn stop(self) {
        self.handle.stop(Duration::from_secs(2)).await;
        std::fs::remove_dir_all(&self.folder).ok();
    }
}

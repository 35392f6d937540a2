//! `tulle up --run`: the processes of a folder of YAML, each with its own Envoy, in its own network namespace or on loopback
//! addresses of its own.
//!
//! The control plane is a child process like any other: it may be killed at any moment, the proxies go on, and it is started
//! again. This side only knows what the control plane says about workloads and Services; it makes namespaces, writes
//! tokens and bootstraps, and keeps processes running. Everything made is in the run's registry first, so that the next
//! start removes what a killed run left.

mod desired;
mod ground;
mod impostor;
mod listening;
mod member;
mod place;
mod plane;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use k8s_openapi::api::core::v1::Service;
use tokio_util::sync::CancellationToken;

pub use desired::{DesiredMember, desired};
pub use ground::{Isolation, Seat, loopback_files};
pub use impostor::{Impostor, Pretence};
pub use plane::Plane;

use crate::envoy_binary::EnvoyBinary;
use crate::identity::{JoinKey, files};
use crate::netns::{self, Network};
use crate::process::{Registry, RunId, Supervisor};
use ground::Ground;
use listening::Sockets;
use member::{Member, Surroundings};

/// How often the run looks for new and gone workloads.
const LOOK: Duration = Duration::from_secs(1);
/// What to run.
#[derive(Clone, Debug)]
pub struct RunOptions {
    /// The folder of objects.
    pub folder: PathBuf,
    /// The state folder of the control plane and of the run.
    pub state_dir: PathBuf,
    /// The Envoy to run.
    pub envoy: EnvoyBinary,
    /// This program.
    pub program: PathBuf,
    /// More arguments for the control plane.
    pub plane_arguments: Vec<String>,
    /// How workloads are kept apart.
    pub isolation: Isolation,
}

/// A running mesh of processes.
#[derive(Debug)]
pub struct Run {
    options: RunOptions,
    registry: Arc<Registry>,
    ground: Ground,
    supervisor: Supervisor,
    plane: Plane,
    surroundings: Surroundings,
    members: BTreeMap<String, Member>,
}

impl Run {
    /// Removes what an earlier run left, makes the network, and starts the control plane. Workloads follow by [`Run::look`].
    /// Nothing if it is to end before that is done; nothing is left then. A start that is dropped instead leaves things.
    pub async fn start(
        options: RunOptions,
        ending: &CancellationToken,
        progress: &dyn Fn(&str),
    ) -> anyhow::Result<Option<Self>> {
        files::ensure_dir(&options.state_dir, 0o700).context("cannot use the state folder")?;
        for left in netns::cleanup_previous(&options.state_dir)? {
            progress(&format!("removed what the earlier run {left} left behind"));
        }
        let id = RunId::for_folder(&options.state_dir);
        let registry = Arc::new(Registry::create(&options.state_dir, &id)?);
        let built = Self::build(options, Arc::clone(&registry), ending, progress).await;
        if !matches!(built, Ok(Some(_))) {
            tokio::task::spawn_blocking(move || netns::cleanup(&registry)).await??;
        }
        built
    }

    async fn build(
        options: RunOptions,
        registry: Arc<Registry>,
        ending: &CancellationToken,
        progress: &dyn Fn(&str),
    ) -> anyhow::Result<Option<Self>> {
        let place::Files {
            runtime,
            envoy,
            programs,
        } = place::prepare(&options, &registry)?;
        let ground = Ground::make(&options.isolation, &registry)?;
        progress(&ground.describe());
        let supervisor = Supervisor::new(Arc::clone(&registry))?;
        let plane = Plane::start(&options, &ground, &supervisor);
        let opened = tokio::select! {
            opened = join_key(&plane, &options) => opened.map(Some),
            () = ending.cancelled() => Ok(None),
        };
        let Ok(Some(join_key)) = opened else {
            supervisor.end().await;
            return opened.map(|_| None);
        };
        progress("control plane is up");
        let surroundings = Surroundings {
            runtime,
            logs: options.state_dir.join("logs"),
            ca_file: options.state_dir.join("ca/root.pem"),
            join_key,
            envoy,
            programs,
            xds: plane.xds_address(),
        };
        Ok(Some(Self {
            options,
            registry,
            ground,
            supervisor,
            plane,
            surroundings,
            members: BTreeMap::new(),
        }))
    }

    /// The control plane.
    pub fn plane(&self) -> &Plane {
        &self.plane
    }

    /// The folder of objects.
    pub fn folder(&self) -> &std::path::Path {
        &self.options.folder
    }

    /// The network, for namespaces of outside hosts; absent on loopback addresses.
    pub fn network(&mut self) -> Option<&mut Network> {
        self.ground.network()
    }

    /// The log of a workload's proxy; its access log is in it.
    pub fn proxy_log(&self, member: &str) -> PathBuf {
        self.surroundings
            .logs
            .join(format!("{}.envoy.log", member.replace('/', ".")))
    }

    /// The program that applications run as `tulle`.
    pub fn program(&self) -> PathBuf {
        self.surroundings.programs.join("tulle")
    }

    /// Names of the workloads that run, as `namespace/name`, with where they do.
    pub fn members(&self) -> BTreeMap<String, Seat> {
        self.members
            .iter()
            .map(|(name, member)| (name.clone(), member.seat().clone()))
            .collect()
    }

    /// What the application of a workload was told about the mesh when it started.
    pub fn environment(&self, member: &str) -> Option<&BTreeMap<String, String>> {
        self.members.get(member).map(Member::environment)
    }

    /// Brings what runs in line with what the control plane says should run. Returns whether anything changed. May be
    /// dropped before it is done if [`Run::stop`] follows.
    pub async fn look(&mut self, progress: &dyn Fn(&str)) -> anyhow::Result<bool> {
        let workloads = self.plane.workloads().await?;
        let services = self.plane.services().await?;
        let wanted: BTreeMap<String, DesiredMember> = desired(&workloads)
            .into_iter()
            .filter(|member| self.ground.holds(member))
            .map(|member| (member.id(), member))
            .collect();
        let gone: Vec<String> = self
            .members
            .iter()
            .filter(|(id, member)| wanted.get(*id) != Some(member.desired()))
            .map(|(id, _)| id.clone())
            .collect();
        for id in &gone {
            if let Some(member) = self.members.remove(id) {
                progress(&format!("{id} ends"));
                member.stop(&mut self.ground).await;
            }
        }
        let new: Vec<DesiredMember> = wanted
            .into_values()
            .filter(|member| !self.members.contains_key(&member.id()))
            .collect();
        let changed = !gone.is_empty() || !new.is_empty();
        if !new.is_empty() {
            self.add(new, &services, progress).await;
        }
        for member in self.members.values_mut() {
            member.set_hosts(&services, &self.ground)?;
        }
        self.complain(&workloads).await;
        let mut refused = self.plane.refused().await?;
        for (id, member) in &mut self.members {
            member.refused(refused.remove(id).unwrap_or_default());
        }
        Ok(changed)
    }

    /// Starts new members. One that cannot start is undone and does not stand in the way of the others; the next look
    /// tries it again.
    async fn add(&mut self, new: Vec<DesiredMember>, services: &[Service], progress: &dyn Fn(&str)) {
        let mut started = Vec::new();
        for desired in new {
            let id = desired.id();
            match self.begin(desired, services) {
                Ok(member) => started.push(member),
                Err(error) => tracing::warn!(
                    workload = id,
                    error = format!("{error:#}"),
                    "cannot start; trying again"
                ),
            }
        }
        progress(&format!("{} proxies are started", started.len()));
        for mut member in started {
            match self.complete(&mut member).await {
                Ok(()) => {
                    let desired = member.desired();
                    progress(&format!("{} runs at {}", desired.id(), desired.address));
                    self.members.insert(desired.id(), member);
                }
                Err(error) => {
                    let (workload, error) = (member.desired().id(), format!("{error:#}"));
                    tracing::warn!(workload, error, "the proxy does not become ready; trying again");
                    member.stop(&mut self.ground).await;
                }
            }
        }
    }

    /// The proxy of a new member.
    fn begin(&mut self, desired: DesiredMember, services: &[Service]) -> anyhow::Result<Member> {
        let name = desired.member_name();
        let seat = self.ground.seat(&desired)?;
        let member = self
            .ground
            .set_hosts(&desired, services)
            .and_then(|()| Member::start(desired, seat, &self.surroundings, &self.supervisor));
        if member.is_err() {
            self.ground.clear(&name);
        }
        member
    }

    /// Its application, once the proxy has its configuration.
    async fn complete(&self, member: &mut Member) -> anyhow::Result<()> {
        member.proxy_ready().await?;
        let environment = self.plane.environment(&member.desired().id()).await?;
        member.start_application(environment, &self.surroundings, &self.supervisor);
        Ok(())
    }

    /// Says which applications on loopback addresses do not listen where their proxies look for them.
    async fn complain(&mut self, workloads: &[crds::Workload]) {
        let Isolation::Loopback { .. } = self.options.isolation else {
            return;
        };
        let sockets = Sockets::now().await;
        for workload in workloads {
            let (namespace, name) = (
                workload.metadata.namespace.as_deref(),
                workload.metadata.name.as_deref(),
            );
            let id = format!("{}/{}", namespace.unwrap_or("default"), name.unwrap_or_default());
            if let Some(member) = self.members.get_mut(&id) {
                member.complain(workload.spec.ports.iter().map(|port| port.port), &sockets);
            }
        }
    }

    /// Keeps looking until the run is to end, and keeps the proxies' tokens fresh. [`Run::stop`] follows.
    pub async fn keep(&mut self, ending: &CancellationToken, progress: &dyn Fn(&str)) {
        ending.run_until_cancelled(self.keep_looking(progress)).await;
    }

    async fn keep_looking(&mut self, progress: &dyn Fn(&str)) {
        let mut renewed = Instant::now();
        loop {
            tokio::time::sleep(LOOK).await;
            if let Err(error) = self.look(progress).await {
                // The control plane may be away; the mesh goes on without it.
                tracing::debug!(%error, "cannot look for new workloads now");
            }
            if renewed.elapsed() > member::TOKEN_LIFETIME / 3 {
                match self.renew_tokens() {
                    Ok(()) => renewed = Instant::now(),
                    Err(error) => tracing::warn!(%error, "cannot renew join tokens; trying again"),
                }
            }
        }
    }

    /// A proxy reads its token again when it reconnects, as it must when the old one expires.
    fn renew_tokens(&self) -> anyhow::Result<()> {
        self.members
            .values()
            .try_for_each(|member| member.write_token(&self.surroundings))
    }

    /// Ends everything and removes all that was made.
    pub async fn stop(self) -> anyhow::Result<()> {
        let Self {
            registry,
            members,
            plane,
            ground,
            supervisor,
            ..
        } = self;
        // Applications first, then their proxies: what they still send arrives.
        for member in members.into_values() {
            member.end_processes().await;
        }
        plane.stop().await;
        // A look that was dropped leaves proxies that nobody holds.
        supervisor.end().await;
        drop((ground, supervisor));
        tokio::task::spawn_blocking(move || netns::cleanup(&registry)).await??;
        Ok(())
    }
}

/// What signs join tokens, which the control plane makes when it starts.
async fn join_key(plane: &Plane, options: &RunOptions) -> anyhow::Result<Arc<JoinKey>> {
    plane.ready().await?;
    Ok(Arc::new(JoinKey::open(&options.state_dir)?))
}

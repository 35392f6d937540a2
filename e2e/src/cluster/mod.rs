//! A real Kubernetes on this machine, without a container engine: for tests, and for people who want to look.
//!
//! `Cluster::ensure` is what tests call: it starts a cluster or finds the one that is up, or takes the one that
//! `TULLE_E2E_KUBECONFIG` names. Who started one ends it: `tulle-e2e cluster down` does, and so does the test `kubernetes`. One
//! node, one API server; nothing here is meant for anything but tests. docs/kubernetes-tests.md says what it needs.

mod args;
mod cgroups;
mod client;
mod component;
mod configuration;
mod faults;
mod firewall;
mod images;
mod layout;
mod leftovers;
mod machine;
mod network;
mod pki;
mod process;
mod programs;
mod record;
mod room;
mod shell;
mod start;
mod status;
mod stop;
mod wait;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};

pub use args::{ClusterArgs, run};
use client::Client;
pub use component::Component;
pub use images::Build;
pub use layout::Layout;
use programs::Programs;
pub use room::{Inside, Rooms};

/// A cluster to use instead of our own.
const GIVEN: &str = "TULLE_E2E_KUBECONFIG";
/// A command that gives a cluster of that kind an image; gets the archive's name as its last argument.
const GIVEN_LOAD: &str = "TULLE_E2E_LOAD_IMAGE";
/// A failing component does not wait for its watchers, and a test should not either.
const ABRUPT: Duration = Duration::from_secs(1);
/// `0`: no test needs a cluster. `keep`: it stays up.
const SWITCH: &str = "TULLE_CLUSTER_TESTS";

/// A cluster that is up.
#[derive(Clone, Debug)]
pub struct Cluster {
    client: Client,
    layout: Layout,
    given: bool,
}

impl Cluster {
    /// Why tests have no cluster; none if they have.
    pub fn refusal() -> Option<String> {
        if switch() == Some("0") {
            return Some(format!("{SWITCH}=0"));
        }
        if Self::is_given() {
            return None;
        }
        let layout = Layout::from_environment();
        let reason = machine::refusal().or_else(|| others(&layout));
        reason.map(|reason| format!("no cluster can run here: {reason}. {GIVEN} gives one"))
    }

    /// Whether tests use somebody else's cluster.
    pub fn is_given() -> bool {
        std::env::var_os(GIVEN).is_some()
    }

    /// Whether tests leave the cluster up: it is up already, or somebody else's, or wanted afterwards.
    pub fn stays() -> Result<bool> {
        let up = match record::open(&Layout::from_environment())? {
            Some(registry) => process::running(Component::ApiServer, &registry)?.is_some(),
            None => false,
        };
        Ok(up || Self::is_given() || switch() == Some("keep"))
    }

    /// Fetches and builds all that clusters need.
    pub fn prepare() -> Result<()> {
        let layout = Layout::from_environment();
        programs::install_packages(&say)?;
        let programs = Programs::ensure(layout.cache(), &say)?;
        images::prepare(&layout, &programs, &say)?;
        images::neighbours::ensure(&layout, &say).map(drop)
    }

    /// Takes down what there is of the cluster for tests, whether it is healthy or not.
    pub fn clear() -> Result<()> {
        stop::down(&Layout::from_environment(), &say).map(drop)
    }

    /// The cluster for tests. An error where there is a `refusal`.
    pub fn ensure() -> Result<Self> {
        let layout = Layout::from_environment();
        let Some(kubeconfig) = std::env::var_os(GIVEN) else {
            return Self::up(layout);
        };
        let client = Client::given(Path::new(&kubeconfig));
        client
            .kubectl(&["get", "--raw=/readyz"])
            .with_context(|| format!("the cluster of {GIVEN} does not answer"))?;
        Ok(Self {
            client,
            layout,
            given: true,
        })
    }

    /// The cluster of these folders, started if it is not up.
    pub fn up(layout: Layout) -> Result<Self> {
        start::up(&layout, &say)?;
        let client = Client::own(&layout, &Programs::cached(layout.cache()));
        Ok(Self {
            client,
            layout,
            given: false,
        })
    }

    /// Ends it and removes all that it made.
    pub fn down(self) -> Result<()> {
        self.only_own("ended")?;
        stop::down(&self.layout, &say).map(drop)
    }

    /// What is left of a cluster of these folders on this machine; empty unless it is up.
    pub fn leftovers(layout: &Layout) -> Result<Vec<String>> {
        leftovers::find(layout)
    }

    /// The administrator's KUBECONFIG.
    pub fn kubeconfig(&self) -> &Path {
        self.client.kubeconfig()
    }

    /// What `kubectl` prints.
    pub fn kubectl(&self, arguments: &[&str]) -> Result<String> {
        self.client.kubectl(arguments)
    }

    /// The same with something on its standard input.
    pub fn kubectl_with_input(&self, arguments: &[&str], input: &str) -> Result<String> {
        self.client.kubectl_with_input(arguments, input)
    }

    /// Applies objects.
    pub fn apply(&self, yaml: &str) -> Result<()> {
        self.kubectl_with_input(&["apply", "--filename=-"], yaml).map(drop)
    }

    /// A `kubectl` to be run in another way.
    pub fn kubectl_command(&self) -> Command {
        self.client.kubectl_command()
    }

    /// What `helm` prints.
    pub fn helm(&self, arguments: &[&str]) -> Result<String> {
        self.client.helm(arguments)
    }

    /// Builds an image from a Dockerfile and gives it to the node. Pods that use it need `imagePullPolicy: IfNotPresent`.
    pub fn load_image(&self, dockerfile: &Path, context: &Path, name: &str) -> Result<()> {
        self.build_image(&Build::new(dockerfile, context, name))
    }

    /// The same, with all that can be said about a build.
    pub fn build_image(&self, wanted: &Build<'_>) -> Result<()> {
        let folder = tempfile::tempdir()?;
        let archive = folder.path().join("image.tar");
        programs::install_packages(&say)?;
        images::build(&self.layout, wanted, &archive)?;
        self.import(&archive)
    }

    /// Gives the node an image with Prometheus and nginx; its name.
    pub fn load_neighbours(&self) -> Result<&'static str> {
        let name = images::neighbours::NAME;
        if !self.images()?.iter().any(|there| there == name) {
            programs::install_packages(&say)?;
            self.import(&images::neighbours::ensure(&self.layout, &say)?)?;
        }
        Ok(name)
    }

    fn import(&self, archive: &Path) -> Result<()> {
        if !self.given {
            return images::import(&self.layout, archive);
        }
        let load = std::env::var(GIVEN_LOAD).with_context(|| {
            format!("{GIVEN_LOAD} must say how the cluster gets images, for example \"kind load image-archive\"")
        })?;
        let mut words = load.split_whitespace();
        let program = words.next().with_context(|| format!("{GIVEN_LOAD} is empty"))?;
        shell::output(Command::new(program).args(words).arg(archive)).map(drop)
    }

    /// The names of the images that the node is known to have; of a given cluster that is none.
    pub fn images(&self) -> Result<Vec<String>> {
        if self.given {
            return Ok(Vec::new());
        }
        images::Store::new(&self.layout).images()
    }

    /// Makes the node forget an image. Containers that run it go on.
    pub fn forget_image(&self, name: &str) -> Result<()> {
        self.only_own("changed")?;
        images::forget(&self.layout, name)
    }

    /// Stops one component, as a failure would.
    pub fn stop(&self, component: Component) -> Result<()> {
        self.only_own("changed")?;
        let _lock = record::lock(&say)?;
        let registry = record::open(&self.layout)?.context("the cluster is down")?;
        process::stop(&[component], &registry, ABRUPT)
    }

    /// Starts it again.
    pub fn start(&self, component: Component) -> Result<()> {
        self.only_own("changed")?;
        let _lock = record::lock(&say)?;
        let registry = record::open(&self.layout)?.context("the cluster is down")?;
        if process::running(component, &registry)?.is_some() {
            return Ok(());
        }
        process::start(
            component,
            &self.layout,
            &Programs::cached(self.layout.cache()),
            &registry,
        )
    }

    fn only_own(&self, verb: &str) -> Result<()> {
        if self.given {
            bail!("the cluster of {GIVEN} is not ours to be {verb}");
        }
        Ok(())
    }
}

/// A helm of this machine: the one that clusters use, or one on PATH.
pub fn helm_program() -> Option<PathBuf> {
    let own = Programs::cached(Layout::new(None).cache()).path("helm");
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).map(|folder| folder.join("helm"));
    std::iter::once(own).chain(folders).find(|program| program.is_file())
}

/// What the environment says of tests on a cluster.
fn switch() -> Option<&'static str> {
    let value = std::env::var_os(SWITCH)?;
    ["0", "keep"].into_iter().find(|known| value == *known)
}

/// Whose cluster is in the way of ours. What a crash left of ours is not.
fn others(layout: &Layout) -> Option<String> {
    if record::open(layout).is_ok_and(|found| found.is_some()) {
        return None;
    }
    let free = record::refuse_other_owner(layout).and_then(|()| machine::refuse_others(layout));
    free.err().map(|error| format!("{error:#}"))
}

/// For people who watch.
fn say(line: &str) {
    // There is nobody to tell if this fails.
    let _ = writeln!(std::io::stderr(), "cluster: {line}");
}

//! Where a cluster keeps its files, and the addresses that it uses.
//!
//! `run` dies with the cluster; `kept` holds imported images, so that the next start has them; the cache holds what was
//! built from source and is shared by all state folders.

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use operator::envoy_binary::default_cache_dir;
use operator::process::RunId;

/// The release of every Kubernetes component.
pub(super) const KUBERNETES: &str = "1.37.2";
/// The one node.
pub(super) const NODE: &str = "node1";
/// An address of our own on `lo`, so that nothing depends on the machine's network: shared address space (RFC 6598).
pub(super) const ADDRESS: Ipv4Addr = Ipv4Addr::new(100, 127, 255, 1);
/// Where pods live.
pub(super) const POD_SUBNET: &str = "10.88.0.0/24";
/// Where Services live.
pub(super) const SERVICE_SUBNET: &str = "10.96.0.0/16";
/// The first address of the Service subnet: the API server, as pods see it.
pub(super) const API_SERVICE: Ipv4Addr = Ipv4Addr::new(10, 96, 0, 1);
/// Cluster DNS.
pub(super) const DNS: Ipv4Addr = Ipv4Addr::new(10, 96, 0, 10);
/// The bridge that pods hang on.
pub(super) const BRIDGE: &str = "cni0";
/// Where Services are routed to on a machine without a default route.
pub(super) const LINK: &str = "tulle-services";
/// Its other end.
pub(super) const LINK_END: &str = "tulle-nowhere";
/// Links of a cluster that go with it.
pub(super) const LINKS: [&str; 2] = [BRIDGE, LINK];
/// The API server's port.
pub(super) const API_PORT: u16 = 6443;

/// The state folder of tests and commands.
pub(super) const STATE: &str = "TULLE_E2E_STATE";
const DEFAULT_STATE: &str = "/var/lib/tulle-e2e";
const IMAGES: &str = "images";

/// The control group (below the root of each hierarchy) that holds the pods of a cluster; the root unless it is set.
pub(super) const CGROUP: &str = "TULLE_E2E_CGROUP";

/// Where images are built; a folder of the cluster's images unless it is set.
pub(super) const BUILDS: &str = "TULLE_E2E_BUILDS";

/// The folders of one cluster.
#[derive(Clone, Debug)]
pub struct Layout {
    state: PathBuf,
    cache: PathBuf,
    cgroup: String,
    builds: PathBuf,
}

impl Layout {
    /// The folders of the cluster that tests use.
    pub fn from_environment() -> Self {
        Self::new(std::env::var_os(STATE).map(PathBuf::from).as_deref())
    }

    /// The folders of a state folder.
    pub fn new(state: Option<&Path>) -> Self {
        let (xdg, home) = (std::env::var_os("XDG_CACHE_HOME"), std::env::var_os("HOME"));
        let cache = default_cache_dir(true, xdg.as_deref(), home.as_deref());
        let state = state.unwrap_or(Path::new(DEFAULT_STATE));
        // Processes write the name down as they get it; it must mean the same from every folder.
        let state = std::path::absolute(state).unwrap_or_else(|_| state.to_owned());
        let builds = std::env::var_os(BUILDS).map(PathBuf::from);
        Self {
            builds: builds.unwrap_or_else(|| state.join(IMAGES).join("buildah")),
            state,
            cache: cache.join("kubernetes"),
            cgroup: std::env::var(CGROUP).unwrap_or_default(),
        }
    }

    /// The folders of the cluster in a room.
    pub(super) fn room(&self, number: usize) -> Self {
        let state = self.state.join(format!("room-{number}"));
        Self {
            // Groups are the machine's, and there are other state folders.
            cgroup: format!("tulle-e2e-{}", RunId::for_folder(&state)),
            state,
            cache: self.cache.clone(),
            builds: self.builds.clone(),
        }
    }

    /// Everything of this cluster.
    pub fn state(&self) -> &Path {
        &self.state
    }

    /// What dies with the cluster.
    pub fn run(&self) -> PathBuf {
        self.state.join("run")
    }

    /// Images, which outlive the cluster.
    pub fn kept(&self) -> PathBuf {
        self.state.join(IMAGES)
    }

    /// Where images are built.
    pub fn builds(&self) -> &Path {
        &self.builds
    }

    /// What was built from source.
    pub fn cache(&self) -> &Path {
        &self.cache
    }

    /// The control group that holds its pods, relative to the root of each hierarchy.
    pub fn cgroup(&self) -> &str {
        &self.cgroup
    }

    /// A certificate, key or kubeconfig.
    pub fn pki(&self, file: &str) -> PathBuf {
        self.run().join("pki").join(file)
    }

    /// A configuration file.
    pub fn config(&self, file: &str) -> PathBuf {
        self.run().join("config").join(file)
    }

    /// The log of a component.
    pub fn log(&self, component: &str) -> PathBuf {
        self.run().join("log").join(format!("{component}.log"))
    }

    /// The socket of containerd.
    pub fn containerd(&self) -> PathBuf {
        self.run().join("containerd.sock")
    }

    /// The administrator's KUBECONFIG.
    pub fn kubeconfig(&self) -> PathBuf {
        self.run().join("kubeconfig")
    }

    /// The KUBECONFIG of a component.
    pub fn kubeconfig_of(&self, user: &str) -> PathBuf {
        self.pki(&format!("{user}.conf"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_absolute_whatever_was_given() {
        let layout = Layout::new(Some(Path::new("some/where")));
        assert!(layout.run().is_absolute());
        assert!(layout.run().ends_with("some/where/run"));
        assert_eq!(Layout::new(None).state(), Path::new(DEFAULT_STATE));
    }
}

//! The network of a run: a namespace for each workload, joined by a bridge in a *hub* namespace.
//!
//! One more link joins the host to the bridge, so that the control plane can be reached. The host's packet filter and
//! settings are never touched, and there is no way from the workloads to the outside. Everything made is in the run's
//! registry first; `cleanup` is the one way to remove it, at the end as after a crash. Interception is not done here.

mod cleanup;
mod error;
mod hosts;
mod ip;
mod member;
mod subnet;

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::Arc;

pub use cleanup::{CleanupError, cleanup, cleanup_previous};
pub use error::NetworkError;
pub use hosts::HostEntry;
pub use member::{Member, MemberSpec};
pub use subnet::Subnet;

use crate::identity::files;
use crate::process::{Entry, Registry, RunId};
use ip::Line;

/// The bridge and its uplink, within the hub.
const BRIDGE: &str = "br0";
const UPLINK: &str = "host";

/// How networks are made.
#[derive(Clone, Debug)]
pub struct NetworkSettings {
    /// The pool from which each run takes a subnet.
    pub pool: Subnet,
    /// The prefix length of a run's subnet.
    pub prefix: u8,
    /// A folder that all runs of this machine share, for a lock.
    pub lock_folder: PathBuf,
}

impl Default for NetworkSettings {
    fn default() -> Self {
        Self {
            // Shared address space (RFC 6598): no private network of a company is in it.
            pool: Subnet {
                address: Ipv4Addr::new(100, 72, 0, 0),
                prefix: 16,
            },
            prefix: 22,
            lock_folder: PathBuf::from("/run/tulle"),
        }
    }
}

/// A run's network.
#[derive(Debug)]
pub struct Network {
    registry: Arc<Registry>,
    subnet: Subnet,
    members: BTreeMap<String, Member>,
    next_port: u32,
}

impl Network {
    /// Makes the hub and the link to the host.
    pub fn create(settings: &NetworkSettings, registry: Arc<Registry>) -> Result<Self, NetworkError> {
        let names = Names::of(registry.id());
        files::ensure_dir(&settings.lock_folder, 0o755).map_err(NetworkError::files(&settings.lock_folder))?;
        let lock = settings.lock_folder.join("network.lock");
        // From the choice of a subnet until it shows on a link, no other run may choose.
        let _lock = files::lock(&lock).map_err(NetworkError::files(&lock))?;
        let used = ip::used_blocks()?;
        let subnet = settings.pool.choose(settings.prefix, registry.id().as_str(), &used)?;
        registry.record(&[
            Entry::Link {
                name: names.link.clone(),
            },
            Entry::Namespace {
                name: names.hub.clone(),
            },
        ])?;
        make_hub(&names, subnet)?;
        Ok(Self {
            registry,
            subnet,
            members: BTreeMap::new(),
            next_port: 0,
        })
    }

    /// The run's subnet.
    pub fn subnet(&self) -> Subnet {
        self.subnet
    }

    /// The address at which members reach the host, so the control plane.
    pub fn host_address(&self) -> Ipv4Addr {
        self.subnet.host()
    }

    /// A member by its name.
    pub fn member(&self, name: &str) -> Option<&Member> {
        self.members.get(name)
    }

    /// All members, by name.
    pub fn members(&self) -> impl Iterator<Item = &Member> {
        self.members.values()
    }
}

fn make_hub(names: &Names, subnet: Subnet) -> Result<(), NetworkError> {
    ip::batch(
        None,
        &[
            Line::AddNamespace(names.hub.clone()),
            Line::AddPairTo {
                name: names.link.clone(),
                peer: UPLINK.into(),
                peer_namespace: names.hub.clone(),
            },
            Line::AddAddress {
                address: subnet.host(),
                prefix: subnet.prefix,
                link: names.link.clone(),
            },
            Line::Up(names.link.clone()),
        ],
    )?;
    ip::batch(
        Some(&names.hub),
        &[
            Line::Up("lo".into()),
            Line::AddBridge(BRIDGE.into()),
            Line::Join {
                link: UPLINK.into(),
                bridge: BRIDGE.into(),
            },
            Line::AddAddress {
                address: subnet.gateway(),
                prefix: subnet.prefix,
                link: BRIDGE.into(),
            },
            Line::Up(UPLINK.into()),
            Line::Up(BRIDGE.into()),
        ],
    )?;
    // Without forwarding the hub would swallow packets to nowhere, and callers would wait instead of failing.
    // Redirects, which members would ignore, count against the rate of those answers.
    let redirects = ["all", "default", BRIDGE].map(|link| (format!("net/ipv4/conf/{link}/send_redirects"), "0"));
    let forwarding = [
        ("net/ipv4/ip_forward".to_owned(), "1"),
        ("net/ipv4/icmp_ratelimit".to_owned(), "0"),
    ];
    ip::set(&names.hub, &[&forwarding[..], &redirects[..]].concat())
}

/// Names in the host's namespace; all begin with the run.
struct Names {
    hub: String,
    link: String,
    prefix: String,
}

impl Names {
    fn of(id: &RunId) -> Self {
        let prefix = format!("tulle-{id}-");
        // The double hyphen keeps it apart from a member that is called "hub".
        Self {
            hub: format!("tulle-{id}--hub"),
            link: format!("tul{id}"),
            prefix,
        }
    }
}

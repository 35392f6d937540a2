//! What a run's workloads stand on: network namespaces with interception, or loopback addresses of this machine.
//!
//! With namespaces every application has a machine to itself and knows nothing. On loopback addresses nothing is made and no
//! right is needed, but nothing separates either: any process of this machine can dial an application directly, or use
//! another workload's outbound ports.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, bail};
use config::LoopbackBlock;
use k8s_openapi::api::core::v1::Service;
use xxhash_rust::xxh3::xxh3_64;

use super::desired::{DesiredMember, hosts};
use crate::intercept::{self, Interception, Place};
use crate::netns::{MemberSpec, Network, NetworkSettings};
use crate::process::{ENVOY_UID, Registry, User};

/// The user of the application with the address that ends in 0.0.
const FIRST_APPLICATION_UID: u32 = 0x5455_0000;
/// Whoever listens here, at the control plane's address, has the block. The kernel lets go of it when that process ends.
const CLAIM_PORT: u16 = 15_011;

/// How workloads are to be kept apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Isolation {
    /// Each in a network namespace of its own; needs root.
    Namespaces,
    /// Not at all: loopback addresses.
    Loopback {
        /// The folder in which the run makes one for its small files.
        files: PathBuf,
    },
}

/// Where a workload's processes run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seat {
    /// In this network namespace, as users of their own.
    Namespace(String),
    /// Among all other processes, as our own user.
    Loopback,
}

impl Seat {
    /// The network namespace, if it is not ours.
    pub fn namespace(&self) -> Option<String> {
        match self {
            Self::Namespace(name) => Some(name.clone()),
            Self::Loopback => None,
        }
    }

    /// Envoy's user, if it is not ours.
    pub(super) fn envoy_user(&self) -> Option<User> {
        self.user(ENVOY_UID)
    }

    /// Applications of a run see each other's processes: a user of its own keeps each from the others' environment. Far
    /// above any user that a system gives out.
    pub(super) fn application_user(&self, address: Ipv4Addr) -> Option<User> {
        self.user(FIRST_APPLICATION_UID + (address.to_bits() & 0xFFFF))
    }

    /// The address that a proxy of this workload must dial from: in a namespace there is only one.
    pub(super) fn source(&self, address: Ipv4Addr) -> Option<IpAddr> {
        match self {
            Self::Namespace(_) => None,
            Self::Loopback => Some(address.into()),
        }
    }

    fn user(&self, id: u32) -> Option<User> {
        match self {
            Self::Namespace(_) => Some(User { uid: id, gid: id }),
            Self::Loopback => None,
        }
    }
}

/// The ground of a run.
#[derive(Debug)]
pub(super) enum Ground {
    /// Namespaces.
    Namespaces(Network),
    /// Loopback addresses.
    Loopback(Claim),
}

/// A loopback block that is ours until we end.
#[derive(Debug)]
pub(super) struct Claim {
    block: LoopbackBlock,
    _listener: TcpListener,
}

impl Claim {
    /// Takes a block; for a run always the same one, unless another run has it.
    fn take(registry: &Registry) -> anyhow::Result<Self> {
        let seed = xxh3_64(registry.id().as_str().as_bytes()) % u64::from(LoopbackBlock::COUNT);
        for step in 0..u64::from(LoopbackBlock::COUNT) {
            let block = LoopbackBlock::nth(seed + step);
            let address = SocketAddr::from((block.control_plane(), CLAIM_PORT));
            match TcpListener::bind(address) {
                Ok(listener) => {
                    return Ok(Self {
                        block,
                        _listener: listener,
                    });
                }
                Err(error) if error.kind() == io::ErrorKind::AddrInUse => {}
                Err(error) => {
                    return Err(error).with_context(|| format!("cannot listen on the loopback address {address}"));
                }
            }
        }
        bail!(
            "{} runs on loopback addresses are under way on this machine; end one",
            LoopbackBlock::COUNT
        )
    }
}

impl Ground {
    pub(super) fn make(isolation: &Isolation, registry: &Arc<Registry>) -> anyhow::Result<Self> {
        Ok(match isolation {
            Isolation::Namespaces => {
                Self::Namespaces(Network::create(&NetworkSettings::default(), Arc::clone(registry))?)
            }
            Isolation::Loopback { .. } => Self::Loopback(Claim::take(registry)?),
        })
    }

    /// What it is, for people.
    pub(super) fn describe(&self) -> String {
        match self {
            Self::Namespaces(network) => format!("network {} is up", network.subnet()),
            Self::Loopback(claim) => format!("loopback addresses are taken from {}", claim.block),
        }
    }

    /// Where the control plane listens.
    pub(super) fn control_plane(&self) -> Ipv4Addr {
        match self {
            Self::Namespaces(network) => network.host_address(),
            Self::Loopback(claim) => claim.block.control_plane(),
        }
    }

    /// What the control plane must know of it.
    pub(super) fn plane_arguments(&self) -> [OsString; 2] {
        match self {
            Self::Namespaces(network) => ["--workload-subnet".into(), network.subnet().to_string().into()],
            Self::Loopback(claim) => ["--loopback-block".into(), claim.block.to_string().into()],
        }
    }

    /// The network, if the workloads have namespaces.
    pub(super) fn network(&mut self) -> Option<&mut Network> {
        match self {
            Self::Namespaces(network) => Some(network),
            Self::Loopback(_) => None,
        }
    }

    /// Whether a workload can run here. If not, the compiler has said so: nothing is served for it either.
    pub(super) fn holds(&self, desired: &DesiredMember) -> bool {
        match self {
            Self::Namespaces(_) => true,
            Self::Loopback(claim) => claim.block.holds(desired.address.into()),
        }
    }

    /// Makes a seat: a namespace, with interception in place before anything can start in it.
    pub(super) fn seat(&mut self, desired: &DesiredMember) -> anyhow::Result<Seat> {
        let network = match self {
            Self::Namespaces(network) => network,
            Self::Loopback(_) => return Ok(Seat::Loopback),
        };
        let made = network.add(&[MemberSpec {
            name: desired.member_name(),
            address: Some(desired.address),
        }])?;
        let namespace = made.into_iter().next().context("no namespace was made")?.namespace;
        let interception = Interception::new(BTreeSet::from([IpAddr::V4(desired.address)]), ENVOY_UID);
        match intercept::apply(&interception, Place::Namespace(&namespace)) {
            Ok(()) => Ok(Seat::Namespace(namespace)),
            Err(error) => {
                self.clear(&desired.member_name());
                Err(error.into())
            }
        }
    }

    /// Lets a workload's processes resolve the Services' names; on loopback addresses they are told URLs instead.
    pub(super) fn set_hosts(&self, desired: &DesiredMember, services: &[Service]) -> anyhow::Result<()> {
        if let Self::Namespaces(network) = self {
            network.set_hosts(&desired.member_name(), &hosts(services, &desired.namespace))?;
        }
        Ok(())
    }

    /// Removes a seat, whose processes must have ended. What cannot be removed now, the end of the run removes.
    pub(super) fn clear(&mut self, member: &str) {
        if let Self::Namespaces(network) = self
            && let Err(error) = network.remove(member)
        {
            tracing::warn!(member, %error, "cannot remove its namespace");
        }
    }
}

/// The folder of a run's small files below `XDG_RUNTIME_DIR`, else in the state folder.
pub fn loopback_files(runtime_dir: Option<&Path>, state_dir: &Path) -> PathBuf {
    runtime_dir.map_or_else(|| state_dir.join("run"), Path::to_owned)
}

//! Why a network cannot be made.

use std::io;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use super::subnet::Subnet;
use crate::process::RegistryError;

/// Why a network cannot be made or changed.
#[derive(Debug, thiserror::Error)]
pub enum NetworkError {
    /// `ip` is not installed.
    #[error("`ip` is not installed; install the package iproute2 (Debian: apt install iproute2)")]
    NoIp,
    /// We may not.
    #[error("network namespaces need root ({0}); run as root, or with --loopback")]
    NotPermitted(String),
    /// `ip` refused.
    #[error(
        "`ip {command}` failed: {message}; see what is there with `ip netns` and `ip link`, or end the run and start it again"
    )]
    Ip {
        /// The line that failed.
        command: String,
        /// Its words.
        message: String,
    },
    /// No block of the pool is free.
    #[error("every part of {pool} is in use on this machine; end other runs or choose another pool")]
    PoolUsed {
        /// The pool.
        pool: Subnet,
    },
    /// The subnet is full.
    #[error("the subnet {0} has no address left; split the mesh into several runs or choose a larger subnet")]
    SubnetFull(Subnet),
    /// An address is somebody else's.
    #[error("{member} cannot have the address {address}, which is in use here; choose another one or leave it out")]
    AddressInUse {
        /// The member.
        member: String,
        /// Its address.
        address: Ipv4Addr,
    },
    /// Not a name for a namespace.
    #[error("{0:?} cannot name a namespace; use letters, digits, '.', '-' and '_', at most 200 of them")]
    BadName(String),
    /// There is one already.
    #[error("{0} is a member already; remove it first")]
    Exists(String),
    /// There is none.
    #[error("there is no member {0}; add it first")]
    Unknown(String),
    /// A file cannot be used.
    #[error("cannot use {path}: {source}; check its permissions")]
    Files {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The registry cannot be written, so nothing may be made.
    #[error(transparent)]
    Registry(#[from] RegistryError),
}

impl NetworkError {
    /// For `map_err` on file operations.
    pub(super) fn files(path: &Path) -> impl FnOnce(io::Error) -> Self + use<> {
        let path = path.to_owned();
        move |source| Self::Files { path, source }
    }
}

//! Interception: the packet filter rules that lead a workload's TCP connections through its Envoy.
//!
//! Rendering is pure (`rules`); applying is one `iptables-restore` a family, which is atomic, and repeating it changes
//! nothing. Only our own chains and the two jumps into them are touched. UDP passes by. IPv6 is intercepted wherever the
//! kernel has it, also if the workload has no IPv6 address: otherwise it would be a way around the mesh.

mod apply;
mod rules;

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

pub use apply::{InterceptError, Place, apply, remove};
pub use rules::{Family, render, render_removal};

/// Where Envoy takes connections to the workload.
pub const INBOUND_PORT: u16 = 15006;
/// Where Envoy takes connections of the workload.
pub const OUTBOUND_PORT: u16 = 15001;

/// An address block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cidr {
    /// Any address of the block.
    pub address: IpAddr,
    /// The length of its prefix.
    pub prefix: u8,
}

impl std::str::FromStr for Cidr {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let error = || format!("{text:?} is not an address block; write for example 10.1.0.0/16 or fd00::/8");
        let (address, prefix) = text.split_once('/').map_or((text, None), |(a, p)| (a, Some(p)));
        let address: IpAddr = address.parse().map_err(|_| error())?;
        let longest = if address.is_ipv4() { 32 } else { 128 };
        let prefix = prefix.map_or(Ok(longest), |p| p.parse().map_err(|_| error()))?;
        if prefix > longest {
            return Err(error());
        }
        Ok(Self { address, prefix })
    }
}

/// What to intercept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interception {
    /// The workload's own addresses.
    pub own_addresses: BTreeSet<IpAddr>,
    /// Envoy's port for connections to the workload, usually [`INBOUND_PORT`].
    pub inbound_port: u16,
    /// Envoy's port for connections of the workload, usually [`OUTBOUND_PORT`].
    pub outbound_port: u16,
    /// The user that Envoy runs as, whose connections go where they want to.
    pub envoy_uid: u32,
    /// Ports of the workload that callers reach without Envoy.
    pub excluded_inbound_ports: BTreeSet<u16>,
    /// Ports that the workload calls without Envoy.
    pub excluded_outbound_ports: BTreeSet<u16>,
    /// Addresses that the workload calls without Envoy.
    pub excluded_outbound: BTreeSet<Cidr>,
    /// The control plane's xDS address, called without Envoy.
    pub xds: Option<SocketAddr>,
}

impl Interception {
    /// The usual interception of a workload with these addresses.
    pub fn new(own_addresses: BTreeSet<IpAddr>, envoy_uid: u32) -> Self {
        Self {
            own_addresses,
            inbound_port: INBOUND_PORT,
            outbound_port: OUTBOUND_PORT,
            envoy_uid,
            excluded_inbound_ports: BTreeSet::new(),
            excluded_outbound_ports: BTreeSet::new(),
            excluded_outbound: BTreeSet::new(),
            xds: None,
        }
    }
}

//! IPv4 blocks: which one a run takes, and which address a member gets in it.
//!
//! Both follow from names by a hash, with the next free one after it, so that a second start finds the same addresses
//! unless something else has taken them meanwhile.

use std::collections::BTreeSet;
use std::fmt;
use std::net::Ipv4Addr;

use xxhash_rust::xxh3::xxh3_64;

use super::error::NetworkError;

/// An IPv4 block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Subnet {
    /// An address in it; the first one, in blocks that we choose.
    pub address: Ipv4Addr,
    /// The length of its prefix.
    pub prefix: u8,
}

impl Subnet {
    /// The gateway of the members: the bridge.
    pub fn gateway(self) -> Ipv4Addr {
        self.nth(1)
    }

    /// The host's address.
    pub fn host(self) -> Ipv4Addr {
        self.nth(2)
    }

    /// Whether an address is in the block.
    pub fn contains(self, address: Ipv4Addr) -> bool {
        self.overlaps(Self { address, prefix: 32 })
    }

    /// Whether two blocks share an address.
    pub fn overlaps(self, other: Self) -> bool {
        let mask = mask(self.prefix.min(other.prefix));
        self.address.to_bits() & mask == other.address.to_bits() & mask
    }

    fn size(self) -> u32 {
        1_u32
            .checked_shl(u32::from(32 - self.prefix.min(32)))
            .unwrap_or(u32::MAX)
    }

    fn nth(self, n: u32) -> Ipv4Addr {
        Ipv4Addr::from_bits((self.address.to_bits() & mask(self.prefix)).wrapping_add(n))
    }

    /// A block of the pool that overlaps none of `used`; the same one for a seed whenever it is free.
    pub(super) fn choose(self, prefix: u8, seed: &str, used: &[Self]) -> Result<Self, NetworkError> {
        let prefix = prefix.clamp(self.prefix, 29);
        let blocks = 1_u32 << u32::from(prefix - self.prefix).min(24);
        let block = |n: u32| Self {
            address: self.nth(n << (32 - u32::from(prefix))),
            prefix,
        };
        probe(seed, blocks)
            .map(block)
            .find(|candidate| !used.iter().any(|other| other.overlaps(*candidate)))
            .ok_or(NetworkError::PoolUsed { pool: self })
    }

    /// A free address of the block for a member; the same one for a name whenever it is free.
    pub fn address_for(self, name: &str, used: &BTreeSet<Ipv4Addr>) -> Result<Ipv4Addr, NetworkError> {
        // Network, gateway, host and broadcast are taken.
        let free = self.size().saturating_sub(4);
        probe(name, free)
            .map(|n| self.nth(n + 3))
            .find(|address| !used.contains(address))
            .ok_or(NetworkError::SubnetFull(self))
    }
}

/// All numbers below `count`, from one that the seed decides.
fn probe(seed: &str, count: u32) -> impl Iterator<Item = u32> {
    let first = xxh3_64(seed.as_bytes()) % u64::from(count.max(1));
    let first = u32::try_from(first).unwrap_or(0);
    (first..count).chain(0..first)
}

fn mask(prefix: u8) -> u32 {
    u32::MAX.checked_shl(u32::from(32 - prefix.min(32))).unwrap_or(0)
}

impl std::str::FromStr for Subnet {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = || format!("{text:?} is not an IPv4 block; write it as 100.72.4.0/22");
        let (address, prefix) = text.split_once('/').ok_or_else(error)?;
        let prefix: u8 = prefix.parse().ok().filter(|prefix| *prefix <= 30).ok_or_else(error)?;
        Ok(Self {
            address: address.parse().map_err(|_| error())?,
            prefix,
        })
    }
}

impl fmt::Display for Subnet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

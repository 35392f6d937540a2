//! Addresses of processes that `tulle up --run` starts: from the run's subnet or loopback block, by hash of their name, kept in a file.
//!
//! Kept, because an address is part of what is served: a restart of the control plane must find the same ones. An
//! address outside of it (the run had to take another one) is given anew.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use config::LoopbackBlock;
use xxhash_rust::xxh3::xxh3_64;

use super::{AllocateError, WorkloadAddresses};
use crate::identity::files;
use crate::netns::Subnet;

/// Where addresses are taken from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pool {
    /// A network of the run's own.
    Subnet(Subnet),
    /// Loopback addresses.
    Loopback(LoopbackBlock),
}

impl Pool {
    fn contains(self, address: Ipv4Addr) -> bool {
        match self {
            Self::Subnet(subnet) => subnet.contains(address),
            Self::Loopback(block) => block.holds(address.into()),
        }
    }

    /// A free address; the same one for a name whenever it is free.
    fn address_for(self, name: &str, given: &BTreeMap<String, Ipv4Addr>) -> Option<Ipv4Addr> {
        let mut taken: BTreeSet<Ipv4Addr> = given.values().copied().collect();
        match self {
            Self::Subnet(subnet) => {
                taken.extend([subnet.gateway(), subnet.host()]);
                subnet.address_for(name, &taken).ok()
            }
            Self::Loopback(block) => {
                let first = xxh3_64(name.as_bytes()) % u64::from(LoopbackBlock::WORKLOADS);
                (0..u64::from(LoopbackBlock::WORKLOADS))
                    .map(|step| block.workload(first + step))
                    .find(|address| !taken.contains(address))
            }
        }
    }
}

/// Addresses of a pool, kept in `<state_dir>/workload-addresses.json`.
pub fn kept(pool: Pool, state_dir: &Path) -> Result<WorkloadAddresses, AllocateError> {
    let path = state_dir.join("workload-addresses.json");
    let given: BTreeMap<String, Ipv4Addr> = match fs::read(&path) {
        Ok(content) => serde_json::from_slice(&content).map_err(|error| AllocateError::Damaged {
            path: path.clone(),
            reason: error.to_string(),
        })?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => BTreeMap::new(),
        Err(source) => return Err(AllocateError::Io { path, source }),
    };
    let table = Mutex::new(Table { path, pool, given });
    Ok(WorkloadAddresses::by(move |namespace, name| {
        table
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .address(&format!("{namespace}/{name}"))
    }))
}

struct Table {
    path: PathBuf,
    pool: Pool,
    given: BTreeMap<String, Ipv4Addr>,
}

impl Table {
    /// The address of a workload; absent when it cannot be kept, since an address that is forgotten must not be used.
    fn address(&mut self, workload: &str) -> Option<IpAddr> {
        if let Some(address) = self.given.get(workload).filter(|address| self.pool.contains(**address)) {
            return Some(IpAddr::V4(*address));
        }
        let address = self.pool.address_for(workload, &self.given)?;
        let mut next = self.given.clone();
        next.insert(workload.to_owned(), address);
        let content = serde_json::to_vec_pretty(&next).ok()?;
        if let Err(error) = files::write_atomic(&self.path, &content, 0o600) {
            tracing::error!(path = %self.path.display(), %error, "cannot keep workload addresses; make room there");
            return None;
        }
        self.given = next;
        Some(IpAddr::V4(address))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_kept_over_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let subnet = Subnet {
            address: Ipv4Addr::new(100, 72, 4, 0),
            prefix: 22,
        };
        let first = kept(Pool::Subnet(subnet), dir.path()).unwrap();
        let orders = first.of("shop", "orders-1").unwrap();
        let payments = first.of("shop", "payments-1").unwrap();
        assert_ne!(orders, payments);
        let second = kept(Pool::Subnet(subnet), dir.path()).unwrap();
        assert_eq!(second.of("shop", "payments-1"), Some(payments));
        assert_eq!(second.of("shop", "orders-1"), Some(orders));
    }

    #[test]
    fn another_pool_gives_anew_and_a_loopback_block_holds_what_it_gives() {
        let dir = tempfile::tempdir().unwrap();
        let subnet = Subnet {
            address: Ipv4Addr::new(100, 72, 4, 0),
            prefix: 22,
        };
        let elsewhere = kept(Pool::Subnet(subnet), dir.path()).unwrap().of("shop", "orders-1");
        let block = LoopbackBlock::nth(2);
        let addresses = kept(Pool::Loopback(block), dir.path()).unwrap();
        let orders = addresses.of("shop", "orders-1").unwrap();
        assert_ne!(elsewhere, Some(orders));
        let all: BTreeSet<IpAddr> = (0..500).filter_map(|n| addresses.of("shop", &n.to_string())).collect();
        assert_eq!(all.len(), 500);
        assert!(!all.contains(&orders) && all.iter().all(|address| block.holds(*address)));
        let again = kept(Pool::Loopback(block), dir.path()).unwrap();
        assert_eq!(again.of("shop", "orders-1"), Some(orders));
    }
}

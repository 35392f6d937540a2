//! Addresses of processes that `tulle up --run` starts: from the run's subnet, by hash of their name, kept in a file.
//!
//! Kept, because an address is part of what is served: a restart of the control plane must find the same ones. An
//! address outside the subnet (the run had to take another block) is given anew.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use super::{AllocateError, WorkloadAddresses};
use crate::identity::files;
use crate::netns::Subnet;

/// Addresses of a subnet, kept in `<state_dir>/workload-addresses.json`.
pub fn kept(subnet: Subnet, state_dir: &Path) -> Result<WorkloadAddresses, AllocateError> {
    let path = state_dir.join("workload-addresses.json");
    let given: BTreeMap<String, Ipv4Addr> = match fs::read(&path) {
        Ok(content) => serde_json::from_slice(&content).map_err(|error| AllocateError::Damaged {
            path: path.clone(),
            reason: error.to_string(),
        })?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => BTreeMap::new(),
        Err(source) => return Err(AllocateError::Io { path, source }),
    };
    let table = Mutex::new(Table { path, subnet, given });
    Ok(WorkloadAddresses::by(move |namespace, name| {
        table
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .address(&format!("{namespace}/{name}"))
    }))
}

struct Table {
    path: PathBuf,
    subnet: Subnet,
    given: BTreeMap<String, Ipv4Addr>,
}

impl Table {
    /// The address of a workload; absent when it cannot be kept, since an address that is forgotten must not be used.
    fn address(&mut self, workload: &str) -> Option<IpAddr> {
        if let Some(address) = self
            .given
            .get(workload)
            .filter(|address| self.subnet.contains(**address))
        {
            return Some(IpAddr::V4(*address));
        }
        let mut taken: std::collections::BTreeSet<Ipv4Addr> = self.given.values().copied().collect();
        taken.extend([self.subnet.gateway(), self.subnet.host()]);
        let address = self.subnet.address_for(workload, &taken).ok()?;
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
        let first = kept(subnet, dir.path()).unwrap();
        let orders = first.of("shop", "orders-1").unwrap();
        let payments = first.of("shop", "payments-1").unwrap();
        assert_ne!(orders, payments);
        let second = kept(subnet, dir.path()).unwrap();
        assert_eq!(second.of("shop", "payments-1"), Some(payments));
        assert_eq!(second.of("shop", "orders-1"), Some(orders));
    }
}

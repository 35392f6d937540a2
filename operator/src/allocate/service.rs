//! Virtual addresses of Services, by hash of their name, kept in a file.
//!
//! The hash makes a lost file harmless in most cases; the file makes collisions stable. An entry stays when its Service
//! is removed, so that the address comes back with it and goes to nobody else.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use config::{LoopbackBlock, Placement};
use xxhash_rust::xxh3::xxh3_64;

use crate::identity::files;

/// The addresses that Services are given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Range {
    first: u32,
    count: u32,
}

impl Range {
    fn of(placement: Placement) -> Self {
        match placement {
            // 240.0.0.0 to 254.255.255.255: class E without what is broadcast.
            Placement::Intercepted => Self {
                first: 0xF000_0000,
                count: 15 << 24,
            },
            // Only these have a place at each caller.
            Placement::Loopback(_) => Self {
                first: LoopbackBlock::FIRST_SERVICE.to_bits(),
                count: LoopbackBlock::SERVICES,
            },
        }
    }

    fn contains(self, address: Ipv4Addr) -> bool {
        address.to_bits().wrapping_sub(self.first) < self.count
    }

    /// The first free address from the name's hash on.
    fn free_address(self, name: &str, taken: &BTreeSet<Ipv4Addr>) -> Option<Ipv4Addr> {
        let start = u32::try_from(xxh3_64(name.as_bytes()) % u64::from(self.count)).unwrap_or(0);
        (0..self.count)
            .map(|step| Ipv4Addr::from_bits(self.first + (start + step) % self.count))
            .find(|address| !matches!(address.octets(), [.., 0 | 255]) && !taken.contains(address))
    }
}

/// Why Services have no addresses.
#[derive(Debug, thiserror::Error)]
pub enum AllocateError {
    /// Reading or writing the file failed.
    #[error("cannot keep Service addresses in {path}: {source}; make the state folder writable and make room there")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file does not parse.
    #[error("{path} is damaged ({reason}); restore it, or remove it to allocate addresses anew")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// Loopback blocks are small.
    #[error(
        "there is no room for the address of Service {0}: {1} is the most on loopback addresses; remove Services, or the file \
             service-addresses.json in the state folder if many have gone, or run with root"
    )]
    Full(String, u32),
}

/// The addresses given so far.
#[derive(Debug)]
pub struct ServiceAddresses {
    range: Range,
    file: Option<PathBuf>,
    by_service: BTreeMap<String, Ipv4Addr>,
}

impl ServiceAddresses {
    /// Addresses that nobody keeps, for offline checks.
    pub fn in_memory() -> Self {
        Self {
            range: Range::of(Placement::Intercepted),
            file: None,
            by_service: BTreeMap::new(),
        }
    }

    /// The addresses kept in `<state_dir>/service-addresses.json`. One that the placement has no use for is given anew.
    pub fn open(state_dir: &Path, placement: Placement) -> Result<Self, AllocateError> {
        let path = state_dir.join("service-addresses.json");
        let by_service = match fs::read(&path) {
            Ok(content) => serde_json::from_slice(&content).map_err(|error| AllocateError::Damaged {
                path: path.clone(),
                reason: error.to_string(),
            })?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => BTreeMap::new(),
            Err(source) => return Err(AllocateError::Io { path, source }),
        };
        Ok(Self {
            range: Range::of(placement),
            file: Some(path),
            by_service,
        })
    }

    /// Gives an address to each of `services` (`namespace/name`) that has none, sparing `reserved` ones. On error none
    /// is given.
    pub fn assign(&mut self, services: &BTreeSet<String>, reserved: &BTreeSet<Ipv4Addr>) -> Result<(), AllocateError> {
        let missing: Vec<&String> = services.iter().filter(|name| self.get(name).is_none()).collect();
        if missing.is_empty() {
            return Ok(());
        }
        let mut taken: BTreeSet<Ipv4Addr> = self
            .by_service
            .values()
            .copied()
            .chain(reserved.iter().copied())
            .collect();
        let mut next = self.by_service.clone();
        for name in missing {
            let full = || AllocateError::Full(name.clone(), self.range.count);
            let address = self.range.free_address(name, &taken).ok_or_else(full)?;
            taken.insert(address);
            next.insert(name.clone(), address);
        }
        if let Some(path) = &self.file {
            let io = |source: io::Error| AllocateError::Io {
                path: path.clone(),
                source,
            };
            let content = serde_json::to_vec_pretty(&next).map_err(|error| io(error.into()))?;
            files::write_atomic(path, &content, 0o600).map_err(io)?;
        }
        self.by_service = next;
        Ok(())
    }

    /// The address of `namespace/name`.
    pub fn get(&self, service: &str) -> Option<Ipv4Addr> {
        self.by_service
            .get(service)
            .copied()
            .filter(|address| self.range.contains(*address))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn addresses_are_kept_over_a_restart_and_a_removal() {
        let dir = tempfile::tempdir().unwrap();
        let mut first = ServiceAddresses::open(dir.path(), Placement::Intercepted).unwrap();
        first
            .assign(&names(&["shop/orders", "shop/payments"]), &BTreeSet::new())
            .unwrap();
        let orders = first.get("shop/orders").unwrap();
        assert_ne!(Some(orders), first.get("shop/payments"));
        assert!(orders.octets()[0] >= 240 && orders.octets()[0] < 255);

        let mut second = ServiceAddresses::open(dir.path(), Placement::Intercepted).unwrap();
        second.assign(&names(&["shop/ratings"]), &BTreeSet::new()).unwrap();
        assert_eq!(second.get("shop/orders"), Some(orders));
    }

    #[test]
    fn on_loopback_every_address_has_a_place_until_none_is_left() {
        let dir = tempfile::tempdir().unwrap();
        let mut wide = ServiceAddresses::open(dir.path(), Placement::Intercepted).unwrap();
        wide.assign(&names(&["shop/orders"]), &BTreeSet::new()).unwrap();

        let block = LoopbackBlock::nth(3);
        let mut narrow = ServiceAddresses::open(dir.path(), Placement::Loopback(block)).unwrap();
        assert_eq!(narrow.get("shop/orders"), None, "out of range");
        let many: BTreeSet<String> = (0..1000).map(|n| format!("shop/s{n}")).collect();
        narrow.assign(&many, &BTreeSet::new()).unwrap();
        let caller = block.workload(5).into();
        let places: BTreeSet<Ipv4Addr> = many
            .iter()
            .map(|name| block.outbound(caller, narrow.get(name).unwrap().into()).unwrap())
            .collect();
        assert_eq!(places.len(), many.len());
        let more = (0..100).map(|n| format!("shop/t{n}")).collect();
        assert!(matches!(
            narrow.assign(&more, &BTreeSet::new()),
            Err(AllocateError::Full(..))
        ));
    }

    #[test]
    fn a_reserved_address_is_spared() {
        let mut plain = ServiceAddresses::in_memory();
        plain.assign(&names(&["shop/orders"]), &BTreeSet::new()).unwrap();
        let wanted = plain.get("shop/orders").unwrap();

        let mut sparing = ServiceAddresses::in_memory();
        sparing
            .assign(&names(&["shop/orders"]), &BTreeSet::from([wanted]))
            .unwrap();
        assert_ne!(sparing.get("shop/orders"), Some(wanted));
    }

    #[test]
    fn a_damaged_file_is_an_error_that_says_what_to_do() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("service-addresses.json"), "{").unwrap();
        let error = ServiceAddresses::open(dir.path(), Placement::Intercepted).unwrap_err();
        assert!(error.to_string().contains("remove it"), "{error}");
    }
}

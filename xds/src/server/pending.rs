//! Streams that have not proved who they are: how many there may be, of all and of one address.
//!
//! Without a share for each address, one machine that opens streams and says nothing would keep every proxy out.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The places of unauthenticated streams. Clones share them.
#[derive(Clone, Debug)]
pub(super) struct Pending(Arc<Places>);

#[derive(Debug)]
struct Places {
    most: usize,
    most_of_one: usize,
    taken: Mutex<Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    all: usize,
    /// Addresses without a stream are not in it.
    by_address: HashMap<IpAddr, usize>,
}

impl Places {
    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One place; dropping it makes it free.
#[derive(Debug)]
pub(super) struct Place {
    pending: Pending,
    address: IpAddr,
}

impl Pending {
    /// At most so many streams, and so many of one address.
    pub(super) fn new(most: usize, most_of_one: usize) -> Self {
        Self(Arc::new(Places {
            most,
            most_of_one,
            taken: Mutex::default(),
        }))
    }

    /// A place for a stream from this address; none if all, or all of its own, are taken.
    pub(super) fn take(&self, address: IpAddr) -> Option<Place> {
        // An IPv4 client of a dual-stack socket has one share, however it is written.
        let address = address.to_canonical();
        let mut taken = self.0.taken();
        let own = taken.by_address.get(&address).copied().unwrap_or_default();
        if taken.all >= self.0.most || own >= self.0.most_of_one {
            return None;
        }
        taken.all += 1;
        taken.by_address.insert(address, own + 1);
        let pending = self.clone();
        Some(Place { pending, address })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.pending.0.taken();
        taken.all = taken.all.saturating_sub(1);
        if let Entry::Occupied(mut own) = taken.by_address.entry(self.address) {
            if *own.get() <= 1 {
                own.remove();
            } else {
                *own.get_mut() -= 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    const ONE: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1));
    const OTHER: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 2));

    #[test]
    fn one_address_keeps_nobody_else_out() {
        let pending = Pending::new(3, 2);
        let (first, _second) = (pending.take(ONE), pending.take(ONE));
        assert!(first.is_some());
        let mapped = IpAddr::V6(Ipv4Addr::new(10, 0, 0, 1).to_ipv6_mapped());
        assert!(pending.take(ONE).is_none() && pending.take(mapped).is_none());
        let other = pending.take(OTHER);
        assert!(other.is_some());
        assert!(pending.take(OTHER).is_none(), "three are too many together");
        drop(first);
        assert!(pending.take(ONE).is_some());
    }

    #[test]
    fn nothing_is_kept_of_addresses_that_are_gone() {
        let pending = Pending::new(3, 2);
        drop([pending.take(ONE), pending.take(ONE), pending.take(OTHER)]);
        let taken = pending.0.taken();
        assert_eq!((taken.all, taken.by_address.len()), (0, 0));
    }
}

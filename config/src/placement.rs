//! Where proxies take connections: behind interception, or on loopback addresses that callers dial.
//!
//! In a loopback block every address follows from two numbers, that of a workload and that of a Service, so that the
//! compiler and whoever tells applications their URLs agree without talking. 127.0.0.0/8 has fifteen blocks beside the
//! first one, which belongs to the machine: so many runs can share it. No address here is a secret or a boundary: every
//! process of the machine may dial and take any of them.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::str::FromStr;

/// The bits of an address that choose within one workload.
const SLOT_BITS: u32 = 10;
/// The bits of an address that a block has.
const BLOCK_BITS: u32 = 20;
/// The place of a workload's proxy.
const PROXY: u32 = 1;
/// The place of its application.
const APPLICATION: u32 = 2;
/// Ports below may be taken by root only.
const FIRST_FREE_PORT: u16 = 1024;
/// What is added to a Service's port that only root could take.
const MOVED_BY: u16 = 10_000;

/// How connections reach the proxies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Placement {
    /// Redirected to catch-all listeners, which hand over by original destination.
    #[default]
    Intercepted,
    /// Each listener binds a loopback address of its own.
    Loopback(LoopbackBlock),
}

impl Placement {
    /// The block, in loopback placement.
    pub fn loopback(self) -> Option<LoopbackBlock> {
        match self {
            Self::Intercepted => None,
            Self::Loopback(block) => Some(block),
        }
    }
}

/// The loopback addresses of one run: a /12 of 127.0.0.0/8.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LoopbackBlock(u8);

impl LoopbackBlock {
    /// How many blocks there are.
    pub const COUNT: u8 = 15;
    /// How many workloads a block holds.
    pub const WORKLOADS: u16 = (1 << (BLOCK_BITS - SLOT_BITS)) - 1;
    /// The first virtual address of Services that has a place in a block.
    pub const FIRST_SERVICE: Ipv4Addr = Ipv4Addr::new(240, 0, 0, 3);
    /// How many there are.
    pub const SERVICES: u32 = (1 << SLOT_BITS) - APPLICATION - 2;

    /// A block by its number, counted from 0 and around.
    pub fn nth(number: u64) -> Self {
        let number = u8::try_from(number % u64::from(Self::COUNT)).unwrap_or(0);
        Self(number + 1)
    }

    /// The block that an address of a workload is in.
    pub fn of(workload: IpAddr) -> Option<Self> {
        (1..=Self::COUNT).map(Self).find(|block| block.holds(workload))
    }

    fn first(self) -> u32 {
        (127 << 24) | (u32::from(self.0) << BLOCK_BITS)
    }

    /// Where the control plane is.
    pub fn control_plane(self) -> Ipv4Addr {
        Ipv4Addr::from_bits(self.first() | PROXY)
    }

    /// The address of a workload, by its number from 0 on and around: others dial it, and its proxy listens there.
    pub fn workload(self, number: u64) -> Ipv4Addr {
        let number = u32::try_from(number % u64::from(Self::WORKLOADS)).unwrap_or(0);
        Ipv4Addr::from_bits(self.first() | ((number + 1) << SLOT_BITS) | PROXY)
    }

    /// Whether this is the address of a workload of this block.
    pub fn holds(self, address: IpAddr) -> bool {
        self.application(address).is_some()
    }

    /// Where the application of a workload listens.
    pub fn application(self, workload: IpAddr) -> Option<Ipv4Addr> {
        self.place(workload, APPLICATION)
    }

    /// Where a workload reaches a Service with this virtual address.
    pub fn outbound(self, workload: IpAddr, service: IpAddr) -> Option<Ipv4Addr> {
        let IpAddr::V4(service) = service else { return None };
        let number = service.to_bits().checked_sub(Self::FIRST_SERVICE.to_bits())?;
        if number >= Self::SERVICES {
            return None;
        }
        self.place(workload, APPLICATION + 1 + number)
    }

    fn place(self, workload: IpAddr, place: u32) -> Option<Ipv4Addr> {
        let IpAddr::V4(workload) = workload else { return None };
        let offset = workload.to_bits().checked_sub(self.first())?;
        let is_workload = offset >> BLOCK_BITS == 0 && offset >> SLOT_BITS != 0;
        let is_proxy = offset & ((1 << SLOT_BITS) - 1) == PROXY;
        (is_workload && is_proxy).then(|| Ipv4Addr::from_bits(workload.to_bits() - PROXY + place))
    }
}

/// Whether a process without root's rights may listen on a port.
pub fn is_free_port(port: u16) -> bool {
    port >= FIRST_FREE_PORT
}

/// The port on which a workload reaches a Service's port: the same one if everybody may listen on it, else 10000 higher,
/// unless the Service has that port too.
pub fn outbound_port(port: u16, of_service: impl Fn(u16) -> bool) -> Option<u16> {
    if is_free_port(port) {
        return Some(port);
    }
    let moved = port.saturating_add(MOVED_BY);
    (!of_service(moved)).then_some(moved)
}

impl fmt::Display for LoopbackBlock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/12", Ipv4Addr::from_bits(self.first()))
    }
}

impl FromStr for LoopbackBlock {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        (1..=Self::COUNT)
            .map(Self)
            .find(|block| block.to_string() == text)
            .ok_or_else(|| format!("{text:?} is no loopback block; use 127.16.0.0/12, 127.32.0.0/12 and so on"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn addresses_follow_from_numbers() {
        let block = LoopbackBlock::nth(0);
        assert_eq!(block.to_string(), "127.16.0.0/12");
        assert_eq!(block.control_plane().to_string(), "127.16.0.1");
        let workload = IpAddr::V4(block.workload(0));
        assert_eq!(workload, ip("127.16.4.1"));
        assert_eq!(block.application(workload).unwrap().to_string(), "127.16.4.2");
        let reach = |service| block.outbound(workload, ip(service)).map(|address| address.to_string());
        assert_eq!(reach("240.0.0.3").unwrap(), "127.16.4.3");
        assert_eq!(reach("240.0.3.254").unwrap(), "127.16.7.254");
        assert_eq!(reach("240.0.3.255"), None);
        assert_eq!(reach("240.0.0.2"), None);
        assert_eq!(reach("10.0.0.1"), None);
    }

    #[test]
    fn only_its_own_workloads_are_in_a_block() {
        let block = LoopbackBlock::nth(0);
        let last = IpAddr::V4(block.workload(u64::from(LoopbackBlock::WORKLOADS) - 1));
        assert_eq!(last, ip("127.31.252.1"));
        assert!(block.holds(last));
        assert_eq!(LoopbackBlock::of(last), Some(block));
        assert_eq!(LoopbackBlock::of(ip("127.0.4.1")), None);
        for stranger in ["127.16.4.2", "127.16.0.1", "127.32.4.1", "127.0.0.1", "10.0.0.1", "::1"] {
            assert!(!block.holds(ip(stranger)), "{stranger}");
        }
    }

    #[test]
    fn blocks_are_read_as_they_are_written() {
        for number in 0..u64::from(LoopbackBlock::COUNT) {
            let block = LoopbackBlock::nth(number);
            assert_eq!(block.to_string().parse(), Ok(block));
        }
        assert!("127.0.0.0/12".parse::<LoopbackBlock>().is_err());
        assert!("10.0.0.0/12".parse::<LoopbackBlock>().is_err());
    }

    #[test]
    fn ports_of_root_are_moved() {
        let alone = [80, 1023, 1024, 8080].map(|port| outbound_port(port, |_| false));
        assert_eq!(alone, [10_080, 11_023, 1024, 8080].map(Some));
        assert_eq!([80, 8080].map(|port| outbound_port(port, |_| true)), [None, Some(8080)]);
    }
}

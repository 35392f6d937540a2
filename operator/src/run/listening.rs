//! Who listens where, as the kernel's list of IPv4 sockets says.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

/// The state of listening sockets in the list.
const LISTENING: &str = "0A";

/// The ports on which somebody listens at exactly this address.
pub(super) fn at(address: Ipv4Addr) -> BTreeSet<u16> {
    parse(&std::fs::read_to_string("/proc/net/tcp").unwrap_or_default(), address)
}

fn parse(list: &str, address: Ipv4Addr) -> BTreeSet<u16> {
    // The kernel prints the address as its memory holds it, the port as a number.
    let wanted = format!("{:08X}", u32::from_ne_bytes(address.octets()));
    let port = |line: &str| {
        let mut words = line.split_whitespace().skip(1);
        let (local, _, state) = (words.next()?, words.next()?, words.next()?);
        let (at, port) = local.split_once(':')?;
        (at == wanted && state == LISTENING).then(|| u16::from_str_radix(port, 16).ok())?
    };
    list.lines().filter_map(port).collect()
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn a_listener_is_seen_at_its_own_address_only() {
        let address = Ipv4Addr::new(127, 9, 8, 7);
        let listener = TcpListener::bind((address, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        assert_eq!(at(address), BTreeSet::from([port]));
        assert!(!at(Ipv4Addr::new(127, 9, 8, 8)).contains(&port));
        drop(listener);
        assert_eq!(at(address), BTreeSet::new());
    }
}

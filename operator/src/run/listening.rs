//! Who listens where, as the kernel's lists of sockets say. An IPv6 socket may listen at an IPv4 address, too, as those of
//! JVMs do.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

/// The state of listening sockets in the lists.
const LISTENING: &str = "0A";
/// The first twelve bytes of an IPv4 address in an IPv6 socket, `::ffff:0:0/96`.
const MAPPED: [[u8; 4]; 3] = [[0; 4], [0; 4], [0, 0, 0xFF, 0xFF]];

/// The sockets of this network namespace at one moment.
#[derive(Clone, Debug)]
pub(super) struct Sockets {
    lists: String,
}

impl Sockets {
    /// Asks the kernel.
    pub(super) async fn now() -> Self {
        let mut lists = String::new();
        for list in ["/proc/net/tcp", "/proc/net/tcp6"] {
            // A kernel without IPv6 has no second list.
            lists += &tokio::fs::read_to_string(list).await.unwrap_or_default();
        }
        Self { lists }
    }

    /// The ports on which somebody listens at exactly this address.
    pub(super) fn listening_at(&self, address: Ipv4Addr) -> BTreeSet<u16> {
        // The kernel prints an address as its memory holds it, word by word, the port as a number.
        let word = |bytes: [u8; 4]| format!("{:08X}", u32::from_ne_bytes(bytes));
        let plain = word(address.octets());
        let mapped = MAPPED.map(word).concat() + &plain;
        let port = |line: &str| {
            let mut words = line.split_whitespace().skip(1);
            let (local, _, state) = (words.next()?, words.next()?, words.next()?);
            let (at, port) = local.split_once(':')?;
            ((at == plain || at == mapped) && state == LISTENING).then(|| u16::from_str_radix(port, 16).ok())?
        };
        self.lists.lines().filter_map(port).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, TcpListener};

    use super::*;

    #[tokio::test]
    async fn a_listener_is_seen_at_its_own_address_only() {
        let address = Ipv4Addr::new(127, 9, 8, 7);
        for bound in [IpAddr::V4(address), IpAddr::V6(address.to_ipv6_mapped())] {
            let listener = TcpListener::bind((bound, 0)).unwrap();
            let port = listener.local_addr().unwrap().port();
            let sockets = Sockets::now().await;
            assert_eq!(sockets.listening_at(address), BTreeSet::from([port]), "{bound}");
            assert!(!sockets.listening_at(Ipv4Addr::new(127, 9, 8, 8)).contains(&port));
            drop(listener);
            assert_eq!(Sockets::now().await.listening_at(address), BTreeSet::new());
        }
    }
}

//! Members of a run's network: a namespace with one address on the bridge.
//!
//! A member's address is in the run's subnet, unless its Workload object names another one, which is then routed. A member
//! is meshed only if somebody intercepts it (see `intercept`): an outside host is just a member.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use super::hosts::{self, HostEntry};
use super::ip::{self, Line};
use super::{BRIDGE, Names, Network, NetworkError, Subnet};
use crate::process::Entry;

/// The link of a member, within its namespace.
const LINK: &str = "eth0";

/// A member to add.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberSpec {
    /// Its name; part of the namespace's name.
    pub name: String,
    /// Its address; one of the subnet if absent.
    pub address: Option<Ipv4Addr>,
}

/// A member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Its name.
    pub name: String,
    /// Its namespace, for `ip netns exec`.
    pub namespace: String,
    /// Its address.
    pub address: Ipv4Addr,
    /// Its port of the bridge.
    port: String,
}

impl Network {
    /// Adds members, all at once: this is what start-up time is spent on.
    pub fn add(&mut self, specs: &[MemberSpec]) -> Result<Vec<Member>, NetworkError> {
        let members = self.plan(specs)?;
        let made: Vec<Entry> = members
            .iter()
            .flat_map(|m| {
                [
                    Entry::Namespace {
                        name: m.namespace.clone(),
                    },
                    Entry::Folder {
                        path: hosts::folder(&m.namespace),
                    },
                ]
            })
            .collect();
        self.registry.record(&made)?;
        if let Err(error) = self.make(&members) {
            // So that a second attempt does not find half of the first; what cannot be undone, cleanup removes.
            for member in &members {
                drop(self.unmake(member));
            }
            return Err(error);
        }
        self.members.extend(members.iter().map(|m| (m.name.clone(), m.clone())));
        Ok(members)
    }

    fn make(&self, members: &[Member]) -> Result<(), NetworkError> {
        for member in members {
            hosts::create(&member.namespace).map_err(NetworkError::files(&hosts::folder(&member.namespace)))?;
        }
        let names = Names::of(self.registry.id());
        let cables: Vec<Line> = members.iter().flat_map(|m| m.cable(&names)).collect();
        ip::batch(None, &cables)?;
        let ports: Vec<Line> = members.iter().flat_map(|m| m.port_lines(self.subnet)).collect();
        ip::batch(Some(&names.hub), &ports)?;
        configure_all(members, self.subnet)?;
        let routes: Vec<Line> = members
            .iter()
            .filter_map(|m| m.host_route(self.subnet, &names))
            .collect();
        ip::batch(None, &routes)
    }

    /// Every step, whatever becomes of the others; the first error.
    fn unmake(&self, member: &Member) -> Result<(), NetworkError> {
        let names = Names::of(self.registry.id());
        let routed = !self.subnet.contains(member.address);
        let route = |link: &str| Line::DeleteRoute {
            to: member.address,
            link: link.to_owned(),
        };
        let route = |link: &str| if routed { vec![route(link)] } else { Vec::new() };
        let steps = [
            ip::batch(None, &route(&names.link)),
            ip::batch(Some(&names.hub), &route(BRIDGE)),
            // The cable before the namespace, which goes away at some later time: the address must be free now.
            ip::batch(Some(&names.hub), &[Line::DeleteLink(member.port.clone())]),
            ip::batch(None, &[Line::DeleteNamespace(member.namespace.clone())]),
            hosts::remove(&member.namespace).map_err(NetworkError::files(&hosts::folder(&member.namespace))),
        ];
        steps.into_iter().collect()
    }

    /// Removes a member. Its processes must have ended.
    pub fn remove(&mut self, name: &str) -> Result<(), NetworkError> {
        let member = self
            .members
            .remove(name)
            .ok_or_else(|| NetworkError::Unknown(name.to_owned()))?;
        self.unmake(&member)
    }

    /// Replaces the names that a member's processes can resolve.
    pub fn set_hosts(&self, name: &str, entries: &[HostEntry]) -> Result<(), NetworkError> {
        let member = self
            .members
            .get(name)
            .ok_or_else(|| NetworkError::Unknown(name.to_owned()))?;
        hosts::write(&member.namespace, entries).map_err(NetworkError::files(&hosts::folder(&member.namespace)))
    }

    /// Decides names and addresses; makes nothing.
    fn plan(&mut self, specs: &[MemberSpec]) -> Result<Vec<Member>, NetworkError> {
        let elsewhere: Vec<Subnet> = if specs.iter().any(|s| s.address.is_some()) {
            ip::used_blocks()?
        } else {
            Vec::new()
        };
        let mut taken: BTreeSet<Ipv4Addr> = self.members.values().map(|m| m.address).collect();
        taken.extend([self.subnet.gateway(), self.subnet.host()]);
        // Wishes first, so that no member is given an address that a later one names.
        let mut names: BTreeSet<&str> = self.members.keys().map(String::as_str).collect();
        for spec in specs {
            check_name(&spec.name)?;
            if !names.insert(&spec.name) {
                return Err(NetworkError::Exists(spec.name.clone()));
            }
            let Some(address) = spec.address else { continue };
            let foreign = !self.subnet.contains(address) && elsewhere.iter().any(|block| block.contains(address));
            if foreign || !taken.insert(address) {
                return Err(NetworkError::AddressInUse {
                    member: spec.name.clone(),
                    address,
                });
            }
        }
        let prefix = Names::of(self.registry.id()).prefix;
        let mut members = Vec::new();
        for spec in specs {
            let address = spec
                .address
                .map_or_else(|| self.subnet.address_for(&spec.name, &taken), Ok)?;
            taken.insert(address);
            let (name, namespace) = (spec.name.clone(), format!("{prefix}{}", spec.name));
            members.push(Member {
                name,
                namespace,
                address,
                port: format!("w{}", self.next_port),
            });
            self.next_port += 1;
        }
        Ok(members)
    }
}

impl Member {
    fn cable(&self, names: &Names) -> [Line; 2] {
        [
            Line::AddNamespace(self.namespace.clone()),
            Line::AddPair {
                name: LINK.to_owned(),
                address: self.address,
                namespace: self.namespace.clone(),
                peer: self.port.clone(),
                peer_namespace: names.hub.clone(),
            },
        ]
    }

    /// In the hub.
    fn port_lines(&self, subnet: Subnet) -> Vec<Line> {
        let join = Line::Join {
            link: self.port.clone(),
            bridge: BRIDGE.to_owned(),
        };
        let mut lines = vec![join, Line::Up(self.port.clone())];
        if !subnet.contains(self.address) {
            lines.push(Line::RouteOnLink {
                to: self.address,
                link: BRIDGE.to_owned(),
            });
        }
        lines
    }

    /// In the member's namespace. The default route makes every destination routable, virtual addresses too: only then
    /// does the packet filter see the connection and lead it to Envoy.
    fn own_lines(&self, subnet: Subnet) -> Vec<Line> {
        let inside = subnet.contains(self.address);
        let prefix = if inside { subnet.prefix } else { 32 };
        let mut lines = vec![
            Line::Up("lo".to_owned()),
            Line::AddAddress {
                address: self.address,
                prefix,
                link: LINK.to_owned(),
            },
            Line::Up(LINK.to_owned()),
        ];
        if !inside {
            lines.push(Line::RouteOnLink {
                to: subnet.gateway(),
                link: LINK.to_owned(),
            });
        }
        lines.push(Line::RouteVia {
            to: None,
            via: subnet.gateway(),
            link: LINK.to_owned(),
        });
        lines
    }

    /// In the host's namespace.
    fn host_route(&self, subnet: Subnet, names: &Names) -> Option<Line> {
        let route = Line::RouteVia {
            to: Some(self.address),
            via: subnet.gateway(),
            link: names.link.clone(),
        };
        (!subnet.contains(self.address)).then_some(route)
    }

    fn configure(&self, subnet: Subnet) -> Result<(), NetworkError> {
        ip::batch(Some(&self.namespace), &self.own_lines(subnet))?;
        // Applications are not root, and a namespace of their own has no ports to protect.
        ip::set(
            &self.namespace,
            &[("net/ipv4/ip_unprivileged_port_start".to_owned(), "0")],
        )
    }
}

/// Each needs two programs to run; a few at a time.
fn configure_all(members: &[Member], subnet: Subnet) -> Result<(), NetworkError> {
    let share = members.len().div_ceil(4).max(1);
    std::thread::scope(|scope| {
        let workers: Vec<_> = members
            .chunks(share)
            .map(|chunk| scope.spawn(move || chunk.iter().try_for_each(|m| m.configure(subnet))))
            .collect();
        workers.into_iter().try_for_each(|worker| match worker.join() {
            Ok(result) => result,
            Err(panic) => std::panic::resume_unwind(panic),
        })
    })
}

fn check_name(name: &str) -> Result<(), NetworkError> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
    let good = (1..=200).contains(&name.len()) && name.bytes().all(plain) && !name.starts_with(['-', '.']);
    if good {
        Ok(())
    } else {
        Err(NetworkError::BadName(name.to_owned()))
    }
}

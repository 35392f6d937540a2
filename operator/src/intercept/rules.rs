//! The rules themselves, as input for `iptables-restore --noflush`.
//!
//! Declaring a chain of ours empties it, so the text replaces what an earlier run left; the jumps from the built-in
//! chains are added only if they are not there yet. The order within `TULLE_OUT` is the meaning: see each comment.

use std::fmt::Write;
use std::net::IpAddr;

use super::Interception;

/// Our chains.
const IN: &str = "TULLE_IN";
const OUT: &str = "TULLE_OUT";

/// An address family, which has its own packet filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Family {
    /// The source address of Envoy's connections to the application.
    pub fn envoy_to_application(self) -> &'static str {
        match self {
            Self::V4 => "127.0.0.6/32",
            Self::V6 => "::6/128",
        }
    }

    fn of(address: IpAddr) -> Self {
        if address.is_ipv4() { Self::V4 } else { Self::V6 }
    }
}

/// The rules of a family. `existing` is what `iptables-save -t nat` prints now.
pub fn render(input: &Interception, family: Family, existing: &str) -> String {
    let mut rules = vec!["*nat".to_owned(), format!(":{IN} - [0:0]"), format!(":{OUT} - [0:0]")];
    for (hook, chain) in [("PREROUTING", IN), ("OUTPUT", OUT)] {
        if !has_jump(existing, hook, chain) {
            rules.push(format!("-I {hook} 1 -p tcp -j {chain}"));
        }
    }
    rules.extend(inbound(input));
    rules.extend(outbound(input, family));
    rules.push("COMMIT\n".to_owned());
    rules.join("\n")
}

/// What takes the rules away again, whatever part of them is there.
pub fn render_removal(existing: &str) -> String {
    let mut rules = String::from("*nat\n");
    for (hook, chain) in [("PREROUTING", IN), ("OUTPUT", OUT)] {
        // Declared first, so that removing works also if the chain is not there.
        let _infallible = writeln!(rules, ":{chain} - [0:0]");
        if has_jump(existing, hook, chain) {
            let _infallible = writeln!(rules, "-D {hook} -p tcp -j {chain}");
        }
        let _infallible = writeln!(rules, "-X {chain}");
    }
    rules.push_str("COMMIT\n");
    rules
}

fn has_jump(existing: &str, hook: &str, chain: &str) -> bool {
    existing
        .lines()
        .any(|line| line.trim() == format!("-A {hook} -p tcp -j {chain}"))
}

fn inbound(input: &Interception) -> Vec<String> {
    let excluded = input
        .excluded_inbound_ports
        .iter()
        .map(|port| format!("-A {IN} -p tcp --dport {port} -j RETURN"));
    // Only what is addressed to the workload. Otherwise a neighbour that routes a Service's virtual address by way of this
    // workload would land in its outbound listeners, and call with its identity.
    let to_others = format!("-A {IN} -m addrtype ! --dst-type LOCAL -j RETURN");
    std::iter::once(to_others)
        .chain(excluded)
        .chain([redirect(IN, "", input.inbound_port)])
        .collect()
}

fn outbound(input: &Interception, family: Family) -> Vec<String> {
    let envoy = format!("-m owner --uid-owner {}", input.envoy_uid);
    // Envoy's connections to the application are at their goal.
    let mut rules = vec![format!("-A {OUT} -s {} -j RETURN", family.envoy_to_application())];
    // Envoy calling its own workload (a Service that the workload is an endpoint of) enters like any caller, through
    // the inbound port, so that the same permissions hold; except where other callers do not pass Envoy either.
    for own in input.own_addresses.iter().filter(|a| Family::of(**a) == family) {
        for port in &input.excluded_inbound_ports {
            rules.push(format!(
                "-A {OUT} -o lo -d {own} -p tcp --dport {port} {envoy} -j RETURN"
            ));
        }
        rules.push(redirect(OUT, &format!("-o lo -d {own} {envoy} "), input.inbound_port));
    }
    // An application that talks to itself passes no proxy.
    rules.push(format!("-A {OUT} -o lo -j RETURN"));
    // What Envoy sends has been through Envoy.
    rules.push(format!("-A {OUT} {envoy} -j RETURN"));
    rules.extend(excluded_outbound(input, family));
    rules.push(redirect(OUT, "", input.outbound_port));
    rules
}

fn excluded_outbound(input: &Interception, family: Family) -> Vec<String> {
    let xds = input.xds.filter(|xds| Family::of(xds.ip()) == family);
    let xds = xds.map(|xds| format!("-A {OUT} -d {} -p tcp --dport {} -j RETURN", xds.ip(), xds.port()));
    let ports = input
        .excluded_outbound_ports
        .iter()
        .map(|port| format!("-A {OUT} -p tcp --dport {port} -j RETURN"));
    let blocks = input
        .excluded_outbound
        .iter()
        .filter(|block| Family::of(block.address) == family);
    let blocks = blocks.map(|block| format!("-A {OUT} -d {}/{} -j RETURN", block.address, block.prefix));
    xds.into_iter().chain(ports).chain(blocks).collect()
}

fn redirect(chain: &str, condition: &str, port: u16) -> String {
    format!("-A {chain} {condition}-p tcp -j REDIRECT --to-ports {port}")
}

//! The `ip` program, typed and in batches: the only place that changes links, addresses and namespaces.

use std::fmt;
use std::io::ErrorKind;
use std::net::Ipv4Addr;
use std::process::{Command, Output};

use serde_json::Value;

use super::error::NetworkError;
use super::subnet::Subnet;
use crate::process::feed;

/// One line of a batch.
#[derive(Clone, Debug)]
pub(super) enum Line {
    /// A new namespace.
    AddNamespace(String),
    /// A cable from here into a namespace.
    AddPairTo {
        name: String,
        peer: String,
        peer_namespace: String,
    },
    /// A cable between two namespaces. The hardware address follows from the IP address, so that whoever gets that address
    /// next is found at once, not when everybody's ARP entries have expired.
    AddPair {
        name: String,
        address: Ipv4Addr,
        namespace: String,
        peer: String,
        peer_namespace: String,
    },
    /// A bridge without spanning tree: its ports forward at once. Its hardware address is fixed; otherwise it is the
    /// lowest of its ports', and would change under everybody's feet when members come and go.
    AddBridge(String),
    /// A link becomes a port of a bridge.
    Join { link: String, bridge: String },
    /// An address of a link.
    AddAddress {
        address: Ipv4Addr,
        prefix: u8,
        link: String,
    },
    /// A link begins to work.
    Up(String),
    /// What is reached directly on a link.
    RouteOnLink { to: Ipv4Addr, link: String },
    /// What is reached through another address; everything, if `to` is absent.
    RouteVia {
        to: Option<Ipv4Addr>,
        via: Ipv4Addr,
        link: String,
    },
    /// Removes a route.
    DeleteRoute { to: Ipv4Addr, link: String },
    /// Removes a link.
    DeleteLink(String),
    /// Removes a namespace's name; the kernel removes it with its last process.
    DeleteNamespace(String),
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AddNamespace(name) => write!(f, "netns add {name}"),
            Self::AddPairTo {
                name,
                peer,
                peer_namespace,
            } => {
                write!(f, "link add {name} type veth peer name {peer} netns {peer_namespace}")
            }
            Self::AddPair {
                name,
                address,
                namespace,
                peer,
                peer_namespace,
            } => {
                let hardware = address.octets().map(|byte| format!("{byte:02x}")).join(":");
                write!(f, "link add {name} address 02:74:{hardware} netns {namespace} ")?;
                write!(f, "type veth peer name {peer} netns {peer_namespace}")
            }
            Self::AddBridge(name) => write!(
                f,
                "link add {name} address 02:74:75:6c:6c:65 type bridge stp_state 0 forward_delay 0 mcast_snooping 0"
            ),
            Self::Join { link, bridge } => write!(f, "link set {link} master {bridge}"),
            Self::AddAddress { address, prefix, link } => write!(f, "addr add {address}/{prefix} dev {link}"),
            Self::Up(link) => write!(f, "link set {link} up"),
            Self::RouteOnLink { to, link } => write!(f, "route add {to}/32 dev {link} scope link"),
            Self::RouteVia { to: None, via, link } => write!(f, "route add default via {via} dev {link}"),
            Self::RouteVia {
                to: Some(to),
                via,
                link,
            } => write!(f, "route add {to}/32 via {via} dev {link}"),
            Self::DeleteRoute { to, link } => write!(f, "route del {to}/32 dev {link}"),
            Self::DeleteLink(name) => write!(f, "link del {name}"),
            Self::DeleteNamespace(name) => write!(f, "netns del {name}"),
        }
    }
}

/// Runs the lines in order, in a namespace or here; ends at the first that fails.
pub(super) fn batch(namespace: Option<&str>, lines: &[Line]) -> Result<(), NetworkError> {
    if lines.is_empty() {
        return Ok(());
    }
    let mut command = Command::new("ip");
    if let Some(namespace) = namespace {
        command.args(["-n", namespace]);
    }
    let input: Vec<String> = lines.iter().map(ToString::to_string).collect();
    let input = input.join("\n") + "\n";
    let output = feed(command.args(["-batch", "-"]), &input).map_err(|e| cannot_run(&e))?;
    if output.status.success() {
        return Ok(());
    }
    let message = String::from_utf8_lossy(&output.stderr).trim().replace('\n', "; ");
    // `ip` says "Command failed -:3".
    let number = message
        .rsplit_once("-:")
        .and_then(|(_, number)| number.parse::<usize>().ok());
    let failed = number.and_then(|n| lines.get(n.saturating_sub(1)));
    Err(failure(
        failed.map_or_else(|| "-batch".to_owned(), ToString::to_string),
        message,
    ))
}

/// Sets kernel settings of a namespace (paths below `/proc/sys`).
pub(super) fn set(namespace: &str, settings: &[(String, &str)]) -> Result<(), NetworkError> {
    let script: Vec<String> = settings
        .iter()
        .map(|(path, value)| format!("echo {value} > /proc/sys/{path}"))
        .collect();
    run(&["netns", "exec", namespace, "sh", "-c", &script.join(" && ")]).map(drop)
}

/// The blocks that this machine's addresses and routes use; the default route does not count.
pub(super) fn used_blocks() -> Result<Vec<Subnet>, NetworkError> {
    let (addresses, routes) = (
        json(&["-4", "-j", "addr", "show"])?,
        json(&["-4", "-j", "route", "show", "table", "all"])?,
    );
    let addresses = addresses
        .iter()
        .filter_map(|link| link.get("addr_info")?.as_array())
        .flatten()
        .filter_map(|info| {
            let prefix = u8::try_from(info.get("prefixlen")?.as_u64()?).ok()?;
            Some(Subnet {
                address: info.get("local")?.as_str()?.parse().ok()?,
                prefix,
            })
        });
    let routes = routes.iter().filter_map(|route| block(route.get("dst")?.as_str()?));
    Ok(addresses.chain(routes).collect())
}

fn block(text: &str) -> Option<Subnet> {
    let (address, prefix) = text.split_once('/').unwrap_or((text, "32"));
    let block = Subnet {
        address: address.parse().ok()?,
        prefix: prefix.parse().ok()?,
    };
    (block.prefix > 0).then_some(block)
}

fn json(arguments: &[&str]) -> Result<Vec<Value>, NetworkError> {
    let text = run(arguments)?;
    if text.trim().is_empty() {
        return Ok(Vec::new());
    }
    serde_json::from_str(&text).map_err(|e| failure(arguments.join(" "), format!("its output is not JSON ({e})")))
}

fn run(arguments: &[&str]) -> Result<String, NetworkError> {
    let Output { status, stdout, stderr } = feed(Command::new("ip").args(arguments), "").map_err(|e| cannot_run(&e))?;
    if status.success() {
        return Ok(String::from_utf8_lossy(&stdout).into_owned());
    }
    Err(failure(
        arguments.join(" "),
        String::from_utf8_lossy(&stderr).trim().to_owned(),
    ))
}

fn cannot_run(error: &std::io::Error) -> NetworkError {
    if error.kind() == ErrorKind::NotFound {
        NetworkError::NoIp
    } else {
        failure(String::new(), error.to_string())
    }
}

fn failure(command: String, message: String) -> NetworkError {
    if message.contains("Operation not permitted") || message.contains("Permission denied") {
        return NetworkError::NotPermitted(message);
    }
    NetworkError::Ip { command, message }
}

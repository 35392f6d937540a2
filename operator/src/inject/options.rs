//! What a pod asks of its proxy, by annotation. Few, typed, and refused when wrong.
//!
//! An annotation under our prefix that nobody reads is most likely a spelling mistake in one that somebody relies on, so it
//! refuses the pod.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use std::str::FromStr;

use super::names::{PORTS, PREFIX, PROBES_ANNOTATION};
use super::quantity;
use super::refusal::Refusal;
use crate::intercept::Cidr;

const KNOWN: &str = "known are excludeInboundPorts, excludeOutboundPorts, excludeOutboundCIDRs, dialEndpoints, proxyCPU, proxyMemory and proxyLogLevel";
const LOG_LEVELS: [&str; 7] = ["trace", "debug", "info", "warning", "error", "critical", "off"];

/// The annotations of a pod, read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Options {
    /// Ports that callers reach without Envoy.
    pub(super) inbound_ports: BTreeSet<u16>,
    /// Ports that the pod calls without Envoy.
    pub(super) outbound_ports: BTreeSet<u16>,
    /// Addresses that the pod calls without Envoy.
    pub(super) outbound_blocks: BTreeSet<Cidr>,
    /// CPU that Envoy requests.
    pub(super) cpu: Option<String>,
    /// Memory that Envoy requests.
    pub(super) memory: Option<String>,
    /// What Envoy logs.
    pub(super) log_level: Option<String>,
}

/// Reads the annotations of a pod.
pub(super) fn parse(annotations: &BTreeMap<String, String>) -> Result<Options, Refusal> {
    let mut options = Options::default();
    for (key, value) in annotations {
        let Some(name) = key.strip_prefix(PREFIX) else {
            continue;
        };
        let refused = |reason: String, advice: &str| Refusal::new(field(key), reason, advice);
        match name {
            "excludeInboundPorts" => {
                options.inbound_ports = excluded_inbound_ports(value).map_err(|e| refused(e, PORT_ADVICE))?;
                if let Some(port) = options.inbound_ports.iter().find(|port| PORTS.contains(port)) {
                    return Err(refused(format!("port {port} is the proxy's"), "leave it out"));
                }
            }
            "excludeOutboundPorts" => {
                options.outbound_ports = list(value, port).map_err(|e| refused(e, PORT_ADVICE))?;
            }
            "excludeOutboundCIDRs" => {
                options.outbound_blocks = list(value, Cidr::from_str).map_err(|e| refused(e, BLOCK_ADVICE))?;
            }
            // Only the control plane looks at it, by the Pod.
            "dialEndpoints" if ["true", "false"].contains(&value.as_str()) => {}
            "dialEndpoints" => {
                return Err(refused(
                    format!("{value:?} is neither \"true\" nor \"false\""),
                    "write \"true\" for a pod that calls others by their own addresses",
                ));
            }
            "proxyCPU" if quantity::is_cpu(value) => options.cpu = Some(value.clone()),
            "proxyCPU" => {
                return Err(refused(
                    format!("{value:?} is no amount of CPU"),
                    "write for example \"100m\" or \"0.5\"",
                ));
            }
            "proxyMemory" if quantity::is_memory(value) => options.memory = Some(value.clone()),
            "proxyMemory" => {
                return Err(refused(
                    format!("{value:?} is no amount of memory"),
                    "write for example \"128Mi\"",
                ));
            }
            "proxyLogLevel" if LOG_LEVELS.contains(&value.as_str()) => options.log_level = Some(value.clone()),
            "proxyLogLevel" => {
                let advice = format!("write one of {}", LOG_LEVELS.join(", "));
                return Err(refused(format!("{value:?} is no log level"), &advice));
            }
            // Our own, judged with the rest of what says that a pod is injected.
            _ if key == PROBES_ANNOTATION => {}
            _ => {
                return Err(refused(
                    "there is no such annotation".to_owned(),
                    &format!("remove it; {KNOWN}"),
                ));
            }
        }
    }
    Ok(options)
}

const PORT_ADVICE: &str = "write ports from 1 to 65535 with commas between, for example \"9100,9200\"";
const BLOCK_ADVICE: &str = "write address blocks with commas between, for example \"10.1.0.0/16,fd00::/8\"";

/// Reads the annotation with the ports that callers reach without Envoy.
pub fn excluded_inbound_ports(text: &str) -> Result<BTreeSet<u16>, String> {
    list(text, port)
}

/// The path of an annotation.
pub(super) fn field(key: &str) -> String {
    format!("metadata.annotations[{key}]")
}

fn list<T: Ord, E: Display>(text: &str, item: impl Fn(&str) -> Result<T, E>) -> Result<BTreeSet<T>, String> {
    text.split(',')
        .map(|part| item(part.trim()).map_err(|error| error.to_string()))
        .collect()
}

/// A list for a flag.
pub(super) fn joined<T: Display>(items: impl IntoIterator<Item = T>) -> String {
    let items: Vec<String> = items.into_iter().map(|item| item.to_string()).collect();
    items.join(",")
}

fn port(text: &str) -> Result<u16, String> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    match text.parse() {
        Ok(port) if digits && port != 0 => Ok(port),
        _ => Err(format!("{text:?} is no port")),
    }
}

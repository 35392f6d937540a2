//! What an application is told in loopback placement: where to listen, and the URL of each Service.
//!
//! A pure reading of the model, in which addresses and protocols are decided already. Workloads of other placements are
//! told nothing: their applications know no mesh.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use crate::model::{Key, Model, Service, ServicePort};
use crate::placement::{LoopbackBlock, outbound_port};

/// The environment variables of a workload's application.
///
/// `TULLE_<SERVICE>_URL` leads to the first port of a Service of the own namespace, `TULLE_<SERVICE>_<PORT>_URL` to a port of it
/// by its name or number, and both with `<NAMESPACE>_` before the Service to those of any Service. Where two names come out
/// equal the earlier in this list wins.
pub fn environment(model: &Model, block: LoopbackBlock, workload: &Key) -> BTreeMap<String, String> {
    let Some(workload) = model.workloads.get(workload) else {
        return BTreeMap::new();
    };
    let Some(application) = block.application(workload.address) else {
        return BTreeMap::new();
    };
    let mut variables = BTreeMap::from([("TULLE_ADDRESS".to_owned(), application.to_string())]);
    let own = &workload.key.namespace;
    // The own namespace first: what others call their namespaces and Services takes no name from it.
    for (with_namespace, with_port) in [(false, false), (false, true), (true, false), (true, true)] {
        for service in model
            .services
            .values()
            .filter(|s| with_namespace || s.key.namespace == *own)
        {
            let Some(address) = place(block, workload.address, service) else {
                continue;
            };
            let asked = |port: &&Arc<ServicePort>| with_port || service.first_port == Some(port.number);
            for port in service.ports.values().filter(asked) {
                let Some(url) = url(address, service, port) else {
                    continue;
                };
                let number = port.number.to_string();
                let port = if port.name.is_empty() { &number } else { &*port.name };
                let parts = [
                    Some("TULLE"),
                    with_namespace.then_some(&*service.key.namespace),
                    Some(&*service.key.name),
                    with_port.then_some(port),
                    Some("URL"),
                ];
                let name: Vec<String> = parts.into_iter().flatten().map(word).collect();
                variables.entry(name.join("_")).or_insert(url);
            }
        }
    }
    variables
}

fn place(block: LoopbackBlock, workload: IpAddr, service: &Service) -> Option<Ipv4Addr> {
    let mut addresses = service.addresses.iter();
    addresses.find_map(|address| block.outbound(workload, *address))
}

fn url(address: Ipv4Addr, service: &Service, port: &ServicePort) -> Option<String> {
    let number = outbound_port(port.number, |other| service.ports.contains_key(&other))?;
    let scheme = if port.protocol.is_http() { "http" } else { "tcp" };
    Some(format!("{scheme}://{address}:{number}"))
}

/// Names of Kubernetes as shells can hold them.
fn word(name: &str) -> String {
    let letter = |c: char| {
        if c.is_ascii_alphanumeric() {
            c.to_ascii_uppercase()
        } else {
            '_'
        }
    };
    name.chars().map(letter).collect()
}

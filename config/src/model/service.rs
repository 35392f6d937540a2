//! Services, their ports and their endpoints.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use super::{Key, RouteTable, SpiffeId};

/// What a port speaks, by `appProtocol`, port name or well-known port; never sniffed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Protocol {
    /// HTTP/1.1 (HTTP/2 is accepted when the caller starts with it).
    Http,
    /// HTTP/2 in clear text towards the application.
    Http2,
    /// gRPC, over HTTP/2.
    Grpc,
    /// Anything else; also the answer when nothing is declared.
    Tcp,
}

impl Protocol {
    /// Whether requests can be seen.
    pub fn is_http(self) -> bool {
        !matches!(self, Self::Tcp)
    }
}

/// One place that serves a Service port.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Endpoint {
    /// The address that callers dial.
    pub address: IpAddr,
    /// The workload's port.
    pub port: u16,
    /// The workload, when it is in the mesh; then it is dialled with mTLS.
    pub workload: Option<Key>,
    /// It is ending: no new requests unless nothing else is left.
    pub draining: bool,
}

/// How callers reach the Service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upstream {
    /// Time for the TCP connection.
    pub connect_timeout: Duration,
    /// HTTP/2 keepalive, short enough for revocation to bite on idle streams.
    pub keepalive: Duration,
}

/// One port of a Service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServicePort {
    /// The Service's port number.
    pub number: u16,
    /// Its name; may be empty.
    pub name: Arc<str>,
    /// What it speaks.
    pub protocol: Protocol,
    /// Sorted.
    pub endpoints: Arc<Vec<Endpoint>>,
    /// The identities that serve it: callers accept no other server.
    pub identities: Arc<BTreeSet<SpiffeId>>,
    /// Routes for all callers; absent when no route object names the port.
    pub routes: Option<Arc<RouteTable>>,
    /// Routes of consumers: they replace `routes` for callers of that namespace.
    pub consumer_routes: BTreeMap<Arc<str>, Arc<RouteTable>>,
    /// How callers reach it.
    pub upstream: Arc<Upstream>,
}

/// A Service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    /// Its name.
    pub key: Key,
    /// Cluster IPs; empty for headless Services.
    pub addresses: Vec<IpAddr>,
    /// The number of the port that its author wrote first.
    pub first_port: Option<u16>,
    /// Ports by number.
    pub ports: BTreeMap<u16, Arc<ServicePort>>,
}

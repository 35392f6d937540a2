//! One question in its two forms: as the evaluator is asked, and as a caller's prober asks the mesh.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use anyhow::{Context, Result};
use config::evaluator::{Caller as Asking, Destination, HttpRequest, Operation, Request};
use config::model::Key;
use serde_json::{Value, json};

use super::prober::{Does, Probe, RawRequest};
use super::world::{Callee, Caller, Service};

/// Who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Asker {
    /// A workload of the mesh.
    Mesh(Caller),
    /// A host outside of it.
    Plaintext,
}

impl Asker {
    /// Its name in reports.
    pub fn name(self) -> String {
        match self {
            Self::Mesh(caller) => caller.id(),
            Self::Plaintext => "plaintext".to_owned(),
        }
    }
}

/// What is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// A Service's address.
    Service(Service),
    /// A workload's own address.
    Workload(Callee),
}

/// A question.
#[derive(Clone, Debug)]
pub struct Question {
    /// Who asks.
    pub from: Asker,
    /// What is called.
    pub to: Target,
    /// The port of the Service or the workload.
    pub port: u16,
    /// What is done there.
    pub does: Does,
}

impl Question {
    /// As the evaluator is asked.
    pub fn request(&self) -> Request {
        let from = match self.from {
            Asker::Mesh(caller) => Asking::Workload(Key::new(caller.namespace, &caller.workload())),
            Asker::Plaintext => Asking::Plaintext,
        };
        let to = match self.to {
            Target::Service(service) => Destination::Service {
                service: Key::new(service.namespace, service.name),
                port: self.port,
            },
            Target::Workload(callee) => Destination::Workload {
                workload: Key::new(callee.namespace, callee.workload),
                port: self.port,
            },
        };
        let operation = match &self.does {
            Does::Http(raw) => Operation::Http(http(raw)),
            Does::Grpc(raw) => Operation::Http(grpc(raw)),
            Does::Listen | Does::Say => Operation::Connect,
        };
        Request { from, to, operation }
    }

    /// As the mesh is asked.
    pub fn probe(&self, id: &str, addresses: &BTreeMap<String, IpAddr>, fresh: bool) -> Result<Probe> {
        let address = match self.to {
            Target::Service(service) => service.address.parse()?,
            Target::Workload(callee) => *addresses.get(&callee.id()).context("a workload without an address")?,
        };
        let mut does = self.does.clone();
        if let Does::Http(raw) | Does::Grpc(raw) = &mut does {
            raw.headers.push(("x-request-id".to_owned(), id.to_owned()));
        }
        Ok(Probe {
            id: id.to_owned(),
            address: SocketAddr::new(address, self.port),
            does,
            fresh,
        })
    }

    /// Whether it is a request, so that access logs know it by its id.
    pub fn is_request(&self) -> bool {
        matches!(self.does, Does::Http(_) | Does::Grpc(_))
    }

    /// Whether it is a gRPC call.
    pub fn is_grpc(&self) -> bool {
        matches!(self.does, Does::Grpc(_))
    }

    /// For reports.
    pub fn shown(&self) -> Value {
        let to = match self.to {
            Target::Service(service) => format!("Service {}/{}", service.namespace, service.name),
            Target::Workload(callee) => format!("Workload {}", callee.id()),
        };
        json!({"from": self.from.name(), "to": to, "port": self.port, "does": self.does})
    }
}

fn http(raw: &RawRequest) -> HttpRequest {
    let header = |(name, value): &(String, String)| (name.to_ascii_lowercase().into(), value.as_str().into());
    HttpRequest {
        method: raw.method.as_str().into(),
        target: raw.target.as_str().into(),
        authority: raw.authority.as_str().into(),
        headers: raw.headers.iter().map(header).collect(),
    }
}

/// With what every gRPC client adds.
fn grpc(raw: &RawRequest) -> HttpRequest {
    let mut request = http(raw);
    let own = [("content-type", "application/grpc"), ("te", "trailers")];
    request
        .headers
        .extend(own.map(|(name, value)| (name.into(), value.into())));
    request
}

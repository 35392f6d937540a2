//! What is asked: who calls what, and how.

use std::sync::Arc;

use crate::model::{Key, SpiffeId};

/// Who calls.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Caller {
    /// A workload of the mesh, through its own proxy.
    Workload(Key),
    /// Whoever proves this identity, straight at the destination's proxy: no route of the caller's side applies.
    Identity(SpiffeId),
    /// Somebody without a certificate, straight at the destination's proxy.
    Plaintext,
}

/// What is called.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Destination {
    /// A Service port. For a caller without a proxy: every workload port behind it.
    Service {
        /// The Service.
        service: Key,
        /// Its port number.
        port: u16,
    },
    /// One workload's port, by its address.
    Workload {
        /// The workload.
        workload: Key,
        /// The port number, declared or not.
        port: u16,
    },
}

/// An HTTP request as the caller sends it. A gRPC call is `POST /<package.Service>/<Method>`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct HttpRequest {
    /// The method, upper case as sent.
    pub method: Arc<str>,
    /// Path and query, as sent, before any normalisation.
    pub target: Arc<str>,
    /// `Host` or `:authority`.
    pub authority: Arc<str>,
    /// Further headers in order of sending, names in lower case; a name may occur several times.
    pub headers: Vec<(Arc<str>, Arc<str>)>,
}

/// What the caller does.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Operation {
    /// It opens a connection (to a TCP port), or: could it have any request allowed (on an HTTP port)?
    Connect,
    /// It sends a request.
    Http(HttpRequest),
}

/// A question.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Request {
    /// Who calls.
    pub from: Caller,
    /// What is called.
    pub to: Destination,
    /// What the caller does.
    pub operation: Operation,
}

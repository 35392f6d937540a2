//! What a session is told once, and what it tells.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::kind::Kind;
use crate::resource::{Reference, Resource, Version};
use crate::wire::DeltaResponse;

/// The moment of a call. Sessions never read a clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    /// Monotonic time since the stream was opened: for barriers.
    pub elapsed: Duration,
    /// The time of day: for expiry and certificates.
    pub wall: SystemTime,
}

/// Answers for a name that clients may still subscribe to, but that the snapshot does not have.
///
/// Must be deterministic: its version is compared like any other.
pub type Stub = fn(Kind, &str) -> Option<Arc<Resource>>;

/// Limits and habits of a session.
#[derive(Clone, Copy, Debug)]
pub struct SessionConfig {
    /// What to serve for endpoints, secrets, routes, extension configurations and runtime layers that are not in the snapshot:
    /// Envoy would warm forever on a removal, and wait 15 s on silence.
    pub stub: Stub,
    /// A response is cut when it grows over this.
    pub max_response_bytes: usize,
    /// The same for kinds where Envoy applies a refused response by halves (all but clusters and listeners).
    pub max_response_resources: usize,
    /// How long one step of a round waits for what it depends on, before going on anyway.
    pub barrier: Duration,
    /// Kinds without whose subscription a stream is never in sync.
    pub required: &'static [Kind],
    /// How many names one stream may subscribe to or hold.
    pub max_names: usize,
}

impl Default for SessionConfig {
    fn default() -> Self {
        Self {
            stub: |_, _| None,
            max_response_bytes: 2 << 20,
            max_response_resources: 50,
            barrier: Duration::from_secs(5),
            required: &[Kind::Cluster, Kind::Listener],
            max_names: 50_000,
        }
    }
}

/// A response to send now.
#[derive(Clone, Debug, PartialEq)]
pub struct Outgoing {
    /// The kind of what is in it.
    pub kind: Kind,
    /// The message.
    pub response: DeltaResponse,
}

/// What the owner of a stream wants to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SessionEvent {
    /// All that this stream wants of the snapshots up to this revision is acknowledged, except what it refused.
    Synced {
        /// The newest such revision that the session has seen.
        revision: u64,
        /// What the client refuses at present; it keeps what it had.
        refused: Vec<Reference>,
    },
    /// The client refused these resources, each in a response of its own.
    Nacked {
        /// Their kind.
        kind: Kind,
        /// Their names.
        names: Vec<Arc<str>>,
        /// Their versions, in the same order; empty for a refused removal.
        versions: Vec<Version>,
        /// Envoy's words.
        message: String,
    },
}

/// A request that a session cannot follow.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// Not a kind that is served. The stream can go on.
    #[error("type {0:?} is not served")]
    UnknownType(String),
    /// Too many names or too long ones. The stream must end.
    #[error("the stream subscribes to more than it may ({0})")]
    TooMuch(&'static str),
}

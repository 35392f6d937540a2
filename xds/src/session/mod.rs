//! One delta ADS stream as a pure state machine: requests and snapshots go in, responses and events come out.
//!
//! It keeps the order of a round (make before break), never sends what the client has, finds the culprit of a refusal, and says
//! when the stream is in sync. Deliberately without I/O, tasks and clocks: time is a parameter, and [`Session::poll`] is called
//! when a response can be sent. Subscriptions are in `request`, ACK and NACK in `answer`, new snapshots in `diff`, the order in
//! `stage`, responses in `send`, waiting and sync in `settle`.

mod answer;
mod config;
mod decide;
mod diff;
mod request;
mod send;
mod settle;
mod stage;
mod state;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

pub use config::{Now, Outgoing, RequestError, SessionConfig, SessionEvent, Stub};

use crate::identity::Secrets;
use crate::resource::{Name, Reference};
use crate::snapshot::Snapshot;
use stage::Stage;
use state::Kinds;

/// The state of one stream.
pub struct Session {
    config: SessionConfig,
    secrets: Box<dyn Secrets>,
    snapshot: Option<Arc<Snapshot>>,
    kinds: Kinds,
    /// New clusters without an answer yet: Envoy answers for a cluster when it is warm.
    warming: BTreeSet<Name>,
    /// Endpoints of clusters sent before the client first spoke of endpoints.
    owed_endpoints: BTreeSet<Name>,
    /// What listeners and clusters will make the client subscribe to, and until when to count on it.
    expected: BTreeMap<Reference, Duration>,
    secrets_due: BTreeMap<Name, SystemTime>,
    /// Stages that hold something back, and since when.
    waiting: BTreeMap<Stage, Duration>,
    withheld: BTreeSet<Stage>,
    nonces: u64,
    synced: Option<(u64, Vec<Reference>)>,
    events: Vec<SessionEvent>,
    latest: Now,
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("kinds", &self.kinds)
            .field("waiting", &self.waiting)
            .finish_non_exhaustive()
    }
}

impl Session {
    /// A new stream.
    pub fn new(config: SessionConfig, secrets: Box<dyn Secrets>) -> Self {
        Self {
            config,
            secrets,
            snapshot: None,
            kinds: Kinds::default(),
            warming: BTreeSet::new(),
            owed_endpoints: BTreeSet::new(),
            expected: BTreeMap::new(),
            secrets_due: BTreeMap::new(),
            waiting: BTreeMap::new(),
            withheld: BTreeSet::new(),
            nonces: 0,
            synced: None,
            events: Vec::new(),
            latest: Now {
                elapsed: Duration::ZERO,
                wall: SystemTime::UNIX_EPOCH,
            },
        }
    }

    /// What happened since the last call, in order.
    pub fn take_events(&mut self) -> Vec<SessionEvent> {
        std::mem::take(&mut self.events)
    }

    /// How many responses the client has not answered yet.
    pub fn in_flight(&self) -> usize {
        self.kinds.iter().map(|(_, state)| state.in_flight.len()).sum()
    }
}

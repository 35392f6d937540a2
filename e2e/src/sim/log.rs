//! What arrived at one simulated proxy, and when. Tests wait on it and count in it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use bytes::Bytes;
use prost::Message;
use tokio::sync::watch;
use xds::Kind;
use xds::proto::envoy::service::discovery::v3::DeltaDiscoveryResponse;

/// One resource of a response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arrived {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Its encoded size, envelope included.
    pub bytes: usize,
}

/// One response.
#[derive(Clone, Debug)]
pub struct Received {
    /// When it was read.
    pub at: Instant,
    /// The kind of its resources; absent for types that nobody asked for.
    pub kind: Option<Kind>,
    /// Its resources.
    pub resources: Vec<Arrived>,
    /// Names that it removes.
    pub removed: Vec<String>,
    /// Its encoded size.
    pub bytes: usize,
    /// The whole message, where the log keeps messages.
    pub raw: Option<Bytes>,
}

/// Where the stream stands.
#[derive(Clone, Debug, Default)]
pub struct Progress {
    /// The server has accepted the stream.
    pub open: bool,
    /// Responses so far.
    pub responses: usize,
    /// Everything that was asked for has arrived.
    pub complete: bool,
    /// When the last ACK or NACK was sent.
    pub answered: Option<Instant>,
    /// Why the stream ended.
    pub ended: Option<String>,
}

/// The log of one stream.
#[derive(Debug, Default)]
pub struct Log {
    received: Mutex<Vec<Received>>,
    progress: watch::Sender<Progress>,
    raw: AtomicBool,
}

impl Log {
    /// Keeps whole messages from now on.
    pub fn keep_messages(&self) {
        self.raw.store(true, Ordering::Relaxed);
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Received>> {
        self.received.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn add(&self, response: &DeltaDiscoveryResponse) {
        let arrived = |resource: &xds::proto::envoy::service::discovery::v3::Resource| Arrived {
            name: resource.name.clone(),
            version: resource.version.clone(),
            bytes: resource.encoded_len(),
        };
        self.lock().push(Received {
            at: Instant::now(),
            kind: Kind::from_type_url(&response.type_url),
            resources: response.resources.iter().map(arrived).collect(),
            removed: response.removed_resources.clone(),
            bytes: response.encoded_len(),
            raw: self
                .raw
                .load(Ordering::Relaxed)
                .then(|| response.encode_to_vec().into()),
        });
    }

    pub(super) fn progress(&self, change: impl FnOnce(&mut Progress)) {
        self.progress.send_modify(change);
    }

    /// Where the stream stands now.
    pub fn now(&self) -> Progress {
        self.progress.borrow().clone()
    }

    /// Waits until the stream stands where a test wants it.
    pub async fn until(&self, what: &str, limit: Duration, wanted: impl Fn(&Progress) -> bool) -> Result<Progress> {
        let mut seen = self.progress.subscribe();
        let reached = tokio::time::timeout(limit, seen.wait_for(wanted)).await;
        match reached {
            Ok(Ok(progress)) => Ok(progress.clone()),
            _ => bail!("{what}: not within {limit:?}; the stream stands at {:?}", self.now()),
        }
    }

    /// Everything received so far.
    pub fn received(&self) -> Vec<Received> {
        self.lock().clone()
    }

    /// Everything received since the last call.
    pub fn take(&self) -> Vec<Received> {
        std::mem::take(&mut *self.lock())
    }

    /// How many responses there are to take.
    pub fn len(&self) -> usize {
        self.lock().len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.lock().is_empty()
    }
}

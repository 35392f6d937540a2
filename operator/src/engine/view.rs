//! What the engine knows at one moment, for status, the admin socket and tests. Plain data behind `Arc`s.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use config::model::Key;
use config::{Model, ObjectRef};
use serde::Serialize;

use crate::source::SourceView;

/// The engine as of one batch of events.
#[derive(Clone, Debug)]
pub struct EngineView {
    /// The sequence of the source view that is compiled and published.
    pub processed: u64,
    /// Grows whenever something is published differently.
    pub revision: u64,
    /// What the source served then.
    pub source: Arc<SourceView>,
    /// The mesh.
    pub model: Arc<Model>,
    /// Every proxy that was seen, by workload.
    pub proxies: BTreeMap<Key, Arc<ProxyView>>,
    /// The revision at which each policy last changed.
    pub changed_at: Arc<BTreeMap<Arc<ObjectRef>, u64>>,
    /// Counters since the start.
    pub counters: Counters,
}

/// Counters since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counters {
    /// Models built.
    pub builds: u64,
    /// The time that building and publishing took.
    pub busy: Duration,
    /// Snapshots compiled.
    pub snapshots: u64,
    /// Snapshots that differed and were published.
    pub published: u64,
    /// Resources that proxies refused.
    pub nacks: u64,
    /// Resources that were compiled.
    pub compiled: u64,
    /// Resources that were taken from memory.
    pub reused: u64,
    /// Bytes that were encoded.
    pub encoded: u64,
    /// Compilations that failed by a defect of ours; the last good snapshot stayed.
    pub failures: u64,
}

/// One proxy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProxyView {
    /// Whether it has a stream now.
    pub connected: bool,
    /// Since when that is so.
    pub since: SystemTime,
    /// The revision that was last published to it.
    pub sent: Option<u64>,
    /// The revision that it last acknowledged as a whole.
    pub acked: Option<u64>,
    /// What it refuses, until something else is published in its place.
    pub rejections: Vec<Rejection>,
    /// Compiling for it failed by a defect of ours: it keeps what it had.
    pub failed: Option<String>,
}

impl ProxyView {
    /// Whether everything up to this revision has reached it: it acknowledged that revision, or all that it was sent.
    pub fn has(&self, revision: u64) -> bool {
        self.connected
            && self.failed.is_none()
            && self
                .acked
                .is_some_and(|acked| acked >= revision || self.sent == Some(acked))
    }

    /// Whether it acknowledged the last thing that it was sent.
    pub fn synced(&self) -> bool {
        self.has(u64::MAX)
    }
}

/// A refused resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejection {
    /// The resource's kind.
    pub kind: xds::Kind,
    /// The resource's name.
    pub name: xds::Name,
    /// The refused version; another version is another try.
    pub version: Option<xds::Version>,
    /// Envoy's words.
    pub message: Arc<str>,
    /// The objects that it was made of.
    pub objects: BTreeSet<Arc<ObjectRef>>,
    /// When it was refused.
    pub at: SystemTime,
}

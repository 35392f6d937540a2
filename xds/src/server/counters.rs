//! What the server did, in plain atomics: for metrics, and for tests and benchmarks that count instead of timing.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::kind::Kind;

/// Totals since the start; `streams_open` is a level.
#[derive(Debug, Default)]
pub struct Counters {
    /// Streams that are authenticated and not ended.
    pub streams_open: AtomicU64,
    /// Streams that were authenticated.
    pub streams_accepted: AtomicU64,
    /// Streams that were refused, whatever for.
    pub streams_refused: AtomicU64,
    /// Requests read.
    pub requests: AtomicU64,
    /// Requests that refused a response.
    pub nacks: AtomicU64,
    /// Responses handed to the connection.
    pub messages: AtomicU64,
    /// Bytes of their resources and names.
    pub bytes: AtomicU64,
    resources: [AtomicU64; Kind::ALL.len()],
    removals: AtomicU64,
}

impl Counters {
    /// Resources sent of a kind.
    pub fn resources(&self, kind: Kind) -> u64 {
        self.of(kind).map_or(0, |counter| counter.load(Ordering::Relaxed))
    }

    /// Resources sent of all kinds.
    pub fn all_resources(&self) -> u64 {
        self.resources
            .iter()
            .map(|counter| counter.load(Ordering::Relaxed))
            .sum()
    }

    /// Names said to exist no more.
    pub fn removals(&self) -> u64 {
        self.removals.load(Ordering::Relaxed)
    }

    pub(super) fn sent(&self, kind: Kind, resources: usize, removals: usize, bytes: usize) {
        add(&self.messages, 1);
        add(&self.bytes, bytes);
        add(&self.removals, removals);
        if let Some(counter) = self.of(kind) {
            add(counter, resources);
        }
    }

    fn of(&self, kind: Kind) -> Option<&AtomicU64> {
        let index = Kind::ALL.iter().position(|other| *other == kind)?;
        self.resources.get(index)
    }
}

pub(super) fn add(counter: &AtomicU64, by: usize) {
    counter.fetch_add(u64::try_from(by).unwrap_or(0), Ordering::Relaxed);
}

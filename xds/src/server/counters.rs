//! What has been sent, for metrics and for tests that count.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::kind::Kind;
use crate::session::Outgoing;

/// Totals over all streams since the start.
#[derive(Debug, Default)]
pub struct Counters {
    open: AtomicU64,
    responses: AtomicU64,
    bytes: AtomicU64,
    resources: [AtomicU64; Kind::ALL.len()],
}

impl Counters {
    /// Streams that are open now.
    pub fn open(&self) -> u64 {
        self.open.load(Ordering::Relaxed)
    }

    /// Responses sent.
    pub fn responses(&self) -> u64 {
        self.responses.load(Ordering::Relaxed)
    }

    /// Bytes of resources sent.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Resources of a kind sent.
    pub fn resources(&self, kind: Kind) -> u64 {
        self.resources.get(kind as usize).map_or(0, |count| count.load(Ordering::Relaxed))
    }

    pub(super) fn opened(&self) {
        self.open.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn closed(&self) {
        self.open.fetch_sub(1, Ordering::Relaxed);
    }

    pub(super) fn sent(&self, outgoing: &Outgoing) {
        let count = |n: usize| u64::try_from(n).unwrap_or(u64::MAX);
        let resources = &outgoing.response.resources;
        self.responses.fetch_add(1, Ordering::Relaxed);
        self.bytes.fetch_add(resources.iter().map(|body| count(body.len())).sum(), Ordering::Relaxed);
        if let Some(of_kind) = self.resources.get(outgoing.kind as usize) {
            of_kind.fetch_add(count(resources.len()), Ordering::Relaxed);
        }
    }
}

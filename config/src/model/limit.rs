//! Rate limits as they hold at one workload port.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::{HttpMatch, Source};
use crate::origin::{ObjectRef, Origin};

/// What a limit counts by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LimitKey {
    /// One bucket for all.
    None,
    /// One bucket a caller identity.
    SourceIdentity,
}

/// Envoy's token bucket: `max_tokens` at the start, `tokens_per_fill` more each `fill_interval` (at least 50 ms).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenBucket {
    /// The burst.
    pub max_tokens: u32,
    /// Tokens added at each fill.
    pub tokens_per_fill: u32,
    /// Time between fills.
    pub fill_interval: Duration,
}

/// One limit of one object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limit {
    /// Displays as `RateLimit/<namespace>/<name>/<limit name>`.
    pub origin: Origin,
    /// Callers that it counts; absent means every caller, empty nobody.
    pub sources: Option<Vec<Source>>,
    /// Requests that it counts; absent means every request.
    pub http: Option<Vec<HttpMatch>>,
    /// What it counts by.
    pub key: LimitKey,
    /// The rate.
    pub bucket: TokenBucket,
    /// The answer's status beyond the limit; 429 unless said otherwise.
    pub status: u16,
    /// Headers that the refusal carries beside the standard ones.
    pub headers: BTreeMap<Arc<str>, Arc<str>>,
    /// Count and report, refuse nothing.
    pub shadow: bool,
}

/// The limits that one object holds at the port: one filter slot, so that another object's change does not refill these buckets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LimitObject {
    /// The object.
    pub object: Arc<ObjectRef>,
    /// In order of name.
    pub limits: Vec<Limit>,
}

/// All limits at one port, by slot (0-7).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PortLimits {
    /// Which object sits in which slot.
    pub slots: BTreeMap<u8, Arc<LimitObject>>,
}

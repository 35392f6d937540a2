//! Injected faults as they hold at one workload port.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::{HttpMatch, Source};
use crate::origin::Origin;

/// What happens to a chosen request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FaultEffect {
    /// It waits.
    Delay(Duration),
    /// It is answered with this HTTP status.
    AbortHttp(u16),
    /// It is answered with this gRPC status code.
    AbortGrpc(u32),
}

/// One fault filter: one source, one match (a fault with several is several of these, one slot each).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Displays as `FaultInjection/<namespace>/<name>/<fault name>`.
    pub origin: Origin,
    /// Absent means every caller.
    pub source: Option<Source>,
    /// Absent means every request.
    pub http: Option<HttpMatch>,
    /// How many of a million requests.
    pub per_million: u32,
    /// What happens.
    pub effect: FaultEffect,
    /// At most this many at once.
    pub max_active: Option<u32>,
    /// It ends by itself; absent means never.
    pub until: Option<SystemTime>,
}

/// All faults at one port, by slot (0-3).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PortFaults {
    /// Which fault sits in which slot.
    pub slots: BTreeMap<u8, Arc<Fault>>,
}

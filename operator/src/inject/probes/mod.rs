//! Probes: the kubelet has no certificate, so it asks Envoy's probe listener, and Envoy asks the container.
//!
//! HTTP, TCP and gRPC probes and `lifecycle` hooks by HTTP become one GET to the probe listener each; a table remembers what was
//! there. Not touched: `exec`, ports that are excluded from interception, and HTTP probes that name another host,
//! because none of them passes the inbound side of Envoy.

mod original;
mod rewrite;
mod table;

pub(super) use rewrite::rewrite;
pub use table::{Check, Pace, ProbeTable, Use, path};

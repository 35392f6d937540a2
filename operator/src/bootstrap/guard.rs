//! How a proxy defends itself and what it counts.
//!
//! The overload manager is a last line, so its limits are generous: a proxy that sheds load early does harm nobody asked
//! for. Statistics are cut by exclusion: what nobody reads and every cluster or connection multiplies is left out, and
//! a counter that is added later is there without a change here.

use serde_json::{Value, json};

/// Limits of the overload manager.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OverloadSettings {
    /// Heap beyond which Envoy gives memory back and then refuses requests.
    pub max_heap_bytes: u64,
    /// Connections from applications and callers together.
    pub max_connections: u64,
}

impl Default for OverloadSettings {
    fn default() -> Self {
        Self {
            max_heap_bytes: 1 << 30,
            max_connections: 50_000,
        }
    }
}

/// How much Envoy counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StatsDetail {
    /// Without what is rarely read: per-cipher TLS counters, codec internals, worker and DNS internals.
    #[default]
    Modest,
    /// Everything, for debugging.
    Full,
}

/// Left out in [`StatsDetail::Modest`].
const RARELY_READ: &str = r"(dns\.cares|filesystem|http1|http2|thread_local_cluster_manager|workers|main_thread)\..*|.*\.ssl\.(ciphers|curves|sigalgs|versions)\..*|.*\.watchdog_.*";

pub(super) fn overload_manager(settings: &OverloadSettings) -> Value {
    let heap = "envoy.resource_monitors.fixed_heap";
    let trigger = |value: f64| json!([{"name": heap, "threshold": {"value": value}}]);
    json!({
        "refresh_interval": "0.25s",
        "resource_monitors": [
            {"name": heap, "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.resource_monitors.fixed_heap.v3.FixedHeapConfig",
                "max_heap_size_bytes": settings.max_heap_bytes,
            }},
            {"name": "envoy.resource_monitors.global_downstream_max_connections", "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.resource_monitors.downstream_connections.v3.DownstreamConnectionsConfig",
                "max_active_downstream_connections": settings.max_connections,
            }},
        ],
        "actions": [
            {"name": "envoy.overload_actions.shrink_heap", "triggers": trigger(0.95)},
            {"name": "envoy.overload_actions.stop_accepting_requests", "triggers": trigger(0.98)},
        ],
    })
}

pub(super) fn stats_config(detail: StatsDetail) -> Value {
    match detail {
        StatsDetail::Modest => json!({
            "stats_matcher": {"exclusion_list": {"patterns": [{"safe_regex": {"regex": RARELY_READ}}]}},
        }),
        StatsDetail::Full => json!({"stats_matcher": {"reject_all": false}}),
    }
}

//! The ADS client, generated: for simulated proxies in tests and benchmarks.

#![allow(
    missing_docs,
    unreachable_pub,
    clippy::all,
    clippy::pedantic,
    reason = "generated code"
)]
#![allow(clippy::allow_attributes_without_reason, reason = "generated code")]

include!(concat!(
    env!("OUT_DIR"),
    "/client/envoy.service.discovery.v3.AggregatedDiscoveryService.rs"
));

pub use aggregated_discovery_service_client::AggregatedDiscoveryServiceClient;

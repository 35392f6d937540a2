//! The gRPC service, generated at build time: its responses are ours (see `wire`), so that resources are never copied.

#![allow(missing_docs, unreachable_pub, reason = "generated code")]
#![allow(clippy::all, clippy::pedantic, clippy::allow_attributes_without_reason, reason = "generated code")]

#[cfg(feature = "server")]
include!(concat!(env!("OUT_DIR"), "/server/envoy.service.discovery.v3.AggregatedDiscoveryService.rs"));
#[cfg(feature = "client")]
include!(concat!(env!("OUT_DIR"), "/client/envoy.service.discovery.v3.AggregatedDiscoveryService.rs"));

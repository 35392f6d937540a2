//! The xDS API, generated at build time (see `build.rs`), and the one way to pack a message into an `Any`.
//!
//! Paths follow the packages: `proto::envoy::config::cluster::v3::Cluster`. Maps are `BTreeMap`, so that equal messages encode
//! to equal bytes, and every message implements `prost::Name`.

#![allow(missing_docs, reason = "generated; Envoy's own reference documents these messages")]
#![allow(unreachable_pub, rustdoc::all, reason = "generated code")]
#![allow(
    clippy::all,
    clippy::pedantic,
    clippy::allow_attributes_without_reason,
    reason = "generated code"
)]

include!(concat!(env!("OUT_DIR"), "/xds_api.rs"));

/// Packs a message; equal messages give equal bytes, since maps are ordered.
pub fn any<M: prost::Message + prost::Name>(message: &M) -> prost_types::Any {
    prost_types::Any {
        type_url: M::type_url(),
        value: message.encode_to_vec(),
    }
}

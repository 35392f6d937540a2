//! Model -> Envoy configuration: one function a resource, each proto field written once.
//!
//! A function takes one input struct and returns one [`Resource`](xds::Resource); it reads nothing else. Policy never
//! patches a finished message: `policy/<kind>/envoy.rs` gives the parts that the functions here put in their places.
//! Which inputs exist, and in which layer their resources go, is `compiler`'s business.

pub(crate) mod access_log;
pub(crate) mod api;
pub(crate) mod carrier;
pub(crate) mod cluster;
pub(crate) mod common;
pub(crate) mod connection_cause;
pub(crate) mod denial_header;
pub(crate) mod endpoint;
pub(crate) mod fixed_cluster;
pub(crate) mod hcm;
pub(crate) mod header_edit;
pub(crate) mod inbound;
pub(crate) mod inbound_route;
pub(crate) mod listener;
pub(crate) mod matcher;
pub(crate) mod outbound;
pub(crate) mod ready;
pub(crate) mod reported;
pub(crate) mod revoke;
pub(crate) mod route;
pub(crate) mod route_action;
pub(crate) mod runtime;
pub(crate) mod secret;
pub(crate) mod slots;
pub(crate) mod spelling;
pub(crate) mod stub;
pub(crate) mod tls;
pub(crate) mod verdict;

pub use stub::stub;

//! A small application and its client, for the demo and the tests.
//!
//! Both are ordinary processes that know nothing of the mesh: they listen on and dial plain ports. `app` answers with what
//! it saw, `client` reports each answer as one JSON line. Nothing else of Tulle depends on this module, and it depends on
//! nothing of Tulle.

pub mod app;
pub mod call;
pub mod client;
pub mod connection;
mod grpc;
mod http;
mod tcp;
#[cfg(test)]
mod tests;
mod websocket;

pub use app::{App, AppArgs};
pub use client::{CallArgs, Outcome};
pub use grpc::Opaque;

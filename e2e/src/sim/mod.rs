//! Simulated proxies: delta-ADS clients that subscribe, ACK and reconnect as Envoy does, a thousand in one process.
//!
//! `session` is what Envoy's client does, as a pure state machine; `references` reads out of clusters and listeners what
//! they make Envoy ask for; `client` runs one session over TLS with a join token from a workload's own address; `log` is
//! what arrived. Deliberately without any use of the control plane's own session code.

pub mod client;
pub mod dial;
pub mod fleet;
pub mod log;
mod references;
pub mod session;
#[cfg(test)]
mod tests;
pub mod world;

pub use client::{Behaviour, Client, ClientSpec};
pub use dial::Server;
pub use fleet::{Fleet, Traffic};
pub use log::{Arrived, Log, Progress, Received};
pub use session::{Held, Session};
pub use world::World;

//! The session state machine, without a network: facts one by one, and a model client under random histories.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

mod driver;
mod model;
mod nack;
mod order;
mod property;
mod secrets;
mod subscriptions;
mod sync;

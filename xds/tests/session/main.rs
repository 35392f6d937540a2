//! The session state machine, without a network: facts one by one, and a model client under random histories.

mod driver;
mod model;
mod nack;
mod order;
mod property;
mod secrets;
mod subscriptions;
mod sync;

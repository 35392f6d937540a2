//! Differential testing: generated policies and requests, decided by the reference evaluator and by real Envoys.
//!
//! `tulle-e2e differential --seed S --decisions N` is the long run; `e2e/tests/differential.rs` a short one. Compared are the
//! answer, the application and its version, the request as it arrived, and the cause that the access logs name. A difference
//! is made small and printed. What is not compared stands in `docs/differential.md`.

pub mod access_log;
pub mod client;
pub mod compare;
pub mod connections;
pub mod diffed;
pub mod ended;
pub mod expect;
pub mod explained;
pub mod generate;
pub mod ledger;
pub mod minimise;
pub mod plane;
pub mod prober;
pub mod question;
pub mod report;
mod round;
pub mod run;
pub mod session;
pub mod walk;
pub mod world;

pub use report::Report;
pub use run::{DifferentialArgs, command};
pub use session::{Difference, Session};

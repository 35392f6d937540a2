//! Attempts to reach a denied resource by saying its name, its host or its headers differently.
//!
//! `paths`, `heads` and `frames` are the attempts, the same ones each time; `tool` (`tulle-e2e bypass`) sends them, byte
//! for byte over HTTP/1.1 and as far as they can be said over HTTP/2; `judge` asks what the server understood.
//! `servlet.py` is a server that reads paths as servlet containers do. What a request means is never judged by what was
//! sent, only by what arrived.

mod case;
mod corpus;
mod frames;
mod heads;
mod judge;
mod paths;
mod servlet;
pub mod tool;
mod wire;

pub use case::Case;
pub use corpus::corpus;
pub use judge::{Answer, Resource, Seen, Tally};
pub use servlet::{HITS_PATH, Hits, servlet};

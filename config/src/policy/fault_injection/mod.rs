//! What is broken on purpose: faults by entry name, each source and match of a fault in a filter slot of its own.

pub(crate) mod envoy;
mod merge;
mod parse;

pub(crate) use merge::merge;
pub(crate) use parse::{FaultNode, parse};

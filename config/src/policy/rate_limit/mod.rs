//! How often: limits by entry name, each object in a filter slot of its own.

mod bucket;
mod disjoint;
pub(crate) mod envoy;
mod merge;
mod parse;

pub(crate) use merge::merge;
pub(crate) use parse::{LimitNode, parse, request_match};

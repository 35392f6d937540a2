//! Who may call whom: any Deny denies, else any Allow allows, else the default.

mod allow;
pub(crate) mod callers;
mod deny;
mod draft;
pub(crate) mod envoy;
mod merge;
mod parse;
mod verdict;

pub(crate) use merge::merge;
pub(crate) use parse::{PermissionNode, parse};

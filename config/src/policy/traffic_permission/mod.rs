//! Who may call whom: any Deny denies, else any Allow allows, else the default.

mod allow;
pub(crate) mod callers;
mod deny;
mod draft;
pub(crate) mod envoy;
mod merge;
mod parse;
mod shadow;
pub(crate) mod tcp_cause;
pub(crate) mod tcp_shadow;
mod verdict;
mod view;

pub(crate) use merge::merge;
pub(crate) use parse::{About, PermissionNode, parse};

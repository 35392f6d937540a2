//! Where the calls to a Service go: rules of all route objects on one Service port, in Gateway API's precedence.

mod filters;
mod merge;
mod parents;
mod parse;
mod precedence;
mod rule;

pub(crate) use merge::{PortRoutes, merge};
pub(crate) use parse::{RouteNode, parse};

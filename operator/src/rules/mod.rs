//! What permission rules decided: how often each one let a request in or refused it, and which never did.
//!
//! Proxies report what was added since their last report (`service`, over TLS and by token as xDS is), `totals` keeps the sums in
//! memory, `report` lays them over the rules of the model. Nothing here decides anything. What a proxy counted while no
//! control plane took it is lost, and sums begin with the control plane: the report says since when.

mod report;
mod service;
#[cfg(test)]
mod tests;
mod totals;

pub use report::{Effect, ProxyRow, RuleReport, RuleRow, report};
pub(crate) use service::{Reports, Who, service};
pub use totals::{Figures, RuleTotals};
